"""Who is admitted, case by case."""

from __future__ import annotations

import itertools

import pytest

from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    COMPUTE_FIRST,
    NOBODY,
    ROUND_ROBIN,
    UNLIMITED,
    choose,
)


def chosen(policy: int, waiting: tuple[bool, bool], **given: int) -> int:
    usual = {"occupancy": 0, "threshold": 10, "capacity": 64, "last": 0, "waited": 0, "limit": 100}
    return choose(policy, *waiting, *(usual | given).values())


BOTH, FIRST, SECOND, NEITHER = (True, True), (True, False), (False, True), (False, False)


@pytest.mark.parametrize("policy", [ROUND_ROBIN, COMPUTE_FIRST])
def test_nobody_is_admitted_who_does_not_wait(policy: int) -> None:
    assert chosen(policy, NEITHER) == NOBODY
    assert chosen(policy, FIRST) == COMPUTE
    assert chosen(policy, SECOND) == COMMUNICATION


@pytest.mark.parametrize("policy", [ROUND_ROBIN, COMPUTE_FIRST])
@pytest.mark.parametrize("waiting", [BOTH, FIRST, SECOND])
def test_nobody_is_admitted_to_a_full_queue(policy: int, waiting: tuple[bool, bool]) -> None:
    assert chosen(policy, waiting, occupancy=64, waited=1000) == NOBODY
    assert chosen(policy, waiting, occupancy=63, waited=1000) != NOBODY


def test_round_robin_takes_turns_and_begins_with_computing() -> None:
    assert chosen(ROUND_ROBIN, BOTH, last=NOBODY) == COMPUTE
    assert chosen(ROUND_ROBIN, BOTH, last=COMPUTE) == COMMUNICATION
    assert chosen(ROUND_ROBIN, BOTH, last=COMMUNICATION) == COMPUTE


def test_round_robin_knows_no_threshold() -> None:
    assert chosen(ROUND_ROBIN, SECOND, last=COMMUNICATION, occupancy=50) == COMMUNICATION


def test_computing_goes_first_until_communication_has_waited_long_enough() -> None:
    assert chosen(COMPUTE_FIRST, BOTH, waited=99) == COMPUTE
    assert chosen(COMPUTE_FIRST, BOTH, waited=100) == COMMUNICATION


def test_the_threshold_holds_communication_back_until_it_has_waited_long_enough() -> None:
    assert chosen(COMPUTE_FIRST, SECOND, occupancy=9) == COMMUNICATION
    assert chosen(COMPUTE_FIRST, SECOND, occupancy=10) == NOBODY
    assert chosen(COMPUTE_FIRST, SECOND, occupancy=10, waited=100) == COMMUNICATION
    assert chosen(COMPUTE_FIRST, SECOND, occupancy=63, threshold=UNLIMITED) == COMMUNICATION


def test_communication_waits_no_longer_than_the_limit_once_there_is_room() -> None:
    for occupancy, threshold, last in itertools.product((0, 5, 63), (0, 5, UNLIMITED), (0, 1, 2)):
        given = {"occupancy": occupancy, "threshold": threshold, "last": last, "waited": 100}
        assert chosen(COMPUTE_FIRST, BOTH, **given) == COMMUNICATION
