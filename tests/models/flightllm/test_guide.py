"""The guide's tables are those of the config classes and of the simulation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from hwsim.config import Config
from hwsim.models.flightllm.config import CLOCK_RANGE, FlightLLMConfig
from hwsim.run import simulate
from hwsim.units import quantity_text

GUIDE = Path(__file__).parents[3] / "docs" / "flightllm.md"
BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
WORDS = {
    "Hertz": "a frequency from {} to {}".format(*(quantity_text(hz, "Hz") for hz in CLOCK_RANGE)),
    "Bytes": "a size in bytes",
    "BytesPerSecond": "a rate in bytes a second",
    "Watts": "a power",
    "Dollars": "a price",
    "Text": "text, not empty",
    "int": "whole",
    "float": "number",
    "bool": "`true`, `false`",
}


def keys(config: type[Config], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, allowed values and default of every field, as the guide writes them."""
    for name, field in config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            yield from keys(kind, f"{prefix}{name}.")
        else:
            written = config.__annotations__[name]
            yield f"`{prefix}{name}`", _allowed(kind, field, written), _default(field)


def _allowed(kind: Any, field: FieldInfo, written: str) -> str:
    if get_origin(kind) in (Union, UnionType):
        [kind] = [part for part in get_args(kind) if part is not NoneType]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is dict:
        value = get_args(kind)[1]
        bits = get_origin(value) is Literal
        return "by ROLE: " + (_allowed(value, field, "") if bits else "number from 0 to 1")
    if get_origin(kind) is tuple:
        return "list of ROLE"
    word = WORDS[written.partition(" |")[0]]
    return f"{word}{_range(field)}"


def _range(field: FieldInfo) -> str:
    limits = {
        name: value
        for item in field.metadata
        for name in BOUNDS
        if (value := getattr(item, name, None)) is not None
    }
    if {"ge", "le"} <= limits.keys():
        return f" from {limits['ge']} to {limits['le']}"
    texts = [BOUNDS[name].format(value) for name, value in limits.items()]
    return f", {', '.join(texts)}" if texts else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, ()):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_guide_lists_every_key_with_its_range_and_default() -> None:
    rows = [f"| {' | '.join(row)} |" for row in keys(FlightLLMConfig)]

    assert table_after("### Every key\n") == rows


def test_the_results_that_surprise_are_those_of_the_simulation() -> None:
    for row in table_after("## Two results that surprise\n"):
        setting, *told = [cell.strip(" `") for cell in row.strip("|").split("|")]
        given = ["workload.phase=decode_step", "workload.kv_length=128"]
        given += [setting] if "=" in setting else []
        metrics = simulate("flightllm/u280", "llama2_7b", given).outcome.metrics

        assert told == [
            f"{metrics['decode_step_latency'].value * 1e3:.2f} ms",
            f"{metrics['average_power'].value:.1f} W",
            f"{metrics['energy'].value * 1e3:.0f} mJ",
        ]


@pytest.mark.slow
def test_what_a_mask_is_worth_is_that_of_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mask that the guide makes."""
    monkeypatch.chdir(tmp_path)
    section = GUIDE.read_text(encoding="utf-8").partition("## Attention masks\n")[2]
    exec(section.partition("```python\n")[2].partition("```")[0], {})
    for row in table_after("## Attention masks\n"):
        mask, told = [cell.strip(" `") for cell in row.strip("|").split("|")]
        given = ["workload.phase=prefill", "workload.prompt_tokens=1024"]
        given += [f"machine.attention.mask={mask}"]
        metrics = simulate("flightllm/u280", "llama2_7b", given).outcome.metrics

        assert told == f"{metrics['prefill_latency'].value * 1e3:.1f} ms"


def table_after(heading: str) -> list[str]:
    """The rows of the first table of a section."""
    section = GUIDE.read_text(encoding="utf-8").partition(heading)[2]
    found = re.search(r"^\| --- .*\n((?:\|.*\n)+)", section, re.MULTILINE)
    assert found is not None
    return found[1].splitlines()
