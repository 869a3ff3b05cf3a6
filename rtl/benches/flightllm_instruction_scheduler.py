"""``flightllm.instruction_scheduler``: every issue's operands and cycle, of random programs."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import accumulate, pairwise, permutations
from random import Random

from hwsim.golden.flightllm_scheduler import dispatched
from hwsim.laws.flightllm_isa import (
    FORMATS,
    UNITS,
    HbmAccess,
    LoadMode,
    MiscOp,
    Opcode,
    token_mask,
)
from hwsim.laws.flightllm_scheduler import (
    FAULT_CYCLES,
    FETCH_CYCLES,
    MIN_CYCLES,
    START_TOKEN,
    Instruction,
    SchedulerGeometry,
    Timetable,
    instructions,
    timetable,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.flightllm_instruction_scheduler import InstructionScheduler
from rtl.ports.flightllm_instruction_scheduler import PORTS
from rtl.proofs.flightllm_instruction_scheduler import IN_ORDER, NO_HANG, TOKENS

__all__ = ["BLOCK", "replayed"]

LD, ST, MM, MV, MISC, SYS = UNITS
RUNNING = tuple(unit for unit in UNITS if unit is not SYS)
INSTRUCTIONS = 5200
UNKNOWN = 0
"""An opcode that no unit has."""


@dataclass(frozen=True)
class _Style:
    """How a random program asks for tokens, and how long its instructions keep their units."""

    wait: float
    release: float
    busy: Sequence[int]


STYLES = {
    "ordered": _Style(0.5, 0.5, (2, 2, 3, 5, 9)),
    "loose": _Style(0.1, 0.1, (2, 3, 4)),
    "slow": _Style(0.3, 0.3, (2, 20, 40)),
    "generous": _Style(0.3, 0.8, (2, 2, 3)),
    "thrifty": _Style(0.95, 0.15, (2, 3, 8)),
}


def _cases(geometry: SchedulerGeometry, rng: Random) -> Iterator[Case]:
    """The short ones first: a fault that they show needs no long run."""
    yield from alternated(_cut(geometry, rng), _whole(geometry, rng))


def _cut(geometry: SchedulerGeometry, rng: Random) -> Iterator[Case]:
    words, busy = _program(geometry, rng, 60)
    for cut in (1, FETCH_CYCLES + 7, 41, 97):
        traffic = _traffic(rng, len(words), "both")
        yield replayed(geometry, f"reset after {cut}", words, busy, *traffic, cut=cut)


def _whole(geometry: SchedulerGeometry, rng: Random) -> Iterator[Case]:
    yield _relays(geometry, rng)
    for unit in UNITS:
        yield _flooded(geometry, rng, unit)
    yield _full(geometry, rng, SYS, MISC)
    yield _full(geometry, rng, MISC, ST)
    yield _stopped(geometry, rng)
    for unit, taker in pairwise(RUNNING):
        yield _full(geometry, rng, unit, taker)
    for stalls in STALLS:
        words, busy = _program(geometry, rng, INSTRUCTIONS)
        yield replayed(geometry, stalls, words, busy, *_traffic(rng, len(words), stalls))


def replayed(
    geometry: SchedulerGeometry,
    name: str,
    words: list[int],
    busy: Sequence[int],
    pauses: list[int],
    ready: dict[Opcode, list[bool]],
    *,
    cut: int | None = None,
    covers: frozenset[str] = frozenset(),
) -> Case:
    """A program, played to its end or to ``cut``."""
    program = instructions(words)
    consumers = {u: (lambda c, p=pattern: p[c % len(p)]) for u, pattern in ready.items()}
    times = timetable(geometry, program, busy, gaps=pauses, ready=consumers)
    cycles = max(times.done) + 1 if cut is None else cut
    seen = {"words": list(zip(times.taken, words, strict=True))}
    inputs = {"words": Offer(words, pauses)}
    operands = dispatched(words)
    for unit in UNITS:
        mine = [i for i, each in enumerate(program) if each.unit is unit]
        issued = [times.issued[i] for i in mine]
        seen[unit.name.lower()] = list(zip(issued, operands[unit], strict=True))
        if unit is not SYS:
            done = f"{unit.name.lower()}_done"
            nothing = [0] * len(mine)
            follow = [busy[i] - 1 for i in mine]
            inputs[done] = Offer(nothing, follow, follows=unit.name.lower())
            seen[done] = [(times.done[i], 0) for i in mine]
    expected = {s: [(c, word) for c, word in all_ if c < cycles] for s, all_ in seen.items()}
    return Case(
        name=name,
        inputs=inputs,
        ready={unit.name.lower(): ready[unit] for unit in UNITS},
        expected=expected,
        cycles=cycles,
        outputs=sum(len(expected[unit.name.lower()]) for unit in UNITS),
        levels={"fault": [(0, 0)]},
        cut=cut is not None,
        owed=sum(
            last < cycles <= issued
            for last, issued in zip(_lasts(program, times), times.issued, strict=True)
        ),
        covers=covers | _covered(program, busy, times),
    )


def _relays(geometry: SchedulerGeometry, rng: Random) -> Case:
    """Each pair of units: one waits for a third that is slow, the other for that one."""
    words, busy = _words(rng, LD, (SYS,), ()), [MIN_CYCLES]
    for giver, taker in permutations(UNITS, 2):
        slow = rng.choice([unit for unit in RUNNING if unit not in {giver, taker}])
        words += _words(rng, slow, (), (giver,))
        words += _words(rng, giver, (slow,), (taker,))
        words += _words(rng, taker, (giver,), ())
        busy += [30, MIN_CYCLES, MIN_CYCLES]
    ready = {unit: [True] for unit in UNITS}
    return replayed(geometry, "relays", words, busy, [0] * len(words), ready)


def _flooded(geometry: SchedulerGeometry, rng: Random, unit: Opcode) -> Case:
    """More instructions of a unit than its queue holds, while it takes none; then one of each."""
    count = geometry.queue_depth + 4
    words = [word for _ in range(count) for word in _words(rng, unit, (), ())]
    deaf = len(words) + 20
    words += [word for other in UNITS for word in _words(rng, other, (), ())]
    ready = {each: [True] for each in UNITS}
    ready[unit] = [False] * deaf + [True] * (3 * count + 100)
    busy = [MIN_CYCLES] * (count + len(UNITS))
    return replayed(geometry, f"{unit.name} flooded", words, busy, [0] * len(words), ready)


def _full(geometry: SchedulerGeometry, rng: Random, giver: Opcode, taker: Opcode) -> Case:
    """Tokens of one pair until their counter is full, more to give, and nobody who takes them."""
    depth, more = geometry.token_counter_depth, min(geometry.token_counter_depth, 5)
    words = [
        *_words(rng, giver, (), (taker,)) * depth,
        *(word for _ in range(more) for word in _words(rng, taker, (giver,), ())),
        *_words(rng, giver, (), (taker,)) * more,
    ]
    busy = [MIN_CYCLES] * (depth + 2 * more)
    ready = {unit: [True] for unit in UNITS}
    deaf = len(words) + 30
    ready[taker] = [False] * deaf + [True] * (3 * more + 30)
    name, kept = f"{giver.name} -> {taker.name} full", [0] * len(words)
    deaf_taker = {taker: lambda c: c >= deaf}
    given = [
        timetable(each, instructions(words), busy, ready=deaf_taker).done[-1]
        for each in (geometry, geometry.model_copy(update={"token_counter_depth": 2 * depth}))
    ]
    held = {"barrier held back"} if giver is SYS and given[0] > given[1] else set()
    return replayed(geometry, name, words, busy, kept, ready, covers=frozenset(held))


def _stopped(geometry: SchedulerGeometry, rng: Random) -> Case:
    """A program with an opcode that nobody knows: what is before it runs, nothing after it."""
    before, busy = _program(geometry, rng, 40)
    after, _ = _program(geometry, rng, 20)
    pauses, ready = _traffic(rng, len(before) + 1 + len(after), "both")
    barrier = token_mask(SYS, ()) | int(SYS) << 28  # as long as the unknown one, and does nothing
    times = replayed(
        geometry, "", [*before, barrier], [*busy, 1], pauses[: len(before) + 1], ready
    ).expected["words"]
    case = replayed(geometry, "unknown opcode", before, busy, pauses[: len(before)], ready)
    unknown = UNKNOWN << 28 | rng.getrandbits(28)
    inputs = {**case.inputs, "words": Offer([*before, unknown, *after], pauses)}
    expected = {**case.expected, "words": [*case.expected["words"], (times[-1][0], unknown)]}
    return replace(
        case,
        inputs=inputs,
        expected=expected,
        cycles=max(case.cycles, times[-1][0] + 1),
        levels={"fault": [(0, 0), (times[-1][0] + FAULT_CYCLES, 1)]},
        covers=case.covers | {"unknown opcode"},
    )


def _program(geometry: SchedulerGeometry, rng: Random, count: int) -> tuple[list[int], list[int]]:
    """A random program that the law accepts, in runs of one style, and its busy cycles."""
    held = Counter([START_TOKEN])
    words: list[int] = []
    busy: list[int] = []
    while len(busy) < count:
        style = STYLES[rng.choice(list(STYLES))]
        favourite = rng.choice(UNITS)
        for _ in range(rng.randrange(20, 120)):
            unit = favourite if rng.random() < 0.3 else rng.choice(UNITS)
            others = [other for other in UNITS if other is not unit]
            wait = [o for o in others if held[o, unit] and rng.random() < style.wait]
            held.subtract((o, unit) for o in wait)
            room = geometry.token_counter_depth
            release = [o for o in others if held[unit, o] < room and rng.random() < style.release]
            held.update((unit, o) for o in release)
            words += _words(rng, unit, wait, release)
            busy.append(rng.choice(style.busy) if unit is not SYS else 1)
    return words, busy


def _words(
    rng: Random, unit: Opcode, wait: Sequence[Opcode], release: Sequence[Opcode]
) -> list[int]:
    """An instruction with random operands and random reserved bits."""
    kind = rng.random()
    low = 0 if kind < 0.1 else (1 << 32) - 1
    words = [low if kind < 0.2 else rng.getrandbits(32) for _ in range(FORMATS[unit].words)]
    masks = token_mask(unit, wait) << 23 | token_mask(unit, release) << 18
    words[0] = int(unit) << 28 | masks | words[0] & (1 << 18) - 1
    return words


def _traffic(rng: Random, words: int, stalls: str) -> tuple[list[int], dict[Opcode, list[bool]]]:
    return gaps(rng, words, stalls), {unit: ready_pattern(rng, stalls) for unit in UNITS}


def _bins(_geometry: SchedulerGeometry) -> frozenset[str]:
    names = [unit.name for unit in UNITS]
    return frozenset(
        {f"{a} after {b}" for a in names for b in names}
        | {f"token {a} -> {b} taken" for a in names for b in names if a != b}
        | {f"token {a} -> {b} given" for a in names for b in names if a != b}
        | {f"{a} starts the cycle after {b} gave its token" for a in names for b in names if a != b}
        | {f"{name} queue full" for name in names}
        | {f"{name} waits for its unit" for name in names if name != SYS.name}
        | {"all units busy", "done held back", "barrier held back", "unknown opcode"}
    )


def _exempt(_geometry: SchedulerGeometry) -> dict[str, str]:
    reason = f"a unit keeps an instruction for {MIN_CYCLES} cycles at least"
    streams = [f"{unit.name.lower()}{end}" for unit in RUNNING for end in ("", "_done")]
    return {f"{stream}: back to back": reason for stream in streams}


def _covered(program: list[Instruction], busy: Sequence[int], times: Timetable) -> frozenset[str]:
    """What happened, by the law's cycles."""
    after = {f"{b.unit.name} after {a.unit.name}" for a, b in pairwise(program)}
    return frozenset(after | _tokens(program, times) | _places(program, busy, times))


