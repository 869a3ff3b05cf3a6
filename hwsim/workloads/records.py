"""Steps, ops and the end of a trace as flat records, the form they have in files, and back.

Every value read is checked. The rules come from the annotations of the dataclasses in
:mod:`hwsim.workloads.ops` and :mod:`hwsim.workloads.step`; a new op needs nothing here.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from operator import attrgetter
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from hwsim.errors import Problem, WorkloadError
from hwsim.workloads.ops import OP_TYPES, Between, Op
from hwsim.workloads.step import StepHead, TraceEnd
from hwsim.workloads.strict_json import shown

__all__ = [
    "RECORD_TYPES",
    "Column",
    "Item",
    "Rule",
    "checked",
    "columns",
    "from_record",
    "to_record",
]

Item = StepHead | Op | TraceEnd
"""What a record stands for: the head of a step, an op of that step, or the end of the trace."""

RECORD_TYPES: Final[dict[str, type[Item]]] = {"Step": StepHead, **OP_TYPES, "End": TraceEnd}
KINDS: Final = {item: kind for kind, item in RECORD_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field accepts: type in files, words, test, and how a value in a file becomes ours."""

    python: type
    text: str
    accepts: Callable[[object], bool]
    convert: Callable[[Any], Any] = lambda value: value
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One field of one type of item."""

    name: str
    rule: Rule
    default: Any = MISSING

    @property
    def absent(self) -> Any:
        """The value of a field that a record leaves out; ``MISSING`` when it must not."""
        return None if self.default is MISSING and self.rule.nullable else self.default


def to_record(item: Item) -> dict[str, Any]:
    """The item as a flat dict: its type, then its fields in order."""
    kind = KINDS[type(item)]
    names, values = _getter(kind)
    return {"type": kind, **dict(zip(names, values(item), strict=True))}


def from_record(record: object, where: str) -> Item:
    """The item a record stands for.

    A field with a default, or one that may be null, may be left out.

    Raises
    ------
    WorkloadError
        Naming ``where``, the field, the rule and the value, for the first that is wrong.
    """
    if not isinstance(record, dict):
        raise _wrong(where, "a record", "must be an object", record)
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in RECORD_TYPES:
        raise _wrong(where, "type", f"must be one of {', '.join(RECORD_TYPES)}", kind)
    table = columns(kind)
    if unknown := sorted(str(name) for name in record.keys() - table.keys() - {"type"}):
        raise _wrong(where, kind, f"has no field {unknown[0]}; it has {', '.join(table)}")
    values = [_value(record, column, f"{kind}.{column.name}", where) for column in table.values()]
    return RECORD_TYPES[kind](*values)


def checked(item: Item, where: str) -> Item:
    """The item itself, if every field keeps its rule; raises like :func:`from_record` otherwise."""
    kind = KINDS[type(item)]
    for column in columns(kind).values():
        value = getattr(item, column.name)
        if not column.rule.accepts(value):
            raise _wrong(where, f"{kind}.{column.name}", column.rule.text, value)
    return item


@functools.cache
def columns(kind: str) -> dict[str, Column]:
    """The fields of one type of item, in order."""
    hints = get_type_hints(RECORD_TYPES[kind], include_extras=True)
    return {field.name: _column(field, hints[field.name]) for field in fields(RECORD_TYPES[kind])}


def _column(field: Field[Any], hint: Any) -> Column:
    return Column(field.name, _rule(hint), field.default)


def _value(record: Mapping[str, Any], column: Column, key: str, where: str) -> Any:
    value = record.get(column.name, column.absent)
    if value is MISSING:
        raise _wrong(where, key, f"is missing; it {column.rule.text}")
    if not column.rule.accepts(value):
        raise _wrong(where, key, column.rule.text, shown(value))
    return column.rule.convert(value)


@functools.cache
def _getter(kind: str) -> tuple[tuple[str, ...], Callable[[Item], tuple[Any, ...]]]:
    names = tuple(columns(kind))
    return names, attrgetter(*names)


def _wrong(where: str, key: str, rule: str, value: object = None) -> WorkloadError:
    return WorkloadError(str(Problem(where, key, rule, value)))


def _rule(hint: Any) -> Rule:
    """The rule that an annotation stands for."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _number(args[0], args[1])
    if origin is Literal:
        words = f"must be one of {', '.join(args)}"
        return Rule(str, words, lambda value: isinstance(value, str) and value in args)
    if origin in (Union, types.UnionType):
        return _or_null(_rule(next(arg for arg in args if arg is not type(None))))
    if origin is tuple:
        return _list_of(_rule(args[0]))
    return _PLAIN[hint]


_PLAIN: Final = {
    bool: Rule(bool, "must be true or false", lambda value: isinstance(value, bool)),
    str: Rule(
        str,
        "must be a text that is not empty, of printable characters",
        lambda value: isinstance(value, str) and value != "" and value.isprintable(),
    ),
}


def _number(base: type, between: Between) -> Rule:
    if base is float:
        words = f"must be a number from {between.low} to {between.high}"
        return Rule(float, words, lambda value: _is_number(value) and between.holds(value), float)
    words = f"must be an integer from {between.low} to 2**62"
    return Rule(int, words, lambda value: type(value) is int and between.holds(value))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _or_null(inner: Rule) -> Rule:
    return replace(
        inner,
        text=f"{inner.text}, or null",
        accepts=lambda value: value is None or inner.accepts(value),
        nullable=True,
    )


def _list_of(member: Rule) -> Rule:
    return Rule(
        list,
        f"must be a list, of which each {member.text}",
        lambda value: isinstance(value, list | tuple) and all(map(member.accepts, value)),
        tuple,
    )
