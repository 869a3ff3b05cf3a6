"""What a config class accepts, taken apart from its annotations and told in words.

Errors, overrides and suggestions all ask here, so that a field is described in one way only.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    TypeAdapter,
    WrapValidator,
)
from pydantic.fields import FieldInfo

from hwsim.config.fields import MAX_INT, Quantity
from hwsim.config.keys import Part, Parts

__all__ = [
    "FieldType",
    "conform",
    "field_type",
    "fields_of",
    "keys_of",
    "locate",
    "root_type",
    "validated",
]

CONSTRAINTS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
READERS: Final = (Quantity, BeforeValidator, PlainValidator, WrapValidator)
SEQUENCES: Final = (tuple, list, Sequence)
TABLES: Final = (dict, Mapping)


@dataclass(frozen=True)
class FieldType:
    """The type of one field: its bare type, what annotates it, and whether it may be ``None``."""

    bare: Any
    metadata: tuple[Any, ...] = ()
    optional: bool = False

    @property
    def model(self) -> type[BaseModel] | None:
        """The config class, if the field is a table of fixed keys."""
        is_model = isinstance(self.bare, type) and issubclass(self.bare, BaseModel)
        return self.bare if is_model else None

    @property
    def is_mapping(self) -> bool:
        """Whether the field is a table of free keys, ``dict[str, X]``."""
        return self._origin in TABLES

    @property
    def is_sequence(self) -> bool:
        """Whether the field is a list, in Python mostly a tuple."""
        return self._origin in SEQUENCES

    @property
    def is_tuple(self) -> bool:
        """Whether Python holds the field as a tuple."""
        return self._origin is tuple

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a ``Literal``."""
        return get_args(self.bare) if get_origin(self.bare) is Literal else ()

    @property
    def members(self) -> tuple[FieldType, ...]:
        """The alternatives of a union of several types."""
        is_union = get_origin(self.bare) in (Union, types.UnionType)
        return tuple(field_type(member) for member in get_args(self.bare)) if is_union else ()

    @property
    def quantity(self) -> Quantity | None:
        """The unit of a quantity."""
        found = (item for item in self.metadata if isinstance(item, Quantity))
        return next(found, None)

    @property
    def reads_text(self) -> bool:
        """Whether the field's own validator reads its values from text, as of a quantity."""
        return any(isinstance(item, READERS) for item in self.metadata)

    @property
    def annotation(self) -> Any:
        """The type as pydantic takes it."""
        whole = Annotated[(self.bare, *self.metadata)] if self.metadata else self.bare
        return whole | None if self.optional else whole

    @property
    def _origin(self) -> Any:
        return get_origin(self.bare) or self.bare

    def child(self, part: Part) -> FieldType | None:
        """The type of what stands below under ``part``; ``None`` if nothing can."""
        if self.model is not None:
            return fields_of(self.model).get(str(part))
        arguments = get_args(self.bare) or (Any, Any)
        if self.is_mapping and isinstance(part, str):
            return field_type(arguments[1])
        if self.is_sequence and isinstance(part, int):
            fixed = self.is_tuple and Ellipsis not in arguments
            return field_type(arguments[part if fixed and part < len(arguments) else 0])
        return None

    @property
    def key(self) -> FieldType:
        """The type of the keys of a table of free keys."""
        return field_type((get_args(self.bare) or (str,))[0])

    def __str__(self) -> str:
        """What a value must be, without the ``must be``: ``a whole number from 1 to 16``."""
        if self.quantity is not None:
            return self.quantity.rule
        if self.choices:
            return _one_of(self.choices)
        if self.members:
            return " or ".join(str(member) for member in self.members)
        if self.model is not None or self.is_mapping:
            return "a table"
        if self.is_sequence:
            return self._list_rule()
        return self._scalar_rule()

    def _scalar_rule(self) -> str:
        limits = self._limits()
        if self.bare is bool:
            return "true or false"
        if self.bare is str:
            return f"text{_length(limits, 'character')}{_pattern(limits)}"
        name = {int: "a whole number", float: "a number"}.get(self.bare, "")
        return f"{name}{_range(limits)}" if name else f"a {getattr(self.bare, '__name__', 'value')}"

    def _list_rule(self) -> str:
        arguments = get_args(self.bare)
        if self.is_tuple and arguments and Ellipsis not in arguments:
            return f"a list of {len(arguments)} values"
        return f"a list{_length(self._limits(), 'value')}"

    def _limits(self) -> dict[str, Any]:
        return {
            name: limit
            for item in self.metadata
            for name in CONSTRAINTS
            if (limit := getattr(item, name, None)) is not None
        }


