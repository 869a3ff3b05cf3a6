"""Timeline files: what viewers get to read."""

from __future__ import annotations

import gzip
import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hwsim.report.timeline_export import export_timeline, microseconds
from hwsim.sim.timeline import Timeline


def _events(timeline: Timeline, folder: Path) -> list[dict[str, Any]]:
    path = folder / "timeline.json.gz"
    export_timeline(timeline, path, "llama2_7b on flightllm/u280")
    data = json.loads(gzip.decompress(path.read_bytes()), parse_float=Fraction)
    events: list[dict[str, Any]] = data["traceEvents"]
    return events


@given(st.integers(0, 10**24))
def test_microseconds_are_exact(time_fs: int) -> None:
    assert Fraction(microseconds(time_fs)) == Fraction(time_fs, 10**9)


def test_a_slice_becomes_a_complete_event_on_the_thread_of_its_track(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.slice("core.mv", "q_proj", 4_444_444, 13_333_332, (("k", 256), ("kind", "dense")))

    assert _events(timeline, tmp_path) == [
        {
            "ph": "M",
            "pid": 1,
            "name": "process_name",
            "args": {"name": "llama2_7b on flightllm/u280"},
        },
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "core.mv"}},
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_sort_index", "args": {"sort_index": 1}},
        {
            "ph": "X",
            "pid": 1,
            "tid": 1,
            "name": "q_proj",
            "ts": Fraction("0.004444444"),
            "dur": Fraction("0.008888888"),
            "args": {"k": 256, "kind": "dense"},
        },
    ]


def test_tracks_are_sorted_as_people_count(tmp_path: Path) -> None:
    timeline = Timeline()
    for track in ("core 10", "hbm", "core 2"):
        timeline.slice(track, "busy", 0, 1)

    events = _events(timeline, tmp_path)
    assert [e["args"]["name"] for e in events if e["name"] == "thread_name"] == [
        "core 2",
        "core 10",
        "hbm",
    ]


def test_nested_slices_share_a_lane_and_overlapping_ones_do_not(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.slice("ld", "inner", 2, 4)
    timeline.slice("ld", "outer", 0, 10)
    timeline.slice("ld", "overlaps outer", 5, 12)
    timeline.slice("ld", "after outer", 10, 12)

    events = _events(timeline, tmp_path)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    lanes = {e["name"]: names[e["tid"]] for e in events if e["ph"] == "X"}
    assert lanes == {
        "outer": "ld",
        "inner": "ld",
        "overlaps outer": "ld (2)",
        "after outer": "ld",
    }


def test_a_counter_becomes_counter_events_in_time_order(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.counter("hbm", "bytes in flight", 10**9, 0)
    timeline.counter("hbm", "bytes in flight", 0, 4096)

    events = [e for e in _events(timeline, tmp_path) if e["ph"] == "C"]
    assert [(e["name"], e["ts"], e["args"]) for e in events] == [
        ("hbm: bytes in flight", 0, {"value": 4096}),
        ("hbm: bytes in flight", 1, {"value": 0}),
    ]


def test_names_are_escaped(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.slice('a "track"', "na\\me\nµ", 0, 1)

    assert _events(timeline, tmp_path)[-1]["name"] == "na\\me\nµ"


def test_an_empty_timeline_is_a_file_that_opens(tmp_path: Path) -> None:
    assert [e["name"] for e in _events(Timeline(), tmp_path)] == ["process_name"]


def test_the_bytes_depend_on_neither_date_nor_name_nor_order(tmp_path: Path) -> None:
    recorded = [(f"core {i % 3}", "tile", i * 7, i * 7 + 9) for i in range(5000)]
    shuffled = random.Random(1).sample(recorded, len(recorded))
    written = []
    for name, slices in (("a", recorded), ("b", shuffled)):
        timeline = Timeline()
        for item in slices:
            timeline.slice(*item)
        export_timeline(timeline, tmp_path / name, "p")
        written.append((tmp_path / name).read_bytes())

    assert written[0] == written[1]
    assert written[0][4:8] == b"\0\0\0\0"  # the date in a gzip header


def test_a_slice_of_no_length_becomes_an_instant(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.instant("tracker", "chunk 2", 2_000_000_000, (("workgroup", 7),))

    assert _events(timeline, tmp_path)[-1] == {
        "ph": "i",
        "s": "t",
        "pid": 1,
        "tid": 1,
        "name": "chunk 2",
        "ts": 2,
        "args": {"workgroup": 7},
    }


def test_each_part_of_the_machine_is_a_process_behind_the_run(tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.slice("device 10/dma.read", "chunk 2", 0, 1)
    timeline.slice("device 9/dma.read", "chunk 2", 0, 1)
    timeline.slice("link", "chunk 2", 0, 1)
    timeline.counter("device 9/memory", "reads queued", 0, 3)
    events = _events(timeline, tmp_path)
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = {(e["pid"], e["args"]["name"]) for e in events if e["name"] == "thread_name"}

    assert list(processes.values()) == ["llama2_7b on flightllm/u280", "device 9", "device 10"]
    assert threads == {(1, "link"), (2, "dma.read"), (3, "dma.read")}
    assert events[-1]["pid"] == 2
    assert events[-1]["name"] == "memory: reads queued"
