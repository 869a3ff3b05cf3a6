"""Builds a design for a simulator, once for each content, and runs cases on it under cocotb."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl.block import Case
from rtl.flow.cache import cache_folder, digest
from rtl.flow.tools import Simulator, versions

__all__ = ["Design", "SimulationError", "build", "run_cases"]

SHARED_OBJECTS = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vpi")
"""What every Verilator build compiles anew although it never differs."""
AN_HOUR = 3600


class SimulationError(Exception):
    """A design that does not compile, or a simulation that ended without an answer."""


@dataclass(frozen=True)
class Design:
    """Verilog to simulate."""

    module: str
    verilog: str
    models: Sequence[Path] = ()
    waves: bool = False

    @property
    def content(self) -> str:
        """A digest of it and of the models that go with it."""
        models = [model.read_text() for model in self.models]
        return digest([self.module, self.verilog, *models, str(self.waves)])


def build(design: Design, simulator: Simulator) -> Path:
    """The folder of the built simulation, from the cache if the same was built before."""
    key = digest([design.content, *_recipe(simulator)])[:32]
    folder = cache_folder("builds", simulator.name) / key
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as making:
            _compile(design, simulator, Path(making))
            shutil.rmtree(Path(making) / "obj", ignore_errors=True)
            _publish(Path(making), folder)
    return folder


def _recipe(simulator: Simulator) -> list[str]:
    """What a build depends on beside the design."""
    runner = Path(__file__).with_name("runner.py").read_text()
    return [simulator.name, *versions(simulator), simulator.environment["MAKEFLAGS"], runner]


def _compile(design: Design, simulator: Simulator, folder: Path) -> None:
    source = folder / f"{design.module}.v"
    source.write_text(design.verilog)
    objects = cache_folder("objects", digest(_recipe(simulator))[:32])
    if simulator.name == "verilator" and not design.waves:
        _reuse_objects(objects, folder)
    _cocotb(
        simulator,
        folder,
        step="build",
        module=design.module,
        sources=[str(source), *map(str, design.models)],
        waves=design.waves,
    )
    if simulator.name == "verilator" and not design.waves:
        _keep_objects(folder, objects)
        for leftover in [*folder.glob("*.cpp"), *folder.glob("*.[ohd]"), *folder.glob("*.gch")]:
            leftover.unlink()


def _reuse_objects(objects: Path, folder: Path) -> None:
    """Give a build what another compiled, newer than the makefile that it depends on."""
    later = time.time() + AN_HOUR
    for kept in objects.glob("*.[do]"):
        shutil.copy(kept, folder / kept.name)
        os.utime(folder / kept.name, (later, later))


def _keep_objects(folder: Path, objects: Path) -> None:
    """Put aside what the next build need not compile again."""
    for name in SHARED_OBJECTS:
        for made in folder.glob(f"{name}.[do]"):
            if not (objects / made.name).exists():
                aside = objects / f"{made.name}.{os.getpid()}"
                shutil.copy2(made, aside)
                aside.rename(objects / made.name)


def _publish(made: Path, folder: Path) -> None:
    """Give a build its name; another process may have been quicker."""
    shutil.copytree(made, f"{made}.done")
    try:
        Path(f"{made}.done").rename(folder)
    except OSError:
        shutil.rmtree(f"{made}.done")


def run_cases(
    design: Design,
    simulator: Simulator,
    cases: Sequence[Case],
    *,
    waves: Path | None = None,
    record: bool = False,
) -> dict[str, Any]:
    """What :mod:`rtl.flow.replay` says of ``cases``; a waveform is left at ``waves``."""
    built = build(design, simulator)
    with tempfile.TemporaryDirectory(prefix="hwsim-rtl-") as scratch:
        folder = Path(scratch)
        (folder / "cases.pickle").write_bytes(pickle.dumps(list(cases)))
        if record:
            (folder / "record").touch()
        log = _cocotb(
            simulator, folder, step="test", module=design.module, built=str(built),
            waves=design.waves,
        )  # fmt: skip
        if not (folder / "answer.json").exists():
            raise SimulationError(f"{design.module}: no answer from the simulation:\n{log[-2000:]}")
        if waves is not None:
            shutil.copy(folder / "dump.vcd", waves)
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
        return answer


def _cocotb(simulator: Simulator, folder: Path, **job: Any) -> str:
    """Run a step of cocotb's runner on its own: it prints and exits as it likes."""
    done = subprocess.run(
        [sys.executable, "-m", "rtl.flow.runner", simulator.name, json.dumps(job)],
        check=False,
        cwd=folder,
        env=simulator.environment | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode and job["step"] == "build":
        raise SimulationError(f"{job['module']} does not compile:\n{done.stdout[-4000:]}")
    return done.stdout
