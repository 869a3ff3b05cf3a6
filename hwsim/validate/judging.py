"""Simulates the claims of the systems, each scenario once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from hwsim.errors import ConfigError, Problem
from hwsim.models.registry import SystemEntry, system, systems
from hwsim.outcome import Outcome
from hwsim.run import simulate
from hwsim.validate.paper import PUBLISHED, Claim, Operand, Paper, read_paper
from hwsim.validate.values import value_at
from hwsim.validate.verdict import Validation, Verdict

__all__ = ["evaluate", "validate"]

Progress = Callable[[float, str], None]
Tell = Callable[[str], None]
Simulated = Callable[[str], Outcome]


def validate(names: Sequence[str] = (), progress: Progress | None = None) -> Validation:
    """Simulate the claims of the named systems, or of all when none is named."""
    chosen = [system(name) for name in dict.fromkeys(names)] or systems()
    papers = [(entry, paper) for entry in chosen if (paper := read_paper(entry)) is not None]
    tell = _counting(progress, sum(len(_needed(paper)) for _, paper in papers))
    verdicts = [verdict for entry, paper in papers for verdict in evaluate(entry, paper, tell)]
    return Validation(tuple(verdicts))


def _needed(paper: Paper) -> set[str]:
    return {name for claim in paper.claims for name in claim.needs}


def _counting(progress: Progress | None, total: int) -> Tell:
    """A function to call as each of ``total`` scenarios starts."""
    started = iter(range(total))

    def tell(name: str) -> None:
        if progress is not None:
            progress(next(started) / total, name)

    return tell


def evaluate(entry: SystemEntry, paper: Paper, tell: Tell) -> Iterator[Verdict]:
    """The verdict on each claim of one system; ``tell`` hears of each scenario as it starts."""

    @functools.cache
    def simulated(name: str) -> Outcome:
        tell(name)
        scenario = paper.scenarios[name]
        return simulate(scenario.machine, scenario.workload, scenario.set).outcome

    for claim in paper.claims:
        yield Verdict(entry.name, claim, _value(entry, paper, claim, simulated))


def _value(entry: SystemEntry, paper: Paper, claim: Claim, simulated: Simulated) -> float | None:
    if claim.hook is not None:
        hook = getattr(import_module(f"{entry.package}.claims"), claim.hook)
        return float(hook({name: simulated(name) for name in claim.scenarios}))
    if claim.simulated is None:
        return None
    try:
        return _quotient(paper, claim, simulated)
    except (LookupError, ZeroDivisionError) as error:
        where, key = f"{entry.name}/paper.toml", f"claims.{claim.id}.simulated"
        rule = f"must give a number ({error.args[0]})"
        raise ConfigError([Problem(where, key, rule, claim.simulated)]) from error


def _quotient(paper: Paper, claim: Claim, simulated: Simulated) -> float:
    """The only term of ``simulated``, in the claim's unit, or the first divided by the second."""
    unit = claim.unit if len(claim.operands) == 1 else None
    value, *divisors = (_term(paper, operand, simulated, unit) for operand in claim.operands)
    return value / divisors[0] if divisors else value


def _term(paper: Paper, operand: Operand, simulated: Simulated, unit: str | None) -> float:
    if operand.scenario != PUBLISHED:
        return value_at(simulated(operand.scenario), operand.path, unit)
    return next(claim.published for claim in paper.claims if claim.id == operand.path)
