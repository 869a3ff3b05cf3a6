"""The generated folder in other hands: it is clean, complete, and builds as the docs say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl.flow.generate import generate
from rtl.flow.label import module_name
from rtl.flow.lint import lint
from rtl.flow.tools import Simulator
from rtl.parameters import config_of
from rtl.registry import block

pytestmark = pytest.mark.rtl


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
