"""Two small blocks under Verilator in every run of the tests: right as built, wrong with a fault.

The whole of it (every block, parameter set, case and fault) is in ``test_blocks``, marked ``rtl``.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hwsim.config import Config
from hwsim.errors import MissingToolError
from rtl.benches.stimulus import STALLS
from rtl.block import Block
from rtl.flow.label import module_name
from rtl.flow.simulate import Design, run_cases
from rtl.flow.tools import Simulator, find_simulator
from rtl.parameters import config_of
from rtl.registry import BLOCKS, block

pytest.importorskip("amaranth", reason="amaranth is missing: install hwsim[rtl]")
from rtl.flow.emit import emit, emit_mutant

CHAIN = {"chain_length": "8", "densities": "[{n=4, m=8}, {n=8, m=8}]"}
DEQUANT = {"beat_bits": "24", "block_weights": "8", "widths": "[3, 4]", "run_blocks": "4"}
SMALL = [
    pytest.param("flightllm.csd_chain", "BEATS", CHAIN, "stall ignored", id="chain"),
    pytest.param("flightllm.dequant", "BLOCKS", DEQUANT, "sign not extended", id="dequant"),
]
ITEMS = 100
"""Beats, or blocks, of a case."""


@pytest.fixture(scope="module")
def verilator() -> Simulator:
    try:
        return find_simulator("verilator")
    except MissingToolError as missing:
        pytest.skip(str(missing))


def _run(found: Block, config: Config, verilog: str, simulator: Simulator) -> dict[str, Any]:
    cases = list(found.cases(config, Random(0)))
    design = Design(module_name(found, config), verilog, found.models)
    return run_cases(design, simulator, cases)


@pytest.mark.parametrize(("name", "size", "settings", "fault"), SMALL)
def test_a_small_block_obeys_golden_and_law_and_a_fault_is_caught(
    name: str,
    size: str,
    settings: dict[str, str],
    fault: str,
    verilator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = block(name)
    config = config_of(found, settings)
    monkeypatch.setattr(f"{BLOCKS[name]}.{size}", ITEMS)
    right = _run(found, config, emit(found, config), verilator)
    assert right["wrong"] == ""
    assert right["cycles"] > len(STALLS) * ITEMS
    (mutant,) = (mutant for mutant in found.mutants if mutant.name == fault)
    assert _run(found, config, emit_mutant(found, config, mutant), verilator)["wrong"] != ""
