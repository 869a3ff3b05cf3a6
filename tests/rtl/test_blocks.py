"""What holds for every block that is registered."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from math import prod
from pathlib import Path
from random import Random

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import wiring

from hwsim.config import Config
from rtl.block import Block
from rtl.flow.emit import emit, verilog_of
from rtl.flow.generate import generate, ports
from rtl.flow.label import module_name
from rtl.flow.lint import lint
from rtl.flow.prove import prove
from rtl.flow.tools import Simulator, find_simulator
from rtl.flow.verify import Target, verify
from rtl.parameters import config_of
from rtl.registry import BLOCKS, block

pytestmark = pytest.mark.rtl

SETS = [(name, i) for name in BLOCKS for i in range(len(block(name).sweep))]
PROOFS = [(name, proof.name) for name in BLOCKS for proof in block(name).proofs]


def chosen(name: str, parameter_set: int) -> tuple[Block, Config]:
    found = block(name)
    return found, config_of(found, found.sweep[parameter_set])


@pytest.mark.parametrize("name", BLOCKS)
def test_the_default_parameters_are_the_first_set(name: str) -> None:
    found, config = chosen(name, 0)
    assert config == found.parameters()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_declares_enough_to_be_checked(name: str) -> None:
    found = block(name)
    assert len(found.sweep) >= 3
    assert len(found.mutants) >= 8
    assert len(found.diagram) >= 3
    assert found.proofs
    assert len({proof.name for proof in found.proofs}) == len(found.proofs)
    assert len({mutant.name for mutant in found.mutants}) == len(found.mutants)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_passage_of_every_fault_is_there_once(name: str) -> None:
    for mutant in block(name).mutants:
        source = Path(import_module(mutant.source).__file__ or "").read_text()
        assert source.count(mutant.old) == 1, mutant.name


@pytest.mark.parametrize(("name", "parameter_set"), SETS)
def test_verilog_is_the_same_bytes_each_time(name: str, parameter_set: int) -> None:
    found, config = chosen(name, parameter_set)
    assert emit(found, config) == emit(found, config)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_manifest_gives_the_ports_that_the_verilog_has(name: str) -> None:
    found, config = chosen(name, 0)
    component = found.component(config)
    declared = verilog_of(component, module_name(found, config)).split("endmodule")[0]
    for port in ports(component):
        width = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert f"  {port['direction']} {width}{port['name']};" in declared
    shown = [line for line in declared.splitlines() if line.startswith(("  input ", "  output "))]
    emitted = {line.split()[-1].rstrip(";") for line in shown}
    assert emitted == {port["name"] for port in ports(component)}


@pytest.mark.parametrize(("name", "parameter_set"), SETS)
def test_lint_finds_nothing_that_is_not_waived(
    name: str, parameter_set: int, simulator: Simulator, tmp_path: Path
) -> None:
    found, config = chosen(name, parameter_set)
    generate(found, config, tmp_path)
    module = module_name(found, config)
    assert lint(simulator, sorted(tmp_path.glob("*.v")), module) == ""


def test_all_blocks_and_parameter_sets_live_in_one_folder_and_one_design(
    simulator: Simulator, tmp_path: Path
) -> None:
    modules = []
    for name, parameter_set in SETS:
        found, config = chosen(name, parameter_set)
        generate(found, config, tmp_path)
        modules.append(module_name(found, config))
    assert len({*modules}) == len(SETS)
    assert {path.stem for path in tmp_path.glob("*.json")} == {*modules}
    sources = sorted(tmp_path.glob("*.v"))
    assert lint(simulator, sources, modules[0]) == ""  # or it would name a module declared twice
    text = "".join(source.read_text() for source in sources)
    declared = re.findall(r"^module \\?([\w$]+)", text, flags=re.MULTILINE)
    assert len({*declared}) == len(declared)
    own = ("DSP48E2", *modules)
    assert [name for name in declared if not name.startswith(own)] == []


@pytest.mark.parametrize("name", BLOCKS)
def test_the_fields_of_a_payload_fill_it_and_codes_fit_their_fields(
    name: str, tmp_path: Path
) -> None:
    _verilog, described, *_models = generate(*chosen(name, 0), tmp_path)
    manifest = json.loads(described.read_text())
    widths = {"words.opcode": 4}  # the top of an instruction's first word, of no layout
    for port in manifest["ports"]:
        end = 0
        for field in port.get("fields", ()):
            assert field["lsb"] == end
            end += field["width"] * prod(field.get("dimensions", ()))
            widths[f"{port['name'].removesuffix('__payload')}.{field['name']}"] = field["width"]
        assert end == (port["width"] if port["name"].endswith("__payload") else 0)
    for field, codes in manifest["codes"].items():
        assert all(0 <= code < 1 << widths[field] for code in codes.values())


@pytest.mark.parametrize("name", BLOCKS)
def test_a_case_never_expects_two_transfers_of_a_stream_in_one_cycle(name: str) -> None:
    found, config = chosen(name, 0)
    for case in found.cases(config, Random(0)):
        for transfers in case.expected.values():
            assert all(one < other for (one, _), (other, _) in pairwise(transfers))
            assert all(cycle < case.cycles for cycle, _ in transfers)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_case_watches_every_output(name: str) -> None:
    found, config = chosen(name, 0)
    members = streams_and_levels(found.component(config))
    for case in found.cases(config, Random(0)):
        assert (set(case.inputs), set(case.ready), set(case.levels)) == members
        assert set(case.expected) == {*case.inputs, *case.ready}


def streams_and_levels(component: wiring.Component) -> tuple[set[str], set[str], set[str]]:
    inputs, outputs, levels = set[str](), set[str](), set[str]()
    for name, member in component.signature.members.items():
        into = inputs if member.flow is wiring.In else outputs
        (into if member.is_signature else levels).add(name)
    Fragment.get(component, None)  # used, as Amaranth wants it
    return inputs, outputs, levels


@pytest.mark.parametrize(("name", "parameter_set"), SETS)
def test_values_and_cycles_are_golden_and_law(
    name: str, parameter_set: int, simulator: Simulator, tmp_path: Path
) -> None:
    _, config = chosen(name, parameter_set)
    (report,) = verify([Target(name, config, mutate=False)], simulator, waves=tmp_path)
    assert report.problems() == []
    assert report.coverage == 1
    assert report.outputs_checked > 20_000


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_every_fault_is_caught(name: str, simulator: Simulator) -> None:
    found, config = chosen(name, 0)
    (report,) = verify([Target(name, config)], simulator)
    assert report.problems() == []
    assert report.mutants == len(found.mutants)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "proof"), PROOFS)
def test_every_proof_is_made_for_good_or_says_that_it_is_bounded(name: str, proof: str) -> None:
    found, config = chosen(name, 0)
    (tried,) = (each for each in found.proofs if each.name == proof)
    (report,) = prove(replace(found, proofs=(tried,)), config)
    assert report.problem == ""
    assert report.passed
    assert report.induction or tried.bounded


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize("name", BLOCKS)
def test_icarus_verilog_agrees(name: str) -> None:
    _, config = chosen(name, 0)
    (report,) = verify([Target(name, config, mutate=False)], find_simulator("icarus"))
    assert report.problems() == []
