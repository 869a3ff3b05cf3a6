"""From the finished run to metrics, phases, stage accounts and op rows.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

from hwsim.memory import Stream
from hwsim.models.t3.figures import figures_of, tables_of, traffic_of
from hwsim.models.t3.run import Run, TaskRun
from hwsim.models.t3.stretch import Stretch
from hwsim.outcome import Metric, OpRow, Outcome, Phase, StageCycles
from hwsim.sim.timeline import Timeline
from hwsim.units import FS_PER_SECOND
from hwsim.workloads import Collective, Gemm, Op, count

__all__ = ["outcome_of"]


def outcome_of(run: Run) -> Outcome:
    """Everything one simulation leaves."""
    rows = list(_rows(run))
    metrics = _metrics(run, rows)
    return Outcome(
        metrics=metrics,
        phases=_phases(run),
        stages=_stages(run),
        ops=lambda: iter(rows),
        events=run.events,
        headline=[name for name in _HEADLINE if name in metrics],
        bound_by=_bound_by(rows),
        tables=tables_of(run),
        figures=figures_of(run),
        notes=_notes(run),
        timeline=_timeline(run),
    )


RECORDS_DRAWN = 1_000_000
"""Slices and samples after which no further task is drawn."""

_HEADLINE = (
    "latency",
    "gemm_latency",
    "reduce_scatter_latency",
    "all_gather_latency",
    "all_reduce_latency",
    "all_to_all_latency",
    "speedup_over_sequential",
    "bytes_read",
    "bytes_written",
    "link_bytes",
    "compute_utilization",
    "memory_bandwidth_utilization",
)


def _kernels(tasks: Sequence[TaskRun]) -> Iterator[Stretch]:
    return (kernel for task in tasks for kernel in task.kernels)


def _seconds(time_fs: int) -> Metric:
    return Metric(time_fs / FS_PER_SECOND, "s")


def _bytes(amount: int) -> Metric:
    return Metric(amount, "B")


class _Edges:
    """Cycles of the compute units' clock."""

    def __init__(self, run: Run) -> None:
        self._hz = run.config.compute.clock

    def cycle(self, time_fs: int) -> int:
        """The edge nearest to a time."""
        return round(Fraction(time_fs * self._hz, FS_PER_SECOND))


# Metrics ---------------------------------------------------------------------------------------


def _metrics(run: Run, rows: Sequence[OpRow]) -> dict[str, Metric]:
    seconds = run.elapsed_fs / FS_PER_SECOND
    macs = sum(row.macs for row in rows)
    read, written = sum(row.bytes_read for row in rows), sum(row.bytes_written for row in rows)
    compute, peak = run.config.compute, float(run.config.dram.peak_bytes_per_second)
    peak_flop = compute.units * compute.flop_per_cycle * compute.clock
    found = {
        "latency": _seconds(run.elapsed_fs),
        "cycles": Metric(_Edges(run).cycle(run.elapsed_fs), "cycle"),
        **_latencies(run),
        **_speedup(run),
        "bytes_read": _bytes(read),
        "bytes_written": _bytes(written),
        **_traffic(run.tasks),
        "link_bytes": _bytes(sum(kernel.link_bytes for kernel in _kernels(run.tasks))),
        "macs": Metric(macs, "1"),
        "compute_utilization": Metric(2 * macs / (peak_flop * seconds), "1"),
        **_queues(run),
    }
    if run.config.memory == "dram":
        share = (read + written) / (peak * seconds)
        found["memory_bandwidth_utilization"] = Metric(share, "1")
    return found


def _latencies(run: Run) -> dict[str, Metric]:
    """Of the sub-layers, added up: the GEMM, what follows it of the reduce-scatter, the rest."""
    found = [task.sublayer for task in run.tasks if task.sublayer is not None]
    if not found:
        (kernel,) = run.tasks[0].kernels if len(run.tasks) == 1 else (None,)
        return {} if kernel is None else {f"{kernel.name}_latency": _seconds(kernel.elapsed_fs)}
    gemm = sum(each.gemm_end_fs for each in found)
    if run.config.overlap == "shared_compute_units":
        reduce = sum(each.reduce_scatter_end_fs for each in found)
        return {"gemm_latency": _seconds(gemm), "all_reduce_latency": _seconds(reduce)}
    scatter = sum(each.reduce_scatter_end_fs - each.gemm_end_fs for each in found)
    gather = sum(each.end_fs - each.reduce_scatter_end_fs for each in found)
    return {
        "gemm_latency": _seconds(gemm),
        "reduce_scatter_latency": _seconds(scatter),
        "all_gather_latency": _seconds(gather),
        "all_reduce_latency": _seconds(scatter + gather),
    }


