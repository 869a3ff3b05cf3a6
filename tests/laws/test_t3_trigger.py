"""T3's trigger table: the block of a tile, and the cycles of programs, triggers and requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.t3_trigger import (
    LATENCY,
    STORE,
    Output,
    Program,
    Timetable,
    TriggerGeometry,
    block_of,
    timetable,
)

SMALL = TriggerGeometry(entries=4, workgroup_bits=6, wavefronts=4, block_tiles=4, queued=2)
START = SMALL.start_cycles
FOREVER = 10_000
WORKGROUP_BITS = (
    "workgroup_bits must be more than 5, to number the tiles of blocks of 64 in 256 entries, got 5"
)


def output(columns: int = 2, block_bits: int = 0) -> Output:
    return Output(columns, 128, 1024, 2048, block_bits)


def program(block: int, tiles: int = 1) -> Program:
    return Program(block, 0, 0, tiles, STORE)


def run(
    shape: Output,
    programs: list[Program],
    triggers: list[tuple[int, int]],
    *,
    wait: int = 0,
    ready: Any = lambda _cycle: True,
    cycles: int = FOREVER,
) -> Timetable:
    """All back to back, triggers from cycle ``wait`` on."""
    later = [(trigger, 0 if i else wait) for i, trigger in enumerate(triggers)]
    return timetable(
        SMALL, [(shape, 0)], [(each, 0) for each in programs], later, ready, cycles=cycles
    )


@given(st.integers(0, 63), st.integers(0, 3), st.integers(0, 2))
def test_tiles_of_a_block_are_alike_above_the_low_bits(group: int, wave: int, bits: int) -> None:
    block = block_of(SMALL, output(block_bits=bits), group, wave)
    assert block == (group * 4 + wave) // 2**bits


def test_the_first_request_comes_latency_after_the_last_trigger_and_then_one_a_cycle() -> None:
    seen = run(output(3, 1), [program(0, 2)], [(0, 0), (0, 1)], wait=START + 5)
    assert seen.programs == [START]
    assert seen.triggers == [START + 5, START + 6]
    assert seen.requests == [START + 6 + LATENCY + i for i in range(6)]


def test_no_bubble_between_blocks_that_are_ready() -> None:
    blocks = [program(i) for i in range(4)]
    seen = run(output(2), blocks, [(0, i) for i in range(4)], wait=START + 9)
    assert seen.requests == [START + 9 + LATENCY + i for i in range(8)]


def test_blocks_of_one_request_leave_one_a_cycle() -> None:
    blocks = [program(i) for i in range(4)]
    seen = run(output(1), blocks, [(0, i) for i in range(4)], wait=START + 9)
    assert seen.requests == [START + 9 + LATENCY + i for i in range(4)]


def test_a_program_waits_until_the_block_before_it_in_its_entry_is_ready() -> None:
    blocks = [program(0), program(4), program(8)]
    seen = run(output(), blocks, [(0, 0)], wait=START + 9, cycles=60)
    assert seen.went[:3] == [(START + 1, False, 0), (START + 10, True, 0), (START + 11, False, 1)]
    assert seen.programs == [START, START + 1, START + 11]


def test_a_program_is_passed_over_by_one_trigger_at_most() -> None:
    pairs = [program(i, 4) for i in range(4)]
    more = [program(4), program(5)]
    shape, triggers = output(1, 2), [(i, j) for i in range(4) for j in range(4)]
    seen = timetable(
        SMALL,
        [(shape, 0)],
        [(each, 0) for each in pairs] + [(each, 0) for each in more],
        [(trigger, 0 if i else START + 9) for i, trigger in enumerate(triggers)],
        lambda _cycle: True,
        cycles=START + 60,
    )
    assert seen.held["a trigger"] == seen.held["a program"] > 0
    kinds = [(cycle, trigger) for cycle, trigger, _ in seen.went if cycle > START + 12]
    assert kinds[:5] == [
        (START + 13, True),
        (START + 14, True),
        (START + 15, False),
        (START + 16, True),
        (START + 17, True),
    ]


def test_ready_blocks_wait_in_the_queue_and_triggers_behind_it() -> None:
    blocks = [program(i) for i in range(8)]
    stalled = lambda cycle: cycle >= 60  # noqa: E731
    seen = run(
        output(1), blocks, [(i // 4, i % 4) for i in range(8)], wait=START + 9, ready=stalled
    )
    gone = [cycle for cycle, trigger, _ in seen.went if trigger and cycle < 60]
    assert len(gone) == 1 + 1 + SMALL.queued
    assert seen.requests == list(range(60, 68))


@pytest.mark.parametrize("block", [1, 4])
def test_a_trigger_of_a_block_that_is_not_programmed_is_a_fault(block: int) -> None:
    triggers = [divmod(block, 4), (0, 0), (0, 0), (0, 0)]
    seen = run(output(), [program(0)], triggers, wait=START + 9, cycles=100)
    assert seen.fault == START + 11
    assert len(seen.triggers) == 2
    assert seen.requests == []


def test_what_was_ready_goes_on_after_a_fault() -> None:
    seen = run(output(4), [program(0)], [(0, 0), (0, 0)], wait=START + 9, cycles=100)
    assert seen.fault is not None
    assert len(seen.requests) == 4


def test_a_kernel_waits_for_the_last_request() -> None:
    kernels = [(output(5), 0), (output(), START + 3)]
    first = [((0, 0), START + 3)]
    seen = timetable(SMALL, kernels, [(program(0), 0)], first, lambda _cycle: True, cycles=FOREVER)
    assert seen.requests[-1] == START + 3 + LATENCY + 4
    assert seen.kernels == [0, seen.requests[-1] + 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"entries": 3}, "entries must be a power of two, got 3"),
        ({"wavefronts": 6}, "wavefronts must be a power of two, got 6"),
        ({"block_tiles": 12}, "block_tiles must be a power of two, got 12"),
        ({"queued": 1}, "queued must be a whole number from 2 to 1024, got 1"),
        ({"workgroup_bits": 5}, WORKGROUP_BITS),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TriggerGeometry(**values)
    assert str(refused.value) == f"TriggerGeometry: {message}"
