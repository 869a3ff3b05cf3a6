"""Configs: what fields take, and how wrong values are told, in files and in code."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator, model_validator

from hwsim.config import (
    Bytes,
    BytesPerSecond,
    Config,
    Dollars,
    Femtoseconds,
    FlopsPerSecond,
    Hertz,
    PositiveInt,
    RawConfig,
    Share,
    Text,
    Watts,
    build,
    config_sha256,
    input_sha256,
    quantity,
)
from hwsim.errors import ConfigError, Problem


class Hbm(Config):
    bandwidth: BytesPerSecond
    channels: PositiveInt = 32
    capacity: Bytes = quantity("8 GiB")
    efficiency: Share = 0.7

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if self.channels & (self.channels - 1):
            raise ValueError(f"channels must be a power of two, got {self.channels}")
        return self


class Machine(Config):
    clock: Hertz
    hbm: Hbm
    cores: int = Field(default=3, ge=1, le=16)
    per_core: PositiveInt = 8
    fidelity: Literal["lumped", "detailed"] = "lumped"
    density: dict[Annotated[str, Field(pattern="^[a-z]+$")], Share] = Field(default_factory=dict)
    tiles: tuple[PositiveInt, ...] = (1, 2)

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if self.hbm.channels < (needed := self.cores * self.per_core):
            raise ValueError(
                f"hbm.channels must be at least cores x per_core = {needed}, "
                f"got {self.hbm.channels}"
            )
        return self

    @model_validator(mode="after")
    def _check_parity(self) -> Self:
        if self.per_core % 2:
            raise ValueError(f"per_core must be even, got {self.per_core}")
        return self


GOOD: dict[str, Any] = {"clock": "225 MHz", "hbm": {"bandwidth": "460 GB/s"}}


def problems(cls: type[Config], data: Mapping[str, Any], **raw: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(cls, RawConfig(dict(data), "m.toml", **raw))
    return str(caught.value).splitlines()


def test_quantities_become_plain_numbers_in_base_units() -> None:
    class Everything(Config):
        hertz: Hertz
        size: Bytes
        rate: BytesPerSecond
        time: Femtoseconds
        power: Watts
        price: Dollars
        flops: FlopsPerSecond

    made = Everything(
        hertz="1.4 GHz",
        size="8 MiB",
        rate="819.2 GiB/s",
        time="3.3 ns",
        power="45.1 W",
        price="8000 USD",
        flops="19.5 TFLOP/s",
    )
    assert made.hertz == 1_400_000_000
    assert made.size == 8 * 2**20
    assert made.rate == Fraction(8192, 10) * 2**30
    assert made.time == 3_300_000
    assert (made.power, made.price) == (45.1, 8000.0)
    assert made.flops == 195 * 10**11
    assert [type(value) for value in dict(made).values()] == [
        int, int, Fraction, int, float, float, Fraction,
    ]  # fmt: skip


def field_refusal(annotation: Any, value: object) -> str:
    cls = type("One", (Config,), {"__annotations__": {"x": annotation}, "__module__": __name__})
    (line,) = problems(cls, {"x": value})
    return line.removeprefix("m.toml: x ")


@pytest.mark.parametrize(
    ("annotation", "value", "rule"),
    [
        (Hertz, 225, "must be a frequency with a unit, such as '225 MHz', got 225"),
        (Hertz, 2.5e8, "must be a frequency with a unit, such as '225 MHz', got 250000000.0"),
        (Hertz, "0 Hz", "must be a frequency above zero, such as '225 MHz', got '0 Hz'"),
        (Hertz, "1.5 Hz", "must be a frequency of a whole number of Hz, got '1.5 Hz'"),
        (Hertz, True, "must be a frequency such as '225 MHz', got True"),
        (Hertz, ["1 MHz"], "must be a frequency such as '225 MHz', got ['1 MHz']"),
        (
            Bytes,
            "1 b",
            "must be a size such as '8 MiB' ('b' is a bit; sizes are in bytes, 'B'), got '1 b'",
        ),
        (Bytes, "0.3 B", "must be a size of a whole number of B, got '0.3 B'"),
        (BytesPerSecond, "460 GiB", "must be a bandwidth such as '460 GB/s', got '460 GiB'"),
        (
            BytesPerSecond,
            "0 B/s",
            "must be a bandwidth above zero, such as '460 GB/s', got '0 B/s'",
        ),
        (Femtoseconds, "0.5 fs", "must be a time of a whole number of fs, got '0.5 fs'"),
        (Watts, "-1 W", "must be a power of zero or more, such as '45 W', got '-1 W'"),
        (Dollars, "8 kUSD", "must be a price such as '8000 USD', got '8 kUSD'"),
        (
            Hertz | Literal["auto"],
            3,
            "must be a frequency above zero, such as '225 MHz' or 'auto', got 3",
        ),
        (Hertz | None, 3, "must be a frequency with a unit, such as '225 MHz', got 3"),
        (int, True, "must be a whole number, got True"),
        (int, 1.0, "must be a whole number, got 1.0"),
        (int, "12", "must be a whole number, got '12'"),
        (int, 2**63, "must be a whole number below 2**63, got 9223372036854775808"),
        (int, -(2**63), "must be a whole number below 2**63, got -9223372036854775808"),
        (PositiveInt, 0, "must be a whole number of at least 1, got 0"),
        (PositiveInt, -5, "must be a whole number of at least 1, got -5"),
        (Annotated[int, Field(ge=0)], -1, "must be a whole number of at least 0, got -1"),
        (Annotated[int, Field(gt=0, lt=9)], 9, "must be a whole number above 0 and below 9, got 9"),
        (Annotated[int, Field(le=9)], 10, "must be a whole number of at most 9, got 10"),
        (
            Annotated[int, Field(ge=16, multiple_of=16)],
            24,
            "must be a whole number of at least 16, a multiple of 16, got 24",
        ),
        (float, "1", "must be a number, got '1'"),
        (float, True, "must be a number, got True"),
        (float, float("nan"), "must be a number, and finite, got nan"),
        (float, float("inf"), "must be a number, and finite, got inf"),
        (Annotated[float, Field(gt=0)], 0, "must be a number above 0, got 0"),
        (Annotated[float, Field(ge=0)], -0.5, "must be a number of at least 0, got -0.5"),
        (Share, 1.5, "must be a number from 0 to 1, got 1.5"),
        (bool, 1, "must be true or false, got 1"),
        (bool, "true", "must be true or false, got 'true'"),
        (Text, "", "must be text of at least 1 character, got ''"),
        (Text, 3, "must be text of at least 1 character, got 3"),
        (
            Annotated[str, Field(max_length=2)],
            "abc",
            "must be text of at most 2 characters, got 'abc'",
        ),
        (
            Annotated[str, Field(min_length=2, max_length=2)],
            "abc",
            "must be text of 2 characters, got 'abc'",
        ),
        (
            Annotated[str, Field(min_length=1, max_length=2)],
            "abc",
            "must be text of 1 to 2 characters, got 'abc'",
        ),
        (Annotated[str, Field(pattern="^a+$")], "b", "must be text matching '^a+$', got 'b'"),
        (Literal["a", "b"], "c", "must be one of 'a', 'b', got 'c'"),
        (Literal[2, 3], 4, "must be one of 2, 3, got 4"),
        (Literal["a"], "b", "must be 'a', got 'b'"),
        (int | Literal["auto"], "no", "must be a whole number or 'auto', got 'no'"),
        (tuple[int, int], [1], "must be a list of 2 values, got [1]"),
        (tuple[int, int], [1, 2, 3], "must be a list of 2 values, got [1, 2, 3]"),
        (tuple[int, ...], 3, "must be a list, got 3"),
        (tuple[int, ...], {"a": 1}, "must be a list, got {'a': 1}"),
        (
            Annotated[tuple[int, ...], Field(min_length=1)],
            [],
            "must be a list of at least 1 value, got []",
        ),
        (list[int], 3, "must be a list, got 3"),
        (dict[str, int], 3, "must be a table, got 3"),
        (Hbm, 3, "must be a table, got 3"),
        (Hbm, [], "must be a table, got []"),
        (Hbm | None, "x", "must be a table, got 'x'"),
    ],
)
def test_a_wrong_value_is_told_by_the_rule_of_its_field(
    annotation: Any, value: object, rule: str
) -> None:
    assert field_refusal(annotation, value) == rule


def test_values_inside_lists_and_tables_are_named_by_their_own_key() -> None:
    data = GOOD | {"tiles": [1, 0, "x"], "density": {"a": 2, "b": 0.5, "C": 0.1}}
    assert problems(Machine, data) == [
        "m.toml: density.a must be a number from 0 to 1, got 2",
        "m.toml: density.C must have a key that is text matching '^[a-z]+$', got 'C'",
        "m.toml: tiles[1] must be a whole number of at least 1, got 0",
        "m.toml: tiles[2] must be a whole number of at least 1, got 'x'",
    ]


def test_lists_are_held_as_tuples_and_whole_numbers_serve_as_numbers() -> None:
    machine = build(Machine, RawConfig(GOOD | {"tiles": [3], "density": {"q": 1}}, "m.toml"))
    assert machine.tiles == (3,)
    assert (machine.density, type(machine.density["q"])) == ({"q": 1.0}, float)


def test_every_problem_of_a_file_is_told_at_once() -> None:
    data = {
        "clok": "225 MHz",
        "hbm": {"bandwidth": "460 GiB", "channels": 33},
        "channels": 4,
        "cores": 17,
        "per_core": 7,
        "fidelity": "lumpd",
        "tiles": [0],
    }
    assert problems(Machine, data) == [
        "m.toml: hbm.bandwidth must be a bandwidth such as '460 GB/s', got '460 GiB'",
        "m.toml: cores must be a whole number from 1 to 16, got 17",
        "m.toml: fidelity must be one of 'lumped', 'detailed', got 'lumpd'",
        "m.toml: tiles[0] must be a whole number of at least 1, got 0",
        "m.toml: clok must be a known key (did you mean 'clock'?), got 'clok'",
        "m.toml: channels must be a known key (did you mean 'hbm.channels'?), got 'channels'",
        "m.toml: hbm.channels must be a power of two, got 33",
        "m.toml: per_core must be even, got 7",
    ]


def test_every_broken_rule_is_told_not_only_the_first() -> None:
    assert problems(Machine, GOOD | {"per_core": 13}) == [
        "m.toml: hbm.channels must be at least cores x per_core = 39, got 32",
        "m.toml: per_core must be even, got 13",
    ]


def test_a_rule_that_needs_a_wrong_field_is_left_out() -> None:
    assert problems(Machine, GOOD | {"per_core": 64, "cores": "3"}) == [
        "m.toml: cores must be a whole number from 1 to 16, got '3'"
    ]


def test_a_missing_key_is_told_with_what_it_must_be() -> None:
    assert problems(Machine, {"hbm": {}}) == [
        "m.toml: clock must be given: a frequency above zero, such as '225 MHz'",
        "m.toml: hbm.bandwidth must be given: a bandwidth above zero, such as '460 GB/s'",
    ]
    assert problems(Machine, {"clock": "1 MHz"}) == ["m.toml: hbm must be given: a table"]


def test_an_unknown_key_without_a_like_one_lists_the_known() -> None:
    data = {"clock": "1 MHz", "hbm": {"bandwidth": "1 GB/s", "zzz": 1}}
    assert problems(Machine, data) == [
        "m.toml: hbm.zzz must be one of bandwidth, channels, capacity, efficiency, got 'zzz'"
    ]


def test_a_rule_of_a_table_carries_the_path_of_the_table() -> None:
    class Rig(Config):
        main: Hbm
        spare: Hbm | None = None
        more: tuple[Hbm, ...] = ()

        @field_validator("more")
        @classmethod
        def _few(cls, value: tuple[Hbm, ...]) -> tuple[Hbm, ...]:
            if len(value) > 1:
                raise ValueError("must be at most one memory")
            return value

    odd = {"bandwidth": "1 GB/s", "channels": 3}
    good = {"bandwidth": "1 GB/s"}
    assert problems(Rig, {"main": odd, "spare": odd, "more": [odd]}) == [
        "m.toml: main.channels must be a power of two, got 3",
        "m.toml: spare.channels must be a power of two, got 3",
        "m.toml: more[0].channels must be a power of two, got 3",
    ]
    (line,) = problems(Rig, {"main": good, "more": [good, good]})
    assert line.startswith("m.toml: more must be at most one memory, got [{'bandwidth': '1 GB/s'}")


def test_a_rule_that_names_no_key_is_told_under_its_table() -> None:
    class Odd(Config):
        x: int = 1

        @model_validator(mode="after")
        def _check(self) -> Self:
            raise ValueError("the moon must be full")

    class Outer(Config):
        inner: Odd

    assert problems(Odd, {}) == ["m.toml: the moon must be full"]
    assert problems(Outer, {"inner": {}}) == ["m.toml: inner: the moon must be full"]


def test_a_problem_is_told_where_its_value_was_given() -> None:
    origins = {"hbm.bandwidth": "--set", "cores": "base.toml"}
    data = {"clock": 1, "hbm": {"bandwidth": 2}, "cores": 0}
    assert problems(Machine, data, origins=origins) == [
        "m.toml: clock must be a frequency with a unit, such as '225 MHz', got 1",
        "--set: hbm.bandwidth must be a bandwidth with a unit, such as '460 GB/s', got 2",
        "base.toml: cores must be a whole number from 1 to 16, got 0",
    ]


def test_a_rule_broken_by_an_override_says_so() -> None:
    assert problems(Machine, GOOD | {"cores": 5}, origins={"cores": "--set"}) == [
        "m.toml with --set: hbm.channels must be at least cores x per_core = 40, got 32"
    ]


def test_problems_found_on_reading_come_with_those_of_the_fields() -> None:
    found = (Problem("m.toml", "provenance.clock", "must be x", "y"),)
    assert problems(Machine, GOOD, problems=found) == [
        "m.toml: provenance.clock must be x, got 'y'"
    ]
    assert len(problems(Machine, GOOD | {"cores": 0}, problems=found)) == 2


def test_a_config_made_in_code_is_refused_in_the_same_words() -> None:
    with pytest.raises(ConfigError) as caught:
        Machine(clock=225, hbm={"bandwidth": "1 GB/s"}, per_core=7)
    assert str(caught.value).splitlines() == [
        "Machine: clock must be a frequency with a unit, such as '225 MHz', got 225",
        "Machine: per_core must be even, got 7",
    ]


def test_a_config_is_frozen_keyword_only_and_comparable() -> None:
    one, other = Hbm(bandwidth="1 GB/s"), Hbm(bandwidth="1000 MB/s")
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(ValidationError):
        one.channels = 4
    with pytest.raises(TypeError):
        Hbm("1 GB/s")


def test_a_config_survives_copies_and_pickles() -> None:
    machine = build(Machine, RawConfig(dict(GOOD), "m.toml"))
    assert pickle.loads(pickle.dumps(machine)) == machine
    assert copy.deepcopy(machine) == machine


def test_the_digest_depends_on_values_only() -> None:
    def digest(**values: Any) -> str:
        return config_sha256(build(Machine, RawConfig(GOOD | values, "m.toml")))

    assert digest() == digest(cores=3, clock="0.225 GHz", tiles=[1, 2])
    assert digest(density={"a": 0.1, "b": 0.2}) == digest(density={"b": 0.2, "a": 0.1})
    assert len({digest(), digest(cores=2), digest(clock="226 MHz"), digest(density={"a": 1})}) == 4
    assert len(digest()) == 64


class Mapped(Config):
    """A config with a file."""

    file_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {"path": ("no file",)}

    path: str


def test_an_input_file_counts_by_its_content(tmp_path: Path) -> None:
    config = Mapped(path=str(tmp_path / "map"))
    missing = config_sha256(config)
    assert input_sha256(config) == {}
    (tmp_path / "map").write_bytes(b"one")
    one = config_sha256(config)
    assert input_sha256(config) == {"path": hashlib.sha256(b"one").hexdigest()}
    (tmp_path / "map").write_bytes(b"two")
    assert len({missing, one, config_sha256(config)}) == 3
    (tmp_path / "copy").write_bytes(b"one")
    assert config_sha256(Mapped(path=str(tmp_path / "copy"))) == one
    assert Mapped(path="no file").input_files == {}


@given(
    st.integers(1, 10**15),
    st.fractions(min_value=1, max_value=10**12, max_denominator=1).map(lambda f: f / 1000),
    st.integers(0, 2**62),
    st.floats(0, 1),
)
def test_a_config_written_as_text_is_read_back_equal(
    clock: int, bandwidth: Fraction, capacity: int, efficiency: float
) -> None:
    digits = f"{bandwidth.numerator * 1000 // bandwidth.denominator}e-3"
    hbm = {"bandwidth": f"{digits} B/s", "capacity": f"{capacity} B", "efficiency": efficiency}
    machine = build(Machine, RawConfig({"clock": f"{clock} Hz", "hbm": hbm}, "m.toml"))
    assert machine.hbm.bandwidth == bandwidth
    assert build(Machine, RawConfig(machine.model_dump(mode="json"), "again")) == machine


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*Machine.model_fields, "x", ""]), json_like))
def test_whatever_a_file_holds_the_answer_is_a_config_or_plain_problems(
    data: dict[str, Any],
) -> None:
    try:
        build(Machine, RawConfig(data, "m.toml"))
    except ConfigError as error:
        text = str(error)
    else:
        text = ""
    assert "Input should" not in text
    assert "validation error" not in text
    assert all(line.startswith("m.toml: ") for line in text.splitlines())
