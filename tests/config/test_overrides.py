"""Values given by path: read by the type of the field, or refused by its rule."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field

from hwsim.config import (
    Bytes,
    BytesPerSecond,
    Config,
    Hertz,
    PositiveInt,
    RawConfig,
    Share,
    Text,
    apply_overrides,
    build,
    parse_overrides,
    quantity,
)
from hwsim.errors import ConfigError

NO_LIST = "roles must be a list in brackets, such as {}, got '{}'"


class Memory(Config):
    bandwidth: BytesPerSecond
    channels: PositiveInt = 32
    sizes: tuple[Bytes, ...] = ()


def _ratio(text: Any) -> tuple[int, int]:
    kept, of = str(text).split(":")
    return int(kept), int(of)


class Machine(Config):
    clock: Hertz = quantity("225 MHz")
    hbm: Memory = quantity({"bandwidth": "460 GB/s"})  # type: ignore[arg-type]
    scratch: Memory = Memory(bandwidth="1 TB/s", channels=16)
    ddr: Memory | None = None
    banks: tuple[Memory, ...] = (Memory(bandwidth="1 GB/s"), Memory(bandwidth="2 GB/s"))
    cores: int = Field(default=3, ge=1, le=16)
    bits: Literal[3, 4, 5, "mixed"] = 4
    sparse: bool = True
    limit: int | Literal["auto"] = "auto"
    note: Text | None = None
    tiles: tuple[PositiveInt, ...] = (1, 2)
    roles: tuple[str, ...] = ()
    names: list[str] = Field(default_factory=list)
    density: dict[str, Share] = Field(default_factory=dict)
    memories: dict[str, Memory] = Field(default_factory=lambda: {"far": Memory(bandwidth="1 B/s")})
    sizes: tuple[Bytes, ...] = quantity(("1 MiB", "2 MiB"))  # type: ignore[arg-type]
    sparsity: Annotated[tuple[int, int], BeforeValidator(_ratio)] = quantity("16:16")  # type: ignore[assignment]
    shrink: float = 1.0


MEMORY_KEYS = "it is a table of bandwidth, channels, sizes"
RAW = RawConfig({"hbm": {"bandwidth": "460 GB/s", "channels": 8}}, "m.toml")


def overridden(*texts: str, raw: RawConfig = RAW) -> Machine:
    pairs = parse_overrides([f"machine.{text}" for text in texts])["machine"]
    return build(Machine, apply_overrides(raw, Machine, pairs))


def refusals(*texts: str, raw: RawConfig = RAW) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        overridden(*texts, raw=raw)
    return str(caught.value).splitlines()


def test_overrides_are_sorted_by_what_they_are_for() -> None:
    texts = [
        "machine.hbm.bandwidth=920 GB/s",
        "workload.sparsity = 2:8",
        'machine.density."a.b"=0.5',
        "machine.x=a=b",
    ]
    assert parse_overrides(texts) == {
        "machine": [("hbm.bandwidth", "920 GB/s"), ('density."a.b"', "0.5"), ("x", "a=b")],
        "workload": [("sparsity", "2:8")],
    }
    assert parse_overrides([]) == {"machine": [], "workload": []}


def test_what_is_no_override_is_refused_each_by_itself() -> None:
    texts = ["", "machine.clock", "hbm.bandwidth=1", "machine=3", "=3", "machine..x=3", "work.x=1"]
    with pytest.raises(ConfigError) as caught:
        parse_overrides(texts)
    rule = (
        "--set: must be machine.PATH=VALUE or workload.PATH=VALUE, "
        "such as machine.hbm.bandwidth='920 GB/s', got "
    )
    assert str(caught.value).splitlines() == [f"{rule}{text!r}" for text in texts]


def test_a_path_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["machine.cores=1", "workload.cores=1", "machine.cores=2"])
    expected = "--set: must give machine.cores only once, got 'machine.cores=2'"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("clock=300 MHz", "clock", 300_000_000),
        ("cores=12", "cores", 12),
        ("bits=3", "bits", 3),
        ("bits=mixed", "bits", "mixed"),
        ("sparse=false", "sparse", False),
        ("sparse=true", "sparse", True),
        ("limit=-7", "limit", -7),
        ("limit=auto", "limit", "auto"),
        ("note=none", "note", None),
        ("note=a = b, c", "note", "a = b, c"),
        ("ddr=none", "ddr", None),
        ("tiles=[4, 5]", "tiles", (4, 5)),
        ("tiles=[]", "tiles", ()),
        ("tiles[1]=9", "tiles", (1, 9)),
        ('names=["a", "b"]', "names", ["a", "b"]),
        ("density.q_proj=0.7", "density", {"q_proj": 0.7}),
        ('density."layers.3.q"=1', "density", {"layers.3.q": 1.0}),
        ("sparsity=2:8", "sparsity", (2, 8)),
        ("shrink=1e-3", "shrink", 0.001),
        ("shrink=2", "shrink", 2.0),
    ],
)
def test_a_text_is_read_by_the_type_of_its_field(text: str, field: str, value: object) -> None:
    found = getattr(overridden(text), field)
    assert (found, type(found)) == (value, type(value))


def test_the_other_values_of_a_table_stay() -> None:
    machine = overridden("hbm.bandwidth=920 GB/s")
    assert (machine.hbm.bandwidth, machine.hbm.channels) == (920 * 10**9, 8)


def test_a_table_that_the_file_leaves_out_starts_from_its_default() -> None:
    machine = overridden("scratch.bandwidth=2 TB/s", "hbm.channels=4", raw=RawConfig({}, "m.toml"))
    assert (machine.scratch.bandwidth, machine.scratch.channels) == (2 * 10**12, 16)
    assert (machine.hbm.bandwidth, machine.hbm.channels) == (460 * 10**9, 4)


def test_an_optional_table_is_made_by_its_first_key() -> None:
    assert overridden("ddr.bandwidth=38 GB/s").ddr == Memory(bandwidth="38 GB/s")
    assert refusals("ddr.channels=2") == [
        "m.toml: ddr.bandwidth must be given: a bandwidth above zero, such as '460 GB/s'"
    ]


def test_a_table_in_a_table_of_free_keys_is_made_by_its_first_key() -> None:
    machine = overridden("memories.near.bandwidth=1 GB/s", "memories.near.channels=2")
    assert machine.memories == {
        "far": Memory(bandwidth="1 B/s"),
        "near": Memory(bandwidth="1 GB/s", channels=2),
    }
    assert overridden("memories.far.channels=3").memories["far"].channels == 3


def test_a_table_in_a_list_is_reached_by_its_position() -> None:
    banks = overridden("banks[1].channels=5").banks
    assert [(bank.bandwidth, bank.channels) for bank in banks] == [(10**9, 32), (2 * 10**9, 5)]
    assert overridden("sizes[0]=3 MiB").sizes == (3 * 2**20, 2 * 2**20)
    machine = overridden('banks=[{bandwidth="5 GB/s", sizes=["1 MiB", "2 MiB"]}]')
    assert machine.banks[0].sizes == (2**20, 2**21)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("clock=300", "clock must be a frequency with a unit, such as '225 MHz', got '300'"),
        ("clock=300 GB/s", "clock must be a frequency such as '225 MHz', got '300 GB/s'"),
        ("clock=", "clock must be a frequency such as '225 MHz', got ''"),
        ("clock=none", "clock must be a frequency such as '225 MHz', got 'none'"),
        ("cores=12.5", "cores must be a whole number from 1 to 16, got '12.5'"),
        ("cores=1e3", "cores must be a whole number from 1 to 16, got '1e3'"),
        ("cores=", "cores must be a whole number from 1 to 16, got ''"),
        ("cores=none", "cores must be a whole number from 1 to 16, got 'none'"),
        ("cores=17", "cores must be a whole number from 1 to 16, got '17'"),
        (
            "cores=9223372036854775808",
            "cores must be a whole number below 2**63, got '9223372036854775808'",
        ),
        ("cores=" + "9" * 70, f"cores must be a whole number from 1 to 16, got '{'9' * 70}'"),
        ("cores=٣", "cores must be a whole number from 1 to 16, got '٣'"),
        ("bits=6", "bits must be one of 3, 4, 5, 'mixed', got '6'"),
        ("sparse=True", "sparse must be true or false, got 'True'"),
        ("sparse=1", "sparse must be true or false, got '1'"),
        ("limit=some", "limit must be a whole number or 'auto', got 'some'"),
        ("note=", "note must be text of at least 1 character, got ''"),
        ("shrink=nan", "shrink must be a number, got 'nan'"),
        ("shrink=1e999", "shrink must be a number, and finite, got '1e999'"),
        ("tiles=4", "tiles must be a list in brackets, such as [1, 2], got '4'"),
        ("tiles=[4", "tiles must be a list in brackets, such as [1, 2], got '[4'"),
        ("tiles=[4]\nx=1", "tiles must be a list in brackets, such as [1, 2], got '[4]\\nx=1'"),
        ("roles=[q_proj, v_proj]", NO_LIST.format('["q_proj", "v_proj"]', "[q_proj, v_proj]")),
        ("roles=", NO_LIST.format('["a", "b"]', "")),
        ("tiles=[4, 0]", "tiles[1] must be a whole number of at least 1, got 0"),
        ("tiles[2]=1", "tiles[2] must be a position below 2, the length of the list, got 2"),
        ("tiles.x=1", "tiles must be set as a whole, it is a list, got 'tiles.x'"),
        ("hbm=3", f"hbm must be set one key at a time, {MEMORY_KEYS}, got '3'"),
        ("hbm=none", f"hbm must be set one key at a time, {MEMORY_KEYS}, got 'none'"),
        ("ddr=3", f"ddr must be set one key at a time, {MEMORY_KEYS}, got '3'"),
        ("density=0.5", "density must be set one key at a time, it is a table, got '0.5'"),
        ("density.q=2", "density.q must be a number from 0 to 1, got '2'"),
        (
            "density.q.x=2",
            "density.q must be set as a whole, it is a number from 0 to 1, got 'density.q.x'",
        ),
        (
            "clock.x=2",
            (
                "clock must be set as a whole, it is a frequency above zero, such as '225 MHz', "
                "got 'clock.x'"
            ),
        ),
        ("clok=1 MHz", "clok must be a known key (did you mean 'clock'?), got 'clok'"),
        (
            "hbm.bandwith=1 GB/s",
            "hbm.bandwith must be a known key (did you mean 'hbm.bandwidth'?), got 'bandwith'",
        ),
        (
            "hbm_bandwidth=1 GB/s",
            (
                "hbm_bandwidth must be a known key (did you mean 'hbm.bandwidth'?), "
                "got 'hbm_bandwidth'"
            ),
        ),
        (
            "bandwidth=1 GB/s",
            "bandwidth must be a known key (did you mean 'hbm.bandwidth'?), got 'bandwidth'",
        ),
        ("hbm.zzz=1", "hbm.zzz must be one of bandwidth, channels, sizes, got 'zzz'"),
        ("zzz=1", "zzz must be a known key, got 'zzz'"),
    ],
)
def test_a_wrong_override_is_told_by_the_rule_of_its_field(text: str, rule: str) -> None:
    assert refusals(text) == [f"--set: {rule}"]


def test_every_wrong_override_is_told_at_once() -> None:
    assert refusals("clok=1", "cores=0", "hbm.channels=8", "sparse=no") == [
        "--set: clok must be a known key (did you mean 'clock'?), got 'clok'",
        "--set: cores must be a whole number from 1 to 16, got '0'",
        "--set: sparse must be true or false, got 'no'",
    ]


def test_a_file_with_a_value_where_a_table_is_due_is_told() -> None:
    raw = RawConfig({"hbm": 3}, "m.toml")
    assert refusals("hbm.channels=4", raw=raw) == ["--set: hbm must be a table, got 3"]
    raw = RawConfig({"tiles": 3}, "m.toml")
    assert refusals("tiles[0]=4", raw=raw) == ["--set: tiles must be a list, got 3"]


def test_an_override_is_remembered_and_the_file_is_left_alone() -> None:
    raw = RawConfig({"hbm": {"bandwidth": "1 GB/s"}}, "m.toml", {"hbm": "published: there"})
    before = copy.deepcopy(raw)
    changed = apply_overrides(raw, Machine, [("hbm.bandwidth", "2 GB/s")])
    assert raw == before
    assert changed.origins == {"hbm.bandwidth": "--set"}
    assert changed.provenance == {"hbm": "published: there", "hbm.bandwidth": "override: --set"}


@given(st.integers(1, 16))
def test_any_whole_number_in_range_is_taken(cores: int) -> None:
    assert overridden(f"cores={cores}").cores == cores


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives_its_text(value: float) -> None:
    assert overridden(f"shrink={value!r}").shrink == value


@given(st.sampled_from([*Machine.model_fields, "hbm.channels", "density.a", "x"]), st.text())
def test_any_text_is_taken_or_refused_in_plain_words(path: str, text: str) -> None:
    try:
        build(Machine, apply_overrides(RAW, Machine, [(path, text)]))
    except ConfigError as error:
        message = str(error)
    else:
        message = "--set: "
    assert "Input should" not in message
    assert message.startswith("--set: ")
