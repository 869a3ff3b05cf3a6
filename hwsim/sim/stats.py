"""Statistics: counters with a unit."""

from __future__ import annotations

from fractions import Fraction

from hwsim.sim.outcome import Unit

__all__ = ["Counter"]


class Counter:
    """A total that only grows. Exact: ints and fractions, never floats."""

    __slots__ = ("unit", "value")

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.value: int | Fraction = 0

    def add(self, amount: int | Fraction) -> None:
        """Count ``amount`` more."""
        self.value += amount
