"""T3's trigger table: which DMA entry a trigger makes ready, and the cycle of every request.

Tiles are numbered by workgroup and wavefront; a *block* is the tiles whose numbers are alike above
the kernel's ``block_bits``. An *entry* is programmed with a block's addresses, its number of tiles
and what is done at the destination; the low bits of the block's number name it. Each of its tiles
triggers once, the last one makes the block ready, and the entry is free again. Blocks that are
ready are read in the order in which they became so, a request a column: the output is
column-major, and the tiles of a block lie side by side in it, so that column i of a block begins
i pitches behind its base.

Law: a trigger, or a program, is looked up a cycle after it was taken; one of them goes on in a
cycle, a trigger first, but a program that could and was passed over goes before the next one. A
program waits until its entry is free, a trigger that completes nothing and one that does alike for
a place among ``queued``. The block's first request is offered ``LATENCY`` cycles after its last
trigger was taken, the next one in the cycle after the one before was taken, and the next block's
first likewise. A kernel is taken when nothing is held, queued or offered, and makes the table clear
an entry a cycle: ``start_cycles`` later the first program or trigger can be taken.

A trigger of a block that is not programmed is a fault: from the next cycle on no program and no
trigger is taken; what was ready goes on.

Cycle 0 is the first one after reset; producers as in :mod:`hwsim.laws.pipeline`.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 4.2.2 and 4.4: DMA commands programmed ahead, with
destination, operation, bases, condition and granularity. How a block's tiles lie, the entries'
fields and the cycles are assumed: it gives none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.pipeline import Ready

__all__ = [
    "LATENCY",
    "STORE",
    "UPDATE",
    "Output",
    "Program",
    "Timetable",
    "TriggerGeometry",
    "block_of",
    "timetable",
]

LATENCY = 4
"""Cycles from the entry of a block's last trigger to its first request."""
STORE, UPDATE = 0, 1
"""What is done at the destination."""


