"""Simulates the claims of the systems, each scenario once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

from hwsim.errors import ConfigError, Problem
from hwsim.models.registry import SystemEntry, system, systems
from hwsim.outcome import OpRow, Outcome
from hwsim.run import simulate
from hwsim.validate.paper import PUBLISHED, Claim, Operand, Paper, Scenario, read_paper
from hwsim.validate.values import value_at
from hwsim.validate.verdict import Validation, Verdict
from hwsim.workers import for_each

__all__ = ["evaluate", "outcomes_of", "validate"]

Progress = Callable[[float, str], None]
Outcomes = Mapping[str, Outcome]


class Job(NamedTuple):
    """A scenario of one of the papers."""

    paper: int
    name: str
    scenario: Scenario


def validate(
    names: Sequence[str] = (), progress: Progress | None = None, workers: int = 1
) -> Validation:
    """Simulate the claims of the named systems, or of all when none is named.

    ``workers`` scenarios are simulated at a time, whatever their number with the same verdicts.
    """
    chosen = [system(name) for name in dict.fromkeys(names)] or systems()
    papers = [(entry, paper) for entry in chosen if (paper := read_paper(entry)) is not None]
    found = outcomes_of([paper for _, paper in papers], progress, workers)
    verdicts = [
        verdict
        for (entry, paper), outcomes in zip(papers, found, strict=True)
        for verdict in evaluate(entry, paper, outcomes)
    ]
    return Validation(tuple(verdicts))


def outcomes_of(
    papers: Sequence[Paper], progress: Progress | None = None, workers: int = 1
) -> Sequence[Outcomes]:
    """For each paper, what the scenarios that its claims need give, each simulated once."""
    jobs = [
        Job(number, name, paper.scenarios[name])
        for number, paper in enumerate(papers)
        for name in dict.fromkeys(name for claim in paper.claims for name in claim.needs)
    ]
    found: Sequence[dict[str, Outcome]] = [{} for _ in papers]
    done = 0

    def take(place: int, outcome: Outcome) -> None:
        nonlocal done
        found[jobs[place].paper][jobs[place].name] = outcome
        done += 1
        if progress is not None:
            progress(done / len(jobs), jobs[place].name)

    for_each(_outcome, jobs, workers, take)
    return found


def _outcome(job: Job) -> Outcome:
    """What a scenario gives, its tables made, without ops and timeline: it goes to the caller."""
    scenario = job.scenario
    outcome = simulate(scenario.machine, scenario.workload, scenario.set).outcome
    return replace(outcome, ops=_no_ops, tables=dict(outcome.tables), timeline=None)


def _no_ops() -> Iterator[OpRow]:
    return iter(())


def evaluate(entry: SystemEntry, paper: Paper, outcomes: Outcomes) -> Iterator[Verdict]:
    """The verdict on each claim of one system, whose scenarios gave ``outcomes``."""
    for claim in paper.claims:
        yield Verdict(entry.name, claim, _value(entry, paper, claim, outcomes))


def _value(entry: SystemEntry, paper: Paper, claim: Claim, outcomes: Outcomes) -> float | None:
    if claim.hook is not None:
        hook = getattr(import_module(f"{entry.package}.claims"), claim.hook)
        return float(hook({name: outcomes[name] for name in claim.scenarios}))
    if claim.simulated is None:
        return None
    try:
        return _quotient(paper, claim, outcomes)
    except (LookupError, ZeroDivisionError) as error:
        where, key = f"{entry.name}/paper.toml", f"claims.{claim.id}.simulated"
        rule = f"must give a number ({error.args[0]})"
        raise ConfigError([Problem(where, key, rule, claim.simulated)]) from error


def _quotient(paper: Paper, claim: Claim, outcomes: Outcomes) -> float:
    """The only term of ``simulated``, in the claim's unit, or the first divided by the second."""
    unit = claim.unit if len(claim.operands) == 1 else None
    value, *divisors = (_term(paper, operand, outcomes, unit) for operand in claim.operands)
    return value / divisors[0] if divisors else value


def _term(paper: Paper, operand: Operand, outcomes: Outcomes, unit: str | None) -> float:
    if operand.scenario != PUBLISHED:
        return value_at(outcomes[operand.scenario], operand.path, unit)
    return next(claim.published for claim in paper.claims if claim.id == operand.path)