def _speedup(run: Run) -> dict[str, Metric]:
    if run.compared is None:
        return {}
    ratio = sum(task.elapsed_fs for task in run.compared) / run.elapsed_fs
    return {f"speedup_over_{run.config.compare}": Metric(ratio, "1")}


def _traffic(tasks: Sequence[TaskRun]) -> dict[str, Metric]:
    """Bytes of memory of the sub-layers, by what they were moved for."""
    found = [task.sublayer for task in tasks if task.sublayer is not None]
    return {name: _bytes(moved) for name, moved in traffic_of(found).items()} if found else {}


def _queues(run: Run) -> dict[str, Metric]:
    kernels = list(_kernels(run.tasks))
    found = {"tracker_entries_peak": Metric(max(kernel.tracker_entries for kernel in kernels), "1")}
    if found["tracker_entries_peak"].value:
        found["tracker_size"] = _bytes(run.config.tracker.size_bytes)
    if intensity := max(kernel.intensity for kernel in kernels):
        found["first_stage_intensity"] = Metric(intensity, "1")
    if run.config.memory == "dram":
        held = sum(kernel.queued * kernel.elapsed_fs for kernel in kernels)
        elapsed = sum(kernel.elapsed_fs for kernel in kernels)
        found["dram_queue_occupancy_mean"] = Metric(held / elapsed, "1")
    return found


# Ops, phases, stages ---------------------------------------------------------------------------


def _rows(run: Run) -> Iterator[OpRow]:
    edges = _Edges(run)
    for task in run.tasks:
        start = 0
        for op, end in zip(task.task.ops, task.ends_fs, strict=True):
            read, written = _moved(task, op)
            begun = 0 if run.config.overlap == "shared_compute_units" else start
            yield OpRow(
                index=op.index,
                name=op.name,
                type=type(op).__name__,
                phase=op.phase,
                layer=op.layer,
                start_cycle=edges.cycle(task.start_fs + begun),
                end_cycle=edges.cycle(task.start_fs + end),
                bytes_read=read,
                bytes_written=written,
                macs=count(op).macs,
                bound_by=_bound(run, task, op),
            )
            start = end


def _moved(task: TaskRun, op: Op) -> tuple[int, int]:
    """Bytes of memory that an op read and wrote."""
    if task.sublayer is None:
        (kernel,) = task.kernels
        return kernel.read(), kernel.written()
    first = [k for k in (task.sublayer.gemm, task.sublayer.reduce_scatter) if k is not None]
    if isinstance(op, Gemm):
        gemm = task.sublayer.gemm
        return gemm.read(Stream.COMPUTE), gemm.written(Stream.COMPUTE)
    assert isinstance(op, Collective)
    if op.kind == "reduce_scatter":
        stream = Stream.COMMUNICATION
        return sum(k.read(stream) for k in first), sum(k.written(stream) for k in first)
    gather = task.sublayer.all_gather
    return (0, 0) if gather is None else (gather.read(), gather.written())


def _bound(run: Run, task: TaskRun, op: Op) -> str:
    """What was busiest while an op ran: matrix cores, memory or links."""
    kernel = task.kernels[0 if isinstance(op, Gemm) else -1]
    if isinstance(op, Collective) and op.kind == "reduce_scatter" and len(task.kernels) == 3:
        kernel = task.kernels[1]
    busy = {
        "compute": kernel.matrix_fs,
        "link": kernel.link_fs,
        "memory": _memory_fs(run, kernel),
    }
    return max(busy, key=lambda name: busy[name])


def _memory_fs(run: Run, kernel: Stretch) -> int:
    """How long the data buses take for what a kernel moved."""
    if run.config.memory == "ideal":
        return 0
    moved = kernel.read() + kernel.written()
    return round(moved * FS_PER_SECOND / run.config.dram.peak_bytes_per_second)


def _bound_by(rows: Sequence[OpRow]) -> dict[str, float]:
    spent: dict[str, int] = {}
    for row in rows:
        spent[row.bound_by] = spent.get(row.bound_by, 0) + row.cycles
    total = sum(spent.values())
    return {name: cycles / total for name, cycles in sorted(spent.items(), key=lambda i: -i[1])}


