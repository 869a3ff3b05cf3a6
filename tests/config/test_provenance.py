"""The table of parameters: every value, as text, with where it comes from."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from hwsim.config import (
    Bytes,
    Config,
    Hertz,
    Parameter,
    RawConfig,
    Share,
    apply_overrides,
    build,
    parameter_table,
    quantity,
    take_provenance,
)


class Bank(Config):
    size: Bytes = quantity("8 MiB")
    ports: int = 1


class Machine(Config):
    clock: Hertz
    bank: Bank = Bank()
    banks: tuple[Bank, ...] = ()
    density: dict[str, Share] = Field(default_factory=dict)
    note: str | None = None
    sparse: bool = True
    tiles: tuple[int, ...] = (1, 2)
    mode: Literal["a", "b"] = "a"


def table(raw: RawConfig) -> list[Parameter]:
    return parameter_table(build(Machine, raw), raw)


def test_every_value_is_listed_defaults_included() -> None:
    assert table(RawConfig({"clock": "0.225 GHz"}, "m.toml")) == [
        Parameter("clock", "225 MHz", "unstated", ""),
        Parameter("bank.size", "8 MiB", "default", ""),
        Parameter("bank.ports", "1", "default", ""),
        Parameter("banks", "[]", "default", ""),
        Parameter("density", "{}", "default", ""),
        Parameter("note", "none", "default", ""),
        Parameter("sparse", "true", "default", ""),
        Parameter("tiles", "[1, 2]", "default", ""),
        Parameter("mode", "a", "default", ""),
    ]


def test_a_default_below_a_stated_table_stays_a_default() -> None:
    data = {"clock": "1 MHz", "bank": {"ports": 2}}
    raw = RawConfig(data, "m.toml", {"bank": "published: there"})
    kinds = {row.key: (row.kind, row.source) for row in table(raw)}
    assert kinds["bank.ports"] == ("published", "there")
    assert kinds["bank.size"] == ("default", "")


def test_tables_in_lists_are_listed_and_stated_by_position() -> None:
    data = {
        "clock": "1 MHz",
        "banks": [{"ports": 2}, {"ports": 3}],
        "provenance": {"banks": "derived: from x", "banks[1].ports": "assumed: more"},
    }
    raw = take_provenance(RawConfig(data, "m.toml"))
    kinds = {row.key: row.kind for row in table(raw)}
    assert raw.problems == ()
    assert kinds["banks[0].ports"] == "derived"
    assert kinds["banks[0].size"] == "default"
    assert kinds["banks[1].ports"] == "assumed"


def test_an_overridden_value_is_told_as_such() -> None:
    raw = RawConfig({"clock": "1 MHz"}, "m.toml", {"clock": "published: there"})
    raw = apply_overrides(
        raw, Machine, [("clock", "2 MHz"), ("density.q", "0.5"), ("note", "none")]
    )
    rows = {row.key: row for row in table(raw)}
    assert rows["clock"] == Parameter("clock", "2 MHz", "override", "--set")
    assert rows["density.q"] == Parameter("density.q", "0.5", "override", "--set")
    assert rows["note"].kind == "override"
    assert rows["bank.size"].kind == "default"


@pytest.mark.parametrize(
    "provenance",
    [{"bank.size": "derived: from x"}, {"bank": {"size": "derived: from x"}}],
)
def test_provenance_may_be_written_with_dots_or_as_tables(provenance: dict[str, object]) -> None:
    raw = RawConfig({"bank": {"size": "1 B"}, "provenance": provenance}, "m.toml")
    taken = take_provenance(raw)
    assert taken.provenance == {"bank.size": "derived: from x"}
    assert taken.data == {"bank": {"size": "1 B"}}
    assert "provenance" in raw.data
