"""Axes in people's units: ``latency (s)`` of 0.0175 becomes ``latency (ms)`` of 17.5.

A label that ends in one of these units in brackets is scaled: ``(s) (B) (B/s) (J) (W) (Hz) (op/s)
(FLOP/s) (token/s) (token/J) (cycle)``, with an SI prefix too; so is the bare label ``cycles``.
``(%)`` takes shares, 1 being all. ``(1)`` is a plain number, its unit not shown. Other units stay
as they are.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis

__all__ = [
    "WIDE_SPAN",
    "Scale",
    "axis_scale",
    "label_of_name",
    "plain",
    "span",
    "unit_of_label",
    "with_prefix",
]

LABEL = re.compile(r"(?P<what>.*?)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]\s*", re.DOTALL)
LARGE = ("", "k", "M", "G", "T", "P")
SMALL = ("", "m", "µ", "n", "p", "f")
COUNTS = {"cycle", "cycles"}
UP = {"B", "B/s", "Hz", "op/s", "FLOP/s", "FLOPS", "token/s", "token/J"} | COUNTS
ENDINGS = {
    "op_per_second": ("rate", "op/s"),
    "token_per_second": ("rate", "token/s"),
    "token_per_joule": ("efficiency", "token/J"),
    "bytes": ("size", "B"),
    "cycles": ("time", "cycle"),
    "joules": ("energy", "J"),
    "milliseconds": ("time", "ms"),
    "ms": ("time", "ms"),
    "seconds": ("time", "s"),
    "watts": ("power", "W"),
}
"""What columns hold, and in which unit, by how their names end."""
SCALED = UP | {"s", "J", "W"}
LABEL_CHARACTERS = 48
FEW_DECADES = 60
"""Axes that span less than this ratio have ticks at 2 and 5 too."""
WIDE_SPAN = 100.0
"""From this ratio on, each value has a unit prefix of its own."""
COUNT_WORDS = ("", "thousand ", "million ", "billion ", "trillion ", "quadrillion ")


@dataclass(frozen=True)
class Scale:
    """What to multiply values with, and the label that then holds."""

    factor: float
    label: str
    base: str = ""
    """The unit without prefix; empty if there is none that takes one."""
    times: float = 1.0
    """What to multiply values with to have them in the unit without prefix."""

    def text(self, value: float) -> str:
        """An unscaled value in the axis's unit, three digits, without the unit."""
        return plain(float(f"{value * self.factor:.3g}"))

    def cell(self, value: float) -> str:
        """An unscaled value in the axis's unit, four digits: neighbours stay apart in a table."""
        return plain(float(f"{value * self.factor:.4g}"))

    def full_cell(self, value: float) -> str:
        """As :meth:`cell`, with its unit and a prefix of its own."""
        return with_prefix(float(f"{value * self.times:.4g}"), self.base)

    def full_text(self, value: float) -> str:
        """An unscaled value with its unit and a prefix of its own."""
        return with_prefix(float(f"{value * self.times:.3g}"), self.base)

    def dress(self, axis: Axis, log: bool) -> None:
        """Label an axis; a logarithmic one has the unit at each tick, with a prefix of its own."""
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axis.set_label_text(textwrap.fill(self.label, LABEL_CHARACTERS))
        if not log:
            axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
            return
        ticks = FuncFormatter(lambda value, _: with_prefix(value * self.times, self.base))
        axis.set_major_formatter(ticks)
        low, high = axis.get_view_interval()
        few_decades = high < FEW_DECADES * low
        axis.set_minor_locator(LogLocator(subs=(2, 5) if few_decades else range(2, 10)))
        axis.set_minor_formatter(ticks if few_decades else NullFormatter())


def axis_scale(label: str, values: Iterable[float], log: bool) -> Scale:
    """The scale that shows the largest of ``values`` with one to three digits before the point."""
    match = LABEL.fullmatch(label)
    if match is None:
        return _count_scale(label, values) if label in COUNTS and not log else Scale(1.0, label)
    what, unit = match["what"], match["unit"]
    if unit == "1":
        return Scale(1.0, what)
    if unit == "%":
        return Scale(100.0, label)
    base, times = _base(unit)
    if base not in SCALED:
        return Scale(1.0, label)
    if log:
        return Scale(1.0, what, base, times)
    step = _step(times * _largest(values), base)
    shown = f"{COUNT_WORDS[step]}cycles" if base in COUNTS else _prefixed(_prefix(step), base)
    return Scale(times * 1000.0**-step, f"{what} ({shown})", base, times)


def unit_of_label(label: str) -> str:
    """The unit that ends a label in brackets, or nothing; ``cycles`` alone is one too."""
    match = LABEL.fullmatch(label)
    unit = match["unit"] if match else "cycle" if label in COUNTS else ""
    return unit if _base(unit)[0] in SCALED else ""


def label_of_name(name: str) -> str:
    """A label with the unit that ends a column's name: ``hbm (B)`` of ``hbm_bytes``, or nothing."""
    for ending, (what, unit) in ENDINGS.items():
        if f"_{name}".endswith(f"_{ending}"):
            return f"{name.removesuffix(ending).replace('_', ' ').strip() or what} ({unit})"
    return ""


def _count_scale(label: str, values: Iterable[float]) -> Scale:
    """An axis that counts without a unit in its label: ``cycles`` becomes ``million cycles``."""
    step = _step(_largest(values), label)
    return Scale(1000.0**-step, f"{COUNT_WORDS[step]}{label}", label)


def _largest(values: Iterable[float]) -> float:
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0)


def _base(unit: str) -> tuple[str, float]:
    """The unit without its prefix, and the prefix's value: ``GB/s`` is ``B/s`` times 1e9."""
    if unit in SCALED or unit[1:] not in SCALED:
        return unit, 1.0
    for step, prefix in [
        *enumerate(LARGE),
        *((-step, prefix) for step, prefix in enumerate(SMALL)),
    ]:
        if prefix == unit[0]:
            return unit[1:], 1000.0**step
    return unit, 1.0


def span(values: Iterable[float]) -> float:
    """How many times the smallest positive value goes into the largest."""
    positive = [value for value in values if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def with_prefix(value: float, unit: str) -> str:
    """A value with its unit, scaled by itself: ``3.25 GB``; plain if it has none."""
    if not unit:
        return plain(value)
    step = _step(abs(value), unit)
    return f"{plain(value / 1000.0**step)} {_prefixed(_prefix(step), unit)}"


def plain(value: float) -> str:
    """A number as an axis or a bar shows it: ``0.25``, ``17.5``, ``12,000``."""
    if not math.isfinite(value):
        return ""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:.4g}"


def _step(largest: float, unit: str) -> int:
    """Powers of 1000 in ``largest``, within the prefixes that the unit takes."""
    if largest == 0:
        return 0
    step = math.floor(math.log10(largest * 1.0000001) / 3)
    low, high = (0 if unit in UP else -5), (0 if unit == "s" else 5)
    return max(low, min(high, step))


def _prefix(step: int) -> str:
    return LARGE[step] if step >= 0 else SMALL[-step]


def _prefixed(prefix: str, unit: str) -> str:
    """``M`` and ``B/s`` as ``MB/s``; a unit that is a word keeps its distance: ``k token/s``."""
    return (
        f"{prefix} {unit}" if prefix and unit.startswith(("token", "cycle")) else f"{prefix}{unit}"
    )
