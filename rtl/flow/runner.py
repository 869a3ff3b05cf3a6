"""One step of cocotb's runner, in a process of its own: ``python -m rtl.flow.runner SIM JOB``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cocotb_tools.runner import Icarus, Runner, Verilator

__all__ = ["main"]


class _PortsOnly(Verilator):
    """Verilator with nothing public but the ports, which is all that a replay drives and reads."""

    def _build_command(self) -> Any:
        narrower = {"--public-flat-rw": ["--public-depth", "1"]}
        commands = super()._build_command()
        return [[n for word in c for n in narrower.get(word, [word])] for c in commands]


def main() -> None:
    """Build in the folder at hand, or run there what was built elsewhere."""
    simulator, job = sys.argv[1], json.loads(sys.argv[2])
    runner: Runner
    if simulator == "verilator":
        runner = Verilator() if job["waves"] else _PortsOnly()
        # in one file: headers compiled ahead for several cost more than they save
        options = ["-Wno-fatal", "--output-split", "0"]
    else:
        runner, options = Icarus(), ["-g2012"]
    common = {"hdl_toplevel": job["module"], "waves": job["waves"]}
    if job["step"] == "build":
        runner.build(
            sources=job["sources"], build_dir=Path.cwd(), always=True, build_args=options,
            timescale=("1ns", "1ps"), **common,
        )  # fmt: skip
        return
    runner.test(
        test_module="rtl.flow.replay",
        hdl_toplevel_lang="verilog",
        build_dir=job["built"],
        test_dir=Path.cwd(),
        **common,
    )


if __name__ == "__main__":
    main()
