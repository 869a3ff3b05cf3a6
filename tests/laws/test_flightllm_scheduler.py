"""The scheduler's law: closed forms, what it refuses, and a machine stepped cycle by cycle."""

from __future__ import annotations

import re
from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError, ProtocolError
from hwsim.laws.flightllm_isa import FORMATS, UNITS, Opcode, token_mask
from hwsim.laws.flightllm_scheduler import (
    FETCH_CYCLES,
    START_TOKEN,
    Instruction,
    SchedulerGeometry,
    Timetable,
    arrivals,
    check,
    instructions,
    timetable,
)

LD, ST, MM, MV, MISC, SYS = UNITS
WIDE = SchedulerGeometry()


def one(
    unit: Opcode, wait: tuple[Opcode, ...] = (), release: tuple[Opcode, ...] = ()
) -> Instruction:
    return Instruction(unit, FORMATS[unit].words, wait, release)


# Closed forms


@pytest.mark.parametrize("unit", UNITS)
def test_a_lone_instruction_is_issued_three_cycles_after_its_last_word(unit: Opcode) -> None:
    words = FORMATS[unit].words
    found = timetable(WIDE, [one(unit)], [1 if unit is SYS else 5])
    assert found.taken == list(range(words))
    assert found.issued == [words - 1 + FETCH_CYCLES] == arrivals([one(unit)])


def test_a_token_costs_no_time() -> None:
    """Given in the last of 40 cycles, taken in the one after."""
    program = [
        one(LD, (SYS,), (MV,)),
        one(MV, (LD,), (ST,)),
        one(ST, (MV,), (SYS,)),
        one(SYS, (ST,)),
    ]
    found = timetable(WIDE, program, [40, 30, 20, 1])
    assert found.issued == [9, 49, 79, 99]
    assert found.done == [48, 78, 98, 99]


def test_a_unit_starts_its_next_instruction_in_the_cycle_after_its_last() -> None:
    found = timetable(WIDE, [one(LD)] * 4, [40] * 4)
    assert found.issued == [9, 49, 89, 129]


def test_barriers_are_done_in_the_cycle_of_their_issue() -> None:
    found = timetable(WIDE, [one(SYS)] * 4, [1] * 4)
    assert found.issued == found.done == [3, 4, 5, 6]


def test_a_unit_without_work_ahead_is_as_fast_as_its_words_come() -> None:
    program = [one(MISC)] * 5
    assert timetable(WIDE, program, [2] * 5).issued == arrivals(program) == [5, 8, 11, 14, 17]


def test_a_full_queue_stops_the_words() -> None:
    """Three wait there and one before it; the fifth is in when the first has gone."""
    geometry = SchedulerGeometry(queue_depth=3)
    found = timetable(geometry, [one(SYS)] * 8, [1] * 8, ready={SYS: lambda cycle: cycle >= 50})
    assert found.queued == [1, 2, 3, 4, 51, 52, 53, 54]
    assert found.taken == [0, 1, 2, 3, 4, 51, 52, 53]
    assert found.issued == list(range(50, 58))


def test_a_full_counter_holds_back_the_unit_that_gives_until_the_cycle_after_a_token_is_taken() -> (
    None
):
    geometry = SchedulerGeometry(token_counter_depth=1)
    program = [
        one(MISC, release=(ST,)),
        one(ST, (MISC,)),
        one(MISC, release=(ST,)),
        one(ST, (MISC,)),
    ]
    found = timetable(geometry, program, [2] * 4, ready={ST: lambda cycle: cycle >= 30})
    assert found.issued[1] == 30
    assert found.done[2] == 31
    assert found.issued[3] == 32


def test_a_full_counter_holds_back_a_barrier_before_its_issue() -> None:
    geometry = SchedulerGeometry(token_counter_depth=1)
    program = [one(SYS, release=(ST,)), one(ST, (SYS,)), one(SYS, release=(ST,)), one(ST, (SYS,))]
    found = timetable(geometry, program, [1, 2, 1, 2], ready={ST: lambda cycle: cycle >= 30})
    assert (found.issued[1], found.issued[2]) == (30, 31)


