"""Half precision by its bits: what a word means, and rounding to the nearest, ties to even.

Subnormals, signed zeros and infinities are those of IEEE 754; every NaN that comes out is ``NAN``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INFINITY", "NAN", "ONE", "Half", "add", "encode", "multiply", "unpack"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Words = NDArray[np.integer[Any]]

NAN = 0x7E00
INFINITY = 0x7C00
ONE = 0x3C00


@dataclass(frozen=True)
class Half:
    """Words taken apart: (-1)^negative x significand x 2^(exponent - 25), or a special value."""

    negative: Bools
    exponent: Ints
    """The field, 1 for subnormals."""
    significand: Ints
    """11 bits, the leading one shown; 0 for a zero, anything for a special value."""
    nan: Bools
    infinite: Bools

    @property
    def zero(self) -> Bools:
        """Whether the word is a zero of either sign."""
        zero: Bools = self.significand == 0
        return zero


def unpack(words: Words) -> Half:
    """``words`` taken apart."""
    w = words.astype(np.int64)
    field, fraction = w >> 10 & 31, w & 1023
    return Half(
        negative=(w >> 15 & 1).astype(bool),
        exponent=np.maximum(field, 1),
        significand=fraction + np.where(field > 0, 1024, 0),
        nan=(field == 31) & (fraction > 0),
        infinite=(field == 31) & (fraction == 0),
    )


def encode(negative: Bools, mantissa: Ints, exponent: Ints) -> Ints:
    """The words nearest to (-1)^negative x mantissa x 2^exponent, ties to even.

    0 <= mantissa < 2^53. Infinity from 65520 on; a zero keeps its sign.
    """
    length = np.frexp(mantissa.astype(np.float64))[1].astype(np.int64)
    unit = np.maximum(length + exponent - 11, -24)
    drop = np.clip(unit - exponent, 0, 54)
    kept = (mantissa >> drop) << np.clip(exponent - unit, 0, 11)
    rest, half = mantissa & (1 << drop) - 1, (1 << drop) >> 1
    up = (rest > half) | ((rest == half) & (kept % 2 == 1))
    magnitude = kept + np.where((drop > 0) & up, 1, 0) + (np.minimum(unit, 16) + 24 << 10)
    magnitude = np.where(mantissa == 0, 0, np.minimum(magnitude, INFINITY))
    words: Ints = magnitude + (negative.astype(np.int64) << 15)
    return words


def add(a: Words, b: Words) -> Ints:
    """Sums: a + b exactly, rounded once."""
    x, y = unpack(a), unpack(b)
    total = _fixed(x) + _fixed(y)
    exact = encode(
        np.where(total == 0, x.negative & y.negative, total < 0),
        np.abs(total),
        np.full(total.shape, -24),
    )
    nan = x.nan | y.nan | (x.infinite & y.infinite & (x.negative != y.negative))
    infinite = INFINITY | np.where(x.infinite, x.negative, y.negative).astype(np.int64) << 15
    return np.where(nan, NAN, np.where(x.infinite | y.infinite, infinite, exact))


def multiply(a: Words, b: Words) -> Ints:
    """Products: a x b exactly, rounded once."""
    x, y = unpack(a), unpack(b)
    negative = x.negative ^ y.negative
    exact = encode(negative, x.significand * y.significand, x.exponent + y.exponent - 50)
    nan = x.nan | y.nan | (x.infinite & y.zero) | (x.zero & y.infinite)
    infinite = INFINITY | negative.astype(np.int64) << 15
    return np.where(nan, NAN, np.where(x.infinite | y.infinite, infinite, exact))


def _fixed(x: Half) -> Ints:
    """In units of 2^-24: 41 bits and a sign."""
    magnitude = x.significand << x.exponent - 1
    return np.where(x.negative, -magnitude, magnitude)
