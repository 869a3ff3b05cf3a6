"""The VPU's golden sums against a product of whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.golden.flightllm_vpu import Operands, results, split_sums
from hwsim.laws.flightllm_chain import Density
from hwsim.laws.flightllm_vpu import VPUGeometry

VPU = VPUGeometry()
WIDE = VPUGeometry(
    chain_length=32, columns=16, densities=[Density(n=4, m=16), Density(n=8, m=8)], weight_rows=64
)


def sparse_block(
    geometry: VPUGeometry, code: int, draw: np.random.Generator
) -> tuple[NDArray[np.int64], list[list[tuple[int, int]]]]:
    """A block [chain_length, columns] of n:m sparse weights, and its beats of (weight, index)."""
    n, m = geometry.densities[code].n, geometry.densities[code].m
    block = np.zeros((geometry.chain_length, geometry.columns), np.int64)
    flat = []
    for column in range(geometry.columns):
        for group in range(0, geometry.chain_length, m):
            for index in sorted(draw.choice(m, n, replace=False).tolist()):
                weight = int(draw.integers(-128, 128))
                block[group + index, column] = weight
                flat.append((weight, index))
    length = geometry.chain_length
    return block, [flat[at : at + length] for at in range(0, len(flat), length)]


@pytest.mark.parametrize("geometry", [VPU, WIDE])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_sums_are_those_of_the_whole_matrices(
    geometry: VPUGeometry, data: st.DataObject, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    modes = st.integers(0, len(geometry.densities) - 1)
    codes = data.draw(st.lists(modes, max_size=5))
    made = [sparse_block(geometry, code, draw) for code in codes]
    beats = np.array([beat for _, block in made for beat in block], np.int64)
    beats = beats.reshape(-1, geometry.chain_length, 2)
    activations = draw.integers(-128, 128, size=(len(codes), 2, geometry.chain_length))
    whole = [block for block, _ in made] or [np.zeros((geometry.chain_length, geometry.columns))]
    rows = activations.transpose(1, 0, 2).reshape(2, -1)
    expected = rows @ np.concatenate(whole)[: rows.shape[1]].astype(np.int64)
    sums = split_sums(geometry, Operands(codes, activations, beats[..., 0], beats[..., 1]))
    assert (sums == expected.T).all()


def test_splits_add_up_until_a_result_is_given() -> None:
    ones = np.ones((8, 2), np.int64)
    given = results([(ones, False), (2 * ones, True), (4 * ones, True), (8 * ones, False)])
    assert [result[0, 0] for result in given] == [3, 4]


def test_sums_go_round_at_32_bits() -> None:
    most = np.full((8, 2), 2**31 - 1, np.int64)
    (result,) = results([(most, False), (np.ones((8, 2), np.int64), True)])
    assert result.dtype == np.int32
    assert (result == -(2**31)).all()
