"""From the finished machine to metrics, phases, stage accounts and op rows.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from hwsim.laws.flightllm_isa import Opcode
from hwsim.models.flightllm.books import check_books
from hwsim.models.flightllm.core import ExecutionUnit
from hwsim.models.flightllm.figures import ceiling_note, figures_of, tables_of
from hwsim.models.flightllm.power import energy_joules
from hwsim.models.flightllm.run import Run, StepRun
from hwsim.models.flightllm.storage import why_no_storage
from hwsim.models.flightllm.times import OperatorTimes
from hwsim.outcome import FUSED, Metric, OpRow, Outcome, Phase, StageCycles
from hwsim.sim import Clock
from hwsim.sim.stage import StageTimes
from hwsim.units import FS_PER_SECOND, format_quantity
from hwsim.workloads import Op, effective_macs

__all__ = ["outcome_of"]


@dataclass(frozen=True)
class PhaseTotals:
    """What one phase of the run took."""

    steps: int
    tokens: int
    elapsed_fs: int
    joules: float

    @property
    def seconds(self) -> float:
        """Elapsed time."""
        return self.elapsed_fs / FS_PER_SECOND


def outcome_of(run: Run) -> Outcome:
    """Everything one simulation leaves.

    Raises
    ------
    InvariantError
        When the machine did less than the trace asks for.
    """
    clock = Clock(run.kernel, run.plan.config.clock)
    units = [c for c in run.kernel.components if isinstance(c, ExecutionUnit)]
    totals = {phase: _phase(run, phase) for phase in ("prefill", "decode")}
    check_books(run, sum((Fraction(unit.macs.value) for unit in units), Fraction(0)))
    metrics = _metrics(run, clock, units, totals)
    stages = {
        component.name: _cycles(account.times(), clock)
        for component in run.kernel.components
        for account in component.stages().values()
    }
    lacking = why_no_storage(run.plan)
    tables = tables_of(run, metrics, stages, units, every_length=not lacking)
    return Outcome(
        metrics=metrics,
        phases=_phases(run, clock),
        stages=stages,
        ops=lambda: _op_rows(run, clock),
        events=run.kernel.events,
        headline=[name for name in _HEADLINE if name in metrics],
        bound_by=_bound_by(run),
        tables=tables,
        figures=figures_of(run, tables),
        notes=_notes(run, metrics, lacking),
        timeline=run.timeline,
    )


_HEADLINE = (
    "prefill_latency",
    "decode_latency",
    "decode_step_latency",
    "time_per_output_token",
    "throughput",
    "tokens_per_joule",
    "memory_bandwidth_utilization",
    "compute_utilization",
    "instruction_bytes",
)


def _phase(run: Run, phase: str) -> PhaseTotals:
    steps = [step for step in run.steps if step.step.phase == phase]
    elapsed = sum(step.elapsed_fs for step in steps)
    busy: dict[Opcode, float] = dict.fromkeys(Opcode, 0.0)
    for step in steps:
        for unit, spent in step.times.busy_fs.items():
            busy[unit] += spent / FS_PER_SECOND
    joules = energy_joules(run.plan.config.power, elapsed / FS_PER_SECOND, busy)
    return PhaseTotals(len(steps), sum(s.step.tokens for s in steps), elapsed, joules)


def _metrics(
    run: Run,
    clock: Clock,
    units: list[ExecutionUnit],
    totals: Mapping[str, PhaseTotals],
) -> dict[str, Metric]:
    config, seconds = run.plan.config, run.kernel.now / FS_PER_SECOND
    asked = run.plan.trace.totals()
    by_unit = {unit.unit: unit for unit in units}
    read = round(by_unit[Opcode.LD].hbm_bytes.value)
    written = round(by_unit[Opcode.ST].hbm_bytes.value)
    joules = sum(phase.joules for phase in totals.values())
    peak_macs = config.cores * config.core.mm_lanes * config.clock
    found: dict[str, Metric] = {
        "latency": Metric(seconds, "s"),
        "cycles": Metric(clock.cycles_in(run.kernel.now), "cycle"),
        **_prefill_metrics(totals["prefill"]),
        **_decode_metrics(run, totals["decode"]),
        "compute_utilization": Metric(asked.effective_macs / (peak_macs * seconds), "1"),
        "memory_bandwidth_utilization": Metric(
            (read + written) / (float(config.hbm.bandwidth) * seconds), "1"
        ),
        "bytes_read": Metric(read, "B"),
        "bytes_written": Metric(written, "B"),
        "macs": Metric(asked.effective_macs, "1"),
        "dense_macs": Metric(asked.macs, "1"),
        "executed_macs": Metric(round(sum(Fraction(u.macs.value) for u in units)), "1"),
        "energy": Metric(joules, "J"),
        "average_power": Metric(joules / seconds, "W"),
        "peak_memory": Metric(round(run.plan.memory.stored_bytes), "B"),
        "instructions": Metric(int(sum(u.instructions.value for u in units)), "1"),
        **{
            f"instructions_{unit.unit.name.lower()}": Metric(int(unit.instructions.value), "1")
            for unit in units
        },
        **_instruction_metrics(run),
        "buffer_overrun_bytes": Metric(int(run.core.overrun_bytes.value), "B"),
    }
    return found


def _prefill_metrics(phase: PhaseTotals) -> dict[str, Metric]:
    if not phase.steps:
        return {}
    return {
        "prefill_latency": Metric(phase.seconds, "s"),
        "prefill_throughput": Metric(phase.tokens / phase.seconds, "token/s"),
    }


def _decode_metrics(run: Run, phase: PhaseTotals) -> dict[str, Metric]:
    """``throughput`` counts the tokens of all sequences; the step's latency is the last step's."""
    if not phase.steps:
        return {}
    throughput = phase.tokens / phase.seconds
    found = {
        "decode_latency": Metric(phase.seconds, "s"),
        "decode_step_latency": Metric(run.steps[-1].elapsed_fs / FS_PER_SECOND, "s"),
        "time_per_output_token": Metric(phase.seconds / phase.steps, "s"),
        "throughput": Metric(throughput, "token/s"),
    }
    if phase.joules:
        found["tokens_per_joule"] = Metric(phase.tokens / phase.joules, "token/J")
    price = run.plan.config.price
    if price:
        found["throughput_per_1000_usd"] = Metric(throughput / (price / 1000), "token/s")
    return found


def _instruction_metrics(run: Run) -> dict[str, Metric]:
    """Bytes of the programs the run needs, of one core: one a bucket, and one a length."""
    with_buckets, without = run.plan.instruction_bytes(step.step for step in run.steps)
    return {
        "instruction_bytes": Metric(with_buckets, "B"),
        "instruction_bytes_without_adaptive": Metric(without, "B"),
    }


def _phases(run: Run, clock: Clock) -> list[Phase]:
    """Prefill and decode, in whole cycles that add up to the run's."""
    phases: list[Phase] = []
    start = 0
    for name in ("prefill", "decode"):
        steps = [step for step in run.steps if step.step.phase == name]
        if not steps:
            continue
        end = steps[-1].start_fs + steps[-1].elapsed_fs
        last = steps[-1] is run.steps[-1]
        cycle = clock.cycles_in(end) if last else clock.cycle_at(end)
        elapsed = sum(step.elapsed_fs for step in steps)
        phases.append(Phase(name, cycle - start, elapsed / FS_PER_SECOND))
        start = cycle
    return phases


