"""T3's Tracker: how its sets serve workgroups, how big it is, and the cycle of every transfer.

A *set* serves one workgroup at a time: the low bits of a workgroup's index name its set, and those
of one set take turns in the order of their indices, from the first that the kernel tracks. A set
counts the elements that updates bring to each wavefront's tile; a tile whose count reaches the
kernel's threshold *triggers*, and when all tiles of the workgroup have, it is the next one's turn.
Nothing else ever takes a set away.

Law: every port takes an update a cycle. It is looked up a cycle after it was taken; if it is its
workgroup's turn, it is counted then, so that the next cycle's updates see it on every port; else
it is handed back (``step_aside``) or held, its port with it, until it is its turn (``stall``). One
that goes on leaves room for the next in the same cycle. A trigger, or an update that is handed
back, waits in one of ``PLACES`` places of its port; one a cycle goes from there to the offer, the
ports taking turns: ``LATENCY`` cycles from the port to there. An update that finds both places
taken is held as long. A kernel is taken when no port holds an update, and makes the Tracker clear
a tile a cycle: ``start_cycles`` later the first update can be taken.

An update beyond a tile's threshold, or of a wavefront that the kernel has not, is a fault: from the
next cycle on nothing is taken, counted or handed back.

Cycle 0 is the first one after reset; producers as in :mod:`hwsim.laws.pipeline`.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 4.2.1: 256 entries indexed by the workgroup's low
bits, up to 8 wavefronts each; about 19 KB. The widths of an entry's fields, the turns, what a full
Tracker does, the ports and the cycles are assumed: it gives none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.pipeline import Ready

__all__ = [
    "ADDRESS_BITS",
    "AHEAD",
    "LATENCY",
    "PLACES",
    "Kernel",
    "LookUp",
    "Timetable",
    "TrackerGeometry",
    "TrackerTable",
    "Update",
    "set_index",
    "timetable",
    "turn",
]

Item = TypeVar("Item")

LATENCY = 3
"""Cycles from an update's entry to its trigger, or to its being handed back."""
PLACES = 2
"""Triggers, and updates to be handed back, that wait for the offer at each port."""
ADDRESS_BITS = 48
"""Of a tile's start, which the published entry holds. The RTL's has none: see the DMA entries."""


