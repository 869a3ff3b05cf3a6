"""Stage accounts and counters."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.sim import Counter, Kernel, Process, StageAccount, StageTimes
from hwsim.sim.stage import StageState

STATES: list[StageState] = ["busy", "starved", "blocked", "idle"]
STAYS = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 1000)), max_size=30)


def account(stays: list[tuple[StageState, int]], *, start_fs: int = 0) -> tuple[StageTimes, int]:
    """The account of a stage that made these stays, and how long it lived."""
    kernel = Kernel()

    def main() -> Process:
        yield kernel.wait(start_fs)
        stage = StageAccount(kernel)
        for state, stay in stays:
            stage.enter(state)
            yield kernel.wait(stay)
        return stage.times()

    return kernel.run(main()), kernel.now - start_fs


@given(STAYS, st.integers(0, 100))
def test_the_four_accounts_add_up_to_the_elapsed_time(
    stays: list[tuple[StageState, int]], start_fs: int
) -> None:
    times, elapsed = account(stays, start_fs=start_fs)

    assert times.total == elapsed
    for state in STATES:
        assert getattr(times, state) == sum(stay for each, stay in stays if each == state)


def test_a_stage_that_never_did_anything_was_idle() -> None:
    kernel = Kernel()
    stage = StageAccount(kernel)

    def main() -> Process:
        yield kernel.wait(9)

    kernel.run(main())
    assert stage.times() == StageTimes(idle=9)
    assert stage.state == "idle"


def test_reading_an_account_changes_nothing() -> None:
    kernel = Kernel()
    stage = StageAccount(kernel)

    def main() -> Process:
        stage.enter("busy")
        yield kernel.wait(4)
        assert stage.times() == stage.times() == StageTimes(busy=4)
        yield kernel.wait(4)

    kernel.run(main())
    assert stage.times() == StageTimes(busy=8)
    assert stage.state == "busy"


def test_a_replaced_account_goes_on_from_what_it_was_given() -> None:
    kernel = Kernel()
    stage = StageAccount(kernel)

    def main() -> Process:
        yield kernel.wait(10)
        stage.replace(StageTimes(busy=7, starved=3), "blocked")
        yield kernel.wait(5)

    kernel.run(main())
    assert stage.times() == StageTimes(busy=7, starved=3, blocked=5)


@given(st.lists(st.integers(0, 10**6), min_size=8, max_size=8))
def test_times_add_and_subtract_state_by_state(parts: list[int]) -> None:
    one, other = StageTimes(*parts[:4]), StageTimes(*parts[4:])

    assert (one + other) - other == one
    assert (one + other).total == one.total + other.total


def test_a_counter_is_exact() -> None:
    counter = Counter("B")
    for _ in range(3):
        counter.add(Fraction(1, 3))
    counter.add(10**30)

    assert counter.value == 10**30 + 1
    assert counter.unit == "B"


@pytest.mark.parametrize("amount", [1.0, True, "1", None])
def test_a_counter_takes_ints_and_fractions_only(amount: object) -> None:
    message = f"a count must be an int or a Fraction, got {amount!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Counter("1").add(amount)  # type: ignore[arg-type]


def test_a_counter_only_grows() -> None:
    with pytest.raises(ValueError, match=r"^a count must not be negative, got -1$"):
        Counter("1").add(-1)
