"""Tables of straight pieces: what a look-up with one multiplication computes, bit for bit.

Each piece is the chord of the function over its interval, lowered by half of the chord's greatest
error (the functions here are convex). The entries come from decimal arithmetic of 40 digits, so
that they are the same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXP2", "RECIPROCAL", "RSQRT", "Pieces"]

Function = Callable[[Decimal], Decimal]


@dataclass(frozen=True)
class Pieces:
    """f(index, low) = base[index] +- (slope[index] x low >> drop)."""

    base: tuple[int, ...]
    slope: tuple[int, ...]
    """Magnitudes."""
    low_bits: int
    """Bits of the argument below the index."""
    drop: int
    rising: bool

    @property
    def index_bits(self) -> int:
        """Bits of the argument that choose the piece."""
        return (len(self.base) - 1).bit_length()

    @property
    def base_bits(self) -> int:
        """Bits of the greatest base."""
        return max(self.base).bit_length()

    @property
    def slope_bits(self) -> int:
        """Bits of the greatest slope."""
        return max(self.slope).bit_length()

    def __call__(self, argument: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Values at each argument: the index above ``low_bits`` of low."""
        argument = argument.astype(np.int64)
        index, low = argument >> self.low_bits, argument & (1 << self.low_bits) - 1
        rise = np.array(self.slope)[index] * low >> self.drop
        value: NDArray[np.int64] = np.array(self.base)[index] + (rise if self.rising else -rise)
        return value


def _pieces(
    f: Function, ends: tuple[Decimal, Decimal], pieces: int, *, unit: int, low_bits: int, drop: int
) -> Pieces:
    """Chords of ``f`` in units of 1 / ``unit``; slopes in units of 2^drop of it over 2^low_bits."""
    with localcontext(prec=40):
        width = (ends[1] - ends[0]) / pieces
        points = [ends[0] + width * i for i in range(pieces + 1)]
        values = [f(x) for x in points]
        middles = [f(x + width / 2) for x in points[:-1]]
        base = tuple(
            round(unit * (y - ((y + z) / 2 - middle) / 2))
            for (y, z), middle in zip(pairwise(values), middles, strict=True)
        )
        scale = Decimal(unit) * 2**drop / 2**low_bits
        slope = tuple(round(scale * abs(z - y)) for y, z in pairwise(values))
    return Pieces(base, slope, low_bits, drop, rising=values[-1] > values[0])


def _joined(first: Pieces, second: Pieces) -> Pieces:
    """Two tables, the second at the index with its upper bit set."""
    return Pieces(
        first.base + second.base,
        first.slope + second.slope,
        first.low_bits,
        first.drop,
        first.rising,
    )


_ONE, _TWO, _FOUR = Decimal(1), Decimal(2), Decimal(4)

EXP2 = _pieces(lambda x: _TWO**x, (Decimal(0), _ONE), 64, unit=1 << 21, low_bits=12, drop=8)
"""2^f of a fraction of 18 bits, in units of 2^-21: a look-up table of six inputs a bit."""
RECIPROCAL = _pieces(lambda x: 1 / x, (_ONE, _TWO), 256, unit=1 << 20, low_bits=12, drop=12)
"""1 / m of the 20 bits below the one of 1 <= m < 2, in units of 2^-20."""
RSQRT = _joined(
    _pieces(lambda x: 1 / x.sqrt(), (_ONE, _TWO), 128, unit=1 << 20, low_bits=13, drop=13),
    _pieces(lambda x: 1 / x.sqrt(), (_TWO, _FOUR), 128, unit=1 << 20, low_bits=13, drop=13),
)
"""1 / sqrt(m) for 1 <= m < 4: the parity of the exponent above 20 bits below the one."""
