"""Verilator's linter over generated Verilog, with the waivers of ``waivers.vlt``."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rtl.flow.tools import Simulator

__all__ = ["WAIVERS", "lint"]

WAIVERS = Path(__file__).with_name("waivers.vlt")
"""Each rule that is waived, and why."""
LANGUAGE = ("--default-language", "1364-2001")


def lint(simulator: Simulator, sources: Sequence[Path], module: str) -> str:
    """What ``verilator --lint-only -Wall`` says; nothing if all is well."""
    command = ["verilator", "--lint-only", "-Wall", *LANGUAGE, "--top-module", module, str(WAIVERS)]
    done = subprocess.run(
        [*command, *map(str, sources)],
        check=False,
        env=dict(simulator.environment),
        capture_output=True,
        text=True,
    )
    return done.stderr if done.returncode else ""
