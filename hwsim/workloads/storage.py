"""What trace files of both formats share: the header, opening with checks, writing with care."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from hwsim.errors import Problem, WorkloadError
from hwsim.replace import replaced_file
from hwsim.workloads.strict_json import shown

__all__ = ["TRACE_VERSION", "Header", "file_sha256", "opened", "written_aside"]

TRACE_VERSION: Final = 1
VERSION_KEY: Final = "hwsim_trace"


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace file says before its records: version of the format, name and meta."""

    name: str
    meta: Mapping[str, Any]

    def to_record(self) -> dict[str, Any]:
        """The header as it stands in a file."""
        return {VERSION_KEY: TRACE_VERSION, "name": self.name, "meta": dict(self.meta)}

    @classmethod
    def from_record(cls, record: object, where: str) -> Header:
        """The header that a record holds; ``WorkloadError`` if it holds none of this version."""
        if not isinstance(record, dict) or VERSION_KEY not in record:
            raise WorkloadError(
                f'{where}: must be the header of a trace, {{"{VERSION_KEY}": 1, ...}}'
            )
        version, name, meta = (record.get(key) for key in (VERSION_KEY, "name", "meta"))
        if version != TRACE_VERSION:
            raise _wrong(where, VERSION_KEY, f"must be {TRACE_VERSION}", version)
        if not isinstance(name, str) or not name:
            raise _wrong(where, "name", "must be a text that is not empty", name)
        if not isinstance(meta, dict):
            raise _wrong(where, "meta", "must be an object", meta)
        return cls(name, meta)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The regular file at ``path``, open for reading; ``WorkloadError`` if it can't be read."""
    try:
        if path.is_dir():
            raise WorkloadError(f"{path}: must be a file, this is a directory")
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise WorkloadError(f"{path}: must be a regular file")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise WorkloadError(f"{path}: must be a readable file ({_reason(error)})") from None
    with file:
        yield file


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """As :func:`~hwsim.replace.replaced_file`, with ``WorkloadError`` if the disk refuses."""
    try:
        with replaced_file(path) as aside:
            yield aside
    except OSError as error:
        raise WorkloadError(
            f"{path}: must be a file that can be written ({_reason(error)})"
        ) from None


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong(where: str, key: str, rule: str, value: object) -> WorkloadError:
    return WorkloadError(str(Problem(where, key, rule, shown(value))))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
