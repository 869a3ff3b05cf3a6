"""Runs the simulations of a sweep, each in a worker process, and keeps what each gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError
from hwsim.explore.points import Job, Plan
from hwsim.outcome import Metric
from hwsim.replace import replaced_file
from hwsim.run import simulate
from hwsim.workers import for_each

__all__ = ["Found", "run_sweep", "simulate_job"]

SCHEMA = 1
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Found:
    """What one simulation gave: metrics, or the error that ended it."""

    metrics: Mapping[str, Metric]
    headline: tuple[str, ...]
    error: str = ""
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        """The content of the point's file."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Found:
        """What :meth:`to_json` was made of."""
        metrics = {name: Metric(**metric) for name, metric in data["metrics"].items()}
        return cls(metrics, tuple(data["headline"]), data["error"], data["exit_code"])


def simulate_job(job: Job) -> Found:
    """Simulate, with the seed of ``hwsim run``; an error of the simulation is a result."""
    try:
        outcome = simulate(job.machine, job.workload, job.words).outcome
    except HwsimError as error:
        return Found({}, (), str(error), error.exit_code)
    return Found(dict(outcome.metrics), tuple(outcome.headline))


def run_sweep(
    plan: Plan,
    workers: int = 1,
    points: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Mapping[str, Found]:
    """What each job of the plan gave, by its key, whatever the number of workers.

    With a folder ``points``, each is written there as it ends, so that what was done is kept
    when the rest is not; ``resume`` takes what is there already.
    """
    found = _kept(plan, points) if resume and points is not None else {}
    jobs = [job for job in plan.jobs if job.key not in found]
    done = len(found)

    def take(place: int, result: Found) -> None:
        nonlocal done
        job = jobs[place]
        found[job.key] = result
        if points is not None:
            _keep(points / f"{job.key}.json", result)
        done += 1
        if progress is not None:
            progress(done / len(plan.jobs), job.where)

    for_each(simulate_job, jobs, workers, take)
    return {job.key: found[job.key] for job in plan.jobs}


def _kept(plan: Plan, points: Path) -> dict[str, Found]:
    """What was found before; a file that can't be read as such counts as none."""
    found = {}
    for job in plan.jobs:
        path = points / f"{job.key}.json"
        try:
            found[job.key] = Found.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return found


def _keep(path: Path, result: Found) -> None:
    text = json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n"
    with replaced_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
