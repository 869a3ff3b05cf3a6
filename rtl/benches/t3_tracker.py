"""``t3.tracker``: every trigger and every refusal, and its cycle, of random and chosen updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from random import Random

import numpy as np

from hwsim.golden.t3_tracker import tracked
from hwsim.laws.t3_tracker import (
    LATENCY,
    Kernel,
    LookUp,
    Timetable,
    TrackerGeometry,
    Update,
    set_index,
    timetable,
    turn,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.t3_tracker import Tracker
from rtl.ports.t3_tracker import ports
from rtl.proofs.t3_tracker import PROOFS

__all__ = ["BLOCK", "case"]

TILES = 5300
"""Of each long case."""
FOREVER = 10**6
SPREAD = {"none": 0.2, "input": 1.0, "output": 1.1, "both": 1.1}
"""How far updates are out of order, in sets."""
Offered = list[tuple[Update, int]]


def _cases(geometry: TrackerGeometry, rng: Random) -> Iterator[Case]:
    """The short ones first: a fault that they show needs no long run."""
    yield _together(geometry, rng)
    yield _one_set(geometry, rng)
    if geometry.ports > 1:
        yield _blocked(geometry, rng)
    yield _one_after_another(geometry, rng)
    yield _largest(geometry, rng)
    yield from _faults(geometry, rng)
    yield from alternated(_cut(geometry, rng), _whole(geometry, rng))


def _cut(geometry: TrackerGeometry, rng: Random) -> Iterator[Case]:
    for cut in (1, *(geometry.start_cycles + c for c in (LATENCY, 77, 150))):
        kernel, updates = _long(geometry, rng, 300, "output")
        yield case(geometry, rng, f"reset after {cut}", [(kernel, 0)], updates, "output", cut=cut)


def _whole(geometry: TrackerGeometry, rng: Random) -> Iterator[Case]:
    for stalls in STALLS:
        kernel, updates = _long(geometry, rng, TILES, stalls)
        yield case(geometry, rng, stalls, [(kernel, 0)], updates, stalls)


def case(
    geometry: TrackerGeometry,
    rng: Random,
    name: str,
    kernels: Sequence[tuple[Kernel, int]],
    updates: Sequence[Offered],
    stalls: str,
    *,
    cut: int | None = None,
    fault: int | None = None,
    triggers: Sequence[bool] | None = None,
) -> Case:
    """What is offered, played to its end, to ``cut``, or to ``fault`` where there is one.

    What is handed back is offered again. ``triggers`` are taken as the stalls say, or as it does.
    """
    patterns = {"triggers": ready_pattern(rng, stalls), "refused": ready_pattern(rng, stalls)}
    if triggers is not None:
        patterns["triggers"] = list(triggers)
    ready = [lambda c, p=pattern: p[c % len(p)] for pattern in patterns.values()]
    law = timetable(
        geometry,
        kernels,
        updates,
        *ready,
        cycles=fault or FOREVER,
        again=lambda update, waiting: _places(geometry, rng, update, waiting),
    )
    cycles = cut or law.cycles
    complete, refused = _golden(geometry, kernels, law)
    control = [_kernel_bits(geometry, kernel) for kernel, _ in kernels]
    inputs = {"kernels": Offer(control, [gap for _, gap in kernels])}
    seen = {
        "kernels": list(zip(law.kernels, control, strict=False)),
        "triggers": [(cycle, complete[port, i]) for cycle, port, i in law.triggers],
        "refused": [(cycle, refused[port, i]) for cycle, port, i in law.refused],
    }
    for port, offered in enumerate(law.offered):
        words = [_update_bits(geometry, update) for update, _ in offered]
        inputs[f"updates_{port}"] = Offer(words, [gap for _, gap in offered])
        seen[f"updates_{port}"] = list(zip(law.taken[port], words, strict=False))
    if geometry.on_full == "stall":
        del patterns["refused"], seen["refused"]
    seen = {stream: [each for each in all_ if each[0] < cycles] for stream, all_ in seen.items()}
    return Case(
        name=name,
        inputs=inputs,
        ready=patterns,
        expected=seen,
        cycles=cycles,
        outputs=sum(len(seen[stream]) for stream in patterns),
        levels={"fault": [] if law.fault is None else [(law.fault, 1)]},
        cut=cut is not None,
        owed=_owed(law, cycles),
        covers=_covered(geometry, kernels, law),
    )


def _owed(law: Timetable, cut: int) -> int:
    """Triggers and refusals that were still to come, of updates taken before ``cut``."""
    results = (*law.triggers, *law.refused)
    return sum(cycle >= cut > law.taken[port][i] for cycle, port, i in results)


def _places(
    geometry: TrackerGeometry, rng: Random, update: Update, waiting: Sequence[Update]
) -> int:
    """Behind how many others an update is offered again: none of them may be what it waits for."""
    behind = rng.choice((4, 10, 25))
    for place, other in enumerate(waiting):
        ahead = (update.workgroup - other.workgroup) % (1 << geometry.workgroup_bits)
        if ahead and not ahead % geometry.entries and ahead < 1 << geometry.workgroup_bits - 1:
            behind = max(behind, place + 1)
    return behind


def _golden(
    geometry: TrackerGeometry, kernels: Sequence[tuple[Kernel, int]], law: Timetable
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
    """What is offered for each update that completes a tile, and for each that is handed back."""
    triggers: dict[tuple[int, int], int] = {}
    refused: dict[tuple[int, int], int] = {}
    for (kernel, _), looked_up in zip(kernels, _by_kernel(law), strict=False):
        steps = np.array([each.cycle for each in looked_up])
        updates = [law.offered[each.port][each.number][0] for each in looked_up]
        found = tracked(geometry, kernel, updates, steps)
        for each, update, counted, completes in zip(looked_up, updates, *found, strict=True):
            if completes:
                triggers[each.port, each.number] = _tile_bits(geometry, update)
            if not counted:
                refused[each.port, each.number] = _update_bits(geometry, update, each.port)
    return triggers, refused


def _by_kernel(law: Timetable) -> list[list[LookUp]]:
    """The updates that were looked up, by kernel; without those of the cycle of a fault."""
    last = FOREVER if law.fault is None else law.fault - 1
    ends = [*law.kernels[1:], last - 1]
    starts = [-1, *law.kernels[1:]]
    return [
        [each for each in law.looked_up if start < each.cycle <= end]
        for start, end in zip(starts, ends, strict=False)
    ]


def _kernel_bits(geometry: TrackerGeometry, kernel: Kernel) -> int:
    low = kernel.first | kernel.threshold << geometry.workgroup_bits
    bits = kernel.wavefronts.bit_length() - 1
    return low | bits << geometry.workgroup_bits + geometry.count_bits


def _tile_bits(geometry: TrackerGeometry, update: Update) -> int:
    return update.workgroup | update.wavefront << geometry.workgroup_bits


def _update_bits(geometry: TrackerGeometry, update: Update, port: int = 0) -> int:
    """An update, or one that is handed back to a port."""
    above = geometry.workgroup_bits + geometry.wavefront_bits
    elements = update.elements - 1 | port << geometry.element_bits
    return _tile_bits(geometry, update) | elements << above


# What is offered


def _long(
    geometry: TrackerGeometry, rng: Random, tiles: int, stalls: str
) -> tuple[Kernel, list[Offered]]:
    """A kernel of all wavefronts from a random workgroup on, and its updates."""
    threshold = rng.randint(1, min(geometry.threshold, 4 * geometry.update_elements))
    first = rng.getrandbits(geometry.workgroup_bits)
    kernel = Kernel(first, threshold, geometry.wavefronts)
    groups = _from(geometry, kernel, tiles // kernel.wavefronts)
    spread = SPREAD[stalls] * geometry.entries
    return kernel, _traffic(geometry, rng, kernel, groups, stalls, spread)


def _from(geometry: TrackerGeometry, kernel: Kernel, count: int, step: int = 1) -> list[int]:
    """Workgroups in turn, from a kernel's first."""
    most = 1 << geometry.workgroup_bits
    return [(kernel.first + step * i) % most for i in range(min(count, most))]


