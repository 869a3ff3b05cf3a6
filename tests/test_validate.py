"""Claims: how a ``paper.toml`` is read, computed and judged."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hwsim.config import build, read_toml
from hwsim.errors import ConfigError
from hwsim.models.registry import SystemEntry, systems
from hwsim.outcome import Metric, Outcome, Phase, StageCycles, TableData
from hwsim.validate import Paper, Validation, Verdict, evaluate, judging, outcomes_of, read_paper

ENTRY = SystemEntry("toy", "A toy", "hwsim_toy_claims", "a:b", "a:b", ("llm",))
HEAD = """
paper = "A paper"

[scenarios.slow]
machine = "toy/slow"
workload = "w"

[scenarios.fast]
machine = "toy/fast"
workload = "w"
set = ["machine.clock=2 GHz"]
"""
CLAIM = {
    "id": "latency",
    "title": "Latency of the slow one",
    "metric": "latency",
    "unit": "s",
    "published": 2.0,
    "simulated": "slow.metrics.latency",
    "tolerance": 0.05,
    "kind": "validate",
    "status": "hit",
    "source": "Table 1",
}


def outcome(latency: float) -> Outcome:
    return Outcome(
        metrics={"latency": Metric(latency, "s"), "none": Metric(0, "s")},
        phases=(Phase("all", 100, latency),),
        stages={"core0.alu": StageCycles(60, 20, 10, 10)},
        ops=lambda: iter(()),
        events=1,
        headline=("latency",),
        bound_by={"compute": 1.0},
        tables={"classes": TableData(("class", "count"), (("LD", 7), ("MM 0.7", 9)))},
    )


def claim(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**CLAIM, **changes}.items() if value is not None}


def reference(**changes: Any) -> dict[str, Any]:
    gone = {"simulated": None, "tolerance": None, "status": None, "kind": "reference"}
    return claim(id="other", published=8.0, **{**gone, **changes})


def toml_of(entry: dict[str, Any]) -> str:
    lines = [f"{key} = {value!r}" for key, value in entry.items()]
    return "\n".join(["[[claims]]", *lines]) + "\n"


@pytest.fixture
def paper(tmp_path: Path) -> Any:
    """Makes a Paper of claims, through a file."""

    def made(*claims: dict[str, Any], head: str = HEAD) -> Paper:
        path = tmp_path / "paper.toml"
        path.write_text(head + "".join(map(toml_of, claims)))
        return build(Paper, read_toml(path, "paper.toml"))

    return made


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was simulated; the fast machine takes 1 s, the slow one 2.02 s."""
    calls: list[Any] = []

    def simulate(machine: str, workload: str, overrides: Any) -> Any:
        calls.append((machine, workload, overrides))
        return SimpleNamespace(outcome=outcome({"toy/slow": 2.02, "toy/fast": 1.0}[machine]))

    monkeypatch.setattr(judging, "simulate", simulate)
    return calls


def verdicts(paper: Paper) -> list[Verdict]:
    (outcomes,) = outcomes_of([paper])
    return list(evaluate(ENTRY, paper, outcomes))


def test_a_claim_within_its_tolerance_is_a_hit(paper: Any, simulated: list[Any]) -> None:
    (verdict,) = verdicts(paper(claim()))
    assert verdict.simulated == 2.02
    assert verdict.relative_error == pytest.approx(0.01)
    assert (verdict.status, verdict.failure) == ("hit", None)
    assert simulated == [("toy/slow", "w", ())]


def test_a_claim_beyond_its_tolerance_is_a_miss(paper: Any, simulated: list[Any]) -> None:
    (verdict,) = verdicts(paper(claim(tolerance=0.009, status="miss", reason="not modelled")))
    assert (verdict.status, verdict.failure) == ("miss", None)
    assert simulated


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"tolerance": 0.001}, "toy: latency is a miss, recorded as a hit"),
        ({"status": "miss", "reason": "why"}, "toy: latency is a hit, recorded as a miss"),
        ({"tolerance": 0.001, "status": "miss"}, "toy: latency is a miss without a reason"),
    ],
)
@pytest.mark.usefixtures("simulated")
def test_a_record_that_is_not_what_is_simulated_is_a_failure(
    paper: Any, changes: dict[str, Any], failure: str
) -> None:
    validation = Validation(tuple(verdicts(paper(claim(**changes)))))
    assert validation.failures == (failure,)


