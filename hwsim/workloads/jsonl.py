"""Traces as JSON Lines: one record a line, to be read, searched and compared with common tools.

The first line is the header, ``{"hwsim_trace": 1, "name": ..., "meta": {...}}``; then the record of
each step, followed by those of its ops; the last is ``{"type": "End", "steps": ..., "ops": ...}``,
so that a file that was cut short is found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from hwsim.errors import WorkloadError
from hwsim.workloads.records import from_record, to_record
from hwsim.workloads.step import Step
from hwsim.workloads.storage import Header, file_sha256, opened, written_aside
from hwsim.workloads.stream import Located, assembled, items_of
from hwsim.workloads.strict_json import parse_json
from hwsim.workloads.trace import Trace

__all__ = ["read_jsonl", "write_jsonl"]

MAX_LINE_BYTES: Final = 1024 * 1024
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def write_jsonl(trace: Trace, path: Path) -> None:
    """Write ``trace`` a line at a time; ``path`` appears only once all is written."""
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_ENCODE(Header(trace.name, trace.meta).to_record()) + "\n")
        for _, item in items_of(trace.name, trace.steps()):
            file.write(_ENCODE(to_record(item)) + "\n")


def read_jsonl(path: Path) -> Trace:
    """The trace in a file, of which the header is read now and each step when it is asked for.

    Raises
    ------
    WorkloadError
        Here or while going through the steps: naming file and line, field, rule and value.
    """
    with opened(path) as file:
        first = next(_records(file, path), (f"{path}:1", None))
    header = Header.from_record(first[1], first[0])
    return Trace(header.name, header.meta, partial(_steps, path), partial(file_sha256, path))


def _steps(path: Path) -> Iterator[Step]:
    yield from assembled(_items(path), str(path))


def _items(path: Path) -> Iterator[Located]:
    with opened(path) as file:
        records = _records(file, path)
        next(records)
        for where, record in records:
            yield where, from_record(record, where)


def _records(file: BufferedReader, path: Path) -> Iterator[tuple[str, Any]]:
    """The value on each line that is not blank, and where it stands."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_LINE_BYTES:
            raise WorkloadError(f"{where}: must have lines of at most {MAX_LINE_BYTES} bytes")
        try:
            text = line.decode("utf-8").strip()
            if text:
                yield where, parse_json(text)
        except UnicodeDecodeError:
            raise WorkloadError(f"{where}: must be UTF-8 text (a binary file?)") from None
        except ValueError as error:
            raise WorkloadError(f"{where}: {error}") from None
