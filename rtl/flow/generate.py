"""Writes a block as Verilog with a manifest: what it is, its ports, its timing, its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

import hwsim
from hwsim.config import Config
from hwsim.replace import replaced_file
from rtl.block import Block
from rtl.flow.emit import verilog_of

__all__ = ["generate", "manifest", "ports"]


def generate(block: Block, config: Config, folder: Path) -> tuple[Path, ...]:
    """Write ``MODULE.v``, the models it needs to be simulated, and ``MODULE.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    component = block.component(config)
    verilog = verilog_of(component, block.module)
    described = json.dumps(manifest(block, config, component, verilog), indent=2) + "\n"
    files = {f"{block.module}.v": verilog, f"{block.module}.json": described}
    files |= {model.name: model.read_text() for model in block.models}
    for name, text in files.items():
        with replaced_file(folder / name) as aside:
            aside.write_text(text)
    return tuple(folder / name for name in files)


def manifest(
    block: Block, config: Config, component: wiring.Component, verilog: str
) -> dict[str, Any]:
    """What a script needs to know of the generated module."""
    return {
        "schema": 1,
        "block": block.name,
        "title": block.title,
        "module": block.module,
        "hwsim": hwsim.__version__,
        "parameters": config.model_dump(mode="json"),
        "ports": ports(component),
        "modes": [
            {
                "name": mode.name,
                "latency_cycles": mode.latency_cycles,
                "initiation_interval": mode.initiation_interval,
            }
            for mode in block.modes(config)
        ],
        "models": [model.name for model in block.models],
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }


def ports(component: wiring.Component) -> list[dict[str, Any]]:
    """Every port with its direction and its width in bits."""
    found = [
        {
            "name": "__".join(str(part) for part in path),
            "direction": "input" if member.flow is wiring.In else "output",
            "width": Shape.cast(member.shape).width,
        }
        for path, member, _value in component.signature.flatten(component)
    ]
    clocking = [{"name": name, "direction": "input", "width": 1} for name in ("clk", "rst")]
    return clocking + found