# Words


def test_instructions_are_read_as_their_formats_say() -> None:
    head = int(MV) << 28 | token_mask(MV, (LD, MISC)) << 23 | token_mask(MV, (ST,)) << 18
    assert instructions([head, 0, 0, 0, int(SYS) << 28]) == [one(MV, (LD, MISC), (ST,)), one(SYS)]


def test_an_unknown_opcode_is_refused() -> None:
    message = "opcode must be one of 1, 2, 3, 4, 5, 15, got 7 at word 1"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        instructions([int(SYS) << 28, 7 << 28])


# What is refused


def test_a_token_that_nothing_before_gives_is_refused() -> None:
    message = (
        "instruction 1 (MV): wait must name units whose token an earlier instruction has given, "
        "got LD"
    )
    program = [one(LD, (SYS,)), one(MV, (LD,))]
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        check(program, 4)
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        timetable(WIDE, program, [2, 2])


def test_a_token_that_comes_later_in_the_program_is_refused() -> None:
    """With endless queues it would do; a short one fills with loads and keeps the product out."""
    with pytest.raises(ProtocolError, match=r"^instruction 0 \(LD\): wait must name units "):
        check([*[one(LD, (MV,))] * 9, *[one(MV, release=(LD,))] * 9], 1023)


def test_more_tokens_than_a_counter_holds_are_refused() -> None:
    message = "instruction 2 (ST): release must leave at most 2 tokens for MM, got 3"
    program = [one(ST, release=(MM,))] * 3
    check(program, 3)
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        check(program, 2)


def test_the_start_token_is_the_host_s_and_there_is_one() -> None:
    assert START_TOKEN == (SYS, LD)
    check([one(LD, (SYS,))], 1)
    with pytest.raises(ProtocolError, match=r"^instruction 1 \(LD\): wait "):
        check([one(LD, (SYS,))] * 2, 1)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("queue_depth", 1, "from 2 to 1024"),
        ("queue_depth", 1025, "from 2 to 1024"),
        ("token_counter_depth", 0, "from 1 to 65536"),
        ("token_counter_depth", 65537, "from 1 to 65536"),
    ],
)
def test_impossible_depths_are_refused(key: str, value: int, rule: str) -> None:
    message = f"SchedulerGeometry: {key} must be a whole number {rule}, got {value}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        SchedulerGeometry(**{key: value})


# A machine that is stepped


