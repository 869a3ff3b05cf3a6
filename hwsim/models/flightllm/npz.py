"""A user's arrays, from an ``.npz`` archive."""

from __future__ import annotations

import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import WorkloadError

__all__ = ["read_npz"]

BAD_ARCHIVE = (
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise on damaged, encrypted, pickled or oversized members."""


def read_npz(path: str | PathLike[str], what: str) -> dict[str, NDArray[Any]]:
    """Every member of an archive of plain arrays; ``what`` it is in messages.

    Raises
    ------
    WorkloadError
        For a file that can't be read or is no such archive, naming it.
    """
    try:
        with Path(path).open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise WorkloadError(f"{path}: {what} must be an .npz archive, got another format")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
    except OSError as error:
        reason = error.strerror or error
        raise WorkloadError(f"{path}: {what} must be readable, got {reason}") from error
    except BAD_ARCHIVE as error:
        raise WorkloadError(
            f"{path}: {what} must be an .npz archive of plain arrays, got {error}"
        ) from error
