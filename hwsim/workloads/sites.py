"""Ops before they stand anywhere: blocks list them as sites that name each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hwsim.workloads.ops import Op, Phase

__all__ = ["ANYWHERE", "Site"]

ANYWHERE: Final[tuple[int, str, Phase, int, None, tuple[int, ...]]] = (
    0,
    "",
    "prefill",
    0,
    None,
    (),
)
"""Index, name, phase, step, layer and deps of an op of which only the work counts."""


@dataclass(frozen=True, slots=True)
class Site:
    """One op of a block.

    Parameters
    ----------
    name : within the block.
    reads : sites whose results it needs, and what else the block's builder gives a name.
    work : an op whose work fields are those of this site.
    """

    name: str
    reads: tuple[str, ...]
    work: Op
