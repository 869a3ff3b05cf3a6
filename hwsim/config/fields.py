"""Types of config fields: quantities given as text with a unit, counts, fractions, names.

A quantity field takes text only, in files and in code alike, and holds a plain number in its base
unit: ``clock: Hertz = quantity("225 MHz")`` is the ``int`` 225_000_000. Bare numbers are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hwsim.units import FS_PER_SECOND, Unit, example, noun, parse_quantity, quantity_text

__all__ = [
    "MAX_INT",
    "Bytes",
    "BytesPerSecond",
    "Dollars",
    "Femtoseconds",
    "FlopsPerSecond",
    "Hertz",
    "PositiveInt",
    "Quantity",
    "Share",
    "Text",
    "Watts",
    "quantity",
]

MAX_INT: Final = 2**63 - 1
"""Counts in files stay within 64 bits, signed."""


BARE = re.compile("[0-9]+")


@dataclass(frozen=True)
class Quantity:
    """Annotation that makes a number field read its value from text with a unit.

    Parameters
    ----------
    unit : the unit of the text.
    scale : how many of the field's own unit make one ``unit`` (10**15 for femtoseconds).
    positive : whether zero is refused.
    bare : whether a bare number will do, as where the name of the field says the unit.
    """

    unit: Unit
    scale: int = 1
    positive: bool = False
    bare: bool = False

    @property
    def rule(self) -> str:
        """What a value must be, without the ``must be``."""
        above = " above zero," if self.positive else ""
        return f"{noun(self.unit)}{above} such as {example(self.unit)!r}"

    def read(self, text: object) -> Fraction:
        """The exact value in the field's unit; ``ValueError`` with the rule if it isn't one."""
        written = text if isinstance(text, str) else repr(text)  # a bare 225 reads as '225'
        if self.bare and BARE.fullmatch(written):
            written = f"{written} {self.unit}"
        value = parse_quantity(written, self.unit) * self.scale
        if self.positive and not value:
            raise ValueError(f"must be {self.rule}")
        return value

    def write(self, value: float | Fraction) -> str:
        """The text that :meth:`read` turns into ``value``."""
        exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
        return quantity_text(exact / self.scale, self.unit)

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda text: self._convert(text, source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.write, when_used="json"
            ),
        )

    def _convert(self, text: object, to: type[Any]) -> int | float | Fraction:
        exact = self.read(text)
        if to is int and exact.denominator != 1:
            raise ValueError(f"must be {noun(self.unit)} of a whole number of {self._whole}")
        number: int | float | Fraction = to(exact)
        return number

    @property
    def _whole(self) -> str:
        return "fs" if self.scale == FS_PER_SECOND else self.unit


Hertz = Annotated[int, Quantity("Hz", positive=True)]
"""Clock frequency, a whole number of Hz."""
Bytes = Annotated[int, Quantity("B")]
"""Size, a whole number of bytes."""
BytesPerSecond = Annotated[Fraction, Quantity("B/s", positive=True)]
"""Bandwidth, exact."""
Femtoseconds = Annotated[int, Quantity("s", scale=FS_PER_SECOND)]
"""Time, a whole number of femtoseconds."""
Watts = Annotated[float, Quantity("W")]
"""Power."""
Dollars = Annotated[float, Quantity("USD")]
"""Price in USD."""
FlopsPerSecond = Annotated[Fraction, Quantity("FLOP/s", positive=True)]
"""Floating-point operation rate, exact."""

Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""
PositiveInt = Annotated[int, Field(ge=1)]
"""Count of at least one."""
Share = Annotated[float, Field(ge=0, le=1)]
"""Fraction of a whole, from 0 to 1."""


def quantity(text: str) -> Any:
    """A quantity in code, as it would be in a file: ``clock: Hertz = quantity("225 MHz")``.

    The text itself, validated like any value; only type checkers need to be told that it will
    become a number.
    """
    return text