def _tokens(program: list[Instruction], times: Timetable) -> set[str]:
    """Which tokens moved, and which were waited for."""
    found: set[str] = set()
    given: defaultdict[tuple[Opcode, Opcode], deque[int]] = defaultdict(deque)
    given[START_TOKEN].append(-1)
    for each, issued, done in zip(program, times.issued, times.done, strict=True):
        name = each.unit.name
        for other in each.wait:
            found.add(f"token {other.name} -> {name} taken")
            if given[other, each.unit].popleft() == issued - 1:
                found.add(f"{name} starts the cycle after {other.name} gave its token")
        for other in each.release:
            found.add(f"token {name} -> {other.name} given")
            given[each.unit, other].append(done)
    return found


def _places(program: list[Instruction], busy: Sequence[int], times: Timetable) -> set[str]:
    """Which queues were full and which units were busy."""
    found: set[str] = set()
    over = dict.fromkeys(UNITS, -1)
    steps: list[tuple[int, int]] = []
    for i, (last, each) in enumerate(zip(_lasts(program, times), program, strict=True)):
        name, issued, done = each.unit.name, times.issued[i], times.done[i]
        if times.queued[i] > last + 1:
            found.add(f"{name} queue full")
        if issued == over[each.unit] + 1 and issued > times.queued[i] + 2:
            found.add(f"{name} waits for its unit")
        if each.unit is not SYS:
            steps += [(issued, 1), (done + 1, -1)]
            if done > issued + busy[i] - 1:
                found.add("done held back")
        over[each.unit] = done
    if max(accumulate(step for _, step in sorted(steps)), default=0) == len(RUNNING):
        found.add("all units busy")
    return found


