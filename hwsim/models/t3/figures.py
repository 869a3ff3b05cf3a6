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
    return DeferredTables(
        {
            "latency": lambda: _latency(run),
            "traffic": lambda: _traffic(run),
            "bandwidth": lambda: _bandwidth(run),
            "tracker": lambda: _tracker(run),
            "sublayers": lambda: _sublayers(run),
        }
    )


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
            caption="Of a reduce-scatter under a GEMM, what is left of it when the GEMM ends.",
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
            caption="Reads and writes of each kernel, updates among the writes.",
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


def _named(run: Run) -> Iterator[tuple[str, TaskRun]]:
    """Every task with its name, also in the configuration that it is compared with."""
    for tasks, overlap in ((run.compared, run.config.compare), (run.tasks, run.config.overlap)):
        for task in tasks or ():
            name = task.task.ops[0].name
            yield (name if run.compared is None else f"{name}, {overlap}"), task


def _latency(run: Run) -> TableData:
    rows: list[Sequence[Cell]] = []
    for name, task in _named(run):
        if task.sublayer is None:
            parts: Sequence[int] = (0, 0, 0, task.elapsed_fs)
        else:
            parts = (*(b - a for a, b in pairwise((0, *task.ends_fs))), 0)
        rows.append((name, *(part / FS_PER_MS for part in parts)))
    return TableData(("task", *PARTS), rows)


def _traffic(run: Run) -> TableData:
    rows: list[Sequence[Cell]] = []
    for name, task in _named(run):
        for kernel in task.kernels:
            moved = (_bytes(kernel, *which) / 2**20 for which in MOVED.values())
            rows.append((f"{name}: {kernel.name}", *moved))
    return TableData(("kernel", *MOVED), rows)


def _bytes(kernel: Stretch, stream: Stream, kinds: Sequence[Access]) -> int:
    return sum(kernel.traffic.get((stream, kind), 0) for kind in kinds)


def _bandwidth(run: Run) -> TableData:
    """Of the first task's kernels up to the all-gather, one after the other."""
    rows: list[tuple[float, ...]] = []
    first = run.tasks[0]
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
        (name, kernel.tracker_entries, kernel.tracker_waits, kernel.threshold or "none")
        for name, task in _named(run)
        for kernel in task.kernels
        if kernel.tracker_entries
    ]
    return TableData(("task", "entries_peak", "updates_that_waited", "threshold"), rows)


def _sublayers(run: Run) -> TableData:
    """Time and traffic of each sub-layer, in the configurations that were run."""
    columns = ("sublayer", "overlap", "latency_s", *traffic_of(()))
    rows: list[Sequence[Cell]] = []
    for tasks, overlap in ((run.compared, run.config.compare), (run.tasks, run.config.overlap)):
        for task in tasks or ():
            if task.sublayer is not None:
                name = str(task.task.ops[0].name).removesuffix("_data_gradient")
                seconds = task.elapsed_fs / FS_PER_SECOND
                rows.append((name, str(overlap), seconds, *traffic_of([task.sublayer]).values()))
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