class TriggerGeometry(Config):
    """A trigger table and the blocks that it can serve."""

    entries: Annotated[int, Field(ge=2, le=4096)] = 256
    """Blocks that are programmed and not ready yet, at most."""
    workgroup_bits: Annotated[int, Field(ge=2, le=24)] = 16
    """Bits of a workgroup's index."""
    wavefronts: Annotated[int, Field(ge=2, le=16)] = 8
    """Tiles of a workgroup, at most."""
    block_tiles: Annotated[int, Field(ge=2, le=1024)] = 64
    """Tiles of a block, at most."""
    queued: Annotated[int, Field(ge=2, le=1024)] = 16
    """Blocks that are ready and wait."""
    columns: Annotated[int, Field(ge=2, le=4096)] = 256
    """Columns of a tile, at most."""
    column_bytes: Annotated[int, Field(ge=2, le=65536)] = 1024
    """Bytes of a tile's column, at most."""
    pitch_bits: Annotated[int, Field(ge=2, le=32)] = 24
    """From one column of an output to the next, in bytes."""
    address_bits: Annotated[int, Field(ge=4, le=64)] = 48
    """Of a byte address; beyond, it wraps."""

    @model_validator(mode="after")
    def _powers_of_two(self) -> TriggerGeometry:
        for name in ("entries", "wavefronts", "block_tiles"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        return self

    @model_validator(mode="after")
    def _more_tiles_than_entries(self) -> TriggerGeometry:
        if self.tile_bits <= max(self.index_bits, self.block_bits):
            least = max(self.index_bits, self.block_bits) - self.tile_bits + self.workgroup_bits
            raise ValueError(
                f"workgroup_bits must be more than {least}, to number the tiles of blocks of "
                f"{self.block_tiles} in {self.entries} entries, got {self.workgroup_bits}"
            )
        return self

    @property
    def index_bits(self) -> int:
        """Low bits of a block's number, which name its entry."""
        return self.entries.bit_length() - 1

    @property
    def tile_bits(self) -> int:
        """Bits of a tile's number, and of a block's."""
        return self.workgroup_bits + self.wavefronts.bit_length() - 1

    @property
    def block_bits(self) -> int:
        """Low bits of a tile's number that can differ within a block, at most."""
        return self.block_tiles.bit_length() - 1

    @property
    def start_cycles(self) -> int:
        """Cycles from a kernel's entry to the first of what follows it."""
        return self.entries + 1


class Output(NamedTuple):
    """What the blocks of a kernel have in common."""

    columns: int
    """Of a tile."""
    column_bytes: int
    """Of a tile: its rows."""
    source_pitch: int
    destination_pitch: int
    block_bits: int


class Program(NamedTuple):
    """A DMA entry."""

    block: int
    source: int
    destination: int
    tiles: int
    operation: int


def block_of(geometry: TriggerGeometry, output: Output, workgroup: int, wavefront: int) -> int:
    """The block of a tile."""
    return (workgroup * geometry.wavefronts + wavefront) >> output.block_bits


@dataclass
class Timetable:
    """The cycle of every transfer, in order."""

    kernels: list[int] = field(default_factory=list)
    programs: list[int] = field(default_factory=list)
    triggers: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    went: list[tuple[int, bool, int]] = field(default_factory=list)
    """Cycle, whether it was a trigger, and the number of what was looked up and went on."""
    held: Counter[str] = field(default_factory=Counter)
    """Cycles in which something was held, by what it waited for."""
    cycles: int = 0
    fault: int | None = None
    """The first cycle of a fault."""


def timetable(
    geometry: TriggerGeometry,
    kernels: Sequence[tuple[Output, int]],
    programs: Sequence[tuple[Program, int]],
    triggers: Sequence[tuple[tuple[int, int], int]],
    ready: Ready,
    *,
    cycles: int,
) -> Timetable:
    """The cycles of everything until nothing is left to do, or ``cycles`` have passed.

    Each kernel, program and trigger (workgroup and wavefront) comes with the gap before it.
    """
    model = _Stepped(geometry, kernels, programs, triggers, ready)
    while model.seen.cycles < cycles and not model.settled():
        model.step(model.seen.cycles)
        model.seen.cycles += 1
    return model.seen


class _Offers:
    """A producer."""

    def __init__(self, gaps: Sequence[int], taken: list[int]) -> None:
        self._gaps, self.taken = gaps, taken

    def offers(self, cycle: int) -> bool:
        number = len(self.taken)
        if number == len(self._gaps):
            return False
        return cycle > (self.taken[-1] if number else -1) + self._gaps[number]

    def over(self) -> bool:
        return len(self.taken) == len(self._gaps)


class _Queue:
    """``depth`` places, of which what is in a register behind them has left."""

    def __init__(self, depth: int) -> None:
        self._depth, self._waiting = depth, deque[int]()
        self.first: int | None = None

    def room(self) -> bool:
        return len(self._waiting) < self._depth

    def empty(self) -> bool:
        return self.first is None and not self._waiting

    def step(self, pushed: int | None, popped: bool) -> None:
        if self.first is None or popped:
            self.first = self._waiting.popleft() if self._waiting else None
        if pushed is not None:
            self._waiting.append(pushed)


class _Stepped:
    """The table's registers, a cycle at a time."""

    def __init__(
        self,
        geometry: TriggerGeometry,
        kernels: Sequence[tuple[Output, int]],
        programs: Sequence[tuple[Program, int]],
        triggers: Sequence[tuple[tuple[int, int], int]],
        ready: Ready,
    ) -> None:
        self._geometry, self._ready = geometry, ready
        self._kernels, self._programs, self._triggers = kernels, programs, triggers
        self.seen = seen = Timetable()
        self._kernel_offers = _Offers([gap for _, gap in kernels], seen.kernels)
        self._program_offers = _Offers([gap for _, gap in programs], seen.programs)
        self._trigger_offers = _Offers([gap for _, gap in triggers], seen.triggers)
        self._program: int | None = None
        self._trigger: int | None = None
        """Those that are held."""
        self._passed = False
        self._runs_from: int | None = None
        self._entries: dict[int, Program] = {}
        """Those that are not free."""
        self._left: dict[int, int] = {}
        """Of those, the tiles that they wait for."""
        self._queue = _Queue(geometry.queued)
        """Of blocks' requests."""
        self._offered = 0
        """Requests of the block at hand that are still to be taken."""

    def settled(self) -> bool:
        """Whether nothing is offered, held or ready."""
        offers = (self._kernel_offers, self._program_offers, self._trigger_offers)
        held = self._program is not None or self._trigger is not None
        ready = self._offered or not self._queue.empty()
        return all(each.over() for each in offers) and not held and not ready

    def step(self, cycle: int) -> None:
        """What registers hold decides what moves; then they take it over."""
        clearing = self._runs_from is not None and cycle < self._runs_from
        stopped = clearing or self.seen.fault is not None
        runs = self._runs_from is not None and not stopped
        idle = self._program is None and self._trigger is None
        idle = idle and self._queue.empty() and not self._offered and not stopped
        ready = self._look_up(cycle) if runs else None
        self._request(cycle, ready)
        if runs and self._program is None and self._program_offers.offers(cycle):
            self._program = len(self.seen.programs)
            self.seen.programs.append(cycle)
        if runs and self._trigger is None and self._trigger_offers.offers(cycle):
            self._trigger = len(self.seen.triggers)
            self.seen.triggers.append(cycle)
        if idle and self._kernel_offers.offers(cycle):
            self.seen.kernels.append(cycle)
            self._runs_from = cycle + self._geometry.start_cycles
            self._entries.clear()

    def _look_up(self, cycle: int) -> int | None:
        """Let a trigger or a program go on; the requests of the block that is ready, if one is."""
        program_can = self._program is not None and self._free(self._program)
        trigger_can = self._trigger is not None and self._queue.room()
        trigger_goes = trigger_can and not (self._passed and program_can)
        program_goes = program_can and not trigger_goes
        self._passed = program_can and trigger_goes
        self.seen.held["a free entry"] += self._program is not None and not program_can
        self.seen.held["a place"] += self._trigger is not None and not trigger_can
        self.seen.held["a program"] += trigger_can and not trigger_goes
        self.seen.held["a trigger"] += self._passed
        if self._program is not None and program_goes:
            self.seen.went.append((cycle, False, self._program))
            program, self._program = self._programs[self._program][0], None
            entry = program.block % self._geometry.entries
            self._entries[entry], self._left[entry] = program, program.tiles
        if self._trigger is not None and trigger_goes:
            self.seen.went.append((cycle, True, self._trigger))
            trigger, self._trigger = self._triggers[self._trigger][0], None
            return self._count(trigger)
        return None

    def _free(self, program: int) -> bool:
        block = self._programs[program][0].block
        return block % self._geometry.entries not in self._entries

    def _count(self, trigger: tuple[int, int]) -> int | None:
        """The requests of the trigger's block, if it was its last."""
        output = self._output()
        block = block_of(self._geometry, output, *trigger)
        entry = block % self._geometry.entries
        program = self._entries.get(entry)
        if program is None or program.block != block:
            self.seen.fault = self.seen.cycles + 1
            return None
        self._left[entry] -= 1
        if self._left[entry]:
            return None
        return self._entries.pop(entry).tiles * output.columns

    def _output(self) -> Output:
        return self._kernels[len(self.seen.kernels) - 1][0]

    def _request(self, cycle: int, ready: int | None) -> None:
        """Offer the requests of a block, a cycle each, then those of the next that is ready."""
        taken = bool(self._offered) and self._ready(cycle)
        if taken:
            self.seen.requests.append(cycle)
        over = not self._offered or (taken and self._offered == 1)
        first = self._queue.first
        self._offered -= taken
        if over and first is not None:
            self._offered = first
        self._queue.step(ready, over and first is not None)
