"""T3's own speed: a sub-layer of T-NLG, GEMM and reduce-scatter fused, then the all-gather."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hwsim.config import build, load_machine_file
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.system import simulate
from hwsim.outcome import SimOptions
from hwsim.workloads import TensorParallelWorkload, load_workload

__all__ = ["benchmarks"]

MACHINE = "t3/gpu80"
SUBLAYER = ("t_nlg", [("tensor_parallel", "8"), ("sublayer", "fc2")])


def benchmarks() -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    config = build(T3Config, load_machine_file(MACHINE))
    workload = load_workload(*SUBLAYER)
    assert isinstance(workload, TensorParallelWorkload)
    started = time.perf_counter()
    outcome = simulate(config, workload, SimOptions())
    yield "t3_sublayer", time.perf_counter() - started, "s"
    yield "t3_sublayer_events", outcome.events, "1"
