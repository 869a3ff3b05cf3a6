"""What the Tracker counts and triggers, against sums over arrays, and against its timetable."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.golden.t3_tracker import tracked
from hwsim.laws.t3_tracker import Kernel, TrackerGeometry, Update, timetable

GEOMETRY = TrackerGeometry(entries=4, wavefronts=4, workgroup_bits=6)


def shuffled(seed: int, spread: float) -> tuple[Kernel, list[Update]]:
    """All updates of some workgroups, each at most about ``spread`` of them out of order."""
    rng = Random(seed)
    kernel = Kernel(rng.randrange(64), rng.randint(1, 40), rng.choice([1, 2, 4]))
    found: list[tuple[float, Update]] = []
    for i in range(rng.randint(1, 30)):
        for wavefront in range(kernel.wavefronts):
            left = kernel.threshold
            while left:
                piece = rng.randint(1, min(left, 16))
                update = Update((kernel.first + i) % 64, wavefront, piece)
                found.append((i + rng.uniform(0, spread), update))
                left -= piece
    return kernel, [update for _, update in sorted(found)]


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_last_of_each_tile_completes_it(seed: int, at_once: int) -> None:
    """In turn, so that nothing is refused: by cumulative sums over each tile."""
    kernel, updates = shuffled(seed, 1.0)
    steps = np.arange(len(updates)) // at_once
    found = tracked(GEOMETRY, kernel, updates, np.arange(len(updates)))
    assert found.counted.all()
    values = np.array(updates)
    tile = values[:, 0] * 4 + values[:, 1]
    sums = np.zeros(len(updates), np.int64)
    for each in np.unique(tile):
        sums[tile == each] = np.cumsum(values[tile == each, 2])
    assert np.array_equal(found.completes, sums == kernel.threshold)
    grouped = tracked(GEOMETRY, kernel, updates, steps)
    if grouped.counted.all():
        assert grouped.completes.sum() == found.completes.sum()
        last = {steps[i] for i in np.flatnonzero(found.completes)}
        assert {steps[i] for i in np.flatnonzero(grouped.completes)} == last


def test_of_two_at_once_the_first_stands_for_the_trigger() -> None:
    found = tracked(GEOMETRY, Kernel(0, 4, 1), [Update(0, 0, 2)] * 2, np.array([5, 5]))
    assert found.completes.tolist() == [True, False]


def test_those_at_once_see_the_set_as_it_was() -> None:
    updates = [Update(0, 0, 4), Update(4, 0, 4), Update(4, 0, 4)]
    found = tracked(GEOMETRY, Kernel(0, 4, 1), updates, np.array([0, 0, 1]))
    assert found.counted.tolist() == [True, False, True]


def test_a_later_workgroup_is_refused_until_every_wavefront_is_complete() -> None:
    updates = [Update(0, 0, 4), Update(4, 0, 4), Update(0, 1, 4), Update(4, 0, 4)]
    found = tracked(GEOMETRY, Kernel(0, 4, 2), updates, np.arange(4))
    assert found.counted.tolist() == [True, False, True, True]


@given(st.integers(0, 10**6), st.sampled_from([1.0, 5.0, 9.0]))
def test_the_timetable_refuses_and_triggers_as_golden_says(seed: int, spread: float) -> None:
    kernel, updates = shuffled(seed, spread)
    ports = [[(update, 0) for update in updates[port::2]] for port in range(2)]
    law = timetable(
        GEOMETRY,
        [(kernel, 0)],
        ports,
        lambda cycle: cycle % 3 > 0,
        lambda cycle: cycle % 5 > 1,
        cycles=20_000,
        again=lambda _update, waiting: len(waiting),
    )
    seen = [law.offered[each.port][each.number][0] for each in law.looked_up]
    found = tracked(GEOMETRY, kernel, seen, np.array([each.cycle for each in law.looked_up]))
    assert [each.counted for each in law.looked_up] == found.counted.tolist()
    which = [law.looked_up[i] for i in np.flatnonzero(found.completes)]
    triggers = sorted((port, number) for _, port, number in law.triggers)
    assert triggers == sorted((each.port, each.number) for each in which)
