"""How to simulate changes no result: replay, order of simultaneous events, hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hwsim.models.registry import systems
from hwsim.outcome import Outcome

Observe = Callable[..., Any]

ONCE = {"ring"}
"""Scenarios in which nothing happens twice."""


def facts(outcome: Outcome) -> dict[str, Any]:
    """All of an outcome but what it cost and how it is drawn."""
    return {
        "metrics": dict(outcome.metrics),
        "phases": list(outcome.phases),
        "stages": dict(outcome.stages),
        "ops": list(outcome.ops()),
        "bound_by": dict(outcome.bound_by),
        "headline": list(outcome.headline),
        "tables": {name: (t.columns, list(t.rows)) for name, t in outcome.tables.items()},
        "notes": list(outcome.notes),
        "timeline": outcome.timeline,
    }


def assert_equal(one: Outcome, other: Outcome) -> None:
    """Equal part by part, so that a failure names the first part that differs."""
    theirs = facts(other)
    for name, part in facts(one).items():
        assert part == theirs[name], f"{name} differ"


def test_every_kind_of_workload_a_system_takes_has_a_quick_scenario(
    scenarios: Mapping[str, Any],
) -> None:
    """Else its components would escape the contracts: add one to ``conftest.SCENARIOS``."""
    assert {kind for entry in systems() for kind in entry.workload_kinds} <= set(scenarios)


def test_replay_changes_no_result(case: Any, observe: Observe) -> None:
    simulated, replayed = observe(case, replay=False), observe(case, replay=True)

    assert_equal(replayed.outcome, simulated.outcome)


def test_replay_leaves_the_machine_as_simulation_does(case: Any, observe: Observe) -> None:
    observed = observe(case, replay=False), observe(case, replay=True)
    if any(each.kernels > 1 for each in observed):
        pytest.skip("each of its kernels starts from rest, so that none is left as it was")
    simulated, replayed = (each.kernel for each in observed)
    assert replayed.now == simulated.now
    for one, other in zip(replayed.components, simulated.components, strict=True):
        stages = {name: stage.times() for name, stage in other.stages().items()}
        assert {name: stage.times() for name, stage in one.stages().items()} == stages, one.name
        counts = {name: counter.value for name, counter in other.counters().items()}
        assert {name: counter.value for name, counter in one.counters().items()} == counts
        assert one.memory() == other.memory()


def test_replay_is_worth_it(case: Any, observe: Observe) -> None:
    replayed, simulated = (observe(case, replay=replay).outcome.events for replay in (True, False))
    if case.scenario in ONCE:
        assert replayed == simulated
    else:
        assert replayed < simulated


@pytest.mark.parametrize(("replay", "seed"), [(True, 1), (True, 2), (True, 3), (False, 4)])
def test_the_order_of_simultaneous_events_changes_no_result(
    case: Any, observe: Observe, replay: bool, seed: int
) -> None:
    shuffled = observe(case, replay=replay, shuffle_ties=True, seed=seed)

    assert_equal(shuffled.outcome, observe(case, replay=replay).outcome)


def test_the_timeline_is_recorded_only_when_asked_for_and_changes_no_result(
    case: Any, observe: Observe
) -> None:
    drawn, bare = observe(case).outcome, observe(case, timeline=False).outcome

    assert drawn.timeline is not None
    assert drawn.timeline.slices
    assert bare.timeline is None
    assert {**facts(bare), "timeline": 0} == {**facts(drawn), "timeline": 0}


FINGERPRINTS = """
import hashlib, sys
from hwsim.run import simulate
from hwsim.outcome import SimOptions
machine, workload, *overrides = sys.argv[1:]
outcome = simulate(machine, workload, overrides, SimOptions(timeline=True)).outcome
parts = {
    "metrics": outcome.metrics, "phases": outcome.phases, "stages": outcome.stages,
    "ops": list(outcome.ops()), "bound_by": outcome.bound_by, "notes": outcome.notes,
    "tables": {name: (t.columns, list(t.rows)) for name, t in outcome.tables.items()},
    "slices": outcome.timeline.slices, "samples": outcome.timeline.samples,
    "events": outcome.events,
}
for name, part in parts.items():
    print(name, hashlib.sha256(repr(part).encode()).hexdigest())
"""


def fingerprints(case: Any, hash_seed: str) -> str:
    """A digest of each part of the result, from a process of its own."""
    command = [sys.executable, "-c", FINGERPRINTS, case.machine, *case.words]
    path = os.pathsep.join(p for p in sys.path if p)
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_hash_seed_changes_no_result(case: Any) -> None:
    """Not even the order in which things are recorded, nor how many events it takes."""
    assert fingerprints(case, "1") == fingerprints(case, "2")
