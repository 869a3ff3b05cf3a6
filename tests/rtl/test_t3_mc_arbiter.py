"""The arbiter's RTL beside the simulated memory: a channel's decisions, every one of them."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    COMPUTE_FIRST,
    NOBODY,
    ROUND_ROBIN,
    UNLIMITED,
)
from hwsim.laws.t3_mc_arbiter import LATENCY, ArbiterGeometry, Decision, Settings
from hwsim.memory import Access, Region, Stream
from hwsim.memory.config import DramConfig, MemoryConfig
from hwsim.memory.system import MemorySystem
from hwsim.sim import Kernel, Process
from rtl.benches.t3_mc_arbiter import recorded
from rtl.block import Case
from rtl.flow.emit import emit
from rtl.flow.label import module_name
from rtl.flow.simulate import Design, run_cases
from rtl.flow.tools import Simulator
from rtl.registry import block

GEOMETRY = ArbiterGeometry()
POLICIES = {"round_robin": ROUND_ROBIN, "compute_first": COMPUTE_FIRST}
ROW_BYTES = 32 * 1024


def decided(controller: dict[str, Any], *, seed: int = 1) -> list[Decision]:
    """What channel 0 decides while computing reads and updates, and communication does too."""
    cfg = MemoryConfig(dram=DramConfig(specification="hbm2", controller=controller))
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", cfg, recorded_channel=0)

    def user(stream: Stream) -> Process:
        draw = Random(10 * seed + stream)
        for number in range(40):
            base = draw.randrange(1 << 14) * ROW_BYTES
            kind = draw.choice((Access.READ, Access.READ, Access.UPDATE))
            asked = memory.access(Region(base, ROW_BYTES), kind, stream, int(stream))
            if number % 4 == 3:
                memory.set_threshold(draw.choice((5, 10, 30, None)))
                yield asked
                yield kernel.wait(draw.randrange(4 * 10**8))

    def main() -> Process:
        yield from [kernel.start(user(stream)) for stream in Stream]

    kernel.run(main())
    limit = cfg.dram.controller.starvation_cycles
    policy = POLICIES[cfg.dram.controller.arbiter]
    return [
        Decision(
            cycle=cycle,
            compute_waits=bool(compute),
            communication_waits=bool(communication),
            entries=entries,
            waited=waited,
            settings=Settings(policy, threshold, UNLIMITED, limit),
            choice=choice,
        )
        for cycle, compute, communication, entries, threshold, waited, choice, *_ in (
            memory.decisions.tolist()
        )
    ]


CONTROLLERS = {
    "turns": {"arbiter": "round_robin"},
    "computing first": {"arbiter": "compute_first", "starvation_cycles": 300},
    "soon forced": {"arbiter": "compute_first", "starvation_cycles": 20},
    "one queue": {
        "arbiter": "compute_first",
        "separate_write_queue": False,
        "threshold_counts": "all",
        "starvation_cycles": 100,
    },
}


def admissions(case: Case, stream: str) -> list[int]:
    return [cycle for cycle, _ in case.expected[stream]]


@pytest.mark.parametrize("name", CONTROLLERS)
def test_the_law_decides_as_the_simulated_memory_did(name: str) -> None:
    decisions = decided(CONTROLLERS[name])
    case = recorded(GEOMETRY, Random(0), decisions)
    shift = admissions(case, "occupancy")[0] - decisions[0].cycle
    for stream, choice in (("compute", COMPUTE), ("communication", COMMUNICATION)):
        simulated = [d.cycle + shift for d in decisions if d.choice == choice]
        assert admissions(case, stream) == simulated
    assert admissions(case, "queue") == [
        d.cycle + shift + LATENCY for d in decisions if d.choice != NOBODY
    ]


def test_the_recordings_hold_every_kind_of_decision() -> None:
    seen = Counter(
        (d.settings.policy, d.compute_waits, d.communication_waits, d.choice)
        for controller in CONTROLLERS.values()
        for d in decided(controller)
    )
    for policy in POLICIES.values():
        for choice in (COMPUTE, COMMUNICATION):
            assert seen[policy, True, True, choice] > 30
        assert seen[policy, True, False, COMPUTE] > 30
        assert seen[policy, False, True, COMMUNICATION] > 30
    assert seen[COMPUTE_FIRST, False, True, NOBODY] > 30


@pytest.mark.rtl
def test_the_rtl_decides_as_the_simulated_memory_did(simulator: Simulator) -> None:
    found = block("t3.mc_arbiter")
    design = Design(module_name(found, GEOMETRY), emit(found, GEOMETRY), found.models)
    cases = [recorded(GEOMETRY, Random(0), decided(each)) for each in CONTROLLERS.values()]
    answer = run_cases(design, simulator, cases)
    assert answer["wrong"] == ""
    assert answer["cycles"] == sum(case.cycles for case in cases)
