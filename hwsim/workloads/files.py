"""Traces by the suffix of their file: ``.jsonl`` or ``.parquet``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hwsim.errors import WorkloadError
from hwsim.workloads.jsonl import read_jsonl, write_jsonl
from hwsim.workloads.parquet import read_parquet, write_parquet
from hwsim.workloads.trace import Trace

__all__ = ["TRACE_SUFFIXES", "read_trace", "write_trace"]

_FORMATS: Final[dict[str, tuple[Callable[[Path], Trace], Callable[[Trace, Path], None]]]] = {
    ".jsonl": (read_jsonl, write_jsonl),
    ".parquet": (read_parquet, write_parquet),
}
TRACE_SUFFIXES: Final = tuple(_FORMATS)


def read_trace(path: Path) -> Trace:
    """The trace in a ``.jsonl`` or ``.parquet`` file; each step is read when it is asked for."""
    return _format(path)[0](path)


def write_trace(trace: Trace, path: Path) -> None:
    """Write ``trace`` to a ``.jsonl`` or ``.parquet`` file, whole or not at all."""
    _format(path)[1](trace, path)


def _format(path: Path) -> tuple[Callable[[Path], Trace], Callable[[Trace, Path], None]]:
    if path.suffix not in _FORMATS:
        raise WorkloadError(f"{path}: must end in {' or '.join(TRACE_SUFFIXES)}")
    return _FORMATS[path.suffix]
