"""FlightLLM's dequantised weights, against weights packed and unpacked as one long integer."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.golden.flightllm_dequant import Blocks, dequantise
from hwsim.laws.flightllm_dequant import DequantGeometry, Run

GEOMETRY = DequantGeometry(block_weights=4, beat_bits=32)

runs = st.lists(
    st.builds(
        Run,
        width=st.sampled_from(GEOMETRY.widths),
        blocks=st.integers(1, 5),
        shift=st.integers(0, 7),
        scale=st.integers(0, 2**16 - 1),
    ),
    min_size=1,
    max_size=8,
)


def packed(weights: list[tuple[int, int]]) -> np.ndarray:
    """The stream of (width, weight), by shifting into one integer."""
    total = size = 0
    for width, weight in weights:
        total |= (weight & (1 << width) - 1) << size
        size += width
    return np.array([total >> i & 1 for i in range(size)], np.uint8)


def lone_run(width: int, weights: list[int], shift: int = 0) -> list[int]:
    run = Run(width=width, blocks=len(weights) // 4, shift=shift)
    stream = packed([(width, weight) for weight in weights])
    return dequantise(GEOMETRY, [run], stream).weights.ravel().tolist()


@given(runs, st.data())
def test_what_is_packed_comes_out_shifted_in_order(runs: list[Run], data: st.DataObject) -> None:
    sent, due = [], []
    for run in runs:
        limit = 1 << run.width - 1
        for _ in range(4 * run.blocks):
            weight = data.draw(st.integers(-limit, limit - 1))
            sent.append((run.width, weight))
            due.append(((weight * 2**run.shift + 128) % 256) - 128)
    seen = dequantise(GEOMETRY, runs, packed(sent))
    assert seen.weights.ravel().tolist() == due


@given(runs)
def test_each_block_has_its_runs_scale_and_the_last_is_marked(runs: list[Run]) -> None:
    bits = sum(4 * run.blocks * run.width for run in runs)
    seen: Blocks = dequantise(GEOMETRY, runs, np.ones(bits, np.uint8))
    assert seen.scales.tolist() == [run.scale for run in runs for _ in range(run.blocks)]
    assert seen.last.tolist() == [i == run.blocks for run in runs for i in range(1, run.blocks + 1)]


def test_the_range_of_each_width_is_kept() -> None:
    for width in GEOMETRY.widths:
        least, greatest = -(1 << width - 1), (1 << width - 1) - 1
        assert lone_run(width, [least, greatest, -1, 0]) == [least, greatest, -1, 0]


def test_a_shift_that_leaves_eight_bits_is_exact() -> None:
    assert lone_run(3, [-4, 3, -1, 1], shift=5) == [-128, 96, -32, 32]


def test_a_shift_beyond_eight_bits_keeps_the_low_ones() -> None:
    assert lone_run(3, [-4, 3, -1, 1], shift=6) == [0, -64, -64, 64]


def test_bits_behind_the_runs_are_left() -> None:
    seen = dequantise(GEOMETRY, [Run(width=2, blocks=1)], np.ones(99, np.uint8))
    assert seen.weights.tolist() == [[-1, -1, -1, -1]]