class Stepped:
    """The scheduler as its docstrings tell it, cycle by cycle; knows nothing of the law."""

    def __init__(
        self,
        geometry: SchedulerGeometry,
        program: list[Instruction],
        busy: list[int],
        gaps: list[int],
        ready: dict[Opcode, list[bool]],
    ) -> None:
        self.geometry, self.program, self.busy = geometry, program, busy
        self.gaps, self.ready = gaps, ready
        self.cycle = 0
        self.taken: list[int] = []
        self.queued: list[int] = []
        self.issued = [-1] * len(program)
        self.done = [-1] * len(program)
        self.words = deque((i, n) for i, each in enumerate(program) for n in range(each.words))
        self.queues: dict[Opcode, deque[int]] = {unit: deque() for unit in UNITS}
        self.first: dict[Opcode, int | None] = dict.fromkeys(UNITS)
        self.runs: dict[Opcode, int | None] = dict.fromkeys(UNITS)
        self.tokens = {(a, b): int((a, b) == START_TOKEN) for a in UNITS for b in UNITS}
        self.decoded: int | None = None
        self.pause = gaps[0]

    def run(self) -> Timetable:
        while min(self.done) < 0:
            before = dict(self.tokens)
            for unit in UNITS:
                ran = self.runs[unit]
                if ran is not None:
                    self.end(unit, ran, before)
                head = self.first[unit]
                if head is not None and ran is None:
                    self.issue(unit, head, before)
                self.move(unit)
            self.fetch()
            self.cycle += 1
        return Timetable(self.taken, self.queued, self.issued, self.done)

    def room(self, unit: Opcode, at: int, before: dict[tuple[Opcode, Opcode], int]) -> bool:
        depth = self.geometry.token_counter_depth
        return all(before[unit, other] < depth for other in self.program[at].release)

    def end(self, unit: Opcode, at: int, before: dict[tuple[Opcode, Opcode], int]) -> None:
        if self.cycle >= self.issued[at] + self.busy[at] - 1 and self.room(unit, at, before):
            self.finish(unit, at)
            self.runs[unit] = None

    def finish(self, unit: Opcode, at: int) -> None:
        self.done[at] = self.cycle
        for other in self.program[at].release:
            self.tokens[unit, other] += 1

    def issue(self, unit: Opcode, at: int, before: dict[tuple[Opcode, Opcode], int]) -> None:
        pattern, wait = self.ready[unit], self.program[at].wait
        able = all(before[other, unit] for other in wait) and pattern[self.cycle % len(pattern)]
        if not able or (unit is SYS and not self.room(unit, at, before)):
            return
        self.issued[at], self.first[unit] = self.cycle, None
        for other in wait:
            self.tokens[other, unit] -= 1
        if unit is SYS:
            self.finish(unit, at)
        else:
            self.runs[unit] = at

    def move(self, unit: Opcode) -> None:
        """From the decoder to the queue, and from there to the first place."""
        queue, at = self.queues[unit], self.decoded
        space = len(queue) < self.geometry.queue_depth
        if self.first[unit] is None and queue:
            self.first[unit] = queue.popleft()
        if at is not None and self.program[at].unit is unit and space:
            self.queued.append(self.cycle)
            queue.append(at)
            self.decoded = None

    def fetch(self) -> None:
        if self.pause:
            self.pause -= 1
        elif self.words and self.decoded is None:
            at, n = self.words.popleft()
            self.taken.append(self.cycle)
            self.decoded = at if n == self.program[at].words - 1 else None
            self.pause = self.gaps[len(self.taken)] if self.words else 0


@given(
    seed=st.integers(0, 2**32),
    queue_depth=st.integers(2, 4),
    depth=st.integers(1, 3),
    stalled=st.booleans(),
)
def test_the_law_is_what_a_stepped_machine_does(
    seed: int, queue_depth: int, depth: int, stalled: bool
) -> None:
    rng = Random(seed)
    program: list[Instruction] = []
    tokens = {(a, b): int((a, b) == START_TOKEN) for a in UNITS for b in UNITS}
    for _ in range(30):
        unit = rng.choice(UNITS)
        others = [other for other in UNITS if other is not unit]
        wait = tuple(o for o in others if tokens[o, unit] and rng.random() < 0.6)
        release = tuple(o for o in others if tokens[unit, o] < depth and rng.random() < 0.4)
        for other in wait:
            tokens[other, unit] -= 1
        for other in release:
            tokens[unit, other] += 1
        program.append(one(unit, wait, release))
    busy = [1 if each.unit is SYS else rng.choice((2, 3, 9, 30)) for each in program]
    gaps = [rng.choice((0, 0, 3)) * stalled for each in program for _ in range(each.words)]
    ready = {
        unit: [True, *(rng.random() < 0.5 or not stalled for _ in range(17))] for unit in UNITS
    }
    geometry = SchedulerGeometry(queue_depth=queue_depth, token_counter_depth=depth)
    found = timetable(
        geometry,
        program,
        busy,
        gaps=gaps,
        ready={u: (lambda c, p=pattern: p[c % len(p)]) for u, pattern in ready.items()},
    )
    assert found == Stepped(geometry, program, busy, gaps, ready).run()
