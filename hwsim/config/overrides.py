"""Values given by path, ``--set machine.clock="300 MHz"``, read by the type of the field."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from hwsim.config.files import SET, RawConfig
from hwsim.config.keys import Part, Parts, join_key, split_key
from hwsim.config.problems import field_problems, unknown_key
from hwsim.config.schema import FieldType, root_type, validated
from hwsim.errors import ConfigError, Problem

__all__ = ["GROUPS", "OVERRIDE", "apply_overrides", "parse_overrides", "parse_value"]

GROUPS: Final = ("machine", "workload")
OVERRIDE: Final = f"override: {SET}"
"""Provenance of an overridden value."""
INTEGER: Final = re.compile(r"[-+]?\d+(?:_\d+)*", re.ASCII)
NUMBER: Final = re.compile(r"[-+]?\d+(?:_\d+)*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)


def parse_overrides(texts: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """``GROUP.PATH=VALUE`` texts as (path, value text) for each of ``machine`` and ``workload``.

    Raises
    ------
    ConfigError
        Naming each text that has another form, and each path given twice.
    """
    groups: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
    problems = []
    for text in texts:
        try:
            group, path, value = _split(text)
        except ValueError as error:
            problems.append(Problem(SET, "", str(error), text))
            continue
        if path in dict(groups[group]):
            problems.append(Problem(SET, "", f"must give {group}.{path} only once", text))
        groups[group].append((path, value))
    if problems:
        raise ConfigError(problems)
    return groups


def _split(text: str) -> tuple[str, str, str]:
    """Group, path and value of one override."""
    path, equals, value = text.partition("=")
    try:
        group, *rest = split_key(path.strip())
    except ValueError:
        group, rest = "", []
    if not equals or not rest or not isinstance(group, str) or group not in GROUPS:
        raise ValueError(
            "must be machine.PATH=VALUE or workload.PATH=VALUE, "
            "such as machine.hbm.bandwidth='920 GB/s'"
        )
    return group, join_key(rest), value.strip()


def apply_overrides(
    raw: RawConfig, cls: type[BaseModel], overrides: Iterable[tuple[str, str]]
) -> RawConfig:
    """``raw`` with the values at the paths replaced, each read by the type of its field in ``cls``.

    Raises
    ------
    ConfigError
        Every unknown path and every value its field cannot hold.
    """
    data = copy.deepcopy(raw.data)
    provenance, origins = dict(raw.provenance), dict(raw.origins)
    problems: list[Problem] = []
    for path, text in overrides:
        try:
            parts, value = _read(cls, path, text)
            _put(cls, data, parts, value)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            provenance[join_key(parts)], origins[join_key(parts)] = OVERRIDE, SET
    if problems:
        raise ConfigError(problems)
    return replace(raw, data=data, provenance=provenance, origins=origins)


def _read(cls: type[BaseModel], path: str, text: str) -> tuple[Parts, Any]:
    """The parts of ``path`` and the value of ``text`` by the type that stands there."""
    try:
        parts = split_key(path)
    except ValueError as error:
        raise ConfigError([Problem(SET, "", str(error), path)]) from None
    kind = _kind(cls, parts)
    try:
        value = parse_value(kind, text)
        validated(kind, value)
    except ValidationError as error:
        problems = field_problems(cls, RawConfig({}, SET), _moved(error, parts))
        raise ConfigError(_with_text(problems, text)) from None
    except ValueError as error:
        raise ConfigError([Problem(SET, join_key(parts), str(error), text)]) from None
    return parts, value


def _moved(error: ValidationError, parts: Parts) -> list[Any]:
    """What pydantic found in one field, placed where the field is."""
    return [{**item, "loc": (*parts, *item["loc"])} for item in error.errors(include_url=False)]


def _with_text(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems with the value as it was typed, when it is a single one."""
    return [
        replace(item, value=text if not text.startswith("[") else item.value) for item in problems
    ]


def _kind(cls: type[BaseModel], parts: Parts) -> FieldType:
    """The type at ``parts``; :class:`ConfigError` if ``cls`` has no such key."""
    kind = root_type(cls)
    for length, part in enumerate(parts, start=1):
        below = kind.child(part)
        if below is None:
            raise ConfigError([_no_such_key(cls, kind, parts[:length])])
        kind = below
    return kind


def _no_such_key(cls: type[BaseModel], parent: FieldType, parts: Parts) -> Problem:
    if parent.model is not None:
        return unknown_key(cls, parts, SET)
    rule = f"must be set as a whole, it is {parent}"
    return Problem(SET, join_key(parts[:-1]), rule, join_key(parts))


