"""Runs collectives: reads, links and writes of every device, piece by piece.

Each move goes in slices. A slice is read (all operands), sent when the last of it is read, and
written where it arrives; a few slices of a move are under way at once, so that reading and writing
hide behind the link. A device's next step starts when this one's slices have left it and those it
gets have been written; ``pipelined``, each slice goes as soon as what it is made of is there.

Law, ring reduce-scatter of N chunks of c bytes in slices of s, on a memory of W bytes a second that
serves in order and keeps up with the link: ``(N - 1)(c/B + L) + 3c/W + (3N - 4)s/W``. The last term
is what slicing adds: each step waits for its first slice to be read and its last to be written.

Ref: T3, ASPLOS'24, arXiv 2401.16677, sections 2.3 and 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple, Protocol

from pydantic import Field

from hwsim.collectives.plan import Barrier, Buffers, Move, barriers, make_plan
from hwsim.collectives.schedules import Schedule, Transfer
from hwsim.config import BytesPerSecond, Config, quantity
from hwsim.errors import ConfigError, Problem
from hwsim.memory import Access, Memory, Region, Stream
from hwsim.noc import Network, Passage, Pipe, PositiveBytes
from hwsim.sim import Component, Counter, Event, Kernel, Process, StageAccount

__all__ = ["CollectiveConfig", "CollectiveEngine", "CollectiveTimes", "Observer", "Span"]

_FROM_ZERO = Buffers()
_AT_ONCE: Mapping[int, Event] = MappingProxyType({})


class CollectiveConfig(Config):
    """How devices do collectives.

    With ``near_memory_reduction`` arriving chunks are added where they belong by updates. Where
    compute units do the moving, they read and store at most ``copy_rate`` in all; a device's DMA
    engines have no such limit (None).
    """

    slice_bytes: PositiveBytes = quantity("64 KiB")
    slices_in_flight: int = Field(4, ge=2)
    pipelined: bool = False
    near_memory_reduction: bool = False
    copy_rate: BytesPerSecond | None = None


class Span(NamedTuple):
    """When a move asked for its first byte, and when its last byte was written."""

    transfer: Transfer | None
    source: int
    start_fs: int
    end_fs: int


@dataclass(frozen=True)
class CollectiveTimes:
    """When a collective ran, and each of its moves."""

    start_fs: int
    end_fs: int
    spans: tuple[Span, ...]

    @property
    def elapsed_fs(self) -> int:
        """From the first device's start to the last byte."""
        return self.end_fs - self.start_fs


class Observer(Protocol):
    """Who follows the pieces of moves, as a test that moves data along with them does."""

    def read(self, move: Move, piece: int, operands: Sequence[Region]) -> None:
        """All operands of a piece have been read."""

    def written(self, move: Move, piece: int, target: Region) -> None:
        """A piece has been written, or added, to its target."""