def _phases(run: Run) -> list[Phase]:
    """Forward and backward, in whole cycles that add up to the run's."""
    edges, ends = _Edges(run), dict[str, int]()
    for task in run.tasks:
        ends[task.task.ops[0].phase] = task.start_fs + task.elapsed_fs
    bounds = [0, *ends.values()]
    return [
        Phase(name, edges.cycle(end) - edges.cycle(start), (end - start) / FS_PER_SECOND)
        for name, (start, end) in zip(ends, pairwise(bounds), strict=True)
    ]


def _stages(run: Run) -> Mapping[str, StageCycles]:
    """Of the first device: matrix cores one with another, the busiest link, the data buses.

    Matrix cores starve while a GEMM has them and they wait for operands.
    """
    kernels, edges = list(_kernels(run.tasks)), _Edges(run)
    # what runs at the same time as something else counts with the longer of the two
    matrix = sum(kernel.matrix_fs for kernel in kernels)
    held = sum(kernel.gemm_fs for kernel in kernels)
    link = sum(kernel.link_fs for kernel in kernels)
    memory = sum(_memory_fs(run, kernel) for kernel in kernels)
    total = edges.cycle(run.elapsed_fs)

    def account(busy: int, starved: int = 0) -> StageCycles:
        first = min(edges.cycle(busy), total)
        second = min(edges.cycle(busy + starved), total) - first
        return StageCycles(first, second, 0, total - first - second)

    return {
        "compute_units": account(matrix, held - matrix),
        "link": account(link),
        "memory": account(memory),
    }


# Notes and timeline ----------------------------------------------------------------------------


def _notes(run: Run) -> list[str]:
    config, notes = run.config, []
    if config.overlap in {"ideal", "ideal_nmc"}:
        notes.append(
            "The GEMM and the reduce-scatter were each simulated alone; neither slows the other."
        )
    if config.mode == "symmetric":
        notes.append(f"One of {run.degree} equal devices was simulated; its peers mirror it.")
    else:
        notes.append(f"All {run.degree} devices were simulated; memory is that of device 0.")
    drawn = len(_drawn(run))
    if drawn < len(run.tasks):
        covered = run.tasks[drawn].start_fs / FS_PER_SECOND
        notes.append(f"The timeline covers the first {covered * 1e3:.1f} ms of the run.")
    return notes


def _timeline(run: Run) -> Timeline | None:
    """The kernels' timelines one after the other, as far as a viewer takes them."""
    joined, free = Timeline(), 0
    for task in _drawn(run):
        for kernel, start in zip(task.kernels, _starts(task), strict=True):
            if kernel.timeline is None:
                return None
            drawn = kernel.timeline
            if start < free:
                drawn = _beside(drawn, kernel.name)
            joined.extend_shifted(drawn.slices, start, drawn.samples)
            joined.slice("kernels", kernel.name, start, start + kernel.elapsed_fs)
            free = start + kernel.elapsed_fs
    return joined


def _drawn(run: Run) -> Sequence[TaskRun]:
    """The first tasks, up to so many slices and samples that a viewer takes no more."""
    records = [
        sum(len(k.timeline.slices) + len(k.timeline.samples) for k in task.kernels if k.timeline)
        for task in run.tasks
    ]
    before = accumulate(records, initial=0)
    return [task for task, so_far in zip(run.tasks, before, strict=False) if so_far < RECORDS_DRAWN]


def _beside(timeline: Timeline, name: str) -> Timeline:
    """A timeline of a kernel that was simulated alone, as parts of their own beside another's."""
    moved = Timeline()
    for track, what, start, end, args in timeline.slices:
        moved.slice(_apart(track, name), what, start, end, args)
    for track, what, time, value in timeline.samples:
        moved.counter(_apart(track, name), what, time, value)
    return moved


def _apart(track: str, name: str) -> str:
    part, slash, row = track.partition("/")
    return f"{part}, {name} alone/{row}" if slash else track


def _starts(task: TaskRun) -> list[int]:
    """When each kernel of a task started."""
    if task.sublayer is None or len(task.kernels) == 1:
        return [task.start_fs]
    first, *between, last = task.kernels
    one_by_one = task.ends_fs[1] == first.elapsed_fs + sum(each.elapsed_fs for each in between)
    starts = [0]
    if between:
        starts.append(first.elapsed_fs if one_by_one else 0)
    starts.append(task.ends_fs[-1] - last.elapsed_fs)
    return [task.start_fs + start for start in starts]