def parse_value(kind: FieldType, text: str) -> Any:
    """The value that ``text`` stands for in a field of that type.

    Quantities, texts and types with a validator that reads text take it as it is; lists are TOML
    arrays.

    Raises
    ------
    ValueError
        The rule that the text breaks.
    """
    if kind.optional and text == "none":
        return None
    if kind.reads_text:
        return text
    if kind.model is not None or kind.is_mapping:
        raise ValueError("must be set one key at a time, it is a table" + _keys_hint(kind))
    if kind.members:
        return _any_member(kind, text)
    if kind.is_sequence:
        return _list(kind, text)
    if kind.choices:
        return _choice(kind, text)
    return _scalar(kind, text) if kind.bare in (bool, int, float) else text


def _keys_hint(kind: FieldType) -> str:
    return f" of {', '.join(kind.model.model_fields)}" if kind.model is not None else ""


def _any_member(kind: FieldType, text: str) -> Any:
    """The value by the first alternative that takes it."""
    for member in kind.members:
        try:
            value = parse_value(member, text)
            validated(member, value)
        except ValueError:
            continue
        return value
    raise ValueError(f"must be {kind}")


def _list(kind: FieldType, text: str) -> Any:
    try:
        document = tomllib.loads(f"list = {text}")
    except ValueError:
        document = {}
    if set(document) != {"list"} or not isinstance(document["list"], list):
        raise ValueError(f"must be {kind} in brackets, such as {_list_example(kind, text)}")
    return document["list"]


def _list_example(kind: FieldType, text: str) -> str:
    """How a list of the field is written: of texts, with the quotes that ``text`` left out."""
    item = kind.child(0)
    if item is not None and item.model is not None:
        return f"[{{{', '.join(f'{name}=1' for name in item.model.model_fields)}}}]"
    if item is None or item.bare is not str:
        return "[1, 2]"
    return json.dumps(re.findall(r"\w+", text)[:2] or ["a", "b"], ensure_ascii=False)


def _choice(kind: FieldType, text: str) -> Any:
    for choice in kind.choices:
        if text == (str(choice).lower() if isinstance(choice, bool) else str(choice)):
            return choice
    raise ValueError(f"must be {kind}")


def _scalar(kind: FieldType, text: str) -> Any:
    if kind.bare is bool and text in ("true", "false"):
        return text == "true"
    if kind.bare is int and INTEGER.fullmatch(text) and len(text) <= 64:
        return int(text)
    if kind.bare is float and NUMBER.fullmatch(text):
        return float(text)
    raise ValueError(f"must be {kind}")


def _put(cls: type[BaseModel], data: dict[str, Any], parts: Parts, value: Any) -> None:
    """Set the value at ``parts``; a table or list the file leaves out starts as its default."""
    holder: Any = data
    for length, part in enumerate(parts[:-1], start=1):
        _check_holds(holder, part, parts[:length])
        if not isinstance(part, int) and holder.get(part) is None:
            holder[part] = _default(cls, parts[:length])
        holder = holder[part]
    _check_holds(holder, parts[-1], parts)
    holder[parts[-1]] = value


def _check_holds(holder: Any, part: Part, parts: Parts) -> None:
    """Refuse to go below a value that is no table, or beyond the end of a list."""
    if isinstance(part, int):
        if not isinstance(holder, list):
            raise ConfigError([Problem(SET, join_key(parts[:-1]), "must be a list", holder)])
        if part >= len(holder):
            rule = f"must be a position below {len(holder)}, the length of the list"
            raise ConfigError([Problem(SET, join_key(parts), rule, part)])
    elif not isinstance(holder, dict):
        raise ConfigError([Problem(SET, join_key(parts[:-1]), "must be a table", holder)])


def _default(cls: type[BaseModel], parts: Parts) -> Any:
    """What stands at ``parts`` when a file leaves it out, as a file would say it."""
    kind, parent = _kind(cls, parts), _kind(cls, parts[:-1])
    info = parent.model.model_fields[str(parts[-1])] if parent.model is not None else None
    default = info and info.get_default(call_default_factory=True)
    if info is None or info.is_required() or default is None:
        return [] if kind.is_sequence else {}
    adapter = TypeAdapter(kind.annotation)
    return adapter.dump_python(validated(kind, default), mode="json", exclude_unset=True)