class CollectiveEngine(Component[CollectiveConfig]):
    """What moves data between the memories of devices, one collective at a time.

    Parameters
    ----------
    network : between all devices.
    memories : of each device; of one, over a mirrored topology, to simulate it alone.

    Stats
    -----
    read (B), written (B) : by device; what it read, and what was written to it.
    stage : busy during collectives.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        cfg: CollectiveConfig,
        network: Network,
        memories: Sequence[Memory],
    ) -> None:
        super().__init__(kernel, name, cfg)
        one_device = network.topology.mirrored
        needed = 1 if one_device else network.topology.devices
        if len(memories) != needed:
            raise ConfigError([Problem("", "memories", f"must be {needed}", len(memories))])
        # state
        self._network = network
        self._memories = memories
        self._copiers = [_Copier(kernel, cfg.copy_rate) for _ in memories]
        self._under_way: _Collective | None = None
        # stats
        self.stage = StageAccount(kernel)
        self.read = [Counter("B") for _ in memories]
        self.written = [Counter("B") for _ in memories]

    def waiting(self) -> Sequence[str]:
        """The first move of each device that has not landed, and whether the device has begun."""
        return () if self._under_way is None else self._under_way.waiting()

    def ask(self, device: int, region: Region, kind: Access, source: int) -> Event:
        """Access a device's memory, and count the bytes."""
        counters = self.read if kind is Access.READ else self.written
        counters[device].add(region.bytes)
        return self._memories[device].access(region, kind, Stream.COMMUNICATION, source)

    def copy(self, device: int, amount_bytes: int, key: int) -> Event:
        """Have a device's compute units, if they do it, read and store so many bytes."""
        return self._copiers[device].copy(amount_bytes, key)

    def send(self, source: int, destination: int, message_bytes: int, key: int) -> Passage:
        """Send over the network."""
        return self._network.send(source, destination, message_bytes, key)

    def run(
        self,
        schedule: Schedule,
        sizes: Sequence[int],
        *,
        buffers: Buffers = _FROM_ZERO,
        starts: Mapping[int, Event] = _AT_ONCE,
        observer: Observer | None = None,
    ) -> Process:
        """Do a collective on chunks of ``sizes`` bytes; returns its :class:`CollectiveTimes`.

        Parameters
        ----------
        starts : what each device waits for before it sends; devices not listed wait for nothing.

        Raises
        ------
        ConfigError
            For a schedule of another number of devices than the network's, or one that one device
            can't stand for when there is one.
        """
        if schedule.devices != self._network.topology.devices:
            rule = f"must be the network's {self._network.topology.devices}"
            raise ConfigError([Problem("", "devices", rule, schedule.devices)])
        moves = make_plan(
            schedule,
            sizes,
            buffers,
            near_memory=self.cfg.near_memory_reduction,
            one_device=self._network.topology.mirrored,
        )
        start = self.kernel.now
        self.stage.enter("busy")
        self._under_way = _Collective(self, moves, starts, observer)
        spans = yield from self._under_way.run()
        self._under_way = None
        self.stage.enter("idle")
        return CollectiveTimes(start, self.kernel.now, spans)


def _all(events: Iterable[Event]) -> Process:
    """Wait for all of them."""
    for event in events:  # noqa: UP028 - an iterator can't be sent the value that an event has
        yield event


class _Copier:
    """The compute units of a device that read and store, or DMA engines that take no time."""

    def __init__(self, kernel: Kernel, rate: Fraction | None) -> None:
        self._kernel = kernel
        self._pipe = None if rate is None else Pipe(kernel, rate)

    def copy(self, amount_bytes: int, key: int) -> Event:
        """The event happens when so many bytes have been read and stored."""
        if self._pipe is None:
            return self._kernel.granted()
        return self._pipe.use(amount_bytes, (key,))


