from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from hwsim.errors import InvariantError, ProtocolError
from hwsim.models.t3.tracker import Tracker, TrackerConfig
from hwsim.sim import Kernel, Process

TILES = 2


def _tracker(
    kernel: Kernel, cfg: TrackerConfig, groups: Sequence[int], updates: int = 6
) -> Tracker:
    return Tracker(kernel, "tracker", cfg, groups, lambda _: [updates] * TILES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("entries", [2, 4, 16])
def test_every_tile_triggers_once_however_few_sets_there_are(entries: int, seed: int) -> None:
    kernel = Kernel(shuffle_ties=True, seed=seed)
    groups = list(range(5, 25))
    tracker = _tracker(kernel, TrackerConfig(entries=entries), groups)
    triggered: list[tuple[int, int]] = []
    draw = random.Random(seed)

    def update(group: int, tile: int, at: int) -> Process:
        yield kernel.wait(at)
        yield tracker.admit(group)
        if tracker.count(group, tile, 3):
            triggered.append((group, tile))

    def main() -> Process:
        updates = [(g, t, draw.randrange(40)) for g in groups for t in range(TILES) for _ in "ab"]
        draw.shuffle(updates)
        yield from [kernel.start(update(*each)) for each in updates]

    kernel.run(main())
    assert sorted(triggered) == [(g, t) for g in groups for t in range(TILES)]
    assert tracker.triggers == len(triggered)
    assert tracker.entries_peak <= entries
    assert tracker.waiting() == []


def test_a_set_is_given_in_order_of_the_workgroups() -> None:
    kernel = Kernel()
    tracker = _tracker(kernel, TrackerConfig(entries=4), [0, 4, 8])

    def main() -> Process:
        late, first = tracker.admit(8), tracker.admit(4)
        yield kernel.wait(10)
        assert not late.triggered
        assert not first.triggered
        assert tracker.waiting() == ["tracker: workgroup 4 waits for the set of workgroup 0"]
        yield tracker.admit(0)
        for tile in range(TILES):
            tracker.count(0, tile, 6)
        yield first
        assert not late.triggered

    kernel.run(main())


def test_a_set_is_given_to_the_first_to_come_if_so_configured() -> None:
    kernel = Kernel()
    cfg = TrackerConfig(entries=4, allocation="first_come")
    tracker = _tracker(kernel, cfg, [0, 4, 8])

    def main() -> Process:
        yield tracker.admit(8)
        waits = tracker.admit(0)
        yield kernel.wait(10)
        assert not waits.triggered
        assert tracker.waited == 1

    kernel.run(main())


def test_a_full_tracker_can_be_an_error() -> None:
    kernel = Kernel()
    tracker = _tracker(kernel, TrackerConfig(entries=4, on_full="error"), [1, 5])

    def main() -> Process:
        yield tracker.admit(1)
        yield tracker.admit(5)

    message = (
        r"^tracker: workgroup 5 needs the set that serves workgroup 1; "
        r"tracker.entries must be more than 4$"
    )
    with pytest.raises(ProtocolError, match=message):
        kernel.run(main())


def test_more_updates_than_the_threshold_are_an_error() -> None:
    kernel = Kernel()
    tracker = _tracker(kernel, TrackerConfig(), [0])

    def main() -> Process:
        yield tracker.admit(0)
        tracker.count(0, 0, 7)

    message = (
        r"^tracker: tile 0 of workgroup 0 must have no more updates than its threshold, "
        r"got 1 more$"
    )
    with pytest.raises(InvariantError, match=message):
        kernel.run(main())


def test_an_update_of_a_workgroup_without_a_set_is_an_error() -> None:
    tracker = _tracker(Kernel(), TrackerConfig(), [0])
    with pytest.raises(
        InvariantError, match=r"^tracker: workgroup 0 must have a set to be counted$"
    ):
        tracker.count(0, 0, 1)