def _cycles(times: StageTimes, clock: Clock) -> StageCycles:
    """An account in whole cycles: its running total is rounded, so that the parts add up."""
    edges, spent = [0], 0
    for part in (times.busy, times.starved, times.blocked):
        spent += part
        edges.append(clock.cycle_at(spent))
    edges.append(clock.cycles_in(times.total))
    return StageCycles(*(b - a for a, b in pairwise(edges)))


def _bound_by(run: Run) -> dict[str, float]:
    """Share of the time until each operator's end, since the one before ended, by what bound it."""
    spent: dict[str, int] = {}
    for step in run.steps:
        for name, time in step.times.bound_fs.items():
            spent[name] = spent.get(name, 0) + time
    total = sum(spent.values())
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    return {name: time / total for name, time in ranked}


class _Moved:
    """Running totals of bytes: rounded as totals, so that the rows add up to the metric."""

    def __init__(self) -> None:
        self._read = self._written = Fraction(0)

    def count(self, times: OperatorTimes) -> tuple[int, int]:
        """Whole bytes read and written by one more operator."""
        read, written = round(self._read), round(self._written)
        self._read += times.bytes_read
        self._written += times.bytes_written
        return round(self._read) - read, round(self._written) - written


def _op_rows(run: Run, clock: Clock) -> Iterator[OpRow]:
    """A row for each op of the trace, in order."""
    moved = _Moved()
    steps = run.plan.trace.steps()  # ops made anew, not kept
    for done, step in zip(run.steps, steps, strict=True):
        yield from _step_rows(done, step.ops, clock, moved)