class _Progress:
    """How far a move is: an event for each piece that has left, and that has landed."""

    def __init__(self, kernel: Kernel, move: Move, slice_bytes: int) -> None:
        self.move = move
        self._slice_bytes = slice_bytes
        self.pieces = -(-move.target.bytes // slice_bytes)
        self.left = [kernel.event() for _ in range(self.pieces)]
        self.landed = [kernel.event() for _ in range(self.pieces)]
        self.issued = kernel.event()

    def piece_of(self, region: Region, piece: int) -> Region:
        """That slice of a region."""
        offset = piece * self._slice_bytes
        return Region(region.base + offset, min(self._slice_bytes, region.row_bytes - offset))


class _Collective:
    """A collective under way."""

    def __init__(
        self,
        engine: CollectiveEngine,
        moves: Sequence[Move],
        starts: Mapping[int, Event],
        observer: Observer | None,
    ) -> None:
        self._engine = engine
        self._kernel = engine.kernel
        self._cfg = engine.cfg
        self._starts = starts
        self._observer = observer
        self._moves = [_Progress(engine.kernel, move, engine.cfg.slice_bytes) for move in moves]
        self._barriers = barriers(moves)
        self._most_pieces = max(each.pieces for each in self._moves)

    def run(self) -> Process:
        """All moves; returns the span of each."""
        pairs = zip(self._moves, self._barriers, strict=True)
        moves = [self._kernel.start(self._move(each, barrier)) for each, barrier in pairs]
        yield from _all(moves)
        return tuple(move.value for move in moves)

    def waiting(self) -> Sequence[str]:
        """What each device is to do next, of those that have something to do."""
        undone = {
            each.move.source: each.move
            for each in reversed(self._moves)
            if not each.landed[-1].triggered
        }
        return [self._to_do(device, undone[device]) for device in sorted(undone)]

    def _to_do(self, device: int, move: Move) -> str:
        start = self._starts.get(device)
        if start is not None and not start.processed:
            return f"{self._engine.name}: device {device} waits to be started"
        what = "add up" if move.transfer is None else f"send to device {move.destination}"
        return f"{self._engine.name}: device {device} is in step {move.phase // 2}, to {what}"

    def _move(self, this: _Progress, barrier: Barrier) -> Process:
        """Issue the pieces of a move, and wait until the last has landed."""
        move = this.move
        if move.source in self._starts:
            yield self._starts[move.source]
        yield from self._turn(barrier)
        start = None
        for piece in range(this.pieces):
            if piece >= self._cfg.slices_in_flight:
                yield this.left[piece - self._cfg.slices_in_flight]
            for index in move.needs:
                yield self._moves[index].landed[piece]
            start = self._kernel.now if start is None else start
            self._kernel.start(self._piece(this, piece, self._read(this, piece)))
        this.issued.succeed()
        yield from this.landed
        assert start is not None
        return self._span(move, start)

    def _turn(self, barrier: Barrier) -> Process:
        """Wait until the device takes this step."""
        for index in barrier.left:
            yield from (
                [self._moves[index].issued] if self._cfg.pipelined else self._moves[index].left
            )
        if not self._cfg.pipelined:
            for index in barrier.landed:
                yield from self._moves[index].landed

    def _read(self, this: _Progress, piece: int) -> list[Event]:
        """Ask for a piece of every operand, and for the units that copy it."""
        move = this.move
        operands = [this.piece_of(operand, piece) for operand in move.operands]
        asked = [
            self._engine.ask(move.source, operand, Access.READ, 2 * move.key)
            for operand in operands
        ]
        stored = this.piece_of(move.target, piece)
        moved_bytes = stored.bytes + sum(operand.bytes for operand in operands)
        return [*asked, self._engine.copy(move.source, moved_bytes, move.key)]

    def _piece(self, this: _Progress, piece: int, reads: list[Event]) -> Process:
        """A piece that has been asked for: send it, or keep it, and write it."""
        move = this.move
        yield from _all(reads)
        if self._observer is not None:
            operands = [this.piece_of(operand, piece) for operand in move.operands]
            self._observer.read(move, piece, operands)
        target = this.piece_of(move.target, piece)
        if move.transfer is None:
            this.left[piece].succeed()
        else:
            key = move.key * self._most_pieces + piece
            passage = self._engine.send(move.source, move.destination, target.bytes, key)
            yield passage.departed
            this.left[piece].succeed()
            yield passage.arrived
        yield self._engine.ask(move.lands_on, target, move.access, 2 * move.key + 1)
        if self._observer is not None:
            self._observer.written(move, piece, target)
        this.landed[piece].succeed()

    def _span(self, move: Move, start_fs: int) -> Span:
        """The record of a move that ends now; drawn into the timeline if there is one."""
        now = self._kernel.now
        if self._kernel.timeline is not None:
            what = f"send to {move.destination}" if move.transfer is not None else "add up"
            track = f"{self._engine.name}.device{move.source}"
            args = (("step", move.phase // 2), ("bytes", move.target.bytes))
            self._kernel.timeline.slice(track, what, start_fs, now, args)
        return Span(move.transfer, move.source, start_fs, now)
