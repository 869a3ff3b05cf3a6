"""What T3's Tracker makes of updates: which of them it counts, and which complete a tile.

Updates that are looked up at once see the sets as they were before; those of one tile add up, and
the first of them stands for the trigger. Values alone: when each is looked up is the law's to say
(:func:`hwsim.laws.t3_tracker.timetable`).

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 4.2.1; turns and refusals are assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.t3_tracker import Kernel, TrackerGeometry, Update, set_index, turn

__all__ = ["Outcomes", "tracked"]


class Outcomes(NamedTuple):
    """What became of each update of a kernel."""

    counted: NDArray[np.bool_]
    """[updates] : it was its workgroup's turn."""
    completes: NDArray[np.bool_]
    """[updates] : it, or another of the same tile and step, was the tile's last."""


def tracked(
    geometry: TrackerGeometry,
    kernel: Kernel,
    updates: Sequence[Update],
    steps: NDArray[np.integer[Any]],
) -> Outcomes:
    """What becomes of ``updates``, none of which is a fault.

    Parameters
    ----------
    steps : [updates], ascending: those of one step are looked up at once.
    """
    counted = np.zeros(len(updates), np.bool_)
    completes = np.zeros(len(updates), np.bool_)
    left = np.full((geometry.entries, kernel.wavefronts), kernel.threshold)
    """What the tiles of the workgroup whose turn it is still need."""
    turns = np.zeros(geometry.entries, np.int64)
    sets = [set_index(update.workgroup, geometry.entries) for update in updates]
    for _, step in groupby(range(len(updates)), lambda i: int(steps[i])):
        at_once = list(step)
        for i in at_once:
            counted[i] = turn(geometry, kernel.first, updates[i].workgroup) == turns[sets[i]]
        seen = [i for i in at_once if counted[i]]
        for i in seen:
            left[sets[i], updates[i].wavefront] -= updates[i].elements
        tiles = {(sets[i], updates[i].wavefront): i for i in reversed(seen)}
        completes[[i for tile, i in tiles.items() if not left[tile]]] = True
        for served in {sets[i] for i in seen if not left[sets[i]].any()}:
            turns[served] += 1
            left[served] = kernel.threshold
    return Outcomes(counted, completes)
