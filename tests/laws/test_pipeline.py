"""The law of a pipeline that stops as a whole."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hwsim.laws.pipeline import rigid_pipeline

latencies = st.integers(1, 30)
gaps = st.lists(st.integers(0, 5), min_size=1, max_size=40)
patterns = st.lists(st.booleans(), min_size=1, max_size=20).filter(any)


@given(latencies, gaps)
def test_without_stalls_an_item_takes_the_latency(latency: int, pauses: list[int]) -> None:
    entered, left = rigid_pipeline(latency, pauses, lambda _cycle: True)
    assert [out - into for into, out in zip(entered, left, strict=True)] == [latency] * len(pauses)
    assert entered[0] == pauses[0]
    assert [b - a - 1 for a, b in pairwise(entered)] == pauses[1:]


@given(latencies, gaps, patterns)
def test_a_stall_only_delays_and_never_reorders(
    latency: int, pauses: list[int], pattern: list[bool]
) -> None:
    entered, left = rigid_pipeline(latency, pauses, lambda c: pattern[c % len(pattern)])
    assert len(entered) == len(left) == len(pauses)
    assert all(out - into >= latency for into, out in zip(entered, left, strict=True))
    assert all(a < b for a, b in pairwise(entered))
    assert all(a < b for a, b in pairwise(left))
    assert all(pattern[cycle % len(pattern)] for cycle in left)


@given(latencies, st.integers(1, 40))
def test_a_consumer_that_never_comes_lets_the_stages_fill(latency: int, wait: int) -> None:
    entered, left = rigid_pipeline(latency, [0] * (latency + 5), lambda c: c >= latency + wait)
    assert entered[:latency] == list(range(latency))
    assert entered[latency] == latency + wait == left[0]
