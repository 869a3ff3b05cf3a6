"""The closed forms of FlightLLM's core: cycles of each instruction, and how K is cut."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.laws.flightllm_core import (
    SYS_CYCLES,
    CoreGeometry,
    ceil_div,
    misc_cycles,
    mm_cycles,
    mv_cycles,
    split_k,
    transfer_seconds,
    zero_fill_cycles,
)

PUBLISHED = CoreGeometry()
HALF = Fraction(1, 2)

k_blocks = st.integers(1, 2**14 - 1)
densities = st.fractions(0, 1, max_denominator=256)
two_pass = pytest.mark.parametrize("operation", ["SOFTMAX", "LAYERNORM", "RMSNORM"])
one_pass = pytest.mark.parametrize("operation", ["ADD", "MUL", "SILU"])


@given(k_blocks, densities)
def test_a_matrix_product_takes_8_k_density_cycles(k: int, density: Fraction) -> None:
    assert mm_cycles(PUBLISHED, k, density) == 8 * k * density


@given(k_blocks, densities)
def test_a_matrix_vector_product_takes_8_k_density_cycles(k: int, density: Fraction) -> None:
    assert mv_cycles(PUBLISHED, k, density) == 8 * k * density


@given(k_blocks)
def test_weights_are_dense_unless_said_otherwise(k: int) -> None:
    assert mm_cycles(PUBLISHED, k) == mm_cycles(PUBLISHED, k, 1)
    assert mv_cycles(PUBLISHED, k) == mv_cycles(PUBLISHED, k, 1)


def test_the_examples_of_the_profiler_hold() -> None:
    assert mm_cycles(PUBLISHED, 256) == 2048
    assert mv_cycles(PUBLISHED, 128) == 1024
    assert mv_cycles(PUBLISHED, 128, Fraction(7, 10)) == Fraction(7168, 10)


@given(
    st.sampled_from([64, 128, 256]),
    st.sampled_from([16, 32]),
    st.sampled_from([8, 16, 32]),
    st.sampled_from([1024, 4096, 6144]),
    k_blocks,
)
def test_a_product_takes_its_macs_over_the_lanes(
    rows: int, columns: int, k_lanes: int, lanes: int, k: int
) -> None:
    core = CoreGeometry(
        k_lanes=k_lanes, mm_lanes=lanes, mm_rows=rows, mm_columns=columns,
        mv_lanes=lanes, mv_columns=16 * columns,
    )  # fmt: skip
    assert mm_cycles(core, k) * lanes == rows * columns * k_lanes * k
    assert mv_cycles(core, k) * lanes == 16 * columns * k_lanes * k


@one_pass
@given(k=k_blocks)
def test_elementwise_work_passes_once(operation: str, k: int) -> None:
    assert misc_cycles(PUBLISHED, operation, k) == k


@two_pass
@given(k=k_blocks)
def test_softmax_and_norms_pass_twice(operation: str, k: int) -> None:
    assert misc_cycles(PUBLISHED, operation, k) == 2 * k


def test_a_narrower_special_function_unit_is_slower_by_its_lanes() -> None:
    assert misc_cycles(CoreGeometry(sfu_lanes=4), "ADD", 10) == 40
    assert misc_cycles(CoreGeometry(sfu_lanes=32), "SOFTMAX", 10) == 10


@given(st.integers(0, 2**23 - 1))
def test_zeros_are_written_at_full_width_of_every_channel(length: int) -> None:
    assert zero_fill_cycles(PUBLISHED, length) == Fraction(length, 2048)


def test_zeros_are_written_slower_on_fewer_channels() -> None:
    assert zero_fill_cycles(CoreGeometry(channels=4), 2048) == 2
    assert zero_fill_cycles(CoreGeometry(channel_bytes_per_cycle=64), 2048) == 4


def test_a_barrier_is_one_cycle() -> None:
    assert SYS_CYCLES == 1


def test_a_transfer_takes_its_stored_bytes_over_the_rate() -> None:
    """A tile of 8 KiB of INT4 weights at density 0.7 over 8 of 32 channels at 0.7 of 460 GB/s."""
    rate = Fraction(460 * 10**9 * 8, 32) * Fraction(7, 10)
    assert transfer_seconds(8192, Fraction(4, 8) * Fraction(7, 10), rate) * rate == Fraction(
        8192 * 35, 100
    )
    assert transfer_seconds(0, 1, rate) == 0


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_ceil_div_is_the_least_integer_at_or_above(a: int, b: int) -> None:
    assert b * (ceil_div(a, b) - 1) < a <= b * ceil_div(a, b)


@pytest.mark.parametrize(
    ("blocks", "limit", "expected"),
    [
        (256, 128, (128, 128)),  # K = 4096 in MV
        (688, 128, (114,) * 6 + (4,)),  # K = 11008 in MV
        (256, 256, (256,)),  # K = 4096 in MM
        (688, 256, (229,) * 3 + (1,)),  # K = 11008 in MM
        (8, 128, (8,)),
        (1, 1, (1,)),
        (129, 128, (64, 64, 1)),
    ],
)
def test_k_is_cut_as_published(blocks: int, limit: int, expected: tuple[int, ...]) -> None:
    assert split_k(blocks, limit) == expected


limits = st.integers(1, 512)


@given(k_blocks, limits)
def test_tiles_cover_k(blocks: int, limit: int) -> None:
    tiles = split_k(blocks, limit)
    assert sum(tiles) == blocks
    assert all(tile > 0 for tile in tiles)


@given(k_blocks, limits)
def test_no_tile_is_beyond_the_limit_or_larger_than_the_first(blocks: int, limit: int) -> None:
    tiles = split_k(blocks, limit)
    assert max(tiles) == tiles[0] <= limit


@given(k_blocks, limits)
def test_tiles_are_as_few_as_the_limit_allows_and_at_most_a_remainder(
    blocks: int, limit: int
) -> None:
    """The published schedule spends one more tile on a remainder."""
    tiles = split_k(blocks, limit)
    fewest = ceil_div(blocks, limit)
    assert len(tiles) in (fewest, fewest + 1)
    if len(tiles) > fewest:
        assert len(set(tiles[:fewest])) == 1


@pytest.mark.parametrize(
    ("blocks", "limit", "expected"),
    [(7, 2, (2, 2, 2, 1)), (11, 2, (2,) * 5 + (1,)), (95, 8, (8,) * 11 + (7,)), (5, 2, (2, 2, 1))],
)
def test_a_remainder_larger_than_a_tile_is_dealt_out(
    blocks: int, limit: int, expected: tuple[int, ...]
) -> None:
    assert split_k(blocks, limit) == expected


@given(st.integers(1, 128), st.integers(128, 512))
def test_what_fits_is_not_cut(blocks: int, limit: int) -> None:
    assert split_k(blocks, limit) == (blocks,)


@given(k_blocks, densities, densities)
def test_time_is_linear_in_density(k: int, one: Fraction, other: Fraction) -> None:
    mean = (one + other) * HALF
    parts = mv_cycles(PUBLISHED, k, one) + mv_cycles(PUBLISHED, k, other)
    assert parts == 2 * mv_cycles(PUBLISHED, k, mean)
