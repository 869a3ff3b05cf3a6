"""Tables and figures of a FlightLLM run, as data for the report.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.laws.flightllm_isa import UNITS
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import ExecutionUnit
from hwsim.models.flightllm.platforms import comparable, platform_sources, platforms
from hwsim.models.flightllm.run import Run, StepRun
from hwsim.models.flightllm.storage import storage_of
from hwsim.outcome import DeferredTables, FigureSpec, Metric, StageCycles, TableData
from hwsim.units import FS_PER_SECOND
from hwsim.workloads import Op, effective_macs

__all__ = ["ceiling_note", "figures_of", "tables_of"]

FS_PER_MS = FS_PER_SECOND // 1000
SHOWN_LAYERS = 2


def tables_of(
    run: Run,
    metrics: Mapping[str, Metric],
    stages: Mapping[str, StageCycles],
    units: Sequence[ExecutionUnit],
    *,
    every_length: bool,
) -> DeferredTables:
    """What the figures are drawn from, made when somebody looks.

    ``every_length`` says that programs of every length can be counted, the run's or not.
    """
    last = run.steps[-1]
    makers: dict[str, Callable[[], TableData]] = {
        "units": lambda: _units(stages),
        "work": lambda: _work(units),
        "bandwidth": lambda: _bandwidth(last),
        "roofline": lambda: _roofline(last),
        "instruction_storage": lambda: _storage(run, metrics, every_length=every_length),
    }
    if sum(step.step.phase == "decode" for step in run.steps) > 1:
        makers["decode_steps"] = lambda: _decode_steps(run)
    if comparable(run, metrics):
        makers["platforms"] = lambda: platforms(metrics)
    return DeferredTables(makers)


def _decode_steps(run: Run) -> TableData:
    """Latency of each decode step."""
    rows = [
        (step.step.attended, step.elapsed_fs / FS_PER_MS)
        for step in run.steps
        if step.step.phase == "decode"
    ]
    return TableData(("kv_length", "milliseconds"), rows)


def _units(stages: Mapping[str, StageCycles]) -> TableData:
    rows = [
        (unit.name, s.busy, s.starved, s.blocked, s.idle)
        for unit in UNITS
        for s in (stages[f"core.{unit.name}"],)
    ]
    return TableData(("unit", "busy", "starved", "blocked", "idle"), rows)


def _work(units: Sequence[ExecutionUnit]) -> TableData:
    """Of each unit: instructions, busy time, HBM bytes."""
    rows = [
        (
            unit.unit.name,
            int(unit.instructions.value),
            unit.stage.times().busy / FS_PER_MS,
            round(unit.hbm_bytes.value),
        )
        for unit in units
    ]
    return TableData(("unit", "instructions", "busy_ms", "hbm_bytes"), rows)


def _bandwidth(step: StepRun) -> TableData:
    """Average HBM bandwidth of each operator of a step's first layers, from start to end."""
    rows: list[tuple[float, float, float]] = []
    reached = 0
    shown = zip(step.program.operators, step.times.operators, strict=True)
    for compiled, times in shown:
        if (compiled.operator.main.layer or 0) >= SHOWN_LAYERS:
            break
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
    fs: int = 0


def _roofline(step: StepRun) -> TableData:
    """Operations a byte and a second of each kind of operator with MACs, in one step."""
    kinds: dict[str, _Kind] = {}
    for compiled, times in zip(step.program.operators, step.times.operators, strict=True):
        main: Op = compiled.operator.main
        kind = kinds.setdefault(re.sub(r"layers\.\d+\.", "", main.name), _Kind())
        kind.macs += effective_macs(main)
        kind.traffic += float(times.bytes_read + times.bytes_written)
        kind.fs += times.end_fs - times.start_fs
    rows = [
        (
            name,
            2 * kind.macs / kind.traffic,
            2 * kind.macs * FS_PER_SECOND / kind.fs,
            kind.fs / FS_PER_SECOND,
        )
        for name, kind in kinds.items()
        if kind.macs
    ]
    return TableData(("op", "op_per_byte", "op_per_second", "seconds"), rows)