def _one_of(choices: Sequence[Any]) -> str:
    shown = ", ".join(repr(choice) for choice in choices)
    return f"one of {shown}" if len(choices) > 1 else shown


def _range(limits: Mapping[str, Any]) -> str:
    """`` from 0 to 1``, `` above 0 and below 1``, ``, a multiple of 16``."""
    multiple = f", a multiple of {limits['multiple_of']}" if "multiple_of" in limits else ""
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}{multiple}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    bounds = [f"{word} {limits[name]}" for name, word in words.items() if name in limits]
    return f"{' ' * bool(bounds)}{' and '.join(bounds)}{multiple}"


def _length(limits: Mapping[str, Any], item: str) -> str:
    low, high = limits.get("min_length"), limits.get("max_length")
    if low and high:
        return f" of {low} to {high} {item}s" if low != high else f" of {low} {item}s"
    bound = f" of at least {low} {item}" if low else f" of at most {high} {item}" if high else ""
    return bound + "s" * (bound != "" and (low or high) != 1)


def _pattern(limits: Mapping[str, Any]) -> str:
    return f" matching {limits['pattern']!r}" if "pattern" in limits else ""


def field_type(annotation: Any, metadata: Sequence[Any] = ()) -> FieldType:
    """An annotation taken apart: ``Annotated`` and ``| None`` peeled off."""
    peeled: tuple[Any, ...] = tuple(metadata)
    optional = False
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            annotation, peeled = arguments[0], (*_flat(arguments[1:]), *peeled)
        elif origin in (Union, types.UnionType) and types.NoneType in arguments:
            rest = tuple(argument for argument in arguments if argument is not types.NoneType)
            annotation, optional = Union[rest], True  # noqa: UP007 - the members are only known here
        else:
            return FieldType(annotation, peeled, optional)


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    """The metadata with that of pydantic's ``Field`` unpacked."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def root_type(cls: type[BaseModel]) -> FieldType:
    """A config class as the type of the whole file."""
    return FieldType(cls)


@functools.cache
def fields_of(cls: type[BaseModel]) -> dict[str, FieldType]:
    """The type of every field of a config class."""
    return {
        name: field_type(info.annotation, info.metadata) for name, info in cls.model_fields.items()
    }


def keys_of(cls: type[BaseModel], at: Parts = (), depth: int = 8) -> Iterator[Parts]:
    """Every key of a config class and of the tables below, as parts."""
    for name, kind in fields_of(cls).items():
        yield (*at, name)
        if kind.model is not None and depth:
            yield from keys_of(kind.model, (*at, name), depth - 1)


def locate(cls: type[BaseModel], path: Sequence[Part]) -> tuple[Parts, FieldType | None]:
    """The key a pydantic error location stands for, and its type (``None``: no such key).

    Locations also hold marks that are no keys (``int`` for a member of a union, ``[key]``): they
    end the key.
    """
    parts: Parts = ()
    kind: FieldType | None = root_type(cls)
    for part in path:
        if kind is None or kind.members:
            break
        if part == "[key]":
            break
        parent, kind = kind, kind.child(part)
        if kind is None and not (parent.model or parent.is_mapping or parent.is_sequence):
            return parts, parent
        parts = (*parts, part)
    return parts, kind


def conform(kind: FieldType, value: Any) -> Any:
    """``value`` with each list made a tuple where its type says so.

    Raises
    ------
    ValueError
        A whole number that does not fit 64 bits.
    """
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise ValueError("must be a whole number below 2**63")
    if kind.is_sequence and isinstance(value, list):
        items = [conform(kind.child(index) or kind, item) for index, item in enumerate(value)]
        return tuple(items) if kind.is_tuple else items
    if kind.is_mapping and isinstance(value, dict):
        return {key: conform(kind.child(key) or kind, item) for key, item in value.items()}
    return value


def validated(kind: FieldType, value: Any) -> Any:
    """``value`` as a field of that type alone would hold it.

    Raises
    ------
    pydantic.ValidationError, ValueError
        The value is wrong.
    """
    value = conform(kind, value)
    config = None if kind.model else ConfigDict(strict=True, allow_inf_nan=False)
    return TypeAdapter(kind.annotation, config=config).validate_python(value)
