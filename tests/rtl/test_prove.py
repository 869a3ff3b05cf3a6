"""Proofs: what holds passes, what does not is reported with a waveform, and nothing in vain."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from types import ModuleType

import pytest
from amaranth.hdl import Assert, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.config import Config
from hwsim.errors import MissingToolError
from rtl.block import Block, Proof
from rtl.flow.label import label
from rtl.flow.prove import ProofError, ProofReport, _elaborated, _key, prove
from rtl.parameters import config_of
from rtl.registry import block


class Limit(Config):
    """Where the counter turns."""

    limit: int = 5


class Counts(wiring.Component):
    """Counts to a limit and starts anew; what is claimed of it depends on the test."""

    below = -1
    reaches = (3,)
    helped = True

    def __init__(self, config: Limit) -> None:
        self.limit = config.limit
        super().__init__({"go": In(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        count = Signal(4)
        with m.If(self.go):
            m.d.sync += count.eq(count + 1)
        with m.If(count == self.limit):
            m.d.sync += count.eq(0)
        if self.helped:
            m.d.comb += Assert(count <= self.limit, "never above the limit")
        if self.below >= 0:
            m.d.comb += Assert(count != self.below, "keeps away")
        for reached in self.reaches:
            m.d.comb += Cover(count == reached, f"counts to {reached}")
        return m


class TooStrict(Counts):
    below = 4


class NeedsHelp(Counts):
    """True, but from a state that is never reached it goes wrong after any number of cycles."""

    below = 12
    helped = False


class InVain(Counts):
    reaches = (3, 9)


class Factors(wiring.Component):
    """Claims that a number has no factors: it has, but they are hard to find."""

    def __init__(self, _config: Limit) -> None:
        super().__init__({"x": In(56), "y": In(56)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        number = 62_819_330_323_845_367 * 44_526_274_445_984_491
        m.d.comb += [
            Assert((self.x * self.y != number) | (self.x == 1), "has no factors"),
            Cover(self.x == self.y, "a square"),
        ]
        return m


class SaysNothing(Counts):
    reaches = ()


def _prove(
    harness: Callable[[Limit], wiring.Component],
    limit: int = 5,
    limit_seconds: int = 100,
    *,
    bounded: bool = False,
    at: Callable[[Limit], Limit] = lambda config: config,
) -> ProofReport:
    proof = Proof(
        name="counter", harness=harness, depth=12, statement="It counts.", bounded=bounded, at=at
    )
    counter = Block(
        name="test.counter",
        title="counter",
        parameters=Limit,
        component=Counts,
        modes=lambda _: (),
        cases=lambda *_: iter(()),
        bins=lambda _: frozenset(),
        proofs=(proof,),
    )
    (report,) = prove(counter, Limit(limit=limit), limit_seconds=limit_seconds)
    return report


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


rtl = pytest.mark.rtl


@rtl
def test_what_holds_is_proven_for_good() -> None:
    report = _prove(Counts, limit=6)
    assert report.passed
    assert (report.parameters, report.at, report.elsewhere) == ("limit=6", "limit=6", "")
    assert (report.depth, report.induction) == (12, True)
    assert (report.assertions, report.covers, report.failed) == (1, {"counts to 3": 3}, ())
    assert report.problem == report.trace == ""


@rtl
def test_a_proof_made_at_other_parameters_than_those_asked_for_says_so() -> None:
    assert not _prove(TooStrict, limit=9).passed
    report = _prove(TooStrict, limit=9, at=lambda _: Limit(limit=3))
    assert report.passed
    assert report.elsewhere == "made at limit=3, not at limit=9"
    assert {"parameters": "limit=9", "at": "limit=3"}.items() <= report.to_json().items()


@rtl
def test_a_false_assertion_is_reported_with_a_waveform() -> None:
    report = _prove(TooStrict)
    assert report.outcome == "failed"
    assert report.problem == "does not hold: keeps away"
    assert "$enddefinitions" in Path(report.trace).read_text()
    assert report.depth == 4, "the cycle in which it fails"


@rtl
def test_a_cover_that_nothing_reaches_is_a_failure() -> None:
    report = _prove(InVain)
    assert (report.outcome, report.induction) == ("failed", True)
    assert report.covers == {"counts to 3": 3, "counts to 9": None}
    assert report.problem == "not reached within 12 cycles: counts to 9"


@rtl
def test_what_holds_to_the_depth_alone_is_unknown() -> None:
    report = _prove(NeedsHelp)
    assert (report.outcome, report.depth, report.induction) == ("unknown", 12, False)
    assert report.problem == "holds for 12 cycles, induction fails: keeps away"


@rtl
def test_what_is_claimed_to_the_depth_alone_is_proven_to_it() -> None:
    report = _prove(NeedsHelp, bounded=True)
    assert (report.outcome, report.depth, report.induction) == ("passed", 12, False)


@rtl
def test_a_false_assertion_is_found_in_a_bounded_proof_too() -> None:
    report = _prove(TooStrict, bounded=True)
    assert (report.problem, report.depth) == ("does not hold: keeps away", 4)


@rtl
def test_a_proof_without_a_cover_is_a_failure() -> None:
    report = _prove(SaysNothing)
    assert (report.outcome, report.problem) == ("failed", "must have an assertion and a cover")


@rtl
def test_an_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _prove(TooStrict, limit=7)
    monkeypatch.setattr("rtl.flow.prove.run_tool", None)
    assert _prove(TooStrict, limit=7) == replace(made, seconds=0.0)


@pytest.mark.parametrize("source", ["rtl/flow/prove.py", "rtl/flow/yosys.py"])
def test_a_kept_answer_is_known_by_the_sources_that_read_it(
    source: str, change: Callable[[str], None]
) -> None:
    proof = Proof(name="counter", harness=Counts, depth=12, statement="It counts.")
    job = _elaborated(block("flightllm.dequant"), Limit(), proof)
    before = _key(job)
    assert _key(job) == before
    change(source)
    assert _key(job) != before


@rtl
def test_what_the_tools_refuse_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtl.flow.prove.SCRIPT", "[options]\nmode none\n")
    with pytest.raises(ProofError, match=r"^test\.counter: counter: .*ERROR"):
        _prove(Counts)


@rtl
def test_what_takes_too_long_is_unknown_and_not_kept() -> None:
    for _ in range(2):
        report = _prove(Factors, limit_seconds=1)
        assert report.outcome == "unknown"
        assert report.seconds > 0
        assert report.problem.startswith("not settled in ")


@rtl
def test_what_takes_too_long_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_TEST_MARK", mark := token_hex(8))
    assert _prove(Factors, limit_seconds=4).outcome == "unknown"
    left = [p for p in Path("/proc").glob("[0-9]*/environ") if mark in _text(p)]
    assert left == []


def test_without_sby_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtl.flow.yosys._path", lambda: "/nowhere")
    with pytest.raises(MissingToolError) as refused:
        _prove(Counts)
    assert str(refused.value) == "yowasp-sby is missing: install hwsim[rtl]"


def test_without_a_solver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtl.flow.prove.SBY", "true")
    monkeypatch.setattr("rtl.flow.yosys._path", lambda: "/usr/bin:/bin")
    with pytest.raises(MissingToolError) as refused:
        _prove(Counts)
    assert str(refused.value) == "yices-smt2 is missing: install hwsim[rtl]"


def test_that_the_scheduler_goes_on_is_proven_at_sizes_that_the_proof_names() -> None:
    scheduler = block("flightllm.instruction_scheduler")
    (proof,) = (proof for proof in scheduler.proofs if proof.name == "no hang")
    made_at = proof.at(scheduler.parameters())
    assert label(made_at) == "queue_depth=2 token_counter_depth=3"


def _broken(module: str, old: str, new: str) -> ModuleType:
    """A module with one passage of its source replaced, beside the one that is imported."""
    source = inspect.getsource(import_module(module))
    assert source.count(old) == 1
    made = ModuleType("broken")
    exec(compile(source.replace(old, new), module, "exec"), made.__dict__)
    return made


def _failed(name: str, **parameters: object) -> tuple[str, ...]:
    """The assertions of a block's control that do not hold, or not for good."""
    found = block(name)
    (proof,) = (proof for proof in found.proofs if proof.name == "control")
    (report,) = prove(replace(found, proofs=(proof,)), found.parameters(**parameters))
    assert not report.passed
    return report.failed


