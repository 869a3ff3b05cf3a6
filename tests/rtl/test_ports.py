"""Every port of every block says what it means, in the manifest and in the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtl.flow.generate import generate, names
from rtl.parameters import parameters_of
from rtl.registry import BLOCKS, block


@pytest.mark.parametrize("name", BLOCKS)
def test_every_port_and_every_field_is_described(name: str) -> None:
    found = block(name)
    wanted = names(found, found.parameters())
    missing = [key for key in wanted if not found.ports.get(key, "").endswith((".", "..."))]
    assert not missing, f"{name}: Block.ports must have a sentence for {', '.join(missing)}"
    unknown = [key for key in found.ports if key not in wanted]
    assert not unknown, f"{name}: Block.ports describes what is no port: {', '.join(unknown)}"


@pytest.mark.parametrize("name", BLOCKS)
def test_every_parameter_is_described(name: str) -> None:
    assert [given.name for given in parameters_of(block(name)) if not given.description] == []


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["flightllm.dequant", "flightllm.instruction_scheduler"])
def test_the_manifest_has_what_the_block_says(name: str, tmp_path: Path) -> None:
    found = block(name)
    _verilog, described, *_others = generate(found, found.parameters(), tmp_path)
    told = {}
    for port in json.loads(described.read_text())["ports"]:
        stream, _, part = port["name"].partition("__")
        assert port["description"]
        if part in ("", "payload"):
            told[stream] = port["description"]
        for field in port.get("fields", ()):
            key = stream if field["name"] == "payload" else f"{stream}.{field['name']}"
            told[key] = field["description"]
    said = {key: text for key, text in found.ports.items() if not key.endswith("_done")}
    assert {key: told[key] for key in said} == said
