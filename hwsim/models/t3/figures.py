"""Tables and figures of a run: where its time went, what memory moved, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from hwsim.memory import Access, Stream
from hwsim.models.t3.run import Run, TaskRun
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.sublayer import Sublayer
from hwsim.outcome import DeferredTables, FigureSpec, TableData
from hwsim.units import FS_PER_SECOND

__all__ = ["figures_of", "tables_of", "traffic_of"]

Cell = int | float | str
FS_PER_MS = FS_PER_SECOND // 1000
FS_PER_US = FS_PER_SECOND // 10**6

PARTS = ("gemm_ms", "reduce_scatter_ms", "all_gather_ms", "other_ms")
MOVED = {
    "gemm_reads": (Stream.COMPUTE, (Access.READ,)),
    "gemm_writes": (Stream.COMPUTE, (Access.WRITE, Access.UPDATE)),
    "collective_reads": (Stream.COMMUNICATION, (Access.READ,)),
    "collective_writes": (Stream.COMMUNICATION, (Access.WRITE, Access.UPDATE)),
}
"""What the DRAM traffic is split into."""


def tables_of(run: Run) -> Mapping[str, TableData]:
    """Tables by name, made when looked at."""
    tables = {
        "latency": lambda: _latency(run),
        "traffic": lambda: _traffic(run),
        "bandwidth": lambda: _bandwidth(run),
        "tracker": lambda: _tracker(run),
        "sublayers": lambda: _sublayers(run),
    }
    kernels = (kernel for task in run.tasks for kernel in task.kernels)
    if run.config.mode == "full" and any(kernel.devices for kernel in kernels):
        tables["devices"] = lambda: _devices(run)
    return DeferredTables(tables)


def figures_of(run: Run) -> list[FigureSpec]:
    """Figures of the tables; without bandwidth over time where memory takes none."""
    figures = [
        FigureSpec(
            name="latency",
            title="Where the time goes",
            kind="stacked_bar",
            table="latency",
            x="task",
            y=PARTS,
            x_label="",
            y_label="time (ms)",
            caption=(
                "All layers together. Of a reduce-scatter under a GEMM, what is left of it when "
                "the GEMM ends."
            ),
        ),
        FigureSpec(
            name="traffic",
            title="DRAM traffic of a device",
            kind="stacked_bar",
            table="traffic",
            x="kernel",
            y=tuple(MOVED),
            x_label="",
            y_label="bytes moved (MiB)",
            caption="Reads and writes, updates among the writes; all layers together.",
        ),
        FigureSpec(
            name="bandwidth",
            title="DRAM bandwidth over time",
            kind="steps",
            table="bandwidth",
            x="time_us",
            y=tuple(MOVED),
            x_label="time (us)",
            y_label="bandwidth (GB/s)",
            caption="Of the first sub-layer, GEMM and reduce-scatter.",
        ),
    ]
    return figures if run.config.memory == "dram" else figures[:-1]


def _named(run: Run) -> Iterator[tuple[str, Sequence[TaskRun]]]:
    """Each op with its name, all layers together; first as it runs in what it is compared with.

    What is no sub-layer runs alike in both.
    """
    for name, tasks in _layers(run.compared or ()).items():
        if tasks[0].sublayer is not None:
            yield f"{name}, {run.config.compare}", tasks
    for name, tasks in _layers(run.tasks).items():
        differs = run.compared is not None and tasks[0].sublayer is not None
        yield f"{name}, {run.config.overlap}" if differs else name, tasks


def _layers(tasks: Sequence[TaskRun]) -> Mapping[str, Sequence[TaskRun]]:
    """The tasks of each name."""
    found: dict[str, list[TaskRun]] = {}
    for task in tasks:
        found.setdefault(task.task.name, []).append(task)
    return found


def _latency(run: Run) -> TableData:
    rows: list[Sequence[Cell]] = []
    for name, tasks in _named(run):
        parts = [sum(parts) / FS_PER_MS for parts in zip(*map(_parts, tasks), strict=True)]
        rows.append((name, *parts))
    return TableData(("task", *PARTS), rows)


def _parts(task: TaskRun) -> tuple[int, ...]:
    """Femtoseconds of each of ``PARTS``."""
    if task.sublayer is None:
        return (0, 0, 0, task.elapsed_fs)
    return (*(end - start for start, end in pairwise((0, *task.ends_fs))), 0)


def _traffic(run: Run) -> TableData:
    """Of the sub-layers; of what there is where there is none."""
    rows: list[Sequence[Cell]] = []
    sublayers = any(task.sublayer is not None for task in run.tasks)
    for name, tasks in _named(run):
        if sublayers and tasks[0].sublayer is None:
            continue
        for kernels in zip(*(task.kernels for task in tasks), strict=True):
            moved = (sum(_bytes(k, *which) for k in kernels) / 2**20 for which in MOVED.values())
            rows.append((f"{name}: {kernels[0].name}", *moved))
    return TableData(("kernel", *MOVED), rows)


def _bytes(kernel: Stretch, stream: Stream, kinds: Sequence[Access]) -> int:
    return sum(kernel.traffic.get((stream, kind), 0) for kind in kinds)


def _bandwidth(run: Run) -> TableData:
    """Of the first sub-layer's kernels up to the all-gather, one after the other."""
    rows: list[tuple[float, ...]] = []
    first = next((task for task in run.tasks if task.sublayer is not None), run.tasks[0])
    start = 0
    for kernel in first.kernels[:-1] or first.kernels:
        per_interval = FS_PER_SECOND / 10**9 / kernel.interval_fs if kernel.interval_fs else 0.0
        for number in range(max(map(len, kernel.moved.values()), default=0)):
            moved = (
                sum(_at(kernel.moved.get((stream, kind), ()), number) for kind in kinds)
                for stream, kinds in MOVED.values()
            )
            time = (start + number * kernel.interval_fs) / FS_PER_US
            rows.append((time, *(bytes_ * per_interval for bytes_ in moved)))
        start += kernel.elapsed_fs
    return TableData(("time_us", *MOVED), rows)


