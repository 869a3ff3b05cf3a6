"""What a schedule asks of memories and links: the moves, their operands and what they wait for.

A move reads its operands, adds them up, and writes the sum, here or on another device. Without
near-memory reduction what a device receives to be added is staged beside its vector, and read again
when the sum is sent on or, at the end, added up; with it, it is added where it belongs, on arrival.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from hwsim.collectives.schedules import Effect, Schedule, Transfer
from hwsim.errors import ConfigError, Problem
from hwsim.memory import Access, Region

__all__ = ["Barrier", "Buffers", "Move", "barriers", "make_plan"]


class Buffers(NamedTuple):
    """Addresses on every device: of its vector, and of staging, behind it if not given.

    A device's vector begins with its own chunk, the one of its number, and goes round from there,
    so that all devices use their memories alike. What is staged for a chunk lies at the chunk's
    place in one of several vectors' lengths.
    """

    vector: int = 0
    staging: int | None = None


@dataclass(frozen=True)
class Move:
    """Read ``operands`` on ``source``, add them up, do ``access`` to ``target`` on ``destination``.

    Attributes
    ----------
    transfer : the transfer it makes, or None for a sum that stays on the device.
    phase : when in the schedule: ``2 x step``, and one more for a sum, which follows its step.
    lands_on : the simulated device that ``target`` is on: ``destination``, or its mirror image.
    key : its place among the simultaneous moves at any one device.
    needs : moves that write what it reads.
    """

    transfer: Transfer | None
    phase: int
    source: int
    destination: int
    lands_on: int
    operands: tuple[Region, ...]
    target: Region
    access: Access
    key: int
    needs: tuple[int, ...]


@dataclass
class _Chunk:
    """What a device knows of a chunk: the moves that wrote it, and those staged for it."""

    written: list[int]
    staged: list[int]


def make_plan(
    schedule: Schedule,
    sizes: Sequence[int],
    buffers: Buffers,
    *,
    near_memory: bool,
    one_device: bool,
) -> list[Move]:
    """The moves of ``schedule`` with chunks of ``sizes`` bytes, in an order in which all can run.

    Parameters
    ----------
    one_device : only those of device 0; what it sends arrives at itself, as from a peer.

    Raises
    ------
    ConfigError
        For one device of a schedule or of chunks that are not alike for all.
    """
    if one_device:
        _refuse_unlike_devices(schedule, sizes)
    return _Planner(schedule, sizes, buffers, near_memory, one_device).plan()


def _refuse_unlike_devices(schedule: Schedule, sizes: Sequence[int]) -> None:
    if not schedule.symmetric:
        rule = "must do the same on every device to simulate one for all"
        raise ConfigError([Problem("", "algorithm", rule, schedule.algorithm)])
    if len(set(sizes)) > 1:
        rule = "must make equal chunks to simulate one device for all"
        raise ConfigError([Problem("", "message_bytes", rule, sum(sizes))])


class _Planner:
    """Goes through a schedule, keeping account of what lies where."""

    def __init__(
        self,
        schedule: Schedule,
        sizes: Sequence[int],
        buffers: Buffers,
        near_memory: bool,
        one_device: bool,
    ) -> None:
        self._schedule = schedule
        self._sizes = sizes
        self._buffers = buffers
        self._near_memory = near_memory
        self._one_device = one_device
        self._chunks: defaultdict[tuple[int, int], _Chunk] = defaultdict(lambda: _Chunk([], []))
        self._exchanged: Counter[int] = Counter()
        self._sent: Counter[int] = Counter()
        self._moves: list[Move] = []

    def plan(self) -> list[Move]:
        transfers = self._schedule.transfers
        if self._one_device:
            transfers = tuple(transfer for transfer in transfers if transfer.source == 0)
        for _, step in groupby(transfers, key=lambda transfer: transfer.step):
            reads = [(transfer, *self._read(transfer)) for transfer in step]
            for transfer, operands, needs in reads:
                self._transfer(transfer, operands, needs)
        for (device, chunk), known in list(self._chunks.items()):
            if known.staged:
                self._add_up(device, chunk)
        return self._moves

    def _read(self, transfer: Transfer) -> tuple[tuple[Region, ...], tuple[int, ...]]:
        """What a transfer reads, and the moves that write it."""
        device, chunk = transfer.source, transfer.chunk
        if self._chunks[device, chunk].staged and transfer.effect is not Effect.REDUCE:
            self._add_up(device, chunk)
        return self._sum_of(device, chunk)

    def _sum_of(self, device: int, chunk: int) -> tuple[tuple[Region, ...], tuple[int, ...]]:
        """The device's chunk and all that is staged for it, which then is no longer."""
        known = self._chunks[device, chunk]
        beside = [self._moves[index].target for index in known.staged]
        operands = (self._own(device, chunk), *beside)
        needs = (*known.written, *known.staged)
        known.staged.clear()
        return operands, needs

    def _own(self, device: int, chunk: int) -> Region:
        return Region(self._buffers.vector + self._offset(device, chunk), self._sizes[chunk])

    def _beside(self, device: int, chunk: int, slot: int) -> Region:
        total = sum(self._sizes)
        staging = self._buffers.staging
        base = self._buffers.vector + total if staging is None else staging
        return Region(base + slot * total + self._offset(device, chunk), self._sizes[chunk])

    def _offset(self, device: int, chunk: int) -> int:
        """Bytes of the chunks from the device's own up to this one."""
        chunks = len(self._sizes)
        first = device % chunks
        between = (chunk - first) % chunks
        return sum(self._sizes[(first + step) % chunks] for step in range(between))

    def _transfer(
        self, transfer: Transfer, operands: tuple[Region, ...], needs: tuple[int, ...]
    ) -> None:
        source, destination = transfer.source, transfer.destination
        devices = self._schedule.devices
        landing, chunk = self._landing(transfer)
        target, access = self._arrival(transfer.effect, landing, chunk)
        key = self._sent[source] * devices + (source - destination) % devices
        self._sent[source] += 1
        phase = 2 * transfer.step
        self._moves.append(
            Move(
                transfer, phase, source, destination, landing, operands, target, access, key, needs
            )
        )

    def _landing(self, transfer: Transfer) -> tuple[int, int]:
        """The simulated device that a transfer arrives at, and which chunk it is there."""
        if not self._one_device:
            return transfer.destination, transfer.chunk
        return 0, (transfer.chunk - transfer.destination) % self._schedule.devices

    def _arrival(self, effect: Effect, device: int, chunk: int) -> tuple[Region, Access]:
        """What the next move does to the device's chunk."""
        move = len(self._moves)
        known = self._chunks[device, chunk]
        if effect is Effect.EXCHANGE:
            self._exchanged[device] += 1
            return self._beside(device, chunk, self._exchanged[device] - 1), Access.WRITE
        if effect is Effect.COPY:
            known.written = [move]
            return self._own(device, chunk), Access.WRITE
        if self._near_memory:
            known.written.append(move)
            return self._own(device, chunk), Access.UPDATE
        known.staged.append(move)
        return self._beside(device, chunk, len(known.staged) - 1), Access.WRITE

    def _add_up(self, device: int, chunk: int) -> None:
        """Make what is staged part of the device's chunk; no transfer has a key of 0."""
        operands, needs = self._sum_of(device, chunk)
        self._chunks[device, chunk].written = [len(self._moves)]
        phase = max(self._moves[index].phase for index in needs) + 1
        target, access = self._own(device, chunk), Access.WRITE
        self._moves.append(
            Move(None, phase, device, device, device, operands, target, access, 0, needs)
        )


class Barrier(NamedTuple):
    """What a move waits for when its device takes one step after the other."""

    left: tuple[int, ...]
    """Moves of its device that must have left it: those of the step before."""
    landed: tuple[int, ...]
    """Moves that must have landed on its device: those of the steps since."""


def barriers(moves: Sequence[Move]) -> list[Barrier]:
    """The barrier of each move. What those before waited for is not repeated."""
    leaving: defaultdict[int, defaultdict[int, list[int]]]
    leaving = defaultdict(lambda: defaultdict(list))
    landing: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, move in enumerate(moves):
        leaving[move.source][move.phase].append(index)
        landing[move.lands_on].append((move.phase, index))
    found = [Barrier((), ())] * len(moves)
    for device, phases in leaving.items():
        arrivals = sorted(landing[device])
        before = 0
        for phase in sorted(phases):
            first, end = bisect_left(arrivals, (before,)), bisect_left(arrivals, (phase,))
            landed = tuple(index for _, index in arrivals[first:end])
            for index in phases[phase]:
                found[index] = Barrier(tuple(phases.get(before, ())), landed)
            before = phase
    return found
