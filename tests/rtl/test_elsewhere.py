"""The generated folder in other hands: it is clean, complete, and builds as the docs say."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from rtl.flow.generate import generate
from rtl.flow.label import module_name
from rtl.flow.lint import lint
from rtl.flow.tools import Simulator
from rtl.parameters import config_of
from rtl.registry import block

pytestmark = pytest.mark.rtl

PAGE = Path(__file__).parents[2] / "docs" / "rtl.md"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("flightllm.csd_chain", {"chain_length": "32"}),
        ("flightllm.csd_chain", {"chain_length": "64"}),
        ("flightllm.vpu", {"chain_length": "32", "columns": "16"}),
    ],
)
def test_a_long_chain_reads_only_the_sums_that_end_somewhere(
    name: str, settings: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    found = block(name)
    config = config_of(found, settings)
    generate(found, config, tmp_path)
    sources = sorted(tmp_path.glob("*.v"))
    assert lint(simulator, sources, module_name(found, config)) == ""


def test_the_lines_of_the_docs_lint_and_build_what_is_generated(
    simulator: Simulator, tmp_path: Path
) -> None:
    found = block("flightllm.csd_chain")
    generate(found, found.parameters(), tmp_path)
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("verilator ")]
    assert len(lines) == 2
    for line in lines:
        done = subprocess.run(
            shlex.split(line),
            check=False,
            cwd=tmp_path,
            env=dict(simulator.environment),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "obj_dir" / "libVflightllm_csd_chain.a").exists()
    assert "i___05Fpayload" in (tmp_path / "obj_dir" / "Vflightllm_csd_chain.h").read_text()