def _at(values: Sequence[int], place: int) -> int:
    return values[place] if place < len(values) else 0


def _tracker(run: Run) -> TableData:
    rows = [
        (
            name,
            kernel.tracker_entries,
            kernel.tracker_waits,
            kernel.intensity,
            kernel.threshold or "none",
        )
        for name, tasks in _named(run)
        for kernel in tasks[0].kernels
        if kernel.tracker_entries
    ]
    columns = ("task", "entries_peak", "updates_that_waited", "first_stage_intensity", "threshold")
    return TableData(columns, rows)


def _devices(run: Run) -> TableData:
    """When each device ended its part of a fused sub-layer, of the first layer."""
    columns = ("task", "device", "gemm_ms", "reduce_scatter_ms")
    rows: list[Sequence[Cell]] = [
        (name, device, gemm_fs / FS_PER_MS, end_fs / FS_PER_MS)
        for name, tasks in _named(run)
        for kernel in tasks[0].kernels
        for device, (gemm_fs, end_fs) in enumerate(kernel.devices)
    ]
    return TableData(columns, rows)


def _sublayers(run: Run) -> TableData:
    """Time and traffic of each sub-layer, all layers together, as it was run and compared."""
    columns = ("sublayer", "overlap", "latency_s", *traffic_of(()))
    rows: list[Sequence[Cell]] = []
    for tasks, overlap in ((run.compared, run.config.compare), (run.tasks, run.config.overlap)):
        for name, same in _layers(tasks or ()).items():
            found = [task.sublayer for task in same if task.sublayer is not None]
            if found:
                seconds = sum(task.elapsed_fs for task in same) / FS_PER_SECOND
                moved = traffic_of(found).values()
                rows.append((name.removesuffix("_data_gradient"), str(overlap), seconds, *moved))
    return TableData(columns, rows)


def traffic_of(sublayers: Sequence[Sublayer]) -> Mapping[str, int]:
    """Bytes of memory of sub-layers, by what they were moved for."""
    first = [k for each in sublayers for k in (each.gemm, each.reduce_scatter) if k is not None]
    gathers = [each.all_gather for each in sublayers if each.all_gather is not None]
    return {
        "gemm_bytes_read": sum(kernel.read(Stream.COMPUTE) for kernel in first),
        "rs_bytes_read": sum(kernel.read(Stream.COMMUNICATION) for kernel in first),
        "gemm_rs_bytes_written": sum(kernel.written() for kernel in first),
        "ag_bytes_read": sum(kernel.read() for kernel in gathers),
        "ag_bytes_written": sum(kernel.written() for kernel in gathers),
    }
