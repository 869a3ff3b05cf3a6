"""T3's Tracker: its size, its turns, and the cycles of what it takes and gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.t3_tracker import (
    LATENCY,
    Kernel,
    Timetable,
    TrackerGeometry,
    Update,
    set_index,
    timetable,
    turn,
)

SMALL = TrackerGeometry(entries=2, wavefronts=2, workgroup_bits=5)
STALLING = SMALL.model_copy(update={"on_full": "stall"})
START = SMALL.start_cycles
FOREVER = 10_000


def always(_cycle: int) -> bool:
    return True


def run(
    geometry: TrackerGeometry,
    kernel: Kernel,
    *ports: list[Update],
    ready: Any = (always, always),
    cycles: int = FOREVER,
    again: Any = None,
) -> Timetable:
    updates = [[(update, 0) for update in port] for port in ports]
    return timetable(geometry, [(kernel, 0)], updates, *ready, cycles=cycles, again=again)


# Size


def test_the_published_organisation_takes_19_kib() -> None:
    geometry = TrackerGeometry()
    assert geometry.entry_bits == 8 + 3 + 48 + 17 == 76
    assert geometry.tiles == 256 * 8
    assert geometry.size_bytes == 256 * 8 * 76 // 8 == 19_456


@pytest.mark.parametrize(
    ("tile_elements", "updates", "bits"), [(4096, 2, 14), (16, 1, 5), (32768, 2, 17)]
)
def test_a_count_holds_the_largest_threshold(tile_elements: int, updates: int, bits: int) -> None:
    geometry = TrackerGeometry(tile_elements=tile_elements, updates_per_element=updates)
    assert geometry.count_bits == bits
    assert 1 << bits - 1 <= geometry.threshold < 1 << bits


# Sets and turns


def test_the_low_bits_name_the_set() -> None:
    assert [set_index(group, 4) for group in (0, 3, 4, 7, 1022)] == [0, 3, 0, 3, 2]


@given(st.integers(0, 31), st.integers(0, 31))
def test_a_sets_workgroups_take_turns_in_order_from_the_first(first: int, after: int) -> None:
    groups = [(first + i) % 32 for i in range(after + 1)]
    served = Counter(set_index(group, 2) for group in groups)
    assert turn(SMALL, first, groups[-1]) == served[set_index(groups[-1], 2)] - 1


# Cycles


def test_an_update_a_cycle_on_each_port_and_a_trigger_three_later() -> None:
    own = [[Update(port, 0, 16)] * 6 for port in range(2)]
    seen = run(SMALL, Kernel(0, 96, 2), *own)
    assert seen.kernels == [0]
    assert seen.taken == [[START + i for i in range(6)]] * 2
    assert seen.triggers == [(START + 5 + LATENCY, 0, 5), (START + 5 + LATENCY + 1, 1, 5)]


def test_both_ports_count_on_one_tile_in_one_cycle_and_it_triggers_once() -> None:
    seen = run(SMALL, Kernel(3, 32, 1), *[[Update(3, 0, 16)]] * 2)
    assert seen.triggers == [(START + LATENCY, 0, 0)]


def test_the_next_workgroup_is_counted_in_the_cycle_after_the_last_ones_trigger() -> None:
    seen = run(SMALL, Kernel(0, 8, 1), [Update(0, 0, 8), Update(2, 0, 8), Update(4, 0, 8)], [])
    assert [cycle for cycle, _, _ in seen.triggers] == [START + LATENCY + i for i in range(3)]


def test_a_set_goes_to_the_next_workgroup_only_when_all_wavefronts_have_triggered() -> None:
    early = [Update(0, 0, 8), Update(2, 0, 8), Update(0, 1, 8), Update(2, 0, 8)]
    seen = run(SMALL, Kernel(0, 8, 2), early, [])
    assert [each.counted for each in seen.looked_up] == [True, False, True, True]
    assert seen.refused == [(START + 1 + LATENCY, 0, 1)]


def test_what_is_handed_back_lets_others_pass_and_is_counted_when_it_comes_again() -> None:
    early = [Update(2, 0, 8), Update(0, 0, 8)]
    seen = run(SMALL, Kernel(0, 8, 1), early, [], again=lambda _update, _waiting: 0)
    assert [each.counted for each in seen.looked_up] == [False, True, True]
    assert seen.offered[0] == [(early[0], 0), (early[1], 0), (early[0], 2)]
    assert seen.triggers == [(START + 1 + LATENCY, 0, 1), (START + 4 + LATENCY, 0, 2)]


def test_a_port_that_stalls_holds_what_is_behind_until_the_other_has_freed_the_set() -> None:
    ports = [Update(2, 0, 8), Update(1, 0, 3)], [Update(1, 0, 1)] * 5 + [Update(0, 0, 8)]
    seen = run(STALLING, Kernel(0, 8, 1), *ports)
    assert seen.taken[0] == [START, START + 7]
    assert seen.held == {"its turn": 6}


def test_a_full_stalling_tracker_waits_for_good_if_nobody_frees_the_set() -> None:
    seen = run(STALLING, Kernel(0, 8, 1), [Update(2, 0, 8), Update(0, 0, 8)], [], cycles=99)
    assert seen.taken == [[START], []]
    assert seen.triggers == []


def test_five_triggers_wait_before_a_port_does() -> None:
    groups = [Update(group, 0, 8) for group in range(12)]
    stalled = (lambda cycle: cycle >= 60, always)
    seen = run(SMALL, Kernel(0, 8, 1), groups[::2], groups[1::2], ready=stalled)
    looked_up = [each for each in seen.looked_up if each.cycle < 60]
    assert len(looked_up) == 2 * 2 + 1
    assert [cycle for cycle, _, _ in seen.triggers] == list(range(60, 72))


def test_ports_take_turns_at_the_offer() -> None:
    groups = [Update(group, 0, 8) for group in range(12)]
    seen = run(SMALL, Kernel(0, 8, 1), groups[::2], groups[1::2])
    assert [port for _, port, _ in seen.triggers] == [0, 1] * 6


def test_a_kernel_waits_for_held_updates_and_clears_a_tile_a_cycle() -> None:
    kernels = [(Kernel(0, 8, 1), 0), (Kernel(0, 4, 1), START + 1)]
    updates = [[(Update(0, 0, 8), 0), (Update(0, 0, 4), 0), (Update(1, 0, 4), 0)], []]
    seen = timetable(SMALL, kernels, [updates[0][:1], []], always, always, cycles=FOREVER)
    assert seen.kernels == [0, START + 2]
    late = [[updates[0][0], (Update(0, 0, 4), 1), updates[0][2]], []]
    seen = timetable(SMALL, kernels, late, always, always, cycles=FOREVER)
    assert seen.taken[0] == [START, START + 2, 2 * START + 2]
    assert [(port, i) for _, port, i in seen.triggers] == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(
    ("threshold", "updates"),
    [
        (8, [Update(0, 0, 8), Update(0, 0, 1)]),
        (9, [Update(0, 0, 8), Update(0, 0, 2)]),
        (8, [Update(0, 0, 7), Update(0, 2, 1)]),
    ],
)
def test_a_fault_stops_everything(threshold: int, updates: list[Update]) -> None:
    more = [Update(1, 0, 1)] * 5
    seen = run(SMALL, Kernel(0, threshold, 2), updates + more, [], cycles=50)
    assert seen.fault == START + 3
    assert len(seen.taken[0]) == 3
    assert len(seen.looked_up) == 2


tiles = st.lists(st.integers(1, 16), min_size=1, max_size=3)


@given(st.data(), st.sampled_from([SMALL, STALLING]), st.integers(0, 31), st.integers(1, 12))
def test_every_tile_triggers_once_and_not_before_its_last_update(
    data: st.DataObject, geometry: TrackerGeometry, first: int, groups: int
) -> None:
    pieces = data.draw(tiles)
    kernel = Kernel(first, sum(pieces), data.draw(st.sampled_from([1, 2])))
    ports: list[list[tuple[tuple[int, int], Update]]] = [[], []]
    for i in range(groups):
        for wavefront in range(kernel.wavefronts):
            for piece in pieces:
                update = Update((first + i) % 32, wavefront, piece)
                ports[data.draw(st.integers(0, 1))].append(((i // 2, i), update))
    ordered = [[update for _, update in sorted(port)] for port in ports]
    seen = run(geometry, kernel, *ordered, again=lambda _update, waiting: len(waiting))
    last: dict[tuple[int, int], int] = {}
    for each in seen.looked_up:
        if each.counted:
            update = seen.offered[each.port][each.number][0]
            last[update.workgroup, update.wavefront] = each.cycle
    triggered = [seen.offered[port][i][0] for _, port, i in seen.triggers]
    assert sorted(update[:2] for update in triggered) == sorted(last)
    assert len(last) == groups * kernel.wavefronts
    for (cycle, _, _), update in zip(seen.triggers, triggered, strict=True):
        assert cycle >= last[update.workgroup, update.wavefront] + LATENCY - 1


# Refusals


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"entries": 48}, "entries must be a power of two, got 48"),
        ({"wavefronts": 6}, "wavefronts must be a power of two, got 6"),
        ({"entries": 1}, "entries must be a whole number from 2 to 4096, got 1"),
        ({"ports": 5}, "ports must be a whole number from 1 to 4, got 5"),
        (
            {"workgroup_bits": 8},
            "workgroup_bits must be more than the 8 that name one of 256 entries, got 8",
        ),
        ({"on_full": "evict"}, "on_full must be one of 'step_aside', 'stall', got 'evict'"),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrackerGeometry(**values)
    assert str(refused.value) == f"TrackerGeometry: {message}"
