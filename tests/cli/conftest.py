"""A machine of a few lines, and the command line run inside the test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwsim.cli import dispatch
from hwsim.config import Config, Hertz, PositiveInt
from hwsim.models import registry
from hwsim.models.registry import SystemEntry
from hwsim.outcome import Metric, OpRow, Outcome, Phase, SimOptions, StageCycles, TableData

PACKAGE = "hwsim_toy_system"


class ToyConfig(Config):
    """A machine that takes ``cycles_per_op`` for everything."""

    clock: Hertz
    cycles_per_op: PositiveInt = 10


@dataclass(frozen=True)
class ToyProgram:
    """Four words that count up."""

    name: str
    core: int
    words: np.ndarray[Any, np.dtype[np.uint32]]

    def text(self) -> Iterator[str]:
        """A line a word."""
        return (f"NOP {word}" for word in self.words)


def toy_outcome(config: ToyConfig, workload: Any, options: SimOptions) -> Outcome:
    """Three times the cycles of an op, however many there are."""
    if options.progress is not None:
        options.progress(0.5, "half way")
    cycles = 3 * config.cycles_per_op
    seconds = cycles / config.clock
    return Outcome(
        metrics={
            "latency": Metric(seconds, "s"),
            "cycles": Metric(cycles, "cycle"),
            "compute_utilization": Metric(0.25, "1"),
        },
        phases=(Phase("all", cycles, seconds),),
        stages={"alu": StageCycles(busy=cycles - 2, starved=1, blocked=0, idle=1)},
        ops=lambda: (
            OpRow(op.index, op.name, "Gemm", op.phase, op.layer, 0, cycles, 64, 8, 4, "memory")
            for op in workload.trace
        ),
        events=7,
        headline=("latency", "compute_utilization"),
        bound_by={"compute": 0.25, "memory": 0.75},
        tables={"units": TableData(("unit", "busy"), (("alu", cycles - 2),))},
        notes=("Nothing is modelled.",),
    )


def toy_programs(_config: ToyConfig, _workload: Any) -> Iterator[ToyProgram]:
    """A program for each of two cores."""
    for core in range(2):
        yield ToyProgram("decode_0016", core, np.arange(4, dtype=np.uint32) + core)


def toy_benchmarks() -> Iterator[tuple[str, float, str]]:
    """One speed."""
    yield "toy_speed", 1.5, "op/s"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The toy system as the only one registered; its module's functions can be replaced."""
    module: Any = ModuleType(PACKAGE)
    module.SYSTEM = SystemEntry(
        name="toy",
        title="A toy",
        package=PACKAGE,
        config=f"{PACKAGE}:ToyConfig",
        simulate=f"{PACKAGE}:simulate",
        workload_kinds=("llm",),
        program=f"{PACKAGE}:programs",
        benchmarks=f"{PACKAGE}:benchmarks",
    )
    module.ToyConfig, module.simulate = ToyConfig, toy_outcome
    module.programs, module.benchmarks = toy_programs, toy_benchmarks
    monkeypatch.setitem(sys.modules, PACKAGE, module)
    monkeypatch.setattr(registry, "BUILT_IN", (f"{PACKAGE}:SYSTEM",))
    registry.systems.cache_clear()
    yield module
    registry.systems.cache_clear()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a toy machine, in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('system = "toy"\nclock = "100 MHz"\n')
    return "mine.toml"


@dataclass(frozen=True)
class Done:
    """What a command line left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def hwsim(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line: ``hwsim("run", "x.toml", "y")``."""

    def run(*words: str) -> Done:
        capfd.readouterr()
        code = dispatch(words)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run
