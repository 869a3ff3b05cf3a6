"""The flow itself, on a block of a few lines: what it must notice and must leave behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Annotated

import pytest
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pydantic import Field

from hwsim.config import Config
from hwsim.laws.pipeline import rigid_pipeline
from rtl import registry
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.flow.emit import StaleMutantError, emit, emit_mutant
from rtl.flow.simulate import Design, build
from rtl.flow.tools import Simulator
from rtl.flow.verify import Target, verify

pytestmark = pytest.mark.rtl


class IncrementConfig(Config):
    """Bits of the number."""

    width: Annotated[int, Field(ge=1, le=32)] = 8


class Increment(wiring.Component):
    """Adds one; a register deep."""

    def __init__(self, config: IncrementConfig) -> None:
        port = stream.Signature(unsigned(config.width))
        super().__init__({"i": In(port), "o": Out(port)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        moves = Signal()
        m.d.comb += [moves.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(moves)]
        with m.If(moves):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload + 1)]
        return m


def cases(config: IncrementConfig, rng: Random, late: int = 0, off: int = 0) -> Iterator[Case]:
    limit = 1 << config.width
    words = [rng.randrange(limit) for _ in range(300)]
    gaps = [rng.randrange(3) for _ in words]
    ready = [rng.random() < 0.6 for _ in range(101)]
    entered, left = rigid_pipeline(1 + late, gaps, lambda c: ready[c % 101])
    seen = [(word + 1 + off) % limit for word in words]
    yield Case(
        name="random",
        inputs={"i": Offer(words, gaps)},
        ready={"o": ready},
        expected={
            "i": list(zip(entered, words, strict=True)),
            "o": list(zip(left, seen, strict=True)),
        },
        cycles=left[-1] + 1,
        outputs=len(words),
    )
    yield Case(
        name="cut",
        inputs={"i": Offer([1], [0])},
        ready={"o": [True]},
        expected={"i": [(0, 1)], "o": []},
        cycles=1,
        cut=True,
    )


TOY = Block(
    name="toy.increment",
    title="adds one",
    parameters=IncrementConfig,
    component=Increment,
    modes=lambda _config: [Mode("only", 1, "1")],
    cases=cases,
    bins=lambda _config: frozenset({"i: stalled", "o: stalled"}),
    diagram=(("i",), ("+ 1",), ("o",)),
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The block, registered for a test."""
    module = ModuleType("toy_bench")
    module.__dict__["BLOCK"] = TOY
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "toy_bench", module)
    monkeypatch.setitem(registry.BLOCKS, TOY.name, "toy_bench")
    return TOY.name


def only(name: str, simulator: Simulator, block: Block, folder: Path | None = None) -> list[str]:
    sys.modules["toy_bench"].__dict__["BLOCK"] = block
    target = Target(name, block.parameters())
    (report,) = verify([target], simulator, waves=folder, fresh=True, processes=0)
    return report.problems()


def test_a_right_block_passes(toy: str, simulator: Simulator) -> None:
    assert only(toy, simulator, TOY) == []


def test_a_law_that_is_a_cycle_off_is_noticed(toy: str, simulator: Simulator) -> None:
    wrong = replace(TOY, cases=lambda config, rng: cases(config, rng, late=1))
    (problem,) = only(toy, simulator, wrong)
    assert "the law says" in problem


def test_a_value_that_is_one_off_is_noticed_with_a_waveform(
    toy: str, simulator: Simulator, tmp_path: Path
) -> None:
    wrong = replace(TOY, cases=lambda config, rng: cases(config, rng, off=1))
    failure, waveform = only(toy, simulator, wrong, tmp_path)
    assert "golden" in failure
    path = Path(waveform.removeprefix("waveform in "))
    assert path.parent == tmp_path
    assert "$enddefinitions" in path.read_text()


def test_a_bin_that_no_case_reaches_is_a_failure(toy: str, simulator: Simulator) -> None:
    hopeful = replace(TOY, bins=lambda _config: frozenset({"blue moon"}))
    assert only(toy, simulator, hopeful) == ["not covered: blue moon"]


def test_a_passage_that_is_not_there_is_stale() -> None:
    gone = Mutant("gone", "rtl.flow.cache", "no such passage", "")
    with pytest.raises(StaleMutantError) as error:
        emit_mutant(replace(TOY, mutants=(gone,)), IncrementConfig(), gone)
    assert str(error.value) == (
        "toy.increment: mutant 'gone' must be found once in rtl.flow.cache, found 0 times"
    )


def test_the_same_design_is_built_once(simulator: Simulator) -> None:
    design = Design("toy_increment_width_3", emit(TOY, IncrementConfig(width=3)))
    first = build(design, simulator)
    made = first.stat().st_mtime_ns
    assert build(design, simulator) == first
    assert first.stat().st_mtime_ns == made