SFU = "rtl.blocks.flightllm_sfu"


@rtl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        ("left.eq(again)", "left.eq(again - 1)", "beats left of the pass"),
        ("taken & last & ~self.gather", "taken & last", "a command is taken with the last beat"),
        ("self.valid & ~self.gather", "self.valid", "is in stage 1"),
        (
            "gather.eq(_two_pass(self.command.operation))",
            "gather.eq(0)",
            "gathers first, then emits",
        ),
        (
            "self.i.ready.eq(moves & sequencer.busy)",
            "self.i.ready.eq(sequencer.busy)",
            "takes nothing while it stands",
        ),
    ],
)
def test_a_fault_in_the_control_of_the_sfu_fails_its_proof(
    old: str, new: str, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtl.proofs.flightllm_sfu.SFU", _broken(SFU, old, new).SFU)
    assert failed in _failed("flightllm.sfu", lanes=2)


VPU = "rtl.blocks.flightllm_vpu"
SMALL_VPU = {
    "chain_length": "8",
    "densities": "[{n=2, m=8}, {n=8, m=8}]",
    "columns": "4",
    "weight_rows": "16",
    "index_rows": "16",
    "activation_blocks": "16",
    "table_entries": "8",
    "output_columns": "3",
}


@rtl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("flightllm.instruction_scheduler", {"queue_depth": "5", "token_counter_depth": "2"}),
        ("flightllm.sfu", {"lanes": "2"}),
        ("flightllm.vpu", SMALL_VPU),
    ],
)
def test_what_is_proven_at_the_parameters_asked_for_holds_at_others_too(
    name: str, settings: dict[str, str]
) -> None:
    found = block(name)
    config = config_of(found, settings)
    proofs = [proof for proof in found.proofs if proof.at(config) == config]
    reports = prove(replace(found, proofs=proofs), config)
    assert reports
    for report in reports:
        assert report.problem == report.elsewhere == ""
        assert (report.induction, report.parameters) == (True, label(config))


