"""Clocks: every edge is computed from its number."""

from __future__ import annotations

import re
from collections.abc import Generator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.sim import Clock, Event, Kernel
from hwsim.units import FS_PER_SECOND

FREQUENCIES = st.one_of(
    st.sampled_from([225_000_000, 333_333_333, 10**9, 1_400_000_000, 2_666_666_667]),
    st.integers(1, FS_PER_SECOND),
)
CYCLES = st.integers(0, 10**15)


@given(FREQUENCIES, CYCLES)
def test_an_edge_lies_within_half_a_femtosecond_of_its_exact_time(hz: int, n: int) -> None:
    exact = Fraction(n * FS_PER_SECOND, hz)

    assert abs(Clock(Kernel(), hz).edge(n) - exact) <= Fraction(1, 2)


def test_225_mhz_does_not_drift_over_a_trillion_cycles() -> None:
    clock = Clock(Kernel(), 225_000_000)

    assert clock.edge(1) == 4_444_444
    assert clock.edge(225_000_000) == FS_PER_SECOND
    assert clock.edge(10**12) == 4_444_444_444_444_444_444  # a period of 4444444 fs: 0.1 ppm less
    assert clock.edge(9 * 10**12) == 40_000_000 * 10**12


@given(FREQUENCIES, CYCLES)
def test_cycle_at_is_the_inverse_of_edge(hz: int, n: int) -> None:
    clock = Clock(Kernel(), hz)

    assert clock.cycle_at(clock.edge(n)) == n
    assert clock.cycle_at(clock.edge(n + 1) - 1) == n


@given(FREQUENCIES, st.integers(0, 10**24))
def test_the_running_cycle_began_at_or_before_now_and_the_next_comes_after(
    hz: int, time_fs: int
) -> None:
    clock = Clock(Kernel(), hz)
    n = clock.cycle_at(time_fs)

    assert clock.edge(n) <= time_fs < clock.edge(n + 1)


@given(FREQUENCIES, st.integers(0, 10**24))
def test_cycles_in_is_the_least_number_of_cycles_that_covers_a_time(hz: int, time_fs: int) -> None:
    clock = Clock(Kernel(), hz)
    n = clock.cycles_in(time_fs)

    assert clock.edge(n) >= time_fs
    assert n == 0 or clock.edge(n - 1) < time_fs


def test_cycles_in_of_an_edge_is_its_number() -> None:
    clock = Clock(Kernel(), 225_000_000)

    assert [clock.cycles_in(clock.edge(n)) for n in range(20)] == list(range(20))
    assert clock.cycles_in(clock.edge(7) + 1) == 8


@given(FREQUENCIES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**4))
def test_equal_phases_see_equal_distances_to_the_edges_ahead(
    hz: int, n: int, m: int, ahead: int
) -> None:
    def distance(start: int) -> tuple[int, int]:
        kernel = Kernel()
        clock = Clock(kernel, hz)
        kernel.run(_pass(kernel, clock.edge(start)))
        return clock.phase, clock.edge(start + ahead) - clock.edge(start)

    (one, to_one), (other, to_other) = distance(n), distance(m)
    assert one != other or to_one == to_other


def test_the_edges_of_225_mhz_take_nine_phases_in_turn() -> None:
    kernel = Kernel()
    clock = Clock(kernel, 225_000_000)
    phases: list[int] = []

    def main() -> Generator[Event, Any, None]:
        for _ in range(27):
            phases.append(clock.phase)
            yield clock.wait(1)

    kernel.run(main())
    assert phases == phases[:9] * 3
    assert len(set(phases)) == 9


def _pass(kernel: Kernel, time_fs: int) -> Generator[Event, Any, None]:
    yield kernel.wait(time_fs)


@given(FREQUENCIES, st.lists(st.integers(0, 1000), max_size=20))
def test_waits_add_up_to_the_edge_of_their_sum(hz: int, waits: list[int]) -> None:
    kernel = Kernel()
    clock = Clock(kernel, hz)

    def main() -> Generator[Event, Any, int]:
        for cycles in waits:
            yield clock.wait(cycles)
        return clock.cycle

    assert kernel.run(main()) == sum(waits)
    assert kernel.now == clock.edge(sum(waits))


def test_what_happens_between_two_edges_is_seen_at_the_later_one() -> None:
    kernel = Kernel()
    clock = Clock(kernel, 10**9)

    def main() -> Generator[Event, Any, list[int]]:
        seen = []
        yield kernel.wait(2_300_000)
        for cycles in (0, 0, 4):
            yield clock.wait(cycles)
            seen.append(kernel.now)
        return seen

    assert kernel.run(main()) == [3_000_000, 3_000_000, 7_000_000]


def test_an_edge_that_has_passed_is_not_waited_for() -> None:
    kernel = Kernel()
    clock = Clock(kernel, 10**9)

    def main() -> Generator[Event, Any, list[int]]:
        seen = []
        for cycle in (5, 3, 8):
            yield clock.until(cycle)
            seen.append(clock.cycle)
        return seen

    assert kernel.run(main()) == [5, 5, 8]


def test_clocks_of_different_frequencies_meet_where_they_should() -> None:
    kernel = Kernel()
    slow, fast = Clock(kernel, 225_000_000), Clock(kernel, 450_000_000)

    assert all(slow.edge(n) == fast.edge(2 * n) for n in range(10**9, 10**9 + 100))


@pytest.mark.parametrize("frequency", [225e6, True, Fraction(225_000_000)])
def test_a_frequency_is_an_int(frequency: object) -> None:
    with pytest.raises(
        TypeError, match=re.escape(f"frequency_hz must be an int, got {frequency!r}")
    ):
        Clock(Kernel(), frequency)  # type: ignore[arg-type]


@pytest.mark.parametrize("frequency", [0, -1, FS_PER_SECOND + 1])
def test_a_frequency_is_positive_and_has_edges_apart(frequency: int) -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(f"frequency_hz must be between 1 and 10**15, got {frequency}"),
    ):
        Clock(Kernel(), frequency)


@pytest.mark.parametrize("cycles", [1.0, True, Fraction(1)])
def test_cycles_are_an_int(cycles: object) -> None:
    with pytest.raises(TypeError, match=re.escape(f"cycles must be an int, got {cycles!r}")):
        Clock(Kernel(), 10**9).wait(cycles)  # type: ignore[arg-type]


def test_cycles_are_not_negative() -> None:
    with pytest.raises(ValueError, match=re.escape("cycles must not be negative, got -1")):
        Clock(Kernel(), 10**9).wait(-1)
