"""Where every parameter comes from: stated in the file, by key or for a whole table.

``[provenance]`` holds ``"<key>" = "<kind>: <source>"``; the longest key wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from hwsim.config.base import Config
from hwsim.config.files import RawConfig
from hwsim.config.keys import Parts, contains, covering, join_key, leaves, split_key
from hwsim.errors import Problem

__all__ = ["STATED_KINDS", "Parameter", "StatedKind", "parameter_table", "take_provenance"]

StatedKind = Literal["published", "derived", "calibrated", "assumed"]
STATED_KINDS: Final[tuple[StatedKind, ...]] = get_args(StatedKind)


@dataclass(frozen=True)
class Parameter:
    """One value of a machine for the report.

    ``kind`` is one of ``published derived calibrated assumed override default unstated``.
    """

    key: str
    value_text: str
    kind: str
    source: str


def take_provenance(raw: RawConfig) -> RawConfig:
    """``raw`` with the ``[provenance]`` table moved from its data to its provenance.

    What is wrong with it joins the problems.
    """
    data = dict(raw.data)
    table = data.pop("provenance", {})
    if not isinstance(table, dict):
        problem = Problem(raw.where, "provenance", "must be a table", table)
        return replace(raw, data=data, problems=(*raw.problems, problem))
    entries = [(_entry_key(parts), entry) for parts, entry in leaves(table) if parts]
    problems = [
        problem for key, entry in entries for problem in _wrong_entry(raw.where, key, entry)
    ]
    stated = {key: entry for key, entry in entries if isinstance(entry, str)}
    return replace(raw, data=data, provenance=stated, problems=(*raw.problems, *problems))


def unknown_entries(raw: RawConfig) -> Iterator[Problem]:
    """A problem for each provenance entry whose key ``raw`` has no value for."""
    for key in raw.provenance:
        try:
            known = contains(raw.data, split_key(key))
        except ValueError:
            known = False
        if not known:
            yield Problem(raw.where, f"provenance.{key}", "must name a key of this file", key)


def _entry_key(parts: Parts) -> str:
    """The key an entry is for; ``"hbm.bandwidth"`` and ``hbm.bandwidth`` mean the same."""
    return ".".join(str(part) for part in parts)


def _wrong_entry(where: str, key: str, entry: object) -> Iterator[Problem]:
    kind, _, source = entry.partition(":") if isinstance(entry, str) else ("", "", "")
    if kind not in STATED_KINDS or not source.strip():
        rule = f"must be '<kind>: <source>' with the kind one of {', '.join(STATED_KINDS)}"
        yield Problem(where, f"provenance.{key}", rule, entry)


def parameter_table(config: Config, raw: RawConfig) -> list[Parameter]:
    """Every value of ``config``, defaults included, in the order of its fields."""
    return [
        Parameter(join_key(parts), _text(value), *_kind_and_source(raw, parts))
        for parts, value in leaves(config.model_dump(mode="json"))
    ]


def _kind_and_source(raw: RawConfig, parts: Parts) -> tuple[str, str]:
    if not contains(raw.data, parts):
        return "default", ""
    entry = covering(raw.provenance, parts) or "unstated:"
    kind, _, source = entry.partition(":")
    return kind, source.strip()


def _text(value: Any) -> str:
    """A value as TOML would show it, texts without quotes."""
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else "{}" if value == {} else str(value)
