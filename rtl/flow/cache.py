"""Where builds and answers are kept, by the content that they were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["cache_folder", "digest"]


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
