"""A kernel's timeline: what each device did, drawn when the kernel has run.

Each device is a part with these rows and counters; links are drawn as they are used.

- ``gemm.stages``, ``gemm.chunks``: from the first workgroup's start to the last one's end.
- ``gemm.unit u.p``: the workgroups of place p of a compute unit, by tile row and column, each
  followed by its stores; of the first ``DRAWN_UNITS`` units.
- ``dma.chunks``: from the first read of a chunk to when its last tile is sent.
- ``dma.read``, ``dma.send``, ``dma.write``: tiles by chunk, a row for each side by side.
- ``tracker``: an instant a trigger, and the sets in use.
- ``memory``: bandwidth by stream and kind, and entries queued at the controllers, means over the
  memory's intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TypeVar

from hwsim.memory import Access, Stream
from hwsim.memory.system import MemorySystem
from hwsim.models.t3.compute import Gemm, Span
from hwsim.models.t3.fused import DmaSpan, Fused, Notes, Tile
from hwsim.models.t3.node import Node
from hwsim.sim.timeline import Args, Timeline
from hwsim.units import FS_PER_SECOND

__all__ = ["draw"]

T = TypeVar("T")

DRAWN_UNITS = 8
"""As many rows as fit a screen; all units of a device do much the same."""
FS_PER_NS = FS_PER_SECOND // 10**9


def draw(node: Node, fused: Sequence[Fused] = ()) -> None:
    """Draw what a node has done, if it has a timeline; ``fused`` are its devices' with a GEMM."""
    timeline = node.kernel.timeline
    if timeline is None:
        return
    for device in node.devices:
        part = f"device {device.index}"
        for gemm in device.gemms:
            chunks = _chunks(fused[device.index]) if fused else {}
            _draw_gemm(timeline, part, gemm, chunks)
        if isinstance(device.memory, MemorySystem):
            _draw_memory(timeline, part, device.memory, node.kernel.now)
    for device, each in zip(node.devices, fused, strict=False):
        if each.notes is not None:
            _draw_chunks(timeline, each, [span for gemm in device.gemms for span in gemm.spans])
            _draw_dma(timeline, each.name, each.notes.spans)
            _draw_tracker(timeline, each.name, each.notes)


# GEMM ------------------------------------------------------------------------------------------


def _chunks(fused: Fused) -> Mapping[int, int]:
    """The chunk of each workgroup."""
    return {group: part.route.chunk for part in fused.parts for group in part.groups}


def _draw_gemm(timeline: Timeline, part: str, gemm: Gemm, chunks: Mapping[int, int]) -> None:
    spans = sorted(gemm.spans, key=lambda span: span.position)
    for number, first in enumerate(range(0, len(spans), gemm.resident)):
        stage = spans[first : first + gemm.resident]
        name = f"stage {number}"
        if chunks:
            name += f": chunk {_listed(chunks[span.group.index] for span in stage)}"
        _draw_all(timeline, f"{part}/gemm.stages", name, stage)
    for span in spans:
        if span.unit < DRAWN_UNITS:
            _draw_workgroup(timeline, part, gemm, span)


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, dict.fromkeys(numbers)))


def _draw_all(timeline: Timeline, track: str, name: str, spans: Sequence[Span]) -> None:
    """One slice for workgroups, from the first one's start to the last one's end."""
    start, end = min(span.start_fs for span in spans), max(span.end_fs for span in spans)
    timeline.slice(track, name, start, end, (("workgroups", len(spans)),))


def _draw_workgroup(timeline: Timeline, part: str, gemm: Gemm, span: Span) -> None:
    """A workgroup and its stores, by the row and column of its tile."""
    group, tile = span.group, gemm.tiling.config
    track = f"{part}/gemm.unit {span.unit}.{span.place}"
    name = f"{group.row // tile.rows},{group.column // tile.columns}"
    args = (("workgroup", group.index),)
    timeline.slice(track, f"tile {name}", span.start_fs, span.computed_fs, args)
    if span.end_fs > span.computed_fs:
        timeline.slice(track, f"store {name}", span.computed_fs, span.end_fs, args)


# Reduce-scatter under a GEMM -------------------------------------------------------------------


def _draw_chunks(timeline: Timeline, fused: Fused, spans: Iterable[Span]) -> None:
    of = {span.group.index: span for span in spans}
    for part in fused.parts:
        route = part.route
        where = route.kind if route.peer is None else f"{route.kind}, to device {route.peer}"
        name = f"chunk {route.chunk} ({where})"
        _draw_all(timeline, f"{fused.name}/gemm.chunks", name, [of[i] for i in part.groups])


def _draw_dma(timeline: Timeline, part: str, spans: Iterable[DmaSpan]) -> None:
    chunks: dict[str, tuple[int, int]] = {}
    for what, tile, start, end in spans:
        name = _chunk(tile)
        timeline.slice(f"{part}/dma.{what}", name, start, end, _place(tile))
        first, last = chunks.get(name, (start, end))
        chunks[name] = min(first, start), max(last, end)
    for name, (start, end) in chunks.items():
        timeline.slice(f"{part}/dma.chunks", name, start, end)


def _draw_tracker(timeline: Timeline, part: str, notes: Notes) -> None:
    track = f"{part}/tracker"
    for time, tile in notes.triggers:
        timeline.instant(track, _chunk(tile), time, _place(tile))
    timeline.counter(track, "sets in use", 0, 0)
    for time, in_use in _changes(notes.in_use.items()):
        timeline.counter(track, "sets in use", time, in_use)


def _chunk(tile: Tile) -> str:
    return f"chunk {tile.part.route.chunk}"


def _place(tile: Tile) -> Args:
    return (("workgroup", tile.group), ("wavefront", tile.wavefront), ("bytes", tile.region.bytes))


# Memory ----------------------------------------------------------------------------------------


def _draw_memory(timeline: Timeline, part: str, memory: MemorySystem, end_fs: int) -> None:
    """Means over the memory's intervals, the last of which ends with the kernel."""
    clock, cycles = memory.cfg.dram.clock, memory.bin_cycles
    edges = [*range(0, -(-end_fs * clock // FS_PER_SECOND), cycles)]
    times = [*(edge * FS_PER_SECOND // clock for edge in edges), end_fs]
    bins = memory.bins[: len(edges)]
    moved = [f"{s.name.lower()} {kind.name.lower()} (GB/s)" for s in Stream for kind in Access]
    held = ["reads queued", "writes queued"]
    for column, name in enumerate([*moved, *held]):
        amounts = bins[:, column].tolist()
        if not any(amounts):
            continue
        unit = FS_PER_NS if column < len(moved) else FS_PER_SECOND / clock
        rates = (
            (start, amount * unit / (end - start))
            for amount, (start, end) in zip(amounts, pairwise(times), strict=True)
        )
        for time, rate in _changes([*rates, (end_fs, 0.0)]):
            timeline.counter(f"{part}/memory", name, time, rate)


def _changes(samples: Iterable[tuple[int, T]]) -> Iterator[tuple[int, T]]:
    """The samples that differ from the one before them."""
    for _, same in groupby(samples, key=lambda sample: sample[1]):
        yield next(same)