def _traffic(
    geometry: TrackerGeometry,
    rng: Random,
    kernel: Kernel,
    groups: Sequence[int],
    stalls: str = "none",
    spread: float = 1.0,
) -> list[Offered]:
    """All updates of ``groups``, over all ports, in order but for ``spread`` workgroups.

    Where a port stalls until it is an update's turn, no update is before one of an earlier turn.
    """
    offered: list[list[tuple[float, Update]]] = [[] for _ in range(geometry.ports)]
    for place, group in enumerate(groups):
        its_turn = turn(geometry, kernel.first, group)
        for wavefront in range(kernel.wavefronts):
            for elements in _pieces(geometry, rng, kernel.threshold):
                key = place + rng.uniform(0, spread)
                if geometry.on_full == "stall":
                    key = its_turn + rng.random()
                update = Update(group, wavefront, elements)
                offered[rng.randrange(geometry.ports)].append((key, update))
    return [_paused(rng, [update for _, update in sorted(each)], stalls) for each in offered]


def _pieces(geometry: TrackerGeometry, rng: Random, elements: int) -> Iterator[int]:
    """A tile's elements, as they come."""
    while elements:
        largest = min(elements, geometry.update_elements)
        piece = largest if rng.random() < 0.5 else rng.randint(1, largest)
        elements -= piece
        yield piece


