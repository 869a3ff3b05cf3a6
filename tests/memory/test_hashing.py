from __future__ import annotations

from collections import Counter

import pytest

from hwsim.memory.hashing import irreducible_polynomial, remainder, remainder_table


def _product(a: int, b: int) -> int:
    """Of two polynomials over GF(2)."""
    product = 0
    for i in range(b.bit_length()):
        product ^= (a << i) * (b >> i & 1)
    return product


@pytest.mark.parametrize("degree", [2, 3, 5, 8, 10])
def test_the_polynomial_is_no_product(degree: int) -> None:
    found = irreducible_polynomial(degree)
    assert found.bit_length() == degree + 1
    factors = range(2, 2 << degree // 2)
    assert not any(
        _product(a, b) == found for a in factors for b in range(2, 1 << degree) if a <= b
    )


@pytest.mark.parametrize("shift", range(40))
@pytest.mark.parametrize("bits", [1, 3, 7, 13])
def test_a_stride_of_any_power_of_two_goes_over_all_sets(bits: int, shift: int) -> None:
    table = remainder_table(bits)
    sets = [remainder(table, i << shift) for i in range(1 << bits)]
    assert sorted(sets) == list(range(1 << bits))


def test_a_tile_of_columns_goes_over_all_sets_evenly() -> None:
    # 16 lines side by side of each of 1536 columns, 256 lines apart: 3 lines in each of 8192 sets
    table = remainder_table(13)
    counts = Counter(remainder(table, 256 * k + i) for k in range(1536) for i in range(16))
    assert max(counts.values()) <= 6


def test_one_set_takes_all() -> None:
    assert remainder(remainder_table(0), 12345) == 0
