"""Registers of a pipeline that moves as a whole: what carries a value to a later stage."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Signal, Value, ValueLike

__all__ = ["Delayed", "named", "register"]


def named(m: Module, name: str, value: ValueLike) -> Signal:
    """A wire of that name: an expression used twice is built once."""
    wire = Signal(_shape(value), name=name)
    m.d.comb += wire.eq(value)
    return wire


def register(m: Module, name: str, value: ValueLike) -> Signal:
    """``value`` a cycle later; it needs no reset, for what it carries is marked valid elsewhere."""
    kept = Signal(_shape(value), name=name, reset_less=True)
    m.d.sync += kept.eq(value)
    return kept


class Delayed:
    """A value and its copies, one enabled cycle apart: ``delayed[n]`` is n cycles old."""

    def __init__(self, m: Module, name: str, value: ValueLike, *, reset: bool = False) -> None:
        self._m, self._name, self._reset = m, name, reset
        self._copies = [Value.cast(value)]

    def __getitem__(self, cycles: int) -> Value:
        while len(self._copies) <= cycles:
            name = f"{self._name}_{len(self._copies)}"
            copy = Signal(self._copies[-1].shape(), name=name, reset_less=not self._reset)
            self._m.d.sync += copy.eq(self._copies[-1])
            self._copies.append(copy)
        return self._copies[cycles]


def _shape(value: ValueLike) -> Shape:
    return Value.cast(value).shape()
