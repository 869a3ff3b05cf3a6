"""Random stalls and payloads, the same for every bench."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from random import Random

import numpy as np
from numpy.typing import NDArray

from rtl.block import Case

__all__ = ["STALLS", "alternated", "gaps", "pack", "ready_pattern"]

STALLS = ("none", "input", "output", "both")
"""Which sides of a block a case stalls."""


def alternated(cut: Iterable[Case], whole: Iterable[Case]) -> Iterator[Case]:
    """Each case that is cut with a whole one behind it, which sees what its reset left."""
    for pair in zip_longest(cut, whole):
        yield from (case for case in pair if case is not None)


def gaps(rng: Random, items: int, stalls: str) -> list[int]:
    """Cycles before each item: none, or bursts and pauses."""
    if stalls not in {"input", "both"}:
        return [0] * items
    return [0 if rng.random() < 0.6 else rng.choice((1, 1, 2, 3, 9)) for _ in range(items)]


def ready_pattern(rng: Random, stalls: str) -> list[bool]:
    """Whether a consumer takes an item, cycle by cycle; of a length that meets no other period."""
    if stalls not in {"output", "both"}:
        return [True]
    pattern: list[bool] = []
    while len(pattern) < 997:
        pattern += [rng.random() < 0.5] * rng.choice((1, 1, 2, 5))
    return pattern[:997]


def pack(fields: Sequence[tuple[NDArray[np.integer], int]]) -> list[int]:
    """Payloads from arrays [items, ...] and the bits of an element, the first field lowest."""
    parts = [_bits(values, bits) for values, bits in fields]
    packed = np.packbits(np.concatenate(parts, axis=1), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _bits(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """[items, elements x bits] of two's complement, least significant first."""
    flat = values.reshape(len(values), -1).astype(np.int64)
    spread = flat[:, :, None] >> np.arange(bits, dtype=np.int64) & 1
    return spread.reshape(len(flat), -1).astype(np.uint8)
