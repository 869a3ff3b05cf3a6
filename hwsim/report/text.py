"""Names and figures as people write them; figures and page share these."""

from __future__ import annotations

import re

from hwsim.outcome import Metric
from hwsim.units import format_quantity

__all__ = ["capital", "count", "measure", "part", "percent", "series", "words"]

SHARES = ("utilization", "share", "efficiency", "density", "occupancy", "hit_rate")
UNIT_ENDING = re.compile(r"_(cycles|bytes|seconds|fs|hz|joules|watts|share)$")


def words(name: str) -> str:
    """An identifier as words: ``decode_step_latency`` is ``decode step latency``."""
    return name.replace("_", " ").strip() or name


def series(name: str) -> str:
    """A column's name as a legend says it, without the unit that the axis already has."""
    return words(UNIT_ENDING.sub("", name))


def percent(share: float) -> str:
    """A share as per cent, three digits at most: ``95.1 %``."""
    return f"{100 * share:.3g} %"


def part(share: float) -> str:
    """A share as per cent in a column of shares, one decimal: ``95.1 %``, ``<0.1 %``, ``0 %``."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %" if share else "0 %"


def count(value: int) -> str:
    """A count, three digits: ``772``, ``9.24 M``."""
    return format_quantity(value, "B").removesuffix("B").strip()


def capital(text: str) -> str:
    """The text with its first letter large, as a heading."""
    return text[:1].upper() + text[1:]


def measure(name: str, metric: Metric) -> str:
    """A metric's value with its unit; what its name calls a share is in per cent."""
    if metric.unit == "1" and name.endswith(SHARES):
        return percent(metric.value)
    return format_quantity(metric.value, metric.unit)
