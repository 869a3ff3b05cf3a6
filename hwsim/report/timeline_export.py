"""Timeline files: Chrome trace-event JSON, gzipped, which Perfetto opens.

The run is a process, and so is each part of the machine (``part/track``). Each track is a thread;
slices of no length become instants. Slices that overlap on one track without nesting go on lanes of
their own (``track``, ``track (2)``, ...), because viewers drop those. Times are microseconds,
printed exactly from femtoseconds. The file is written as a stream; its bytes depend on nothing but
the timeline.

Ref: Trace Event Format, Google, 2016 (JSON object format, phases M, X, i and C).
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from hwsim.sim.timeline import Args, Sample, Slice, Timeline

__all__ = ["export_timeline", "microseconds"]

FS_PER_MICROSECOND = 10**9
EVENTS_PER_WRITE = 4096
COMPRESSION = 5  # a few per cent larger than the best, in a third of the time


def export_timeline(timeline: Timeline, path: Path, process: str) -> None:
    """Write ``timeline`` to ``path`` (``*.json.gz``), its run as a process of that name."""
    with path.open("wb") as file, _gzip(file) as packed:
        packed.write(b'{"displayTimeUnit":"ns","traceEvents":[\n')
        separator = b""
        for events in _batches(_events(timeline, process)):
            packed.write(separator + ",\n".join(events).encode())
            separator = b",\n"
        packed.write(b"\n]}\n")


def microseconds(time_fs: int) -> str:
    """A time in femtoseconds as decimal microseconds, exactly.

    >>> microseconds(4_444_444)
    '0.004444444'
    """
    whole, rest = divmod(time_fs, FS_PER_MICROSECOND)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    """A gzip stream without name or date in its header."""
    return gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0)


def _batches(events: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(events, EVENTS_PER_WRITE)):
        yield batch


def _events(timeline: Timeline, process: str) -> Iterator[str]:
    pids = _processes(timeline)
    yield f'{{"ph":"M","pid":1,"name":"process_name","args":{{"name":{_text(process)}}}}}'
    for part, pid in list(pids.items())[1:]:
        yield from _process_names(pid, part)
    lanes = [(pids[_part(name)], name, slices) for name, slices in _all_lanes(timeline.slices)]
    for thread, (pid, name, _) in enumerate(lanes, start=1):
        yield from _thread_names(pid, thread, name.removeprefix(f"{_part(name)}/"))
    yield from chain.from_iterable(
        _slice_events(pid, thread, slices) for thread, (pid, _, slices) in enumerate(lanes, start=1)
    )
    for sample in sorted(timeline.samples):
        yield _counter_event(pids[_part(sample[0])], sample)


def _processes(timeline: Timeline) -> dict[str, int]:
    """Numbers of the run, named "", and of each part in people's order."""
    parts = {_part(item[0]) for item in timeline.slices}
    parts |= {_part(item[0]) for item in timeline.samples}
    return {part: pid for pid, part in enumerate(["", *sorted(parts - {""}, key=_natural)], 1)}


def _part(track: str) -> str:
    """The part of the machine that a track belongs to; "" for none."""
    return track.partition("/")[0] if "/" in track else ""


def _process_names(pid: int, name: str) -> Iterator[str]:
    head = f'{{"ph":"M","pid":{pid},"name":'
    yield f'{head}"process_name","args":{{"name":{_text(name)}}}}}'
    yield f'{head}"process_sort_index","args":{{"sort_index":{pid}}}}}'


def _thread_names(pid: int, thread: int, name: str) -> Iterator[str]:
    head = f'{{"ph":"M","pid":{pid},"tid":{thread},"name":'
    yield f'{head}"thread_name","args":{{"name":{_text(name)}}}}}'
    yield f'{head}"thread_sort_index","args":{{"sort_index":{thread}}}}}'


def _slice_events(pid: int, thread: int, slices: Iterable[Slice]) -> Iterator[str]:
    head = f'"pid":{pid},"tid":{thread},"name":'
    for _, name, start_fs, end_fs, args in slices:
        details = f',"args":{_details(args)}' if args else ""
        start, length = microseconds(start_fs), microseconds(end_fs - start_fs)
        if start_fs == end_fs:
            yield f'{{"ph":"i","s":"t",{head}{_text(name)},"ts":{start}{details}}}'
        else:
            yield f'{{"ph":"X",{head}{_text(name)},"ts":{start},"dur":{length}{details}}}'


def _counter_event(pid: int, sample: Sample) -> str:
    track, name, time_fs, value = sample
    value_text = json.dumps({"value": value}, allow_nan=False)
    label = _text(f"{track.removeprefix(f'{_part(track)}/')}: {name}")
    time = microseconds(time_fs)
    return f'{{"ph":"C","pid":{pid},"name":{label},"ts":{time},"args":{value_text}}}'


@functools.lru_cache(maxsize=4096)
def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@functools.lru_cache(maxsize=4096)
def _details(args: Args) -> str:
    return json.dumps(dict(args), ensure_ascii=False, separators=(",", ":"))


def _all_lanes(slices: Iterable[Slice]) -> Iterator[tuple[str, list[Slice]]]:
    """Lane names and their slices, tracks in people's order (``core 2`` before ``core 10``)."""
    tracks: defaultdict[str, list[Slice]] = defaultdict(list)
    for item in slices:
        tracks[item[0]].append(item)
    for track in sorted(tracks, key=_natural):
        for number, lane in enumerate(_lanes(tracks[track]), start=1):
            yield (track if number == 1 else f"{track} ({number})"), lane


def _lanes(slices: list[Slice]) -> list[list[Slice]]:
    """Deal one track's slices to as few lanes as needed for the slices of a lane to nest."""
    slices.sort(key=_by_time)
    lanes: list[list[Slice]] = []
    open_ends: list[
        list[int]
    ] = []  # for each lane, ends of the slices open at this time, outermost first
    for item in slices:
        lane = _free_lane(open_ends, item[2], item[3])
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(item)
    return lanes


def _free_lane(open_ends: list[list[int]], start_fs: int, end_fs: int) -> int:
    """The first lane where a slice fits after, or inside, what is there; it is entered as open."""
    for lane, ends in enumerate(open_ends):
        while ends and ends[-1] <= start_fs:
            ends.pop()
        if not ends or ends[-1] >= end_fs:
            ends.append(end_fs)
            return lane
    open_ends.append([end_fs])
    return len(open_ends) - 1


def _by_time(item: Slice) -> tuple[int, int, str, str]:
    _, name, start_fs, end_fs, args = item
    return start_fs, -end_fs, name, repr(args) if args else ""


def _natural(text: str) -> list[tuple[int, str]]:
    """A sort key that reads digits as numbers."""
    parts = cast(list[str], re.findall(r"\d+|\D+", text))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
