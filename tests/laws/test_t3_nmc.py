"""The cycles of T3's op-and-store: closed forms, and against registers stepped by cycles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.pipeline import Producer
from hwsim.laws.t3_nmc import (
    READ_CYCLES,
    WRITE_CYCLES,
    NmcGeometry,
    Operation,
    Request,
    Transfers,
    transfers,
)
from hwsim.memory.config import DramConfig

READ, STORE = Operation.READ, Operation.STORE
UPDATE, OTHER = Operation.UPDATE_FP16, Operation.UPDATE_BF16

requests_of_any_kind = st.lists(
    st.builds(Request, st.sampled_from(Operation), st.integers(0, 2)), max_size=20
)
patterns = st.lists(st.booleans(), min_size=1, max_size=5).filter(any)


def always(_cycle: int) -> bool:
    return True


def entered(*requests: tuple[Operation, int]) -> list[int]:
    asked = [Request(*request) for request in requests]
    return transfers(asked, [0] * len(asked), always).requests


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5, 8])
def test_updates_of_a_few_words_in_turn_enter_as_the_first_ones_are_done(words: int) -> None:
    updates = [(UPDATE if i % 3 else OTHER, i % words) for i in range(24)]
    rounds = max(words, WRITE_CYCLES)
    assert entered(*updates) == [i // words * rounds + i % words for i in range(24)]


def test_stores_and_reads_of_one_word_enter_every_cycle() -> None:
    assert entered(*[(STORE, 0)] * 5) == [0, 1, 2, 3, 4]
    assert entered(*[(READ, 0)] * 5) == [0, 1, 2, 3, 4]
    assert entered((READ, 0), (STORE, 0), (STORE, 0)) == [0, 1, 2]


@pytest.mark.parametrize("writes", [STORE, UPDATE, OTHER])
@pytest.mark.parametrize("needs", [READ, UPDATE, OTHER])
def test_what_needs_a_word_waits_for_the_last_write_of_it(
    writes: Operation, needs: Operation
) -> None:
    assert entered((writes, 7), (needs, 7)) == [0, WRITE_CYCLES]
    assert entered((writes, 7), (STORE, 7), (needs, 7)) == [0, 1, 1 + WRITE_CYCLES]
    assert entered((writes, 7), (needs, 6)) == [0, 1]


def test_a_request_that_waits_holds_up_those_behind_it() -> None:
    assert entered((UPDATE, 0), (READ, 0), (STORE, 1)) == [0, WRITE_CYCLES, 1 + WRITE_CYCLES]


def test_a_read_leaves_two_cycles_later_in_order() -> None:
    asked = [Request(READ, i) for i in range(4)]
    seen = transfers(asked, [0, 3, 0, 0], always)
    assert seen.requests == [0, 4, 5, 6]
    assert seen.reads == [cycle + READ_CYCLES for cycle in seen.requests]


def test_a_read_nobody_takes_stops_the_second_one_behind_it_but_no_update_before() -> None:
    asked = [Request(READ, 0), Request(UPDATE, 1), Request(READ, 2), Request(STORE, 3)]
    seen = transfers(asked, [0] * 4, lambda cycle: cycle >= 20)
    assert seen == Transfers(requests=[0, 1, 2, 20], reads=[20, 21])


def stepped(
    requests: list[Request], gaps: list[int], pattern: list[bool], cycles: int
) -> Transfers:
    """Registers alone, moved by the rules of the RTL."""
    seen, producer = Transfers(), Producer(gaps)
    here: Request | None = None
    writing: list[int | None] = [None] * (WRITE_CYCLES - 1)
    offered = False
    for cycle in range(cycles):
        leaves = offered and pattern[cycle % len(pattern)]
        reads = here is not None and here.operation is READ
        moves = not reads or leaves or not offered
        writes = here.address if here is not None and not reads else None
        takes = False
        if moves and producer(cycle):
            request = requests[producer.taken]
            young = [writes, *writing[:-1]]
            takes = request.operation is STORE or request.address not in young
        if leaves:
            seen.reads.append(cycle)
        if leaves or not offered:
            offered = reads
        writing = [writes, *writing[:-1]]
        if moves:
            here = requests[producer.taken] if takes else None
        if takes:
            seen.requests.append(cycle)
            producer.take(cycle)
    return seen


@given(requests_of_any_kind, st.data(), patterns)
def test_the_recurrence_is_that_of_the_hardware_stepped_cycle_by_cycle(
    requests: list[Request], data: st.DataObject, pattern: list[bool]
) -> None:
    size = len(requests)
    gaps = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    law = transfers(requests, gaps, lambda c: pattern[c % len(pattern)])
    assert law == stepped(requests, gaps, pattern, 400)


@pytest.mark.parametrize("specification", ["hbm2", "hbm2e", "ddr4_2400"])
def test_the_simulated_memory_asks_no_bank_for_updates_faster_than_the_rtl_does_them(
    specification: str,
) -> None:
    dram = DramConfig(specification=specification)
    assert dram.timing.nCCD_L * dram.update_ccd_multiple >= WRITE_CYCLES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"words": 12}, "words must be a power of two, got 12"),
        ({"words": 1}, "words must be a whole number from 2 to 65536, got 1"),
        ({"lanes": 0}, "lanes must be a whole number from 1 to 64, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        NmcGeometry(**values)
    assert str(refused.value) == f"NmcGeometry: {message}"