@pytest.mark.parametrize(
    ("simulated_text", "unit", "value"),
    [
        ("slow.metrics.latency / fast.metrics.latency", "1", 2.02),
        ("published.other / fast.metrics.latency", "1", 8.0),
        ("slow.phases.all.cycles", "cycle", 100),
        ("slow.phases.all.seconds", "s", 2.02),
        ("slow.stages.core0.alu.starved", "cycle", 20),
        ("slow.tables.classes.LD.count", "1", 7),
        ("slow.tables.classes.MM 0.7.count", "1", 9),
    ],
)
@pytest.mark.usefixtures("simulated")
def test_simulated_reads_any_number_of_an_outcome(
    paper: Any, simulated_text: str, unit: str, value: float
) -> None:
    verdict = verdicts(paper(claim(simulated=simulated_text, unit=unit), reference()))[0]
    assert verdict.simulated == pytest.approx(value)


def test_each_scenario_is_simulated_once(paper: Any, simulated: list[Any]) -> None:
    ratio = "slow.metrics.latency / fast.metrics.latency"
    verdicts(paper(claim(), claim(id="b"), claim(id="ratio", simulated=ratio)))
    assert simulated == [
        ("toy/slow", "w", ()),
        ("toy/fast", "w", ("machine.clock=2 GHz",)),
    ]