@rtl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        (
            "takes.eq(~running | empty | (block_ends & (now.blocks == 1)))",
            "takes.eq(~running | empty | block_ends)",
            "an instruction is taken with the last beat, or when there is none",
        ),
        ("[beat.eq(0), now.blocks", "[now.blocks", "the beat of the block"),
        ("now.table.eq(now.table + 1)", "now.table.eq(now.table + 2)", "the next entry"),
        (
            "now.weights.eq(now.weights + 1)",
            "now.weights.eq(now.weights + 2)",
            "the row of weights",
        ),
        ("drains.eq((left != 0) & fifo.w_rdy)", "drains.eq(left != 0)", "the FIFO has room"),
        ("(left == 0) | ((left == 1) & fifo.w_rdy)", "1", "columns owed are held"),
        ("moves.eq(~sums.complete | drain.takes)", "moves.eq(1)", "an instruction is taken"),
    ],
)
def test_a_fault_in_the_control_of_the_vpu_fails_its_proof(
    old: str, new: str, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtl.proofs.flightllm_vpu.VPU", _broken(VPU, old, new).VPU)
    settings = config_of(block("flightllm.vpu"), SMALL_VPU).model_dump()
    assert any(each.startswith(failed) for each in _failed("flightllm.vpu", **settings))
