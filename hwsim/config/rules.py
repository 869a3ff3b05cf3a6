"""Rules over several fields, checked even where other fields are wrong.

pydantic checks a model's rules only once all its fields are right. To tell everything at once, each
rule is tried on the fields that are right: one that touches a wrong field is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hwsim.config.keys import Parts
from hwsim.config.schema import FieldType, fields_of, validated

__all__ = ["Broken", "broken_rules"]


@dataclass(frozen=True)
class Broken:
    """A rule that does not hold, of the table at ``at``."""

    at: Parts
    message: str


def broken_rules(
    cls: type[BaseModel], data: Mapping[str, Any], found: Sequence[ErrorDetails]
) -> list[Broken]:
    """The broken rules of ``cls`` and the tables below it; ``found`` are the errors of fields."""
    broken: list[Broken] = []
    _right_part(cls, data, {item["loc"] for item in found if item["loc"]}, (), broken)
    return broken


def _right_part(
    cls: type[BaseModel],
    data: Mapping[str, Any],
    wrong: set[Parts],
    at: Parts,
    broken: list[Broken],
) -> BaseModel:
    """A config with only the right fields of ``data``; its broken rules go to ``broken``."""
    part = cls.model_construct()
    part.__dict__.clear()
    for name, kind in fields_of(cls).items():
        here = (*at, name)
        value = data.get(name, _default(cls.model_fields[name]))
        if kind.model is not None and isinstance(value, Mapping):
            part.__dict__[name] = _right_part(kind.model, value, wrong, here, broken)
        elif not any(location[: len(here)] == here for location in wrong):
            part.__dict__.update(_field(name, kind, value))
    broken.extend(Broken(at, message) for message in _failures(part))
    return part


_MISSING = object()


def _default(info: FieldInfo) -> Any:
    return _MISSING if info.is_required() else info.get_default(call_default_factory=True)


def _field(name: str, kind: FieldType, value: Any) -> dict[str, Any]:
    """The field by itself, or nothing if it isn't right."""
    if value is _MISSING:
        return {}
    try:
        return {name: validated(kind, value)}
    except (ValidationError, ValueError):
        return {}


def _failures(part: BaseModel) -> Iterator[str]:
    """The messages of the rules that ``part`` breaks."""
    for name, rule in type(part).__pydantic_decorators__.model_validators.items():
        if rule.info.mode != "after":
            continue
        try:
            getattr(part, name)()
        except AttributeError:
            continue
        except (ValueError, AssertionError) as error:
            yield str(error)
