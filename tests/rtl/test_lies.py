"""A law that is a cycle off: the bench must notice, for no block is built by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtl.registry import BLOCKS

pytestmark = [pytest.mark.rtl, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LIES = [
    ("t3.tracker", 1, "t3_tracker", "PLACES = 2", "PLACES = 3"),
    ("t3.tracker", 1, "t3_tracker", "return self.tiles + 1", "return self.tiles + 2"),
    ("t3.trigger_table", 1, "t3_trigger", "return self.entries + 1", "return self.entries + 2"),
    ("t3.trigger_table", 1, "t3_trigger", "< self._depth", "<= self._depth"),
    ("t3.mc_arbiter", 1, "t3_mc_arbiter", "queue.append(cycle)", "queue.append(cycle + 1)"),
    ("t3.nmc_update", 1, "t3_nmc", "READ_CYCLES = 2", "READ_CYCLES = 3"),
    ("t3.nmc_update", 1, "t3_nmc", "WRITE_CYCLES = 4", "WRITE_CYCLES = 5"),
    ("flightllm.csd_chain", 1, "flightllm_chain", "return 6 + skew(", "return 7 + skew("),
    ("flightllm.csd_chain", 1, "flightllm_chain", "dsp + dsp // RUN", "dsp + dsp // RUN + 1"),
    ("flightllm.dequant", 3, "flightllm_dequant", "LATENCY = 3", "LATENCY = 4"),
    (
        "flightllm.instruction_scheduler",
        1,
        "flightllm_scheduler",
        "FETCH_CYCLES = 3",
        "FETCH_CYCLES = 4",
    ),
    (
        "flightllm.instruction_scheduler",
        1,
        "flightllm_scheduler",
        "FAULT_CYCLES = 1",
        "FAULT_CYCLES = 2",
    ),
    ("flightllm.sfu", 1, "flightllm_sfu", "LANE_STAGES = 9", "LANE_STAGES = 10"),
    ("flightllm.sfu", 1, "flightllm_sfu", "GATHER_STAGES = 4", "GATHER_STAGES = 5"),
    ("flightllm.sfu", 1, "flightllm_sfu", "SCALAR_STAGES = 14", "SCALAR_STAGES = 15"),
    ("flightllm.sfu", 1, "flightllm_sfu", "EMIT_STAGES = 7", "EMIT_STAGES = 8"),
    ("flightllm.vpu", 1, "flightllm_vpu", "return 3 + latency(", "return 4 + latency("),
    ("flightllm.vpu", 1, "flightllm_chain", "return 6 + skew(", "return 7 + skew("),
    ("flightllm.vpu", 1, "flightllm_vpu", "return max(1, sum(", "return max(2, sum("),
    ("flightllm.vpu", 1, "flightllm_core", "k_blocks * density\n", "k_blocks * density + 1\n"),
    ("flightllm.sfu", 1, "flightllm_core", "core.sfu_lanes)\n", "core.sfu_lanes) + 1\n"),
    (
        "flightllm.instruction_scheduler",
        1,
        "flightllm_scheduler",
        "MIN_CYCLES = 2",
        "MIN_CYCLES = 3",
    ),
]
"""Block, its set of parameters, the law, what it says and what it says when it lies."""
VERIFY = """
import sys
from rtl.flow.tools import find_simulator
from rtl.flow.verify import Target, verify
from rtl.parameters import config_of
from rtl.registry import block
found = block(sys.argv[1])
config = config_of(found, found.sweep[int(sys.argv[2])])
target = Target(found.name, config, mutate=False)
(report,) = verify([target], find_simulator("verilator"), processes=0)
print(*report.failures, sep="\\n")
"""


def test_every_block_is_lied_about() -> None:
    assert {name for name, *_ in LIES} == set(BLOCKS)


@pytest.mark.parametrize(("name", "parameter_set", "law", "says", "lies"), LIES)
def test_a_law_that_is_a_cycle_off_is_noticed(
    name: str, parameter_set: int, law: str, says: str, lies: str, tmp_path: Path
) -> None:
    for package in ("hwsim", "rtl"):
        shutil.copytree(ROOT / package, tmp_path / package)
    source = tmp_path / "hwsim" / "laws" / f"{law}.py"
    text = source.read_text()
    assert text.count(says) == 1
    source.write_text(text.replace(says, lies))
    done = subprocess.run(
        [sys.executable, "-c", VERIFY, name, str(parameter_set)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert "the law says" in done.stdout
