"""Spreads addresses over sets and channels: the remainder of an address by a polynomial over GF(2).

Strides of any power of two go over all sets evenly, and neighbours still go to different sets. XOR
of groups of bits does not do as much: what varies in two groups at once folds onto itself.

Ref: B. R. Rau, "Pseudo-randomly interleaved memory", ISCA 1991.
"""

from __future__ import annotations

import numpy as np

from hwsim.memory.compiled import Ints, inline

__all__ = ["irreducible_polynomial", "remainder", "remainder_table"]

BYTES = 8
"""Of the longest number."""


def irreducible_polynomial(degree: int) -> int:
    """The smallest irreducible polynomial of ``degree``; bit i is the coefficient of x^i.

    Of degree 1 it is x + 1: a remainder by x would be the lowest bit alone.
    """
    candidates = range((1 << degree) + 1, 2 << degree, 2)
    return next(p for p in candidates if all(_modulo(p, q) for q in _divisors(degree)))


def _divisors(degree: int) -> range:
    """The polynomials that one of which divides any reducible one of ``degree``."""
    return range(2, 2 << degree // 2)


def _modulo(value: int, divisor: int) -> int:
    """The remainder of ``value`` by ``divisor``, both polynomials over GF(2)."""
    size = divisor.bit_length()
    while value.bit_length() >= size:
        value ^= divisor << (value.bit_length() - size)
    return value


def remainder_table(bits: int) -> Ints:
    """The remainder of every value of every byte, as ``table[byte, value]``, in ``bits`` bits."""
    table = np.zeros((BYTES, 256), np.int64)
    if bits > 0:
        divisor = irreducible_polynomial(bits)
        for byte in range(BYTES):
            for value in range(256):
                table[byte, value] = _modulo(value << 8 * byte, divisor)
    return table


@inline
def remainder(table: Ints, value: int) -> int:
    """The remainder of a ``value`` of at most 63 bits."""
    found, byte = 0, 0
    while value > 0:
        found ^= table[byte, value & 255]
        value >>= 8
        byte += 1
    return found