def _paused(rng: Random, updates: Sequence[Update], stalls: str) -> Offered:
    return list(zip(updates, gaps(rng, len(updates), stalls), strict=True))


def _together(geometry: TrackerGeometry, rng: Random) -> Case:
    """All ports at once: on one tile of each workgroup, then on tiles of their own."""
    ports = geometry.ports
    full = min(geometry.update_elements, geometry.threshold // (2 * ports))
    kernel = Kernel(rng.getrandbits(geometry.workgroup_bits), 2 * ports * full, 2)
    updates: list[Offered] = [[] for _ in range(ports)]
    for i, group in enumerate(_from(geometry, kernel, 40)):
        for port in range(ports):
            tiles = [0, 1, 1, 0]
            if i % 2 and ports > 1:
                sharing = len(range(port % 2, ports, 2))
                tiles = [port % 2] * (2 * ports // sharing)
            updates[port].extend((Update(group, tile, full), 0) for tile in tiles)
    return case(geometry, rng, "all at once", [(kernel, 0)], updates, "none")


def _blocked(geometry: TrackerGeometry, rng: Random) -> Case:
    """A port whose triggers have no place left, and another that counts on the tile it holds."""
    kernel = Kernel(0, 2, 1)
    groups = _from(geometry, kernel, 4)
    updates: list[Offered] = [[] for _ in range(geometry.ports)]
    updates[0] = [(Update(groups[-1], 0, 1), geometry.start_cycles + 20)]
    updates[-1] = [(Update(group, 0, 2), 0) for group in groups[:-1]]
    updates[-1].append((Update(groups[-1], 0, 1), 0))
    deaf = [False] * (geometry.start_cycles + 40) + [True] * 200
    return case(geometry, rng, "one port blocked", [(kernel, 0)], updates, "none", triggers=deaf)


def _one_set(geometry: TrackerGeometry, rng: Random) -> Case:
    """Workgroups that all have one set."""
    kernel = Kernel(rng.getrandbits(geometry.workgroup_bits), 2, 2)
    count = min(60, 1 << geometry.tag_bits)
    groups = _from(geometry, kernel, count, geometry.entries)
    updates = _traffic(geometry, rng, kernel, groups, spread=1.3)
    return case(geometry, rng, "one set", [(kernel, 0)], updates, "none")


def _one_after_another(geometry: TrackerGeometry, rng: Random) -> Case:
    """Kernels of every number of wavefronts, each as soon as the one before may end."""
    kernels: list[tuple[Kernel, int]] = []
    updates: list[Offered] = [[] for _ in range(geometry.ports)]
    counts = [1 << bits for bits in range(geometry.wavefront_bits + 1)]
    for wavefronts in (1, *reversed(counts)):
        first = -2 if len(kernels) % 2 else rng.getrandbits(geometry.workgroup_bits)
        threshold = 1 if wavefronts == 1 else rng.randint(2, 2 * geometry.update_elements)
        kernel = Kernel(first % (1 << geometry.workgroup_bits), threshold, wavefronts)
        groups = _from(geometry, kernel, min(60, geometry.entries))
        more = _traffic(geometry, rng, kernel, groups)
        _behind(geometry, rng, kernels, updates, kernel, more)
    return case(geometry, rng, "kernels in turn", kernels, updates, "none")


def _behind(
    geometry: TrackerGeometry,
    rng: Random,
    kernels: list[tuple[Kernel, int]],
    updates: list[Offered],
    kernel: Kernel,
    more: Sequence[Offered],
) -> None:
    """Append a kernel, offered around the last look-up of those before, and its updates."""
    taken, gap = -1, 0
    law = Timetable(taken=[[] for _ in updates])
    if kernels:
        law = timetable(geometry, kernels, updates, _always, _always, cycles=FOREVER)
        last, late = law.looked_up[-1].cycle, rng.choice((0, 1, 5))
        taken, gap = last + max(1, late), last + late - law.kernels[-1] - 1
    kernels.append((kernel, gap))
    for port, (each, new, before) in enumerate(zip(updates, more, law.taken, strict=True)):
        late = (geometry.tiles + 7, 1, 0)[(len(kernels) + port) % 3]
        pause = taken + late - (before[-1] if before else -1) - 1
        each += [(update, max(0, pause) if not i else 0) for i, (update, _) in enumerate(new)]


def _always(_cycle: int) -> bool:
    return True


def _largest(geometry: TrackerGeometry, rng: Random) -> Case:
    """Tiles of the largest threshold, of one wavefront."""
    kernel = Kernel(1, geometry.threshold, 1)
    updates = _traffic(geometry, rng, kernel, [1, 2])
    return case(geometry, rng, "largest threshold", [(kernel, 0)], updates, "none")


def _faults(geometry: TrackerGeometry, rng: Random) -> Iterator[Case]:
    """What no kernel may send, and what follows it."""
    full, after = min(geometry.update_elements, geometry.threshold - 1), Update(2, 0, 1)
    chosen = {
        "one update too many": (Kernel(1, full, 2), [Update(1, 0, full), Update(1, 0, 1)]),
        "one element too many": (Kernel(1, full + 1, 2), [Update(1, 1, full), Update(1, 1, 2)]),
        "unknown wavefront": (Kernel(1, full + 1, 1), [Update(1, 0, full), Update(1, 1, 1)]),
    }
    for name, (kernel, updates) in chosen.items():
        offered: list[Offered] = [[] for _ in range(geometry.ports)]
        offered[-1] = [(update, 2) for update in [*updates, after, after]]
        end = geometry.start_cycles + 40
        found = case(geometry, rng, name, [(kernel, 0)], offered, "none", fault=end)
        yield replace(found, covers=found.covers | {name})


# What was covered


def _bins(geometry: TrackerGeometry) -> frozenset[str]:
    ports = range(geometry.ports)
    aside = geometry.on_full == "step_aside"
    bins = {
        *(f"port {p} {what}" for p in ports for what in ("counts", "completes a tile")),
        *(f"{1 << bits} wavefronts" for bits in range(geometry.wavefront_bits + 1)),
        *("largest threshold", "threshold of one", "largest update", "update of one element"),
        *("indices wrap", "a set's third workgroup", "a kernel after another"),
        *("an update taken with its kernel", "held for a place for triggers"),
        *("a tile in consecutive cycles on one port", "the next workgroup in the next cycle"),
        *("one update too many", "one element too many", "unknown wavefront"),
    }
    if aside:
        bins |= {f"port {p} hands back" for p in ports} | {"held for a place to be handed back"}
    else:
        bins.add("held for its turn")
    if geometry.ports > 1:
        bins |= {"all ports on a tile", "all ports complete a tile"}
        bins |= {"two tiles of a set complete at once", "all ports trigger"}
        bins |= {"a tile in consecutive cycles on two ports"}
        bins |= {"handed back in the cycle of the last"} if aside else set()
    return frozenset(bins)


def _covered(
    geometry: TrackerGeometry, kernels: Sequence[tuple[Kernel, int]], law: Timetable
) -> frozenset[str]:
    """What happened, by the law's cycles."""
    found = {f"held for {what}" for what in law.held}
    found |= {"a kernel after another"} if len(law.kernels) > 1 else set()
    if any(cycle in taken for cycle in law.kernels[1:] for taken in law.taken):
        found.add("an update taken with its kernel")
    for (kernel, _), looked_up in zip(kernels, _by_kernel(law), strict=False):
        found |= _of_kernel(geometry, kernel)
        found |= _of_steps(geometry, kernel, law, looked_up)
    return frozenset(found)


def _of_kernel(geometry: TrackerGeometry, kernel: Kernel) -> set[str]:
    found = {f"{kernel.wavefronts} wavefronts"}
    found |= {"largest threshold"} if kernel.threshold == geometry.threshold else set()
    found |= {"threshold of one"} if kernel.threshold == 1 else set()
    return found


@dataclass(frozen=True)
class _Seen:
    """An update that was looked up."""

    update: Update
    port: int
    set: int
    counted: bool
    triggers: bool

    @property
    def tile(self) -> tuple[int, int]:
        return self.update.workgroup, self.update.wavefront


def _of_steps(
    geometry: TrackerGeometry, kernel: Kernel, law: Timetable, looked_up: Sequence[LookUp]
) -> set[str]:
    """What the updates of a kernel met, cycle by cycle."""
    found: set[str] = set()
    triggers = {(port, i) for _, port, i in law.triggers}
    before: list[_Seen] = []
    last = -1
    for cycle, step in groupby(looked_up, lambda each: each.cycle):
        seen = []
        for each in step:
            update = law.offered[each.port][each.number][0]
            its_set = set_index(update.workgroup, geometry.entries)
            completes = (each.port, each.number) in triggers
            seen.append(_Seen(update, each.port, its_set, each.counted, completes))
        found |= _of_updates(geometry, kernel, seen) | _at_once(geometry, seen)
        found |= _next_cycle(before if last == cycle - 1 else [], seen)
        before, last = seen, cycle
    return found


def _of_updates(geometry: TrackerGeometry, kernel: Kernel, seen: Sequence[_Seen]) -> set[str]:
    found = set()
    for each in seen:
        found.add(f"port {each.port} {'counts' if each.counted else 'hands back'}")
        if each.triggers:
            found.add(f"port {each.port} completes a tile")
        if each.update.elements == geometry.update_elements:
            found.add("largest update")
        if each.update.elements == 1:
            found.add("update of one element")
        if each.update.workgroup < kernel.first:
            found.add("indices wrap")
        if each.counted and turn(geometry, kernel.first, each.update.workgroup) == 2:
            found.add("a set's third workgroup")
    return found


def _at_once(geometry: TrackerGeometry, seen: Sequence[_Seen]) -> set[str]:
    """What the ports met in one cycle."""
    found = set()
    counted = [each for each in seen if each.counted]
    triggers = [each for each in counted if each.triggers]
    if len({each.tile for each in counted}) == 1 and len(counted) == geometry.ports > 1:
        found |= {"all ports on a tile"} | ({"all ports complete a tile"} if triggers else set())
    if len(triggers) > len({each.set for each in triggers}):
        found.add("two tiles of a set complete at once")
    if len(triggers) == geometry.ports > 1:
        found.add("all ports trigger")
    if any(not e.counted and t.set == e.set for e in seen for t in triggers):
        found.add("handed back in the cycle of the last")
    return found


def _next_cycle(before: Sequence[_Seen], seen: Sequence[_Seen]) -> set[str]:
    """What a cycle's updates met of what the cycle before wrote."""
    found = set()
    for one, other in product(before, seen):
        if one.counted and other.counted and one.tile == other.tile:
            which = "one port" if one.port == other.port else "two ports"
            found.add(f"a tile in consecutive cycles on {which}")
        same = one.set == other.set and one.update.workgroup != other.update.workgroup
        if one.triggers and other.counted and same:
            found.add("the next workgroup in the next cycle")
    return found


def _timing(geometry: TrackerGeometry) -> list[Mode]:
    otherwise = {
        "step_aside": [Mode("update to its being handed back", LATENCY, "1 a port")],
        "stall": [],
    }
    return [
        Mode("update to trigger", LATENCY, "1 a port"),
        *otherwise[geometry.on_full],
        Mode("kernel to its first update", geometry.start_cycles, f"{geometry.start_cycles}"),
    ]


_SOURCE = "rtl.blocks.t3_tracker"

BLOCK = Block(
    name="t3.tracker",
    title="Tracker of output tiles",
    parameters=TrackerGeometry,
    component=Tracker,
    modes=_timing,
    cases=_cases,
    bins=_bins,
    exempt=lambda _geometry: {"kernels: back to back": "tiles are cleared after each"},
    diagram=(
        ("updates of\neach port",),
        ("held update\nof each port",),
        ("its tile's counts\nand its set's turn:\na memory a port",),
        ("sum over all ports:\nits turn? complete?",),
        (
            "triggers:\ntwo places a port,\nports in turn",
            "refused:\ntwo places a port,\nports in turn",
        ),
    ),
    sweep=(
        {},
        {"on_full": "stall", "entries": "16", "wavefronts": "4", "workgroup_bits": "12"},
        {
            "ports": "1",
            "entries": "4",
            "wavefronts": "2",
            "workgroup_bits": "13",
            "tile_elements": "16",
            "update_elements": "3",
        },
        {
            "ports": "3",
            "entries": "64",
            "tile_elements": "100",
            "update_elements": "5",
            "updates_per_element": "4",
        },
    ),
    ports=ports(TrackerGeometry()),
    mutants=(
        Mutant(
            "a port does not see what was written in the cycle before",
            _SOURCE,
            "transparent_for=(write,)",
            "transparent_for=()",
        ),
        Mutant(
            "what another port brings in the same cycle is not seen",
            _SOURCE,
            "brought.append(Mux(same, other.update.elements + 1, 0))",
            "brought.append(Mux(port is other, other.update.elements + 1, 0))",
        ),
        Mutant(
            "what another port can't count yet is added",
            _SOURCE,
            "other.valid & self.triggering.room[other.number] & same",
            "other.valid & same",
        ),
        Mutant(
            "each port triggers when both complete a tile",
            _SOURCE,
            "complete & ~Cat(before, Value.cast(0)).any()",
            "complete",
        ),
        Mutant(
            "count of the workgroup before goes on",
            _SOURCE,
            "Mux(kept.turn == port.turn, kept.count, 0)",
            "kept.count",
        ),
        Mutant(
            "one element too few is counted",
            _SOURCE,
            "own + port.update.elements + 1)",
            "own + port.update.elements)",
        ),
        Mutant(
            "an element too few is enough",
            _SOURCE,
            "& (all_ == kernel.threshold))",
            "& (all_ + 1 == kernel.threshold))",
        ),
        Mutant(
            "first workgroup taken for 0",
            _SOURCE,
            "(port.update.workgroup - self.kernel.first)",
            "port.update.workgroup",
        ),
        Mutant(
            "a set evicted for a later workgroup",
            _SOURCE,
            "(done >> self.kernel.wavefront_bits) == port.turn",
            "(done >> self.kernel.wavefront_bits) <= port.turn",
        ),
        Mutant(
            "a set given away a tile early",
            _SOURCE,
            "(done >> self.kernel.wavefront_bits) == port.turn",
            "((done + 1) >> self.kernel.wavefront_bits) == port.turn",
        ),
        Mutant(
            "turn of a kernel of all wavefronts",
            _SOURCE,
            "done >> self.kernel.wavefront_bits)",
            "done >> self.geometry.wavefront_bits)",
        ),
        Mutant(
            "trigger lost where there is no place",
            _SOURCE,
            "Mux(port.mine, room, otherwise)",
            "Mux(port.mine, 1, otherwise)",
        ),
        Mutant(
            "update handed back where there is no place",
            _SOURCE,
            "Mux(port.mine, room, otherwise)",
            "Mux(port.mine, room, 1)",
        ),
        Mutant(
            "nothing counted while none can be handed back",
            _SOURCE,
            "Mux(port.mine, room, otherwise)",
            "room & otherwise",
        ),
        Mutant(
            "update taken over the one that is held",
            _SOURCE,
            "self.counting & (~port.valid | port.goes)",
            "self.counting",
        ),
        Mutant(
            "port pauses after each update",
            _SOURCE,
            "self.counting & (~port.valid | port.goes)",
            "self.counting & ~port.valid",
        ),
        Mutant(
            "counted while tiles are cleared",
            _SOURCE,
            "self.counting & port.valid & Mux",
            "port.valid & Mux",
        ),
        Mutant(
            "nothing is cleared",
            _SOURCE,
            "write.en.eq(self.clearing | writes)",
            "write.en.eq(writes)",
        ),
        Mutant(
            "a kernel taken over held updates",
            _SOURCE,
            "self.clearing | self.fault | Cat(port.valid for port in self.ports).any()",
            "self.clearing | self.fault",
        ),
        Mutant(
            "one tile too few is cleared",
            _SOURCE,
            "self.clear == self.geometry.tiles - 1",
            "self.clear == self.geometry.tiles - 2",
        ),
        Mutant(
            "held update looked up in the next one's tile",
            _SOURCE,
            "Mux(takes, Value.cast(updates.payload), Value.cast(port.update))",
            "Value.cast(updates.payload)",
        ),
        Mutant(
            "unknown wavefront counted",
            _SOURCE,
            "port.unknown | (all_ > kernel.threshold)",
            "all_ > kernel.threshold",
        ),
        Mutant(
            "an element too many is no fault",
            _SOURCE,
            "port.unknown | (all_ > kernel.threshold)",
            "port.unknown | (all_ > kernel.threshold + 1)",
        ),
        Mutant("ports do not take turns", _SOURCE, "self.last.eq(number)", "self.last.eq(0)"),
        Mutant(
            "second place lost", _SOURCE, "stays | self.full | self.push)", "stays | self.push)"
        ),
        Mutant(
            "dropped where it should be held",
            _SOURCE,
            "if self.aside else Const(0, 1)",
            "if self.aside else Const(1, 1)",
            {"on_full": "stall"},
        ),
        Mutant(
            "counted before its turn",
            _SOURCE,
            "Mux(port.mine, room, otherwise)",
            "room",
            {"on_full": "stall"},
        ),
    ),
    proofs=PROOFS,
)