def _step_rows(step: StepRun, ops: Sequence[Op], clock: Clock, moved: _Moved) -> Iterator[OpRow]:
    place = 0
    for operator, times in zip(step.program.operators, step.times.operators, strict=True):
        first = operator.operator.positions.start
        yield from (_host_row(ops[i], step, clock) for i in range(place, first))
        place = operator.operator.positions.stop
        read, written = moved.count(times)
        for i in operator.operator.positions:
            main = i == first
            start, end = (times.start_fs, times.end_fs) if main else times.tail
            op = ops[i]
            yield OpRow(
                index=op.index,
                name=op.name,
                type=type(op).__name__,
                phase=op.phase,
                layer=op.layer,
                start_cycle=clock.cycle_at(step.start_fs + start),
                end_cycle=clock.cycle_at(step.start_fs + end),
                bytes_read=read if main else 0,
                bytes_written=written if main else 0,
                macs=effective_macs(op),
                bound_by=times.bound_by if main else FUSED,
            )


def _host_row(op: Op, step: StepRun, clock: Clock) -> OpRow:
    """An op that the host does, in no time of the machine's."""
    cycle = clock.cycle_at(step.start_fs)
    kind = type(op).__name__
    return OpRow(op.index, op.name, kind, op.phase, op.layer, cycle, cycle, 0, 0, 0, "host")


LUMPED_NOTE = (
    "Fidelity lumped: three published efficiencies stand for DRAM timing, channel crossing and "
    "start-up; one stream holds the whole model and every time is divided by cores x efficiency."
)
HOST_NOTE = "Not simulated: embedding look-up, sampling and the host."
METADATA_NOTE = "Sparse indices and block counts are not loaded (machine.count_metadata)."


def _notes(run: Run, metrics: Mapping[str, Metric], lacking: str) -> list[str]:
    notes = [LUMPED_NOTE, ceiling_note(run.plan.config), HOST_NOTE]
    overrun = metrics["buffer_overrun_bytes"].value
    if overrun:
        notes.append(
            "The published schedule does not hold attention loads back: "
            f"{format_quantity(overrun, 'B')} were loaded into buffer rows that were still to be "
            "read (buffer_overrun_bytes)."
        )
    if lacking:
        notes.append(
            "The table instruction_storage is of this run alone, without programs of every "
            f"length: {lacking}."
        )
    if run.timeline is not None and run.kernel.timeline is None:
        covered = max(end for _, _, _, end, _ in run.timeline.slices) / FS_PER_SECOND
        notes.append(f"The timeline covers the first {covered * 1e3:.1f} ms of the run.")
    if not run.plan.config.count_metadata:
        notes.append(METADATA_NOTE)
    return notes
