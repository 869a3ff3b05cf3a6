"""From what pydantic found to our messages: file, dotted key, rule, offending value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from hwsim.config.files import SET, RawConfig
from hwsim.config.keys import Parts, covering, join_key
from hwsim.config.rules import Broken, broken_rules
from hwsim.config.schema import FieldType, keys_of, locate, root_type
from hwsim.errors import ConfigError, Problem

__all__ = ["config_error", "field_problems", "problems_of", "unknown_key"]

PYDANTIC_TYPES: Final = frozenset(get_args(ErrorType))
OWN_WORDS: Final = frozenset({"value_error", "assertion_error"})
SUBJECT: Final = re.compile(r"(?P<subject>[A-Za-z_][\w.\[\]-]*) (?P<rule>.+)", re.DOTALL)


def config_error(
    cls: type[BaseModel], values: Mapping[str, Any], error: ValidationError
) -> ConfigError:
    """The error for a config made in code; its place is the class name."""
    return ConfigError(problems_of(cls, RawConfig(dict(values), cls.__name__), error))


def problems_of(cls: type[BaseModel], raw: RawConfig, error: ValidationError) -> list[Problem]:
    """Every problem of ``raw``: those pydantic stopped at, and the rules it did not get to."""
    found = error.errors(include_url=False)
    broken = [_rule_problem(cls, raw, item) for item in broken_rules(cls, raw.data, found)]
    return _unique([*field_problems(cls, raw, found), *broken])


def field_problems(
    cls: type[BaseModel], raw: RawConfig, found: Sequence[ErrorDetails]
) -> list[Problem]:
    """What pydantic found, in our words."""
    unknown = [item["loc"] for item in found if item["type"] == "extra_forbidden"]
    meant = {_meant(cls, parts) for parts in unknown}
    told = [
        item
        for item in found
        if item["type"] != "missing" or join_key(locate(cls, item["loc"])[0]) not in meant
    ]
    return _unique(_problem(cls, raw, item) for item in told)


def unknown_key(cls: type[BaseModel], parts: Parts, where: str) -> Problem:
    """The problem of a key that ``cls`` does not have, with what was probably meant."""
    names = _names_beside(cls, parts)
    hint = _meant(cls, parts)
    known = f"one of {', '.join(names)}" if 0 < len(names) <= 12 else "a known key"
    rule = f"must be a known key (did you mean {hint!r}?)" if hint else f"must be {known}"
    return Problem(where, join_key(parts), rule, parts[-1])


def _names_beside(cls: type[BaseModel], parts: Parts) -> list[str]:
    """The keys of the table that ``parts`` would stand in."""
    parent = locate(cls, parts[:-1])[1]
    return list(parent.model.model_fields) if parent and parent.model else []


def _meant(cls: type[BaseModel], parts: Parts) -> str:
    """A key spelled alike at the same place, or the same name elsewhere; else nothing."""
    last = str(parts[-1])
    for name in difflib.get_close_matches(last, _names_beside(cls, parts), n=1):
        return join_key((*parts[:-1], name))
    everywhere = {join_key(key): str(key[-1]) for key in keys_of(cls)}
    for key, name in everywhere.items():
        if name == last:
            return key
    others = [key for key in everywhere if not join_key(parts).startswith(key)]
    return next(iter(difflib.get_close_matches(join_key(parts), others, n=1, cutoff=0.75)), "")


def _problem(cls: type[BaseModel], raw: RawConfig, item: ErrorDetails) -> Problem:
    parts, kind = locate(cls, item["loc"])
    if item["type"] == "extra_forbidden":
        return unknown_key(cls, parts, _where(raw, parts))
    message = _own_words(item)
    if message and kind is not None and kind.model is not None:
        return _rule_problem(cls, raw, Broken(parts, message))
    if item["type"] == "missing" and not isinstance(parts[-1], int):
        return Problem(_where(raw, parts), join_key(parts), f"must be given: {kind}")
    if item["type"] == "missing":  # of a list of fixed length
        parts, kind = parts[:-1], locate(cls, parts[:-1])[1]
    if item["loc"][-1] == "[key]":
        table = locate(cls, parts[:-1])[1]
        rule = f"must have a key that is {table.key if table else 'known'}"
        return Problem(_where(raw, parts), join_key(parts), rule, item["input"])
    of_member = kind is not None and kind.members and len(item["loc"]) > len(parts)
    rule = message if message and not of_member else _rule(item, kind)
    return Problem(_where(raw, parts), join_key(parts), rule, _as_toml(item["input"]))


def _own_words(item: ErrorDetails) -> str:
    """The message of a validator of ours, or nothing for pydantic's own."""
    if item["type"] in OWN_WORDS:
        return str(item.get("ctx", {}).get("error", item["msg"]))
    return "" if item["type"] in PYDANTIC_TYPES else item["msg"]


def _rule(item: ErrorDetails, kind: FieldType | None) -> str:
    if kind is None:
        return "must be a value that fits here"
    return f"must be {kind}" + ", and finite" * (item["type"] == "finite_number")


def _rule_problem(cls: type[BaseModel], raw: RawConfig, broken: Broken) -> Problem:
    """A rule over several fields; its message starts with the key it is about."""
    match = SUBJECT.fullmatch(broken.message)
    named = tuple(re.findall(r"[\w-]+", match["subject"])) if match else ()
    table = locate(cls, broken.at)[1] or root_type(cls)
    if match is None or table.model is None or locate(table.model, named)[1] is None:
        prefix = f"{join_key(broken.at)}: " if broken.at else ""
        return Problem(_where_rule(raw, broken.at, broken.message), "", prefix + broken.message)
    parts = (*broken.at, *named)
    return Problem(_where_rule(raw, parts, broken.message), join_key(parts), match["rule"])


def _where(raw: RawConfig, parts: Parts) -> str:
    return covering(raw.origins, parts) or raw.where


def _where_rule(raw: RawConfig, parts: Parts, message: str) -> str:
    """The file of the first key; ``--set`` is added when it gave another key the rule names."""
    where = _where(raw, parts)
    overridden = [key for key, origin in raw.origins.items() if origin == SET]
    named = any(re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message) for key in overridden)
    return f"{where} with {SET}" if named and where != SET else where


def _as_toml(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """The problems without repetitions, in order, alternatives of a union told once."""
    return list({str(problem): problem for problem in problems}.values())
