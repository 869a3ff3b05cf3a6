"""A small run that has one of everything a report can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.config import Parameter
from hwsim.outcome import FigureSpec, Metric, OpRow, Outcome, Phase, StageCycles, TableData
from hwsim.report import write_run
from hwsim.run import Host, Provenance, Result
from hwsim.sim.timeline import Timeline

METRICS = {
    "decode_step_latency": Metric(0.0175, "s"),
    "throughput": Metric(57.25, "token/s"),
    "memory_bandwidth_utilization": Metric(0.659, "1"),
    "cycles": Metric(3_938_850, "cycle"),
    "bytes_read": Metric(3_253_000_000, "B"),
}
TABLES = {
    "staircase": TableData(("kv_length", "seconds"), [(128, 0.0175), (144, 0.0176), (160, "")]),
    "units": TableData(("unit", "busy", "starved"), [("LD", 0.7, 0.3), ("MV", 0.48, 0.52)]),
    "mix": TableData(("unit", "count"), [("LD", 89554), ("MV", 8830)]),
}
FIGURES = (
    FigureSpec(
        *("staircase", "Decode step latency", "steps", "staircase", "kv_length", ("seconds",)),
        *("KV length (token)", "latency (s)", "A jump for each bucket."),
    ),
    FigureSpec(
        *("units", "Where each cycle goes", "stacked_bar", "units", "unit", ("busy", "starved")),
        *("", "share (%)", "Loads set the pace."),
    ),
)


def op_rows() -> Iterator[OpRow]:
    """Three linear ops and a norm."""
    for layer in range(3):
        name = f"layers.{layer}.q_proj"
        yield OpRow(
            layer, name, "Gemm", "decode", layer, 90 * layer, 90 * (layer + 1), 64, 8, 512, "memory"
        )
    yield OpRow(3, "norm", "Norm", "decode", None, 270, 280, 16, 16, 0, "latency")


@pytest.fixture(scope="session")
def result() -> Result:
    """The run, whole."""
    timeline = Timeline()
    timeline.slice("core.ld", "weight", 0, 4_444_444)
    outcome = Outcome(
        metrics=METRICS,
        phases=[Phase("decode", 3_938_850, 0.0175)],
        stages={"core.ld": StageCycles(2_800_000, 0, 1_000_000, 138_850)},
        ops=op_rows,
        events=1234,
        headline=["decode_step_latency", "throughput", "memory_bandwidth_utilization"],
        bound_by={"weights": 0.9, "sync": 0.1},
        tables=TABLES,
        figures=FIGURES,
        notes=["Loads of <attention> are not held back & overran the buffers."],
        timeline=timeline,
    )
    return Result(
        system="flightllm",
        machine="flightllm/u280",
        workload="llama2_7b",
        outcome=outcome,
        provenance=Provenance("0.1.0", "abc123", "12" * 32, "34" * 32, 7, replay=True),
        host=Host(0.43, 1234, 200_000_000),
        parameters=[
            Parameter("clock", "225 MHz", "published", "the paper, table 3"),
            Parameter("hbm.bandwidth", "920 GB/s", "override", "--set"),
        ],
        scenario=[
            Parameter("phase", "decode_step", "override", "--set"),
            Parameter("kv_length", "128", "override", "--set"),
        ],
        overrides=["machine.hbm.bandwidth=920 GB/s"],
    )


@pytest.fixture(scope="session")
def faster(result: Result) -> Result:
    """The same run, at twice the speed, with a metric of its own."""
    metrics = {
        **METRICS,
        "decode_step_latency": Metric(0.00875, "s"),
        "bytes_read": Metric(3.2, "J"),
        "energy": Metric(0.7, "J"),
    }
    del metrics["throughput"]
    parameters = [replace(result.parameters[0], value_text="450 MHz"), *result.parameters[1:]]
    return replace(result, outcome=replace(result.outcome, metrics=metrics), parameters=parameters)


@pytest.fixture(scope="session")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run; to be read, or copied."""
    return write_run(result, tmp_path_factory.mktemp("saved") / "run")