def _lasts(program: list[Instruction], times: Timetable) -> list[int]:
    """The cycle in which each instruction's last word is taken."""
    return [times.taken[end - 1] for end in accumulate(each.words for each in program)]


def _timing(_geometry: SchedulerGeometry) -> list[Mode]:
    return [
        Mode(f"{unit.name}, from its last word", FETCH_CYCLES, f"{FORMATS[unit].words}")
        for unit in UNITS
    ]


CODES: dict[str, type[IntEnum]] = {
    "words.opcode": Opcode,
    "ld.mode": LoadMode,
    "ld.hbm_type": HbmAccess,
    "st.hbm_type": HbmAccess,
    "misc.op": MiscOp,
}
"""The opcode is the top four bits of an instruction's first word."""
_SOURCE = "rtl.blocks.flightllm_instruction_scheduler"

BLOCK = Block(
    name="flightllm.instruction_scheduler",
    title="instruction scheduler",
    parameters=SchedulerGeometry,
    component=InstructionScheduler,
    modes=_timing,
    ports=PORTS,
    codes=lambda _: {field: {c.name: c.value for c in codes} for field, codes in CODES.items()},
    cases=_cases,
    bins=_bins,
    exempt=_exempt,
    diagram=(
        ("words",),
        ("decoder: collects\nan instruction",),
        ("queue of\neach unit",),
        ("first of each\nqueue, its masks",),
        ("one instruction\na unit", "counter of each\npair's tokens"),
        ("issues to\nsix units", "done of\nfive units"),
    ),
    sweep=(
        {},
        {"queue_depth": "2", "token_counter_depth": "1"},
        {"queue_depth": "5", "token_counter_depth": "2"},
        {"queue_depth": "16", "token_counter_depth": "255"},
    ),
    mutants=(
        Mutant(
            "word taken over the one before",
            _SOURCE,
            "~self.full | pushes)",
            "1)",
        ),
        Mutant(
            "word not taken while an instruction is queued",
            _SOURCE,
            "~self.full | pushes)",
            "~self.full)",
        ),
        Mutant(
            "unknown opcode queued everywhere",
            _SOURCE,
            "self.full & (held == unit) & self.room[unit]",
            "self.full & ((held == unit) | (held == 0)) & self.room[unit]",
        ),
        Mutant(
            "fault not told",
            _SOURCE,
            "self.fault.eq(decoder.fault)",
            "self.fault.eq(0)",
        ),
        Mutant(
            "last word of a load taken for the next instruction",
            _SOURCE,
            "count.eq(form.words - 1)",
            "count.eq(min(form.words, 6) - 1)",
        ),
        Mutant(
            "parts of a field swapped",
            _SOURCE,
            "for part in field.parts\n",
            "for part in reversed(field.parts)\n",
        ),
        Mutant(
            "queue one shorter",
            _SOURCE,
            "self.room.eq(self.level != self.depth)",
            "self.room.eq(self.level < self.depth - 1)",
        ),
        Mutant(
            "full queue written",
            _SOURCE,
            "self.room.eq(self.level != self.depth)",
            "self.room.eq(1)",
        ),
        Mutant("queue pauses after each item", _SOURCE, "(~self.valid | self.pop)", "~self.valid"),
        Mutant(
            "newest item overtakes",
            _SOURCE,
            "read.addr.eq(self.oldest)",
            "read.addr.eq(self.newest - 1)",
        ),
        Mutant(
            "token lost when another is given",
            _SOURCE,
            "with m.Elif(self.take & ~self.give):",
            "with m.Elif(self.take):",
        ),
        Mutant(
            "token given at once with another taken is made twice",
            _SOURCE,
            "with m.If(self.give & ~self.take):",
            "with m.If(self.give):",
        ),
        Mutant("token made", _SOURCE, "self.there.eq(self.count != 1)", "self.there.eq(1)"),
        Mutant(
            "counter one too deep",
            _SOURCE,
            "self.count != self.depth - 1",
            "self.count != self.depth",
        ),
        Mutant("no start token", _SOURCE, "int((a, b) == START_TOKEN)", "0"),
        Mutant(
            "token given to a full counter",
            _SOURCE,
            "self.done_ready.eq(self.runs & may_give)",
            "self.done_ready.eq(self.runs)",
        ),
        Mutant(
            "barrier gives to a full counter",
            _SOURCE,
            "(~self.wait | self.there).all() & may_give)",
            "(~self.wait | self.there).all())",
        ),
        Mutant(
            "second instruction in a unit that is busy",
            _SOURCE,
            "self.first & ~self.runs &",
            "self.first &",
        ),
        Mutant(
            "one unit's token not waited for",
            _SOURCE,
            "~self.runs & (~self.wait | self.there).all()",
            "~self.runs & (~self.wait | self.there)[1:].all()",
        ),
        Mutant(
            "masks read backwards",
            _SOURCE,
            "for bit in range(TOKEN_BITS)]",
            "for bit in reversed(range(TOKEN_BITS))]",
        ),
        Mutant(
            "tokens given at the start",
            _SOURCE,
            "self.gives.eq(self.done_valid & self.done_ready)",
            "self.gives.eq(self.takes)",
        ),
        Mutant(
            "tokens taken while the unit is not ready",
            _SOURCE,
            "counter.take.eq(taken.takes &",
            "counter.take.eq(taken.valid &",
        ),
    ),
    proofs=(TOKENS, IN_ORDER, NO_HANG),
)