class TrackerTable(Config):
    """Sets of a Tracker, named by low bits."""

    entries: Annotated[int, Field(ge=2, le=4096)] = 256
    """Sets; each serves one workgroup at a time."""
    wavefronts: Annotated[int, Field(ge=2, le=16)] = 8
    """Tiles of a workgroup, at most."""

    @model_validator(mode="after")
    def _powers_of_two(self) -> Self:
        for name in ("entries", "wavefronts"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        return self


class TrackerGeometry(TrackerTable):
    """A Tracker, the kernels that it can serve, and what it does when a set is taken."""

    ports: Annotated[int, Field(ge=1, le=4)] = 2
    """Updates a cycle: local stores, and what comes from peers."""
    workgroup_bits: Annotated[int, Field(ge=2, le=24)] = 16
    """Bits of a workgroup's index."""
    tile_elements: Annotated[int, Field(ge=16, le=1 << 20)] = 32768
    """Elements of a tile, at most."""
    updates_per_element: Annotated[int, Field(ge=1, le=64)] = 2
    """Updates that an element gets, at most: in a ring, one local and one incoming."""
    update_elements: Annotated[int, Field(ge=1, le=64)] = 16
    """Elements that one update brings, at most: 32 B of FP16."""
    on_full: Literal["step_aside", "stall"] = "step_aside"
    """What becomes of an update whose set serves another workgroup."""

    @model_validator(mode="after")
    def _more_workgroups_than_sets(self) -> TrackerGeometry:
        if self.workgroup_bits <= self.index_bits:
            raise ValueError(
                f"workgroup_bits must be more than the {self.index_bits} that name one of "
                f"{self.entries} entries, got {self.workgroup_bits}"
            )
        return self

    @property
    def index_bits(self) -> int:
        """Low bits of a workgroup's index, which name its set."""
        return self.entries.bit_length() - 1

    @property
    def tag_bits(self) -> int:
        """The rest of a workgroup's index."""
        return self.workgroup_bits - self.index_bits

    @property
    def wavefront_bits(self) -> int:
        """Bits of a wavefront's number."""
        return self.wavefronts.bit_length() - 1

    @property
    def threshold(self) -> int:
        """The largest threshold: elements of a tile times the updates of each."""
        return self.tile_elements * self.updates_per_element

    @property
    def count_bits(self) -> int:
        """Bits of a tile's count."""
        return self.threshold.bit_length()

    @property
    def element_bits(self) -> int:
        """Bits of an update's elements, less one."""
        return max(1, (self.update_elements - 1).bit_length())

    @property
    def entry_bits(self) -> int:
        """Bits of a tile's entry as published: index, wavefront, tile start and count."""
        return self.tag_bits + self.wavefront_bits + ADDRESS_BITS + self.count_bits

    @property
    def size_bytes(self) -> int:
        """Bytes of all entries as published."""
        return -(-self.entries * self.wavefronts * self.entry_bits // 8)

    @property
    def tiles(self) -> int:
        """Counts that the Tracker holds."""
        return self.entries * self.wavefronts

    @property
    def start_cycles(self) -> int:
        """Cycles from a kernel's entry to its first update's."""
        return self.tiles + 1


def set_index(workgroup: int, entries: int) -> int:
    """The set of a workgroup: the low bits of its index."""
    return workgroup % entries


def turn(geometry: TrackerGeometry, first: int, workgroup: int) -> int:
    """How many workgroups a set has served before this one, from the kernel's ``first`` on."""
    return (workgroup - first) % (1 << geometry.workgroup_bits) // geometry.entries


class Kernel(NamedTuple):
    """What a kernel tracks."""

    first: int
    """The first workgroup."""
    threshold: int
    """Elements of a tile times the updates that each gets."""
    wavefronts: int
    """Tiles of a workgroup: a power of two."""


class Update(NamedTuple):
    """Elements of a tile that one update brings."""

    workgroup: int
    wavefront: int
    elements: int


class LookUp(NamedTuple):
    """An update that went on from its port: counted, or handed back."""

    cycle: int
    port: int
    number: int
    """Of the port's updates."""
    counted: bool


@dataclass
class Timetable:
    """The cycle of every transfer, in order."""

    kernels: list[int] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)
    """By port."""
    offered: list[list[tuple[Update, int]]] = field(default_factory=list)
    """By port: the updates and their gaps, those that were offered again among them."""
    looked_up: list[LookUp] = field(default_factory=list)
    triggers: list[tuple[int, int, int]] = field(default_factory=list)
    """Cycle, and the port and number of the update that completed the tile."""
    refused: list[tuple[int, int, int]] = field(default_factory=list)
    """Cycle, port and number of the update."""
    held: Counter[str] = field(default_factory=Counter)
    """Cycles in which an update was held, by what it waited for."""
    cycles: int = 0
    fault: int | None = None
    """The first cycle of a fault."""


AHEAD = 200
"""Updates of a port that one which was handed back may let pass."""
Again = Callable[[Update, Sequence[Update]], int]


def timetable(
    geometry: TrackerGeometry,
    kernels: Sequence[tuple[Kernel, int]],
    updates: Sequence[Sequence[tuple[Update, int]]],
    trigger_ready: Ready,
    refused_ready: Ready,
    *,
    cycles: int,
    again: Again | None = None,
) -> Timetable:
    """The cycles of everything until nothing is left to do, or ``cycles`` have passed.

    Each kernel, and each update of each port, comes with the gap before it. What is handed back is
    offered again by its port: behind as many others as ``again`` says, of which it is told the next
    ``AHEAD``, or that many cycles later if there are none left. Without it, never.
    """
    model = _Stepped(geometry, kernels, updates, trigger_ready, refused_ready, again)
    while model.seen.cycles < cycles and not model.settled():
        model.step(model.seen.cycles)
        model.seen.cycles += 1
    return model.seen


class _Offers(Generic[Item]):
    """A producer whose items may become more."""

    def __init__(self, items: Sequence[tuple[Item, int]]) -> None:
        self.items = list(items)
        self.taken: list[int] = []

    def offers(self, cycle: int) -> bool:
        number = len(self.taken)
        if number == len(self.items):
            return False
        return cycle > (self.taken[-1] if number else -1) + self.items[number][1]

    def again(self, item: Item, cycle: int, places: int) -> None:
        """Offer one more, behind ``places`` others or as many cycles after ``cycle``."""
        if self.over():
            self.items.append((item, cycle - self.taken[-1] + places))
        else:
            self.items.insert(len(self.taken) + 1 + places, (item, 0))

    def waiting(self, most: int) -> list[Item]:
        """The next items, without the one that is on offer."""
        begin = len(self.taken) + 1
        return [item for item, _ in self.items[begin : begin + most]]

    def over(self) -> bool:
        return len(self.taken) == len(self.items)


class _Merge:
    """``PLACES`` a port, and one on offer, which the ports fill in turn."""

    def __init__(self, ports: int, ready: Ready) -> None:
        self._ready, self._last = ready, ports - 1
        self._waiting: list[deque[int]] = [deque() for _ in range(ports)]
        self._offered: tuple[int, int] | None = None

    def room(self, port: int) -> bool:
        return len(self._waiting[port]) < PLACES

    def empty(self) -> bool:
        return self._offered is None and not any(self._waiting)

    def step(self, cycle: int, pushed: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
        """What leaves in this cycle, in which ``pushed`` come."""
        leaves = self._offered if self._ready(cycle) else None
        if leaves is not None or self._offered is None:
            self._offered = self._next()
        for port, number in pushed:
            self._waiting[port].append(number)
        return leaves

    def _next(self) -> tuple[int, int] | None:
        ports = len(self._waiting)
        for port in ((self._last + 1 + i) % ports for i in range(ports)):
            if self._waiting[port]:
                self._last = port
                return port, self._waiting[port].popleft()
        return None


class _Stepped:
    """The Tracker's registers, a cycle at a time."""

    def __init__(
        self,
        geometry: TrackerGeometry,
        kernels: Sequence[tuple[Kernel, int]],
        updates: Sequence[Sequence[tuple[Update, int]]],
        trigger_ready: Ready,
        refused_ready: Ready,
        again: Again | None,
    ) -> None:
        self._geometry, self._again = geometry, again
        self._kernels = _Offers(kernels)
        self._offers = [_Offers(each) for each in updates]
        self._held: dict[int, int] = {}
        """By port: the number of the update that it holds."""
        self._triggers = _Merge(geometry.ports, trigger_ready)
        self._refused = _Merge(geometry.ports, refused_ready)
        self._done: Counter[int] = Counter()
        """Tiles of each set that triggered."""
        self._counts: Counter[tuple[int, int]] = Counter()
        self._counts_from: int | None = None
        self.seen = Timetable(
            kernels=self._kernels.taken,
            taken=[each.taken for each in self._offers],
            offered=[each.items for each in self._offers],
        )

    def settled(self) -> bool:
        """Whether nothing is offered, held or waiting."""
        over = all(each.over() for each in self._offers)
        return (
            self._kernels.over()
            and over
            and not self._held
            and self._triggers.empty()
            and self._refused.empty()
        )

    def step(self, cycle: int) -> None:
        """What registers hold decides what moves; then they take it over."""
        clearing = self._counts_from is not None and cycle < self._counts_from
        stopped = clearing or self.seen.fault is not None
        counting = self._counts_from is not None and not stopped
        idle = not self._held and not stopped
        counted, refused = self._look_up(cycle) if counting else ([], [])
        self._deliver(cycle, self._count(counted), refused)
        for port in (*counted, *refused):
            del self._held[port]
        for port, offers in enumerate(self._offers):
            if counting and port not in self._held and offers.offers(cycle):
                self._held[port] = len(offers.taken)
                offers.taken.append(cycle)
        if idle and self._kernels.offers(cycle):
            self._begin(cycle)

    def _begin(self, cycle: int) -> None:
        self._kernels.taken.append(cycle)
        self._counts_from = cycle + self._geometry.start_cycles
        self._done.clear()
        self._counts.clear()

    def _look_up(self, cycle: int) -> tuple[list[int], list[int]]:
        """The ports whose update is counted, and those whose is handed back."""
        counted: list[int] = []
        refused: list[int] = []
        for port, number in sorted(self._held.items()):
            mine = self._mine(self._update(port, number))
            waits = self._waits(port, mine)
            if waits:
                self.seen.held[waits] += 1
                continue
            (counted if mine else refused).append(port)
            self.seen.looked_up.append(LookUp(cycle, port, number, mine))
        return counted, refused

    def _waits(self, port: int, mine: bool) -> str:
        """What an update is held for, if anything."""
        if mine:
            return "" if self._triggers.room(port) else "a place for triggers"
        if self._geometry.on_full == "stall":
            return "its turn"
        return "" if self._refused.room(port) else "a place to be handed back"

    def _update(self, port: int, number: int) -> Update:
        return self._offers[port].items[number][0]

    def _kernel(self) -> Kernel:
        return self._kernels.items[len(self._kernels.taken) - 1][0]

    def _mine(self, update: Update) -> bool:
        """Whether it is the turn of an update's workgroup."""
        kernel = self._kernel()
        done = self._done[set_index(update.workgroup, self._geometry.entries)]
        served = done // kernel.wavefronts
        return turn(self._geometry, kernel.first, update.workgroup) == served

    def _count(self, ports: list[int]) -> list[int]:
        """Count what the ports hold; the lowest port of each tile that is then complete."""
        tiles: dict[tuple[int, int], int] = {}
        for port in ports:
            update = self._update(port, self._held[port])
            tile = update.workgroup, update.wavefront
            tiles.setdefault(tile, port)
            self._counts[tile] += update.elements
        complete = [port for tile, port in tiles.items() if self._complete(*tile)]
        for port in complete:
            group = self._update(port, self._held[port]).workgroup
            self._done[set_index(group, self._geometry.entries)] += 1
        return complete

    def _complete(self, workgroup: int, wavefront: int) -> bool:
        """Whether a tile has all its updates; if it has more, or should not be, that's a fault."""
        kernel, count = self._kernel(), self._counts[workgroup, wavefront]
        known = wavefront < kernel.wavefronts
        if not known or count > kernel.threshold:
            self.seen.fault = self.seen.cycles + 1
        return known and count == kernel.threshold

    def _deliver(self, cycle: int, complete: list[int], refused: list[int]) -> None:
        """Let what waits go on, and what was found out wait behind it."""
        trigger = self._triggers.step(cycle, [(port, self._held[port]) for port in complete])
        if trigger is not None:
            self.seen.triggers.append((cycle, *trigger))
        handed = self._refused.step(cycle, [(port, self._held[port]) for port in refused])
        if handed is not None:
            self.seen.refused.append((cycle, *handed))
            if self._again is not None:
                update, offers = self._update(*handed), self._offers[handed[0]]
                offers.again(update, cycle, self._again(update, offers.waiting(AHEAD)))
