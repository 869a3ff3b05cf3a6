"""Half precision by its bits is NumPy's half precision, NaN's payload apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.golden import fp16

Words = NDArray[np.int64]

CORNERS = (0, 1, 2, 0x3FF, 0x400, 0x401, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7FFF)
operators = pytest.mark.parametrize(
    ("ours", "numpys"), [(fp16.add, np.add), (fp16.multiply, np.multiply)], ids=["add", "multiply"]
)


def by_numpy(operator: np.ufunc, a: Words, b: Words) -> Words:
    with np.errstate(all="ignore"):
        result = operator(*(words.astype(np.uint16).view(np.float16) for words in (a, b)))
    return np.where(np.isnan(result), fp16.NAN, result.view(np.uint16).astype(np.int64))


@operators
def test_corners_agree(ours: Callable[[Words, Words], Words], numpys: np.ufunc) -> None:
    words = [word + sign for word in CORNERS for sign in (0, 0x8000)]
    a, b = np.array(list(product(words, repeat=2))).T
    np.testing.assert_array_equal(ours(a, b), by_numpy(numpys, a, b))


@operators
def test_random_words_agree(ours: Callable[[Words, Words], Words], numpys: np.ufunc) -> None:
    draw = np.random.default_rng(1)
    a, b = draw.integers(1 << 16, size=(2, 200_000))
    near = a ^ 0x8000 ^ draw.integers(16, size=a.shape)
    for other in (b, near, draw.permutation(near)):
        np.testing.assert_array_equal(ours(a, other), by_numpy(numpys, a, other))


@given(st.integers(0, 2**45), st.integers(-80, 10))
def test_encoding_rounds_an_exact_value_once(mantissa: int, exponent: int) -> None:
    value = np.float64(mantissa) * 2.0**exponent  # exact
    with np.errstate(over="ignore"):
        due = int(value.astype(np.float16).view(np.uint16))
    word = fp16.encode(np.array([False, True]), np.full(2, mantissa), np.full(2, exponent))
    assert word.tolist() == [due, due + 0x8000]
