"""Tables and figures of a FlightLLM run, as data for the report.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.models.flightllm.run import Run, StepRun
from hwsim.models.flightllm.storage import storage_by_length
from hwsim.sim.outcome import FigureSpec, Metric, StageCycles, TableData
from hwsim.units import FS_PER_SECOND
from hwsim.workloads import Op, effective_macs

__all__ = ["figures_of", "tables_of"]

FS_PER_MS = FS_PER_SECOND // 1000


def tables_of(
    run: Run, metrics: Mapping[str, Metric], stages: Mapping[str, StageCycles]
) -> dict[str, TableData]:
    """What the figures are drawn from; a table without rows is left out."""
    last = run.steps[-1]
    tables = {
        "decode_steps": _decode_steps(run),
        "units": _units(stages),
        "bandwidth": _bandwidth(last),
        "roofline": _roofline(run, last),
        "instruction_storage": _storage(run, metrics),
        "platforms": _platforms(run, metrics),
    }
    return {name: table for name, table in tables.items() if table.rows}


def _decode_steps(run: Run) -> TableData:
    """Latency of each decode step, when there is more than one."""
    rows = [
        (step.step.kv_length, step.elapsed_fs / FS_PER_MS)
        for step in run.steps
        if step.step.phase == "decode"
    ]
    return TableData(("kv_length", "milliseconds"), rows if len(rows) > 1 else [])


def _units(stages: Mapping[str, StageCycles]) -> TableData:
    rows = [
        (name.removeprefix("core."), s.busy, s.starved, s.blocked, s.idle)
        for name, s in stages.items()
    ]
    return TableData(("unit", "busy", "starved", "blocked", "idle"), rows)


def _bandwidth(step: StepRun) -> TableData:
    """Average HBM bandwidth of each operator of one step, from its start to its end."""
    rows: list[tuple[float, float, float]] = []
    reached = 0
    for times in step.times.operators:
        begin, end = max(times.start_fs, reached), times.end_fs
        if end > begin:
            seconds = (end - begin) / FS_PER_SECOND
            rows.append(
                (
                    begin / FS_PER_MS,
                    float(times.bytes_read) / seconds / 1e9,
                    float(times.bytes_written) / seconds / 1e9,
                )
            )
            reached = end
    return TableData(("milliseconds", "read", "written"), rows)


@dataclass
class _Kind:
    """Work, traffic and time of the operators of one kind."""

    macs: int = 0
    traffic: float = 0.0
    fs: int = field(default=0)


def _roofline(run: Run, step: StepRun) -> TableData:
    """Operations a byte and a second of each kind of operator with MACs, in one step."""
    kinds: dict[str, _Kind] = {}
    for compiled, times in zip(step.program.operators, step.times.operators, strict=True):
        main: Op = compiled.operator.main
        kind = kinds.setdefault(re.sub(r"layers\.\d+\.", "", main.name), _Kind())
        kind.macs += effective_macs(main)
        kind.traffic += float(times.bytes_read + times.bytes_written)
        kind.fs += times.end_fs - times.start_fs
    rows = [
        (name, 2 * kind.macs / kind.traffic, 2 * kind.macs * FS_PER_SECOND / kind.fs)
        for name, kind in kinds.items()
        if kind.macs
    ]
    return TableData(("op", "op_per_byte", "op_per_second"), rows)


def _storage(run: Run, metrics: Mapping[str, Metric]) -> TableData:
    """Program bytes of one core: for this run, and for every length the machine takes."""
    rows = [
        (
            "this run",
            metrics["instruction_bytes"].value / 1e6,
            metrics["instruction_bytes_without_adaptive"].value / 1e6,
        )
    ]
    everything = storage_by_length(run.plan)
    if everything:
        rows.append(("every length", everything[0] / 1e6, everything[1] / 1e6))
    return TableData(("programs", "with_buckets", "one_per_length"), rows)


def _platforms(run: Run, metrics: Mapping[str, Metric]) -> TableData:
    return TableData(("platform",), [])


def figures_of(run: Run, tables: Mapping[str, TableData]) -> list[FigureSpec]:
    """The figures whose tables there are."""
    return [figure for figure in (*_FIGURES, _roof_figure(run)) if figure.table in tables]


def _roof_figure(run: Run) -> FigureSpec:
    config = run.plan.config
    peak = 2.0 * config.cores * config.clock
    bandwidth = float(config.hbm.bandwidth)
    return FigureSpec(
        name="roofline",
        title="Roofline of the last step's operators",
        kind="roofline",
        table="roofline",
        x="op_per_byte",
        y=("op_per_second",),
        label="op",
        x_label="operations per byte of HBM traffic (op/B)",
        y_label="operations per second (op/s)",
        caption="A MAC is two operations; skipped zeros don't count. The MV roof is what the matrix-vector "
        "mode can use of the DSPs; lumped efficiencies keep every point below the peak bandwidth.",
        roofs=(
            ("MM peak", peak * config.core.mm_lanes, bandwidth),
            ("MV peak", peak * config.core.mv_lanes, bandwidth),
        ),
    )


_FIGURES = (
    FigureSpec(
        name="decode_latency",
        title="Latency of a decode step",
        kind="steps",
        table="decode_steps",
        x="kv_length",
        y=("milliseconds",),
        x_label="positions attended",
        y_label="latency (ms)",
        caption="A staircase: lengths share a program by buckets, and a group of 512 columns more makes a jump.",
    ),
    FigureSpec(
        name="units",
        title="Where each unit's cycles go",
        kind="stacked_bar",
        table="units",
        x="unit",
        y=("busy", "starved", "blocked", "idle"),
        x_label="unit",
        y_label="cycles",
        caption="Starved: waiting for another unit's token. Blocked: its own tokens find no room. Idle: no "
        "instruction left in the segment.",
    ),
    FigureSpec(
        name="bandwidth",
        title="HBM bandwidth over the last step",
        kind="steps",
        table="bandwidth",
        x="milliseconds",
        y=("read", "written"),
        x_label="time in the step (ms)",
        y_label="bandwidth (GB/s)",
        caption="The average of each operator, from the end of the one before to its own.",
    ),
    FigureSpec(
        name="instruction_storage",
        title="Instruction storage of one core",
        kind="bar",
        table="instruction_storage",
        x="programs",
        y=("with_buckets", "one_per_length"),
        x_label="programs for",
        y_label="storage (MB)",
        caption="Length-adaptive compilation keeps one program a bucket of lengths instead of one a length.",
        log_y=True,
    ),
)
