"""What FlightLLM's sparse DSP chain computes: exact sums of products of signed bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_chain import GROUP, ChainGeometry, Density, segment

__all__ = ["chain_sums", "positions"]

Ints = NDArray[np.integer[Any]]


def positions(geometry: ChainGeometry, density: Density, indices: Ints) -> NDArray[np.int64]:
    """The position in the block that each DSP's activation comes from.

    Parameters
    ----------
    indices : [beats, chain_length]
        For each DSP the place of its weight among the m of its group of m; ignored if dense.

    Returns
    -------
    [beats, chain_length] : 0 <= position < chain_length.
    """
    dsp = np.arange(geometry.chain_length)
    kept = dsp % segment(geometry, density)
    if density.dense:
        return np.broadcast_to(kept, indices.shape).astype(np.int64)
    return kept // density.n * density.m + indices.astype(np.int64) % density.m


def chain_sums(
    geometry: ChainGeometry, density: Density, activations: Ints, weights: Ints, indices: Ints
) -> NDArray[np.int64]:
    """The sums at the reduction nodes, for any number of beats of one density.

    Parameters
    ----------
    activations : int8 [beats, 2, chain_length]
        The two packed lanes.
    weights, indices : int8, int [beats, chain_length]

    Returns
    -------
    [beats, nodes, 2] : the sum of each column at the node that ends its segment, 0 at the others.
    """
    where = positions(geometry, density, indices)
    picked = np.take_along_axis(activations.astype(np.int64), where[:, None, :], axis=2)
    products = picked * weights.astype(np.int64)[:, None, :]
    size = segment(geometry, density)
    sums = products.reshape(*products.shape[:2], geometry.chain_length // size, size).sum(axis=3)
    nodes = np.zeros((len(products), geometry.nodes, 2), np.int64)
    nodes[:, size // GROUP - 1 :: size // GROUP] = sums.transpose(0, 2, 1)
    return nodes
