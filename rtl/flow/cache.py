"""Where builds and answers are kept, by the content that they were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["cache_folder", "digest", "digest_of", "sources"]


def cache_folder(*parts: str) -> Path:
    """A folder under ``$HWSIM_CACHE``, or ``hwsim`` in the user's cache; made if not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("HWSIM_CACHE") or Path(base) / "hwsim", "rtl", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(parts: Iterable[bytes | str]) -> str:
    """One name for all of ``parts``, in order."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()


@cache
def sources(below: tuple[str, ...]) -> tuple[Path, ...]:
    """Every file of ours with a part in an answer, in or below the places given."""
    root = Path(__file__).parents[2]
    found = (path for place in below for path in (root / place, *(root / place).rglob("*")))
    return tuple(sorted(path for path in found if path.suffix in {".py", ".v"}))


def digest_of(files: Iterable[Path]) -> str:
    """One name for the contents of files, in order; a process reads each once."""
    return digest(map(_content, files))


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()
