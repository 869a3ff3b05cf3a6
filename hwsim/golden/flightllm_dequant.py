"""What FlightLLM's dequantiser makes of packed weights: signed bytes, and the scale beside them.

A weight of w bits is a two's complement number, its least significant bit first in the stream. It
is sign-extended to INT8 and shifted left by its run's ``shift``: that part of the group scale, a
power of two, is exact in INT8 as long as width + shift is at most 8, and lets groups of different
widths meet in one integer sum; beyond, the low eight bits are kept. The rest of the group scale
can't be applied in INT8: it is passed on with each block, untouched, for whoever takes the sum.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868 (mixed precision). The format and the split of the scale
are assumed: the paper does not give them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_dequant import DequantGeometry, Run

__all__ = ["Blocks", "dequantise"]


class Blocks(NamedTuple):
    """The blocks of some runs, in order."""

    weights: NDArray[np.int8]
    """[blocks, block_weights]"""
    scales: NDArray[np.int64]
    """[blocks]"""
    last: NDArray[np.bool_]
    """[blocks] : whether the block is the last of its run."""


def dequantise(
    geometry: DequantGeometry, runs: Sequence[Run], bits: NDArray[np.integer[Any]]
) -> Blocks:
    """The blocks that ``runs`` make of the packed stream.

    Parameters
    ----------
    bits : [at least the bits of the runs] of 0 and 1, in the order of the stream.
    """
    weights, at = [], 0
    for run in runs:
        size = run.blocks * geometry.block_weights * run.width
        weights.append(_signed_bytes(bits[at : at + size].reshape(-1, run.width), run.shift))
        at += size
    counts = np.array([run.blocks for run in runs])
    last = np.zeros(int(counts.sum()), np.bool_)
    last[np.cumsum(counts) - 1] = True
    return Blocks(
        np.concatenate(weights).reshape(-1, geometry.block_weights),
        np.repeat(np.array([run.scale for run in runs], np.int64), counts),
        last,
    )


def _signed_bytes(bits: NDArray[np.integer[Any]], shift: int) -> NDArray[np.int8]:
    """[weights] from [weights, width] : the top bit counts negative."""
    value = 1 << np.arange(bits.shape[1], dtype=np.int64)
    value[-1] *= -1
    return ((bits.astype(np.int64) @ value) << shift).astype(np.int8)
