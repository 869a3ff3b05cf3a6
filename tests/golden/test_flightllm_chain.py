"""The chain's golden sums against dot products written out."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.golden.flightllm_chain import chain_sums
from hwsim.laws.flightllm_chain import GROUP, ChainGeometry, Density, segment

CHAIN = ChainGeometry()


def dense_column(density: Density, weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The column of the block that a segment's weights and places stand for."""
    column = np.zeros(CHAIN.chain_length, np.int64)
    for i, (weight, place) in enumerate(zip(weights, places, strict=True)):
        column[i // density.n * density.m + place] += weight
    return column


@pytest.mark.parametrize("density", CHAIN.densities, ids=lambda d: f"{d.n}:{d.m}")
def test_a_segment_is_the_dot_product_of_its_column(density: Density) -> None:
    rng = np.random.default_rng(1)
    activations = rng.integers(-128, 128, (50, 2, 16))
    weights = rng.integers(-128, 128, (50, 16))
    places = rng.integers(0, density.m, (50, 16))
    if density.dense:
        places = np.tile(np.arange(16), (50, 1))
    got = chain_sums(CHAIN, density, activations, weights, places)
    size = segment(CHAIN, density)
    for beat in range(50):
        for first in range(0, 16, size):
            held = slice(first, first + size)
            column = dense_column(density, weights[beat, held], places[beat, held])
            node = (first + size) // GROUP - 1
            assert got[beat, node].tolist() == (activations[beat] @ column).tolist()
    others = np.ones(8, bool)
    others[size // GROUP - 1 :: size // GROUP] = False
    assert not got[:, others].any()


def test_the_greatest_sum_is_exact() -> None:
    least = np.full((1, 2, 16), -128)
    dense = Density(n=16, m=16)
    sums = chain_sums(CHAIN, dense, least, least[:, 0], np.zeros((1, 16), int))
    assert sums[0, -1].tolist() == [16 * 128 * 128] * 2
