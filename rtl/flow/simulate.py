"""Builds a block with Verilator and runs its cases under cocotb."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rtl.block import Case
from rtl.flow.tools import verilator_environment

__all__ = ["run_cases"]

ROOT = Path(__file__).resolve().parents[2]


def run_cases(
    verilog: str,
    name: str,
    models: Sequence[Path],
    cases: Sequence[Case],
    folder: Path,
    *,
    waves: bool = False,
) -> dict[str, object]:
    """What :mod:`rtl.flow.replay` says of ``cases``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.v").write_text(verilog)
    (folder / "cases.pickle").write_bytes(pickle.dumps(list(cases)))
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    environment = verilator_environment() | {
        "HWSIM_RTL_CASES": str(folder / "cases.pickle"),
        "HWSIM_RTL_ANSWER": str(answer),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    job = {
        "name": name,
        "sources": [str(model) for model in models] + [str(folder / f"{name}.v")],
        "folder": str(folder),
        "waves": waves,
    }
    log = folder / "log.txt"
    with log.open("w") as out:
        subprocess.run(
            [sys.executable, "-c", _RUNNER, json.dumps(job)],
            check=False,
            env=environment,
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    if not answer.exists():
        raise RuntimeError(f"{name}: the simulation ended without an answer, see {log}")
    return json.loads(answer.read_text())


_RUNNER = """
import json, sys
from cocotb_tools.runner import Verilator

class Runner(Verilator):
    def _build_command(self):
        # only the ports are driven and read: all signals public would keep Verilator from optimising
        shown = {"--public-flat-rw": ["--public-depth", "1"]}
        return [[w for word in c for w in shown.get(word, [word])] for c in super()._build_command()]

job = json.loads(sys.argv[1])
runner = Runner()
runner.build(sources=job["sources"], hdl_toplevel=job["name"], build_dir=job["folder"], always=True,
             build_args=["-Wno-fatal"] + (["--trace-fst"] if job["waves"] else []),
             waves=job["waves"], timescale=("1ns", "1ps"))
runner.test(test_module="rtl.flow.replay", hdl_toplevel=job["name"], build_dir=job["folder"],
            test_dir=job["folder"], waves=job["waves"])
"""
