"""How to simulate changes no result: prefill and decode across the edge of a bucket.

The contract suite holds every system to this on models made for it; here, when slow tests are
asked for, every layer of a real model is simulated, none of them replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hwsim.outcome import Outcome

Run = Callable[..., Outcome]
SCENARIO = ("workload.prompt_tokens=110", "workload.output_tokens=20")
REAL = "tinyllama_1_1b"
OPTIONS: list[dict[str, Any]] = [
    {"replay": False},
    {"shuffle_ties": True, "seed": 7},
    {"shuffle_ties": True, "seed": 8},
    {"shuffle_ties": True, "seed": 9, "replay": False},
]

any_way = pytest.mark.parametrize("options", OPTIONS, ids=str)


def assert_same(found: Outcome, expected: Outcome) -> None:
    assert dict(found.metrics) == dict(expected.metrics)
    assert dict(found.stages) == dict(expected.stages)
    assert list(found.phases) == list(expected.phases)
    assert found.bound_by == expected.bound_by
    for one, other in zip(found.ops(), expected.ops(), strict=True):
        assert one == other


@any_way
def test_how_to_simulate_changes_no_result(run: Run, small: str, options: dict[str, Any]) -> None:
    assert_same(run("u280", small, *SCENARIO, **options), run("u280", small, *SCENARIO))


@pytest.mark.slow
@any_way
def test_how_to_simulate_changes_no_result_of_a_real_model(
    run: Run, options: dict[str, Any]
) -> None:
    assert_same(run("u280", REAL, *SCENARIO, **options), run("u280", REAL, *SCENARIO))


def test_replay_skips_what_was_seen(run: Run) -> None:
    """Of 22 layers and 20 steps, one layer of each phase and bucket."""
    step = ("workload.phase=decode_step", "workload.kv_length=64")
    simulated = run("u280", REAL, *step, replay=False)
    assert run("u280", REAL, *step).events < 0.15 * simulated.events


def test_layers_alike_take_alike_time(run: Run) -> None:
    """To the edges of a cycle; all of them simulated."""
    step = ("workload.phase=decode_step", "workload.kv_length=64")
    rows = run("u280", REAL, *step, replay=False).ops()
    ends = [row.end_cycle for row in rows if row.name.endswith("ffn_add")]
    lengths = [other - one for one, other in pairwise(ends)]
    assert len(ends) == 22
    assert max(lengths) - min(lengths) <= 1