def _storage(run: Run, metrics: Mapping[str, Metric], *, every_length: bool) -> TableData:
    """Program bytes of one core: for this run, and for every length the machine takes."""
    rows = [
        (
            "this run",
            metrics["instruction_bytes"].value / 1e6,
            metrics["instruction_bytes_without_adaptive"].value / 1e6,
        )
    ]
    if every_length:
        storage = storage_of(run.plan)
        rows.append(("every length", storage.with_buckets / 1e6, storage.one_per_length / 1e6))
    return TableData(("programs", "with_buckets", "one_per_length"), rows)


def figures_of(run: Run, tables: Mapping[str, TableData]) -> list[FigureSpec]:
    """The figures whose tables there are."""
    made = (_roof_figure(run), _platforms_figure())
    return [figure for figure in (*_FIGURES, *made) if figure.table in tables]


def ceiling_note(config: FlightLLMConfig) -> str:
    """What part of the peak bandwidth a run bound by HBM reaches, and why."""
    part = 100 * _attainable_bandwidth(config) / float(config.hbm.bandwidth)
    used = config.cores * config.hbm.channels_per_core
    return (
        f"Bandwidth utilization is of the whole peak. A run bound by HBM alone reaches {part:.3g} "
        f"% of it: {used} of {config.hbm.channels} channels x same_channel_efficiency "
        f"{config.lumped.same_channel_efficiency:g} x parallel_efficiency "
        f"{config.lumped.parallel_efficiency:g}."
    )


def _attainable_bandwidth(config: FlightLLMConfig) -> float:
    """Bytes a second of all cores, each reading from all of its own channels."""
    core = config.hbm.channel_bandwidth * config.hbm.channels_per_core
    return float(core * config.speedup) * config.lumped.same_channel_efficiency


def _roof_figure(run: Run) -> FigureSpec:
    config = run.plan.config
    bandwidth, attainable = float(config.hbm.bandwidth), _attainable_bandwidth(config)
    lanes = {"MM": config.core.mm_lanes, "MV": config.core.mv_lanes}
    peaks = {name: 2.0 * config.cores * config.clock * count for name, count in lanes.items()}
    share = config.lumped.parallel_efficiency
    return FigureSpec(
        name="roofline",
        title="Roofline of the last step's operators",
        kind="roofline",
        table="roofline",
        x="op_per_byte",
        y=("op_per_second", "seconds"),
        label="op",
        x_label="operations per byte of HBM traffic (op/B)",
        y_label="operations per second (op/s)",
        caption="A MAC is two operations; skipped zeros don't count. The MV roof is what the "
        "matrix-vector mode can use of the DSPs. Solid: peaks of the hardware. Dashed: what the "
        "machine's lumped efficiencies leave of them; no point lies above.",
        roofs=(
            *((f"{name} peak", peak, bandwidth) for name, peak in peaks.items()),
            *((f"{name} attainable", share * peak, attainable) for name, peak in peaks.items()),
        ),
    )


def _platforms_figure() -> FigureSpec:
    return FigureSpec(
        name="platforms",
        title="Energy efficiency of LLaMA2-7B decode beside GPUs",
        kind="bar",
        table="platforms",
        x="platform",
        y=("token_per_joule",),
        x_label="",
        y_label="decode efficiency (token/J)",
        caption="This machine: simulated, at calibrated power. Not simulated: "
        f"{platform_sources()}.",
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
        caption="A staircase: lengths share a program by buckets, and one more group of 512 "
        "columns makes a jump.",
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
        caption="Starved: waiting for another unit's token. Blocked: its own tokens find no room. "
        "Idle: no instruction left in the segment.",
    ),
    FigureSpec(
        name="bandwidth",
        title="HBM bandwidth over the first two layers of the last step",
        kind="steps",
        table="bandwidth",
        x="milliseconds",
        y=("read", "written"),
        x_label="time in the step (ms)",
        y_label="bandwidth (GB/s)",
        caption="The average of each operator, from the end of the one before to its own: the gaps "
        "are norms and barriers; every further layer looks the same.",
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
        caption="Length-adaptive compilation keeps one program a bucket, not one a length.",
        log_y=True,
    ),
)
