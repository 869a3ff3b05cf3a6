"""Quantities with units, read and written exactly: ``"225 MHz"``, ``"460 GB/s"``, ``"8 MiB"``.

Values are :class:`~fractions.Fraction` in the base unit, so nothing is rounded on the way in.
``k M G T`` are powers of 1000, ``Ki Mi Gi Ti`` powers of 1024; neither is taken for the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, get_args

__all__ = [
    "FS_PER_SECOND",
    "METRIC_UNITS",
    "UNITS",
    "MetricUnit",
    "Unit",
    "example",
    "format_quantity",
    "noun",
    "parse_quantity",
    "quantity_text",
]

Unit = Literal["Hz", "B", "B/s", "s", "W", "J", "USD", "op/s", "FLOP/s"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
"""What a value in a machine file is given in."""

MetricUnit = Literal["s", "B", "J", "W", "1", "cycle", "token/s", "token/J", "op/s", "B/s"]
METRIC_UNITS: Final[tuple[MetricUnit, ...]] = get_args(MetricUnit)
"""What a result or a statistic is given in."""

FS_PER_SECOND: Final = 10**15
LEAST: Final = Fraction(1, 10**21)
"""Quantities lie between this and its inverse, or are zero; beyond is a slip of the pen."""
MAX_TEXT: Final = 64

DECIMAL: Final = {"": Fraction(1), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9)}
TERA: Final = {"T": Fraction(10**12)}
PETA: Final = {"P": Fraction(10**15)}
BINARY: Final = {f"{letter}i": Fraction(1024**n) for n, letter in enumerate("KMGT", start=1)}
SMALL: Final = {letter: Fraction(1, 1000**n) for n, letter in enumerate("munpf", start=1)}

QUANTITY: Final = re.compile(
    r"(?P<sign>[-+]?)(?P<number>\d+(?:_\d+)*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)\s*(?P<unit>\S*)",
    re.ASCII,
)


@dataclass(frozen=True)
class _Kind:
    """How one unit is named, shown and prefixed."""

    noun: str
    example: str
    prefixes: Mapping[str, Fraction]


_KINDS: Final[Mapping[Unit, _Kind]] = {
    "Hz": _Kind("a frequency", "225 MHz", DECIMAL | TERA),
    "B": _Kind("a size", "8 MiB", DECIMAL | TERA | BINARY),
    "B/s": _Kind("a bandwidth", "460 GB/s", DECIMAL | TERA | BINARY),
    "s": _Kind("a time", "120 ns", {"": Fraction(1)} | SMALL),
    "W": _Kind("a power", "45 W", DECIMAL | SMALL),
    "J": _Kind("an energy", "1.2 pJ", DECIMAL | SMALL),
    "USD": _Kind("a price", "8000 USD", {"": Fraction(1)}),
    "op/s": _Kind("an operation rate", "24 Top/s", DECIMAL | TERA | PETA),
    "FLOP/s": _Kind("an operation rate", "19.5 TFLOP/s", DECIMAL | TERA | PETA),
}


def noun(unit: Unit) -> str:
    """What a value of this unit is called, with its article: ``"a bandwidth"``."""
    return _KINDS[unit].noun


def example(unit: Unit) -> str:
    """A typical value as text: ``"460 GB/s"``."""
    return _KINDS[unit].example


def parse_quantity(text: str, unit: Unit) -> Fraction:
    """The exact value of ``text`` in ``unit``, zero or more.

    Raises
    ------
    ValueError
        The rule that ``text`` breaks, such as ``must be a bandwidth such as '460 GB/s'``.
    """
    kind = _KINDS[unit]
    match = QUANTITY.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
    if match is None:
        raise ValueError(f"must be {kind.noun} such as {kind.example!r}")
    if not match["unit"]:
        raise ValueError(f"must be {kind.noun} with a unit, such as {kind.example!r}")
    factor = _factor(match["unit"], unit)
    value = Fraction(match["number"]) * factor
    if match["sign"] == "-" and value:
        raise ValueError(f"must be {kind.noun} of zero or more, such as {kind.example!r}")
    if value and not LEAST <= value < 1 / LEAST:
        raise ValueError(
            f"must be {kind.noun} from 1e-21 to 1e21 {unit} or zero, such as {kind.example!r}"
        )
    return value


def _factor(symbol: str, unit: Unit) -> Fraction:
    """What one ``symbol`` (``"GB/s"``) is in ``unit``."""
    kind = _KINDS[unit]
    prefix = symbol.removesuffix(unit)
    if symbol.endswith(unit) and prefix in kind.prefixes:
        return kind.prefixes[prefix]
    hint = _hint(symbol, unit)
    raise ValueError(f"must be {kind.noun} such as {kind.example!r}{hint and f' ({hint})'}")


def _hint(symbol: str, unit: Unit) -> str:
    """What was probably meant by a unit that is not one, or nothing."""
    known = [prefix + unit for prefix in _KINDS[unit].prefixes]
    if symbol.endswith(unit) and symbol.removesuffix(unit) == "K" and unit in ("B", "B/s"):
        return f"for {symbol!r} write 'k{unit}', 1000, or 'Ki{unit}', 1024"
    plain = symbol.lower().replace("\N{MICRO SIGN}", "u")
    alike = [name for name in known if name.lower() == plain]
    if unit in ("B", "B/s") and re.fullmatch(r"[kKMGT]?i?b(it)?(/s|ps)?", symbol):
        return "'b' is a bit; sizes are in bytes, 'B'"
    return f"for {symbol!r} write {' or '.join(map(repr, alike))}" if alike else ""


def quantity_text(value: Fraction | int, unit: Unit) -> str:
    """The text with the fewest digits that :func:`parse_quantity` reads back as exactly ``value``.

    Raises
    ------
    ValueError
        No decimal text is exact (1/3 s).
    """
    exact = Fraction(value)
    scaled = {prefix: exact / factor for prefix, factor in _KINDS[unit].prefixes.items()}
    texts = {
        (number < 1, len(digits), len(prefix)): f"{digits} {prefix}{unit}"
        for prefix, number in reversed(scaled.items())
        if (digits := _decimal_text(number)) is not None
    }
    if not texts:
        raise ValueError(f"must be {noun(unit)} with finitely many decimals, got {exact} {unit}")
    return texts[min(texts)]


def _decimal_text(value: Fraction) -> str | None:
    """``value`` in decimal, all digits; ``None`` if they never end."""
    places = next((n for n in range(256) if 10**n % value.denominator == 0), None)
    if places is None:
        return None
    digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def format_quantity(value: float | Fraction, unit: str) -> str:
    """``value`` for people, to three digits: ``"17.5 ms"``, ``"3.43 GB"``, ``"55.1 token/s"``.

    Quantities get decimal prefixes. Other units, and what no prefix makes shorter, keep all integer
    digits (``"3,938,850 cycle"``). The unit ``"1"`` is not written.
    """
    prefix, factor = _prefix_for_people(abs(float(value)), unit)
    number = value if factor == 1 else float(value) / float(factor)
    return f"{_grouped(number)} {prefix}{unit}".removesuffix(" 1")


def _prefix_for_people(size: float, unit: str) -> tuple[str, Fraction]:
    """The smallest decimal prefix that leaves fewer than four digits, else the largest."""
    kind = next((kind for name, kind in _KINDS.items() if name == unit), None)
    if kind is None or size == 0 or not math.isfinite(size):
        return "", Fraction(1)
    prefixes = sorted(
        (factor, name) for name, factor in kind.prefixes.items() if name not in BINARY
    )
    for factor, name in prefixes:
        if float(f"{size / float(factor):.3g}") < 1000:
            return name, factor
    factor, name = prefixes[-1]
    return name, factor


def _grouped(number: float | Fraction) -> str:
    """Three significant digits, or all integer digits in groups of three if there are more."""
    if isinstance(number, int):
        return f"{number:,}"
    number = float(number)
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e15 else f"{number:.3g}"
