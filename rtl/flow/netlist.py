"""Counts and paths in a netlist that yosys mapped to UltraScale+ cells (``write_json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

__all__ = ["RESOURCES", "LongestPath", "cascades", "longest_path", "resources"]

LUT_RAM = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2, "RAM32M": 4,
    "RAM64M": 4, "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M16": 8,
    "RAM64M8": 8, "RAM64X8SW": 8, "RAM32X16DR8": 8,
}  # fmt: skip
"""LUTs that each cell of distributed memory takes."""
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
LATCHES = ("LDCE", "LDPE")
WIRING = ("BUFG", "IBUF", "OBUF", "VCC", "GND", "$scopeinfo")
"""Cells that take none of the resources counted here."""
RESOURCES = {
    "dsp": "DSP48E2",
    "lut": "LUT",
    "lut_memory": "LUT as memory",
    "srl": "SRL",
    "muxf": "MUXF",
    "carry": "carry cells (4 bits)",
    "ff": "FF",
    "latch": "latches",
    "ramb36": "RAMB36E2",
    "ramb18": "RAMB18E2",
    "uram": "URAM288",
}
"""What is counted, by its field, and what it is called."""
COMBINATIONAL = ("LUT", "CARRY", "MUXF", "INV")

Cell = Mapping[str, Any]


def resources(module: Mapping[str, Any]) -> tuple[Counter[str], Counter[str]]:
    """Cells by resource, and by type those that are none of them."""
    counted, others = Counter[str](), Counter[str]()
    for cell in module["cells"].values():
        kind = str(cell["type"])
        resource, amount = _resource(kind)
        if resource:
            counted[resource] += amount
        elif kind not in WIRING:
            others[kind] += 1
    return counted, others


def _resource(kind: str) -> tuple[str, int]:
    named = {"DSP48E2": "dsp", "RAMB36E2": "ramb36", "RAMB18E2": "ramb18", "URAM288": "uram"}
    prefixes = {"LUT": "lut", "INV": "lut", "SRL": "srl", "MUXF": "muxf", "CARRY": "carry"}
    if kind in LUT_RAM:
        return "lut_memory", LUT_RAM[kind]
    if kind.removesuffix("_1") in FLIP_FLOPS:
        return "ff", 1
    if kind in LATCHES:
        return "latch", 1
    if kind in named:
        return named[kind], 1
    return next((name for start, name in prefixes.items() if kind.startswith(start)), ""), 1


def cascades(module: Mapping[str, Any]) -> tuple[int, ...]:
    """Lengths of the runs of DSP48E2 that are joined from PCOUT to PCIN, longest first."""
    dsps = {n: c["connections"] for n, c in module["cells"].items() if c["type"] == "DSP48E2"}
    driver = {bit: name for name, ports in dsps.items() for bit in ports.get("PCOUT", ())}
    before = {
        name: driver[ports["PCIN"][0]]
        for name, ports in dsps.items()
        if ports.get("PCIN") and ports["PCIN"][0] in driver
    }
    lengths = []
    for last in set(dsps) - set(before.values()):
        length, name = 1, last
        while name in before:
            length, name = length + 1, before[name]
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


@dataclass(frozen=True)
class LongestPath:
    """The most cells that a signal passes from one register or port to the next."""

    cells: tuple[str, ...]
    """Their types, in order."""
    start: str
    """The net that enters the first."""
    end: str
    """The net that leaves the last, or the port of the hard block that it enters."""


def longest_path(module: Mapping[str, Any]) -> LongestPath:
    """The longest path through LUTs, carry cells, MUXFs and reads of distributed memory.

    Raises
    ------
    graphlib.CycleError
        If such cells form a loop.
    """
    cells = {n: c for n, c in module["cells"].items() if c["type"].startswith(COMBINATIONAL)}
    cells |= {n: c for n, c in module["cells"].items() if c["type"] in LUT_RAM}
    driver = {bit: n for n, c in cells.items() for bit in _bits(c, "output")}
    before = {n: {driver[b] for b in _arguments(c) if b in driver} for n, c in cells.items()}
    depth: dict[str, int] = {}
    for name in TopologicalSorter(before).static_order():
        depth[name] = 1 + max((depth[b] for b in before[name]), default=0)
    if not depth:
        return LongestPath((), "", "")
    path = [max(depth, key=lambda name: depth[name])]
    while before[path[0]]:
        path.insert(0, max(sorted(before[path[0]]), key=lambda name: depth[name]))
    names = _names(module)
    return LongestPath(
        tuple(cells[n]["type"] for n in path),
        _first_named(_arguments(cells[path[0]]), names),
        _end(module, cells[path[-1]], names),
    )


def _bits(cell: Cell, direction: str) -> Iterator[int]:
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            yield from (bit for bit in bits if isinstance(bit, int))


def _arguments(cell: Cell) -> list[int]:
    """The input bits that an output follows without a clock."""
    if cell["type"] not in LUT_RAM:
        return list(_bits(cell, "input"))
    return [
        bit
        for port, bits in cell["connections"].items()
        if port.startswith(("A", "DPRA"))
        for bit in bits
        if isinstance(bit, int)
    ]


def _end(module: Mapping[str, Any], cell: Cell, names: Mapping[int, str]) -> str:
    """Where a path ends, by a name of the source: a net, a register, or a port of a hard block."""
    ends = set(_bits(cell, "output"))
    sinks = [
        (name, port, other)
        for name, other in module["cells"].items()
        for port, bits in other["connections"].items()
        if other["port_directions"][port] == "input" and ends.intersection(bits)
    ]
    registers = [c["connections"]["Q"][0] for _, _, c in sinks if _resource(c["type"])[0] == "ff"]
    named = _first_named([*ends, *registers], names)
    ports = [f"{c['attributes'].get('hdlname', n).replace(' ', '.')}.{p}" for n, p, c in sinks]
    return named or next(iter(sorted(ports)), "")


def _names(module: Mapping[str, Any]) -> dict[int, str]:
    """The shortest name of the source for each bit."""
    names: dict[int, str] = {}
    shown = ((n, net["bits"]) for n, net in module["netnames"].items() if not net["hide_name"])
    for name, bits in sorted(shown, key=lambda entry: -len(entry[0])):
        width = len(bits)
        names |= {bit: name if width == 1 else f"{name}[{i}]" for i, bit in enumerate(bits)}
    return names


def _first_named(bits: list[int], names: Mapping[int, str]) -> str:
    return next((names[bit] for bit in bits if bit in names), "")
