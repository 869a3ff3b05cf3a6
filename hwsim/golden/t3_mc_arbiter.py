"""What leaves T3's memory controller arbiter: the requests of two streams, in the order chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Admitted", "admitted"]

Numbers = NDArray[np.integer[Any]]


class Admitted(NamedTuple):
    """Admitted requests, in order."""

    stream: NDArray[np.int64]
    """[requests] : whose it is, 0 or 1."""
    position: NDArray[np.int64]
    """[requests] : which of that stream's requests it is."""


def admitted(streams: Numbers) -> Admitted:
    """Which request each admission takes: every stream's in their own order, none left out.

    Parameters
    ----------
    streams : [requests] of 0 and 1, the stream chosen each time.
    """
    second = streams.astype(np.int64)
    position = np.where(second == 1, np.cumsum(second), np.cumsum(1 - second)) - 1
    return Admitted(second, position)
