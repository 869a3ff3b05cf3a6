"""What FlightLLM's special function unit computes, every rounding included.

Element-wise sums and products are those of IEEE 754 half precision. The two-pass operations share
a sum of terms mantissa x 2^exponent, squares or exponentials: the terms of a beat are aligned to
the greatest exponent so far (``GUARD`` bits below its unit are kept, the rest is cut off), and so
is the sum of the beats before. An exponential is 2^(x log2 e), its exponent the integer part, so
that a shift is all it takes to change the reference: no maximum is needed before the sum.

The scalar of a vector has 17 bits: 1 / sum by a table of 256 pieces, 1 / sqrt(mean + epsilon) by
another. Each result is one product, mantissa x scalar, rounded once.

Error, in units of the last place of the exact result: below ``SOFTMAX_ULP`` and ``RMSNORM_ULP``,
which add the errors of the tables, the cuts and the scalar to the 0.5 of a perfect rounding. Over
random and corner vectors the tests see 0.534 and 0.521 against float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.golden import fp16
from hwsim.golden.tables import EXP2, RECIPROCAL, RSQRT
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import SFUGeometry

__all__ = [
    "FRACTION",
    "GUARD",
    "LEAST_EXPONENT",
    "LOG2E",
    "RMSNORM_ULP",
    "SOFTMAX_ULP",
    "compute",
    "epsilon",
]

Ints = NDArray[np.int64]
Words = NDArray[np.integer[Any]]

SOFTMAX_ULP = 0.58
RMSNORM_ULP = 0.54

LOG2E = 3025551
"""log2 e in units of 2^-21."""
FRACTION = 18
"""Bits of x log2 e below the point."""
LEAST_EXPONENT = -(1 << 17)
"""That of a term that is no term: the exponential of minus infinity."""
GUARD = 12
"""Bits kept below the unit of the term with the greatest exponent."""
NORMAL = 21
"""Bits of a normalised sum, count or mean."""
SCALAR = 17
"""Bits of the scalar of a vector."""


def compute(geometry: SFUGeometry, operation: MiscOp, a: Words, b: Words) -> Ints:
    """One command.

    Parameters
    ----------
    a, b : half precision, as words [beats, lanes]
        The operands; RMSNorm takes its weights from b, softmax ignores it.

    Returns
    -------
    [beats, lanes] : words.
    """
    match operation:
        case MiscOp.ADD:
            return fp16.add(a, b)
        case MiscOp.MUL:
            return fp16.multiply(a, b)
        case MiscOp.SOFTMAX:
            return _softmax(a)
        case MiscOp.RMSNORM:
            return _rmsnorm(geometry, a, b)
        case _:
            raise ValueError(f"operation must be one the unit has, got {operation.name}")


@dataclass(frozen=True)
class _Scalar:
    """mantissa x 2^exponent."""

    mantissa: int
    exponent: int


def _softmax(a: Words) -> Ints:
    """e^x over the sum of all; all are NaN if one is NaN or +infinity, or if all are -infinity."""
    x = fp16.unpack(a)
    mantissa, exponent = _exponentials(x)
    total, reference = _gather(mantissa, exponent)
    if (x.nan | (x.infinite & ~x.negative)).any() or total == 0:
        return np.full(a.shape, fp16.NAN, np.int64)
    normal, shift = _normalised(total)
    scalar = _rounded(int(RECIPROCAL(_fraction(normal))), -40 - (shift + reference - GUARD))
    positive = np.zeros(a.shape, np.bool_)
    return fp16.encode(positive, mantissa * scalar.mantissa, exponent + scalar.exponent)


def _exponentials(x: fp16.Half) -> tuple[Ints, Ints]:
    """e^x as mantissas of 22 bits and exponents: 2^(int + fraction) of x log2 e, cut to 18 bits."""
    magnitude = (x.significand * LOG2E << 2) >> np.maximum(30 - x.exponent, 0)
    power = np.where(x.negative, -magnitude, magnitude)
    mantissa, exponent = EXP2(power & (1 << FRACTION) - 1), (power >> FRACTION) - 21
    nothing = x.infinite & x.negative
    return np.where(nothing, 0, mantissa), np.where(nothing, LEAST_EXPONENT, exponent)


def _rmsnorm(geometry: SFUGeometry, a: Words, b: Words) -> Ints:
    """Norms: x / sqrt(mean of x^2 + epsilon) x weight; all are NaN if an x is."""
    x, weight = fp16.unpack(a), fp16.unpack(b)
    if x.nan.any():
        return np.full(a.shape, fp16.NAN, np.int64)
    if x.infinite.any():  # the root is infinite, the scalar 0
        negative = x.negative ^ weight.negative
        unknown = x.infinite | weight.infinite | weight.nan
        return np.where(unknown, fp16.NAN, negative.astype(np.int64) << 15)
    total, reference = _gather(x.significand**2, 2 * x.exponent - 50)
    scalar = _root(geometry, total, reference, len(a))
    exact = fp16.encode(
        x.negative ^ weight.negative,
        x.significand * weight.significand * scalar.mantissa,
        x.exponent + weight.exponent - 50 + scalar.exponent,
    )
    special = fp16.multiply(a, b)
    return np.where(weight.nan | weight.infinite, special, exact)


def _gather(mantissa: Ints, exponent: Ints) -> tuple[int, int]:
    """The sum over [beats, lanes] and its reference: sum x 2^(reference - GUARD)."""
    total, reference = 0, LEAST_EXPONENT
    for terms, exponents in zip(mantissa << GUARD, exponent, strict=True):
        greatest = max(reference, int(exponents.max()))
        aligned = terms >> np.minimum(greatest - exponents, 63)
        total = (total >> greatest - reference) + int(aligned.sum())
        reference = greatest
    return total, reference


def _root(geometry: SFUGeometry, total: int, reference: int, count: int) -> _Scalar:
    """1 / sqrt(mean + epsilon): the mean by the reciprocal of the number of beats."""
    normal, shift = _normalised(total)
    beats, beats_shift = _normalised(count)
    product = normal * int(RECIPROCAL(_fraction(beats)))
    carry = product >> 40
    mean = product >> 19 + carry
    lanes_bits = geometry.lanes.bit_length() - 1
    exponent = shift + reference - GUARD - 40 - beats_shift - lanes_bits + 19 + carry
    mean, exponent = _plus(mean, exponent, *epsilon(geometry))
    odd = exponent & 1
    root = int(RSQRT(np.array(odd << 20 | int(_fraction(mean)))))
    return _rounded(root, -20 - (exponent + 20 - odd) // 2)


def epsilon(geometry: SFUGeometry) -> tuple[int, int]:
    """The constant as a normalised mantissa and its exponent, rounded to the nearest."""
    exact = Fraction(geometry.epsilon)
    exponent = -NORMAL
    while exact / Fraction(2) ** exponent < 1 << NORMAL - 1:
        exponent -= 1
    while round(exact / Fraction(2) ** exponent) >= 1 << NORMAL:
        exponent += 1
    return round(exact / Fraction(2) ** exponent), exponent


def _plus(a: int, a_exponent: int, b: int, b_exponent: int) -> tuple[int, int]:
    """The sum of two normalised values, cut to ``NORMAL`` bits; the lesser may be 0."""
    if a_exponent < b_exponent:
        a, a_exponent, b, b_exponent = b, b_exponent, a, a_exponent
    total = a + (b >> min(a_exponent - b_exponent, NORMAL))
    carry = total >> NORMAL
    return total >> carry, a_exponent + carry


def _normalised(value: int) -> tuple[int, int]:
    """The upper ``NORMAL`` bits from the leading one on, and their exponent; of 0, as of 1."""
    shift = max(value, 1).bit_length() - NORMAL
    return value >> shift if shift > 0 else value << -shift, shift


def _fraction(normal: int) -> NDArray[np.int64]:
    """What follows the leading one."""
    return np.array(normal & (1 << NORMAL - 1) - 1, np.int64)


def _rounded(value: int, exponent: int) -> _Scalar:
    """20 bits to ``SCALAR``, halves up; what would need one more stays below."""
    return _Scalar(min(value + 4 >> 3, (1 << SCALAR) - 1), exponent + 3)
