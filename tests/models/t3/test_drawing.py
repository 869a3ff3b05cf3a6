"""The timeline of a kernel shows what its figures say."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import pytest

from hwsim.memory import Stream
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.kernels import Kernels
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.tiles import GemmShape
from hwsim.outcome import SimOptions
from hwsim.sim.timeline import Slice, Timeline

Machine = Callable[..., T3Config]
TILE_BYTES = 64 * 64 * 2


def _drawn(config: T3Config, shape: GemmShape, degree: int = 4) -> tuple[Stretch, Timeline]:
    done = Kernels(config, degree, SimOptions(timeline=True)).fused(shape, "compute_first")
    assert done.timeline is not None
    return done, done.timeline


def _rows(timeline: Timeline) -> Mapping[str, Sequence[Slice]]:
    rows: dict[str, list[Slice]] = defaultdict(list)
    for each in timeline.slices:
        rows[each[0]].append(each)
    return rows


@pytest.fixture(scope="module")
def drawn(machine: Machine, shape: GemmShape) -> tuple[Stretch, Timeline]:
    return _drawn(machine(), shape)


def test_every_workgroup_is_in_a_stage_and_in_a_chunk(drawn: tuple[Stretch, Timeline]) -> None:
    """64 workgroups on 8 units of two places: 4 stages of 16, and as it happens 4 chunks."""
    rows = _rows(drawn[1])
    stages, chunks = rows["device 0/gemm.stages"], rows["device 0/gemm.chunks"]

    assert [name for _, name, *_ in stages] == [
        f"stage {i}: chunk {chunk}" for i, chunk in enumerate([1, 2, 3, 0])
    ]
    assert [name for _, name, *_ in chunks] == [
        "chunk 1 (remote, to device 3)",
        "chunk 2 (dma, to device 3)",
        "chunk 3 (dma, to device 3)",
        "chunk 0 (own)",
    ]
    assert [dict(args or ())["workgroups"] for *_, args in [*stages, *chunks]] == [16] * 8
    places = [row for row in rows if row.startswith("device 0/gemm.unit ")]
    assert len(places) == 16
    tiles = [name for row in places for _, name, *_ in rows[row] if name.startswith("tile ")]
    assert sorted(tiles) == sorted(f"tile {m},{n}" for m in range(8) for n in range(8))


def test_every_forwarded_tile_is_read_and_then_sent(drawn: tuple[Stretch, Timeline]) -> None:
    done, timeline = drawn
    rows = _rows(timeline)
    reads, sends = rows["device 0/dma.read"], rows["device 0/dma.send"]

    assert len(reads) * TILE_BYTES == done.read(Stream.COMMUNICATION)
    read = {dict(args or ())["workgroup"] for *_, args in reads}
    assert {dict(args or ())["workgroup"] for *_, args in sends} == read
    assert {name for _, name, *_ in reads} == {"chunk 2", "chunk 3"}


def test_every_tracked_tile_triggers_and_is_read_after_it(
    drawn: tuple[Stretch, Timeline],
) -> None:
    rows = _rows(drawn[1])
    triggers = rows["device 0/tracker"]
    keys = [(dict(args or ())["workgroup"], dict(args or ())["wavefront"]) for *_, args in triggers]
    assert len(keys) == len(set(keys)) == 48 * 4
    when = dict(zip(keys, (start for _, _, start, *_ in triggers), strict=True))
    for _, _, start, _, args in rows["device 0/dma.read"]:
        of = dict(args or ())
        assert start >= when[of["workgroup"], of["wavefront"]] + 100 * 10**6


def test_the_counters_add_up_to_what_memory_moved(drawn: tuple[Stretch, Timeline]) -> None:
    done, timeline = drawn
    counters: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for track, name, time, value in timeline.samples:
        if track == "device 0/memory" and name.endswith("(GB/s)"):
            counters[name].append((time, value))
    moved = sum(
        value * (end - start) / 10**6
        for samples in counters.values()
        for (start, value), (end, _) in itertools.pairwise(samples)
    )

    assert moved == pytest.approx(done.read() + done.written(), rel=1e-9)
    assert all(samples[-1][1] == 0 for samples in counters.values())
    assert max(value for samples in counters.values() for _, value in samples) <= 1024


def test_sets_in_use_peak_where_the_table_says(drawn: tuple[Stretch, Timeline]) -> None:
    done, timeline = drawn
    used = [value for _, name, _, value in timeline.samples if name == "sets in use"]
    assert max(used) == done.tracker_entries
    assert used[-1] == 0


def test_every_device_is_drawn_in_full_mode(machine: Machine, shape: GemmShape) -> None:
    _, timeline = _drawn(machine(mode="full"), shape)
    parts = {row.partition("/")[0] for row in _rows(timeline) if "/" in row}
    assert parts == {f"device {i}" for i in range(4)}


def test_drawing_changes_nothing(machine: Machine, shape: GemmShape) -> None:
    plain = Kernels(machine(), 4, SimOptions()).fused(shape, "compute_first")
    done, _ = _drawn(machine(), shape)
    assert plain.timeline is None
    assert done.elapsed_fs == plain.elapsed_fs
    assert done.traffic == plain.traffic
