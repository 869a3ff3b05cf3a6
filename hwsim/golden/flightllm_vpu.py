"""What FlightLLM's VPU computes: columns of sums over blocks of K, in 32 bits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.golden.flightllm_chain import Ints, chain_sums
from hwsim.laws.flightllm_chain import GROUP, segment
from hwsim.laws.flightllm_vpu import VPUGeometry, block_rows

__all__ = ["Operands", "results", "split_sums"]


class Operands(NamedTuple):
    """The rows of its buffers that an instruction reads, in the order in which it reads them.

    Attributes
    ----------
    codes : sequence of int
        The density of each kept block.
    activations : int8 [blocks, 2, chain_length]
    weights, indices : int8, int [beats, chain_length]
        The beats of all blocks, one block after the other; a dense beat's indices are ignored.
    """

    codes: Sequence[int]
    activations: Ints
    weights: Ints
    indices: Ints


def split_sums(geometry: VPUGeometry, operands: Operands) -> NDArray[np.int64]:
    """The sums of one instruction, a K split: [columns, 2].

    Beat b of a block holds the m / n columns from b x m / n on, one a segment of the chain.
    """
    of = block_rows(geometry)
    counts = np.array([of[code] for code in operands.codes], np.int64)
    codes = np.repeat(np.array(operands.codes, np.int64), counts)
    block = np.repeat(np.arange(len(counts)), counts)
    beat = np.arange(len(block)) - np.repeat(np.cumsum(counts) - counts, counts)
    total = np.zeros((geometry.columns, 2), np.int64)
    for code, density in enumerate(geometry.densities):
        at = np.flatnonzero(codes == code)
        size = segment(geometry, density)
        sums = chain_sums(
            geometry,
            density,
            operands.activations[block[at]],
            operands.weights[at],
            operands.indices[at],
        )[:, size // GROUP - 1 :: size // GROUP]
        per_beat = geometry.chain_length // size
        column = beat[at, None] * per_beat + np.arange(per_beat)
        np.add.at(total, column, sums)
    return total


def results(sums: Iterable[tuple[NDArray[np.int64], bool]]) -> list[NDArray[np.int32]]:
    """The result of each instruction that has ``output``: all since the one before it, mod 2^32."""
    given: list[NDArray[np.int32]] = []
    total: NDArray[np.int64] | int = 0
    for split, output in sums:
        total = total + split
        if output:
            given.append(total.astype(np.uint32).view(np.int32))
            total = 0
    return given
