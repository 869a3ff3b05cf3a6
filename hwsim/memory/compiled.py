"""Compiled functions: Numba, typed, with a cache on disk that knows all of its sources.

Numba's own cache is as old as the one file that holds a function, whatever it calls. An entry point
made by :func:`entry` carries a digest of every module it is compiled from.

Compiled functions make no arrays of their own, so references need not be counted (``_nrt``): an
engine that counts them is ten times slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["Ints", "entry", "inline"]

F = TypeVar("F", bound=Callable[..., Any])

Ints: TypeAlias = npt.NDArray[np.int64]
"""An array of a compiled function; its columns are named by the constants of a module."""

OPTIONS: Final[Any] = {"_nrt": False, "error_model": "numpy"}


def inline(function: F) -> F:
    """Compile ``function``, which only compiled functions call."""
    compiled: F = numba.njit(forceinline=True, **OPTIONS)(function)
    return compiled


def entry(make: Callable[[int], F]) -> F:
    """The compiled entry point that ``make`` defines, given a number that names its sources.

    The function must mention that number, so that it becomes part of the cache's key.
    """
    compiled: F = numba.njit(cache=True, **OPTIONS)(make(_sources()))
    return compiled


def _sources() -> int:
    """A digest of every file that is compiled: those with such functions, constants, the law."""
    here = Path(__file__).parent
    found = [path for path in here.glob("*.py") if "\n@inline\n" in path.read_text()]
    files = [here / "engine.py", here / "layout.py", here.parent / "laws" / "t3_arbiter.py", *found]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(set(files))))
    return int.from_bytes(digest.digest()[:7])
