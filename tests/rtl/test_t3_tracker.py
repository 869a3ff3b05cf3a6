"""The Tracker beside the simulated one and the trigger table."""

from __future__ import annotations

from itertools import groupby
from random import Random

import pytest

from hwsim.laws.t3_tracker import Kernel as Tracked
from hwsim.laws.t3_tracker import TrackerGeometry, Update, timetable
from hwsim.laws.t3_trigger import TriggerGeometry
from hwsim.models.t3.tracker import Tracker, TrackerConfig
from hwsim.sim import Kernel, Process

GEOMETRY = TrackerGeometry(entries=4, wavefronts=4, workgroup_bits=8)
GROUPS = range(5, 65)
PIECES = (16, 8, 8)


@pytest.mark.parametrize("seed", range(5))
def test_the_simulated_tracker_counts_and_triggers_when_the_law_does(seed: int) -> None:
    """The same updates in the same order: each finds its set at once, and the same ones trigger."""
    rng = Random(seed)
    updates = [Update(g, w, piece) for g in GROUPS for w in range(4) for piece in PIECES]
    updates.sort(key=lambda update: update.workgroup + rng.uniform(0, 5))
    law = timetable(
        GEOMETRY,
        [(Tracked(GROUPS[0], sum(PIECES), 4), 0)],
        [[(update, 0) for update in updates[port::2]] for port in range(2)],
        lambda cycle: cycle % 3 > 0,
        lambda _cycle: True,
        cycles=100_000,
        again=lambda _update, waiting: len(waiting),
    )
    kernel = Kernel()
    config = TrackerConfig(entries=4, wavefronts=4)
    tracker = Tracker(kernel, "tracker", config, list(GROUPS), lambda _group: [sum(PIECES)] * 4)
    triggered: list[tuple[int, int]] = []

    def play() -> Process:
        counted = [each for each in law.looked_up if each.counted]
        for cycle, step in groupby(counted, lambda each: each.cycle):
            yield kernel.wait(cycle - kernel.now)
            for each in step:
                update, _ = law.offered[each.port][each.number]
                yield tracker.admit(update.workgroup)
                assert kernel.now == cycle
                if tracker.count(*update):
                    triggered.append(update[:2])

    kernel.run(play())
    assert law.refused
    assert sorted(triggered) == sorted(law.offered[port][i][0][:2] for _, port, i in law.triggers)
    assert len(triggered) == 4 * len(GROUPS)


def test_the_trigger_table_takes_the_trackers_triggers() -> None:
    pytest.importorskip("amaranth")
    from rtl.blocks import t3_tracker, t3_trigger_table

    given = t3_tracker.trigger_layout(TrackerGeometry())
    taken = t3_trigger_table.trigger_layout(TriggerGeometry())
    assert [(n, f.offset, f.width) for n, f in given] == [(n, f.offset, f.width) for n, f in taken]
