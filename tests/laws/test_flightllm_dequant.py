"""The cycles of FlightLLM's dequantiser: closed forms, and against counters stepped by cycles."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.flightllm_dequant import (
    LATENCY,
    DequantGeometry,
    Run,
    Transfers,
    transfers,
)
from hwsim.laws.pipeline import Producer

PUBLISHED = DequantGeometry()

widths = st.sampled_from(PUBLISHED.widths)
runs_of_any_width = st.lists(st.builds(Run, width=widths, blocks=st.integers(1, 6)), max_size=15)
pauses = st.lists(st.integers(0, 4), min_size=80, max_size=80)
patterns = st.lists(st.booleans(), min_size=1, max_size=5).filter(any)
geometries = st.builds(DequantGeometry, beat_bits=st.sampled_from([16, 48, 64, 128, 256]))


def always(_cycle: int) -> bool:
    return True


def words_to(runs: list[Run]) -> list[int]:
    """Words up to the end of each block."""
    return list(accumulate(run.width for run in runs for _ in range(run.blocks)))


def unstalled(geometry: DequantGeometry, runs: list[Run]) -> list[int]:
    beats = sum(run.width * run.blocks for run in runs) // geometry.beat_words + 1
    return transfers(geometry, runs, [0] * beats, [0] * len(runs), always).blocks


@given(runs_of_any_width)
def test_no_change_of_width_makes_a_bubble(runs: list[Run]) -> None:
    assert unstalled(PUBLISHED, runs) == [LATENCY + k for k in range(len(words_to(runs)))]


@given(
    st.sampled_from([16, 32]).map(lambda bits: DequantGeometry(beat_bits=bits)), runs_of_any_width
)
def test_beats_narrower_than_blocks_set_the_pace(
    geometry: DequantGeometry, runs: list[Run]
) -> None:
    last_beats = [-(-words // geometry.beat_words) - 1 for words in words_to(runs)]
    pace = accumulate((beat - k for k, beat in enumerate(last_beats)), max)
    assert unstalled(geometry, runs) == [LATENCY + k + slack for k, slack in enumerate(pace)]


def test_a_ring_of_one_slot_less_makes_a_bubble() -> None:
    class Smaller(DequantGeometry):
        @property
        def slots(self) -> int:
            return super().slots - 1

    runs = [Run(width=4, blocks=1), Run(width=8, blocks=4)]
    assert unstalled(PUBLISHED, runs) == [3, 4, 5, 6, 7]
    assert unstalled(Smaller(), runs) == [3, 4, 6, 8, 10]


@given(geometries, runs_of_any_width, pauses, pauses, patterns)
def test_the_recurrence_is_that_of_the_hardware_stepped_cycle_by_cycle(
    geometry: DequantGeometry,
    runs: list[Run],
    beat_gaps: list[int],
    run_gaps: list[int],
    pattern: list[bool],
) -> None:
    run_gaps = run_gaps[: len(runs)]
    law = transfers(geometry, runs, beat_gaps, run_gaps, lambda c: pattern[c % len(pattern)])
    seen = stepped(geometry, runs, beat_gaps, run_gaps, pattern)
    assert law == seen


def stepped(
    geometry: DequantGeometry,
    runs: list[Run],
    beat_gaps: list[int],
    run_gaps: list[int],
    pattern: list[bool],
) -> Transfers:
    """Counters alone, moved by the rules of the RTL; long enough for all to come to rest."""
    seen, beats, controls = Transfers(), Producer(beat_gaps), Producer(run_gaps)
    level, picked, offered = 0, False, False
    queue: list[list[int]] = []
    for cycle in range(700):
        takes_beat = beats(cycle) and level <= geometry.capacity_words - geometry.beat_words
        takes_run = controls(cycle) and len(queue) < 2
        leaves = offered and pattern[cycle % len(pattern)]
        offer_free = leaves or not offered
        picked_free = offer_free or not picked
        releases = picked_free and bool(queue) and level >= queue[0][0]
        if offer_free:
            offered = picked
        if picked_free:
            picked = releases
        if leaves:
            seen.blocks.append(cycle)
        if releases:
            level -= queue[0][0]
            queue[0][1] -= 1
            if not queue[0][1]:
                queue.pop(0)
        if takes_run:
            run = runs[controls.taken]
            queue.append([run.width, run.blocks])
            controls.take(cycle)
            seen.runs.append(cycle)
        if takes_beat:
            level += geometry.beat_words
            beats.take(cycle)
            seen.beats.append(cycle)
    return seen


def test_blocks_end_where_the_beats_do() -> None:
    runs = [Run(width=5, blocks=9), Run(width=2, blocks=1), Run(width=2, blocks=1)]
    seen = transfers(PUBLISHED, runs, [0, 4], [0, 0, 0], always)
    assert seen == Transfers(beats=[0, 5], runs=[0, 1], blocks=[3, 8, 9])


def test_beats_wait_for_a_slot() -> None:
    seen = transfers(PUBLISHED, [Run(width=4, blocks=3)], [0] * 9, [6], always)
    assert seen.beats == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("beat_bits", "widths", "slots"),
    [(128, (2, 8), 3), (256, (8,), 3), (32, (8,), 6), (64, (3,), 3)],
)
def test_the_ring_holds_a_widest_block_and_two_beats(
    beat_bits: int, widths: tuple[int, ...], slots: int
) -> None:
    assert DequantGeometry(beat_bits=beat_bits, widths=widths).slots == slots


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"block_weights": 12, "beat_bits": 120}, "block_weights must be a power of two, got 12"),
        ({"beat_bits": 100}, "beat_bits must be a multiple of block_weights = 16, got 100"),
        ({"beat_bits": 4}, "beat_bits must be a whole number from 8 to 1024, got 4"),
        ({"widths": (2, 9)}, "widths[1] must be a whole number from 2 to 8, got 9"),
        ({"widths": (1,)}, "widths[0] must be a whole number from 2 to 8, got 1"),
        ({"widths": ()}, "widths must be at least one, and different, got []"),
        ({"widths": (2, 2)}, "widths must be at least one, and different, got [2, 2]"),
        ({"run_blocks": 0}, "run_blocks must be a whole number from 1 to 65536, got 0"),
        ({"scale_bits": 33}, "scale_bits must be a whole number from 1 to 32, got 33"),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DequantGeometry(**values)
    assert str(refused.value) == f"DequantGeometry: {message}"
