"""The cycles of T3's memory controller arbiter: closed forms, and the bounds on waiting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    COMPUTE_FIRST,
    NOBODY,
    ROUND_ROBIN,
    UNLIMITED,
)
from hwsim.laws.t3_mc_arbiter import (
    BUFFERED,
    LATENCY,
    ArbiterGeometry,
    Decision,
    Report,
    Settings,
    Traffic,
    Transfers,
    transfers,
)

GEOMETRY = ArbiterGeometry()
EMPTY = Report(0)
TURNS = Settings(ROUND_ROBIN, threshold=0, capacity=UNLIMITED, limit=0)
MANY = 60

pauses = st.lists(st.integers(0, 6), min_size=MANY, max_size=MANY)
rules = st.builds(
    Settings,
    st.sampled_from([ROUND_ROBIN, COMPUTE_FIRST]),
    threshold=st.sampled_from([0, 2, UNLIMITED]),
    capacity=st.sampled_from([0, 3, UNLIMITED, UNLIMITED]),
    limit=st.integers(0, 5),
)
reports = st.builds(Report, st.integers(0, 4), st.booleans(), st.booleans())
patterns = st.lists(st.booleans(), min_size=1, max_size=5).filter(any)


def first(threshold: int = UNLIMITED, limit: int = UNLIMITED) -> Settings:
    return Settings(COMPUTE_FIRST, threshold, UNLIMITED, limit)


def always(_cycle: int) -> bool:
    return True


def traffic(
    rule: Settings,
    *,
    compute: list[int] | None = None,
    communication: list[int] | None = None,
    reported: list[Report] | None = None,
) -> Traffic:
    """Both streams never pause, and every cycle has its report, unless told otherwise."""
    reported = [EMPTY] if reported is None else reported
    return Traffic(
        compute_gaps=[0] * MANY if compute is None else compute,
        communication_gaps=[0] * MANY if communication is None else communication,
        settings=[rule],
        settings_gaps=[0],
        reports=reported,
        report_gaps=[0] * len(reported),
    )


def seen_of(rule: Settings, cycles: int = 20, **more: Any) -> Transfers:
    return transfers(GEOMETRY, traffic(rule, **more), always, cycles)


def test_two_busy_streams_take_turns_beginning_with_computing() -> None:
    seen = seen_of(TURNS)
    assert seen.compute == list(range(1, 20, 2))
    assert seen.communication == list(range(2, 20, 2))


def test_a_request_is_offered_to_the_queue_a_cycle_after_its_admission() -> None:
    seen = seen_of(TURNS)
    assert seen.queue == [cycle + LATENCY for cycle in range(1, 19)]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_busy_computing_lets_communication_through_once_in_limit_and_one_cycles(
    limit: int,
) -> None:
    seen = seen_of(first(limit=limit), 40)
    assert seen.communication == list(range(limit, 40, limit + 1))
    assert sorted(seen.communication + seen.compute) == list(range(1, 40))


def test_a_limit_of_no_cycles_puts_communication_first() -> None:
    seen = seen_of(first(limit=0))
    assert seen.communication == list(range(1, 20))
    assert seen.compute == []


def test_without_a_limit_communication_waits_for_computing_to_end() -> None:
    seen = seen_of(first(), compute=[0] * 5)
    assert seen.compute == [1, 2, 3, 4, 5]
    assert seen.communication == list(range(6, 20))


def test_communication_alone_waits_while_the_entries_are_at_the_threshold() -> None:
    reported = [Report(entries) for entries in (9, 9, 5, 4, 5, 5)]
    seen = seen_of(first(threshold=5), compute=[], reported=reported)
    assert seen.communication == [3]


def test_the_threshold_gives_way_to_the_limit() -> None:
    seen = seen_of(first(threshold=5, limit=7), compute=[], reported=[Report(9)])
    assert seen.communication == [7, 15]


def test_a_report_counts_in_its_own_cycle_and_until_the_next() -> None:
    busy = traffic(TURNS._replace(capacity=3), compute=[0] * 20, communication=[])
    late = Traffic(**{**vars(busy), "reports": [Report(3), Report(2)], "report_gaps": [0, 6]})
    assert transfers(GEOMETRY, late, always, 12).compute == list(range(7, 12))


def test_a_stream_that_does_not_fit_leaves_its_turn_to_the_other() -> None:
    seen = seen_of(TURNS, reported=[Report(0, compute_fits=False)])
    assert seen.compute == []
    assert seen.communication == list(range(1, 20))


def test_nobody_is_admitted_before_settings_have_come() -> None:
    without = Traffic(**{**vars(traffic(TURNS)), "settings_gaps": [9]})
    seen = transfers(GEOMETRY, without, always, 20)
    assert seen.settings == [9]
    assert min(seen.compute) == 10


def test_a_queue_that_stalls_fills_the_buffer_and_no_more() -> None:
    seen = transfers(GEOMETRY, traffic(TURNS), lambda cycle: cycle >= 12, 20)
    assert seen.compute + seen.communication == [1, 13, 15, 17, 19, 2, 14, 16, 18]
    assert seen.queue == list(range(12, 20))
    assert sum(cycle < 12 for cycle in seen.compute + seen.communication) == BUFFERED


def test_the_count_of_cycles_stays_at_the_greatest() -> None:
    small = ArbiterGeometry(wait_bits=2)
    seen = transfers(small, traffic(first()), always, 10)
    assert [d.waited for d in seen.decisions] == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]


@given(rules, pauses, pauses, st.lists(reports, min_size=1, max_size=90), patterns)
def test_no_stream_waits_beyond_its_bound(
    rule: Settings,
    compute: list[int],
    communication: list[int],
    reported: list[Report],
    pattern: list[bool],
) -> None:
    busy = traffic(rule, compute=compute, communication=communication, reported=reported)
    seen = transfers(GEOMETRY, busy, lambda c: pattern[c % len(pattern)], 90)
    passed = {COMPUTE: 0, COMMUNICATION: 0}
    forced = -MANY
    for d in seen.decisions:
        is_open = not d.full and d.entries < d.settings.capacity
        over = d.compute_waits and d.choice == COMMUNICATION
        if over and rule.policy == COMPUTE_FIRST:
            assert d.cycle - forced > rule.limit
        for stream, waits in ((COMPUTE, d.compute_waits), (COMMUNICATION, d.communication_waits)):
            if d.choice == stream:
                passed[stream] = 0
            elif waits and is_open and (d.choice != NOBODY or stream == COMMUNICATION):
                passed[stream] += 1
        if d.choice == COMMUNICATION:
            forced = d.cycle
        if d.settings.policy == ROUND_ROBIN:
            assert max(passed.values()) <= 1
        else:
            assert passed[COMMUNICATION] <= d.settings.limit


@given(rules, pauses, pauses, st.lists(reports, min_size=1, max_size=90), patterns)
def test_somebody_is_admitted_unless_it_is_held_back(
    rule: Settings,
    compute: list[int],
    communication: list[int],
    reported: list[Report],
    pattern: list[bool],
) -> None:
    busy = traffic(rule, compute=compute, communication=communication, reported=reported)
    seen = transfers(GEOMETRY, busy, lambda c: pattern[c % len(pattern)], 90)
    for d in seen.decisions:
        if d.choice == NOBODY and (d.compute_waits or d.communication_waits):
            assert d.full or d.entries >= d.settings.capacity or held_back(d)
    moved = sum(cycle < 90 - LATENCY for cycle in seen.compute + seen.communication)
    assert moved - BUFFERED <= len(seen.queue) <= moved


def held_back(d: Decision) -> bool:
    alone = d.settings.policy == COMPUTE_FIRST and not d.compute_waits
    return alone and d.entries >= d.settings.threshold and d.waited < d.settings.limit


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"request_bits": 0}, "request_bits must be a whole number from 1 to 1024, got 0"),
        ({"entry_bits": 17}, "entry_bits must be a whole number from 1 to 16, got 17"),
        ({"wait_bits": 0}, "wait_bits must be a whole number from 1 to 16, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ArbiterGeometry(**values)
    assert str(refused.value) == f"ArbiterGeometry: {message}"


def test_without_a_number_of_cycles_all_comes_through() -> None:
    few = traffic(TURNS, compute=[0] * 3, communication=[0, 7])
    seen = transfers(GEOMETRY, few, always)
    assert (seen.compute, seen.communication) == ([1, 3, 4], [2, 10])
    assert seen.queue == [2, 3, 4, 5, 11]
    assert len(seen.decisions) == 12
