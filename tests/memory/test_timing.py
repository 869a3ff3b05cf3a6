"""Every timing rule: kept on random traffic, and missed when it is taken out.

The rules are checked on the log of commands by an independent reading of them, in ``conftest.py``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from hwsim.memory import Access, Region
from hwsim.memory.config import DramConfig

Asked = tuple[Access, Region, int, int]
FEW = {
    "hbm2": {"specification": "hbm2", "channels": 2},
    "hbm2e": {"specification": "hbm2e", "channels": 2},
    "ddr4_2400": {"specification": "ddr4_2400"},
}


def traffic(cfg: DramConfig, *, seed: int, count: int = 300) -> list[Asked]:
    """Requests of all kinds and sizes to a few rows of every bank, in bursts of arrivals."""
    draw = random.Random(seed)
    burst, found, arrival = cfg.burst_bytes, [], 0
    for _ in range(count):
        kind = draw.choice([Access.READ, Access.READ, Access.WRITE, Access.UPDATE])
        size = burst * draw.choice([1, 1, 2, 8, 64])
        base = draw.randrange((1 << 20) // burst) * burst
        found.append((kind, Region(base, size), arrival, draw.randrange(2)))
        if draw.random() < 0.2:
            arrival += draw.randrange(400)
    return found


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("seed", range(3))
def test_random_traffic_keeps_every_rule(
    bench: type[Any], violations: Callable[..., list[str]], name: str, seed: int
) -> None:
    cfg = DramConfig(**FEW[name])
    run = bench(cfg)
    run.run(traffic(cfg, seed=seed))

    assert violations(run.engine.log, cfg) == []


@pytest.mark.parametrize("shared", [True, False])
def test_random_traffic_keeps_every_rule_with_one_queue_or_two(
    bench: type[Any], violations: Callable[..., list[str]], shared: bool
) -> None:
    cfg = DramConfig(**FEW["hbm2"], controller={"separate_write_queue": not shared})
    run = bench(cfg)
    run.run(traffic(cfg, seed=5))

    assert violations(run.engine.log, cfg) == []


RULES = {
    "nRCD": {},
    "nRP": {},
    "nRAS": {},
    "nRC": {"nRP": 1, "nRAS": 1},
    "nCCD_S": {"nBL": 1, "nCCD_S": 3},
    "nCCD_L": {"nCCD_L": 6},
    "nRRD_S": {},
    "nRRD_L": {"nRRD_L": 9},
    "nFAW": {"nFAW": 40},
    "nRTP": {"nRTP": 40},
    "nWR": {"nWR": 40},
    "nWTR_S": {},
    "nWTR_L": {"nWTR_L": 20},
    "nRTW": {},
    "nRFC": {},
}
"""Each rule, with other values where a neighbour would hide it."""


@pytest.mark.parametrize(("rule", "given"), RULES.items())
def test_without_the_rule_it_is_broken(
    bench: type[Any], violations: Callable[..., list[str]], rule: str, given: dict[str, int]
) -> None:
    cfg = DramConfig(**FEW["hbm2"], timing=given)
    without = DramConfig(**FEW["hbm2"], timing={**given, rule: 0})
    asked = traffic(cfg, seed=1)
    kept, taken_out = bench(cfg), bench(without)
    kept.run(asked)
    taken_out.run(asked)

    assert violations(kept.engine.log, cfg) == []
    assert rule in violations(taken_out.engine.log, cfg)


def test_without_refresh_there_is_none(
    bench: type[Any], violations: Callable[..., list[str]]
) -> None:
    cfg = DramConfig(**FEW["hbm2"])
    run = bench(DramConfig(**FEW["hbm2"], timing={"nREFI": 0}))
    run.run(traffic(cfg, seed=1))

    assert violations(run.engine.log, cfg) == ["nREFI"]


def test_updates_are_as_far_apart_as_the_multiple_says(
    bench: type[Any], violations: Callable[..., list[str]]
) -> None:
    cfg = DramConfig(**FEW["hbm2"], update_ccd_multiple=4)
    run, faster = bench(cfg), bench(DramConfig(**FEW["hbm2"], update_ccd_multiple=1))
    run.run(traffic(cfg, seed=1))
    faster.run(traffic(cfg, seed=1))

    assert violations(run.engine.log, cfg) == []
    assert violations(faster.engine.log, cfg) == ["update"]


def test_one_command_bus_gives_one_command_a_cycle(
    bench: type[Any], violations: Callable[..., list[str]]
) -> None:
    two = DramConfig(**FEW["hbm2"])
    one = DramConfig(**FEW["hbm2"], dual_command_bus=False)
    run = bench(two)
    run.run(traffic(two, seed=1))

    assert violations(run.engine.log, two) == []
    assert violations(run.engine.log, one) == ["command bus"]