def test_a_hook_computes_what_no_expression_says(
    paper: Any, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: Any = ModuleType("hwsim_toy_claims.claims")
    claims.both = lambda runs: runs["slow"].metrics["latency"].value + len(runs)
    monkeypatch.setitem(sys.modules, "hwsim_toy_claims", ModuleType("hwsim_toy_claims"))
    monkeypatch.setitem(sys.modules, "hwsim_toy_claims.claims", claims)
    (verdict,) = verdicts(
        paper(claim(simulated=None, hook="both", scenarios=["slow", "fast"], published=4.0))
    )
    assert verdict.simulated == pytest.approx(4.02)
    assert len(simulated) == 2


def test_a_reference_is_listed_and_not_simulated(paper: Any, simulated: list[Any]) -> None:
    (verdict,) = verdicts(paper(reference()))
    assert (verdict.status, verdict.simulated, verdict.relative_error) == ("reference", None, None)
    assert simulated == []


@pytest.mark.usefixtures("simulated")
def test_a_published_zero_is_hit_by_zero_alone(paper: Any) -> None:
    zero, other = verdicts(
        paper(
            claim(published=0.0, simulated="slow.metrics.none"),
            claim(id="b", published=0.0, status="miss", reason="it takes time"),
        )
    )
    assert (zero.status, zero.relative_error) == ("hit", 0.0)
    assert (other.status, other.relative_error) == ("miss", None)


@pytest.mark.parametrize(
    ("simulated_text", "reason"),
    [
        ("slow.metrics.speed", "no metric 'speed'; there are latency, none"),
        ("slow.stages.alu.busy", "no stage 'alu'; there are core0.alu"),
        (
            "slow.phases.all.weeks",
            "no number 'weeks' in Phase(name='all', cycles=100, seconds=2.02)",
        ),
        ("slow.tables.classes.ST.count", "no row 'ST'; there are LD, MM 0.7"),
        ("slow.notes.first", "'notes.first' starts with none of metrics, phases, stages, tables"),
        ("slow.metrics.latency / slow.metrics.none", "float division by zero"),
        ("slow.metrics.latency", "the metric is in s, the claim in B"),
    ],
)
@pytest.mark.usefixtures("simulated")
def test_a_path_that_leads_nowhere_is_named(paper: Any, simulated_text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verdicts(paper(claim(simulated=simulated_text, unit="B")))
    place = "toy/paper.toml: claims.latency.simulated"
    assert str(caught.value) == f"{place} must give a number ({reason}), got {simulated_text!r}"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([claim(unit="ms")], "claims[0].unit must be one of 's', 'B'"),
        ([claim(tolerance=None)], "claim latency must have a tolerance, a status, and either"),
        (
            [claim(hook="f", scenarios=["slow"])],
            "claim latency must have a tolerance, a status, and",
        ),
        (
            [claim(kind="reference")],
            "claim latency must have neither simulated, hook, tolerance nor",
        ),
        ([claim(scenarios=["slow"])], "claim latency must have both hook and scenarios or neither"),
        ([claim(), claim()], "claims must have an id each, got latency twice"),
        (
            [claim(simulated="quick.metrics.latency")],
            "must use a scenario of this file, got 'quick'",
        ),
        (
            [claim(simulated="published.x / slow.metrics.latency")],
            "with a claim of this file, got 'x'",
        ),
        ([claim(simulated="latency")], "claims[0].simulated must be"),
        (
            [claim(simulated="a.metrics.b / c.metrics.d / e.metrics.f")],
            "claims[0].simulated must be",
        ),
        ([claim(colour="red")], "claims[0].colour"),
        ([claim(published="2 s")], "claims[0].published must be a number"),
        ([claim(source=None)], "claims[0].source"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(
    paper: Any, claims: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        paper(*claims)
    assert "paper.toml: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.usefixtures("simulated")
def test_the_markdown_holds_every_claim_its_source_and_the_reasons(paper: Any) -> None:
    miss = claim(id="b", title="A | B", tolerance=0.0, status="miss", reason="rounded in the paper")
    validation = Validation(tuple(verdicts(paper(claim(), miss, reference()))))
    assert validation.markdown() == (
        "| system | claim | published | simulated | error | tolerance | kind | status |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| toy | Latency of the slow one | 2000 ms | 2020 ms | +1.00% | 5.00% | validate | hit |\n"
        "| toy | A &#124; B | 2000 ms | 2020 ms | +1.00% | 0.00% | validate | miss |\n"
        "| toy | Latency of the slow one | 8000 ms |  |  |  | reference | reference |\n"
        "\n"
        "**Misses**\n"
        "\n"
        "- A | B (toy): rounded in the paper\n"
        "\n"
        "**Sources**\n"
        "\n"
        "- Latency of the slow one (toy): Table 1\n"
        "- A | B (toy): Table 1\n"
        "- Latency of the slow one (toy): Table 1\n"
    )


@pytest.mark.usefixtures("simulated")
def test_the_json_has_every_key_of_every_claim(paper: Any) -> None:
    written = Validation(tuple(verdicts(paper(claim(), reference())))).to_json()
    assert written["schema"] == 1
    for entry in written["claims"]:
        assert set(entry) == {
            *("system", "id", "title", "metric", "unit", "published", "simulated"),
            *("relative_error", "tolerance", "kind", "status", "reason", "source"),
        }


def every_system() -> list[Any]:
    return [pytest.param(entry, id=entry.name) for entry in systems()]


@pytest.mark.parametrize("entry", every_system())
def test_every_system_lists_its_claims_and_each_miss_has_a_reason(entry: SystemEntry) -> None:
    listed = read_paper(entry)
    assert listed is not None
    assert any(claim.kind == "validate" for claim in listed.claims)
    assert [c.id for c in listed.claims if c.status == "miss" and c.reason is None] == []


@pytest.mark.parametrize("entry", every_system())
def test_every_scenario_of_a_system_is_used(entry: SystemEntry) -> None:
    listed = read_paper(entry)
    assert listed is not None
    used = {name for claim in listed.claims for name in claim.needs}
    assert set(listed.scenarios) - used == set()
