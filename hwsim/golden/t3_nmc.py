"""What a memory with op-and-store near its banks holds and answers: sums in FP16 or BF16.

Every update rounds: memory becomes the number of its format nearest to the exact sum of what was
there and what came, ties to even (IEEE 754). So several updates of one word round in the order of
their arrival, and that order can show in the last bit. Subnormals, signed zeros and infinities are
those of IEEE 754, nothing is flushed; every NaN that comes out is the format's ``nan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.t3_nmc import NmcGeometry, Operation, Request

__all__ = ["BF16", "FP16", "Answered", "Format", "Parts", "add", "answered", "format_of"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Words = NDArray[np.integer[Any]]

SPARE_BITS = 32
"""Below the significands that are added: more than a shift within 62 bits can need."""


@dataclass(frozen=True)
class Format:
    """A format of 16 bits: sign, exponent, fraction."""

    exponent_bits: int
    fraction_bits: int

    @property
    def infinity(self) -> int:
        """The word of positive infinity."""
        return (1 << self.exponent_bits) - 1 << self.fraction_bits

    @property
    def nan(self) -> int:
        """The word of every NaN that comes out: positive, quiet."""
        return self.infinity | 1 << self.fraction_bits - 1


FP16 = Format(exponent_bits=5, fraction_bits=10)
BF16 = Format(exponent_bits=8, fraction_bits=7)


@dataclass(frozen=True)
class Parts:
    """Words taken apart."""

    negative: Bools
    exponent: Ints
    """The field, 1 for subnormals."""
    significand: Ints
    """The leading one shown."""
    nan: Bools
    infinite: Bools

    @classmethod
    def of(cls, form: Format, words: Words) -> Parts:
        """The parts of ``words``."""
        magnitude = words.astype(np.int64) & 0x7FFF
        field = magnitude >> form.fraction_bits
        fraction = magnitude & (1 << form.fraction_bits) - 1
        return cls(
            negative=words.astype(np.int64) >> 15 & 1 == 1,
            exponent=np.maximum(field, 1),
            significand=fraction | np.where(field > 0, 1 << form.fraction_bits, 0),
            nan=magnitude > form.infinity,
            infinite=magnitude == form.infinity,
        )


def format_of(operation: Operation) -> Format:
    """In which format an update adds."""
    return FP16 if operation is Operation.UPDATE_FP16 else BF16


def add(form: Format, a: Words, b: Words) -> Ints:
    """Sums: a + b exactly, rounded once."""
    x, y = Parts.of(form, a), Parts.of(form, b)
    exponent = np.maximum(x.exponent, y.exponent)
    total = _aligned(x, exponent) + _aligned(y, exponent)
    negative = np.where(total == 0, x.negative & y.negative, total < 0)
    exact = _rounded(form, np.abs(total), exponent)
    nan = x.nan | y.nan | (x.infinite & y.infinite & (x.negative != y.negative))
    infinite = x.infinite | y.infinite
    negative = np.where(x.infinite, x.negative, np.where(y.infinite, y.negative, negative))
    magnitude = np.where(infinite, form.infinity, exact)
    return np.where(nan, form.nan, magnitude | negative.astype(np.int64) << 15)


def _aligned(parts: Parts, exponent: Ints) -> Ints:
    """In units of 2^(exponent - SPARE_BITS); what lies below keeps the last bit from being 0."""
    whole = parts.significand << SPARE_BITS
    drop = np.minimum(exponent - parts.exponent, 62)
    magnitude = whole >> drop | (whole & (1 << drop) - 1 > 0)
    aligned: Ints = np.where(parts.negative, -magnitude, magnitude)
    return aligned


def _rounded(form: Format, total: Ints, exponent: Ints) -> Ints:
    """The magnitude nearest to total x 2^(exponent - SPARE_BITS), ties to even."""
    length = np.zeros_like(total)
    for bit in range(SPARE_BITS + form.fraction_bits + 2):
        length = np.where(total >> bit > 0, bit + 1, length)
    field = np.maximum(exponent + length - (SPARE_BITS + form.fraction_bits + 1), 1)
    drop = np.maximum(field - exponent + SPARE_BITS, 1)  # less for 0 alone
    kept, half = total >> drop, 1 << drop - 1
    rest = total & (1 << drop) - 1
    up = (rest > half) | ((rest == half) & (kept & 1 == 1))
    magnitude = kept + up + (field - 1 << form.fraction_bits)
    magnitude = np.where(field > (1 << form.exponent_bits) - 2, form.infinity, magnitude)
    rounded: Ints = np.where(total == 0, 0, magnitude)
    return rounded


class Answered(NamedTuple):
    """What came of some requests."""

    reads: Ints
    """[reads, lanes] : the words that were read."""
    memory: Ints
    """[words, lanes] : what is held at the end."""


def answered(
    geometry: NmcGeometry, requests: Sequence[Request], data: Words, memory: Words | None = None
) -> Answered:
    """Do requests in their order.

    Parameters
    ----------
    data : [requests, lanes], what each brings.
    memory : [words, lanes] at the start; zeros unless given. It is left as it was.
    """
    shape = geometry.words, geometry.lanes
    held = np.zeros(shape, np.int64) if memory is None else memory.astype(np.int64)
    reads = []
    for (operation, address), brought in zip(requests, data, strict=True):
        if operation is Operation.READ:
            reads.append(held[address].copy())
        elif operation is Operation.STORE:
            held[address] = brought
        else:
            held[address] = add(format_of(operation), held[address], brought)
    return Answered(np.array(reads, np.int64).reshape(-1, geometry.lanes), held)
