"""Statistics: counters with a unit."""

from __future__ import annotations

from fractions import Fraction

from hwsim.units import MetricUnit

__all__ = ["Counter"]


class Counter:
    """A total that only grows. Exact: ints and fractions, never floats."""

    __slots__ = ("unit", "value")

    def __init__(self, unit: MetricUnit) -> None:
        self.unit = unit
        self.value: int | Fraction = 0

    def add(self, amount: int | Fraction) -> None:
        """Count ``amount`` more.

        Raises
        ------
        TypeError
            For anything but an ``int`` or a Fraction.
        ValueError
            For a negative amount.
        """
        if type(amount) is not int and type(amount) is not Fraction:
            raise TypeError(f"a count must be an int or a Fraction, got {amount!r}")
        if amount < 0:
            raise ValueError(f"a count must not be negative, got {amount!r}")
        self.value += amount
