"""From a sweep's file to its points: what is simulated for each, checked before anything runs."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hwsim
from hwsim.config import parameter_table
from hwsim.config.keys import join_key
from hwsim.errors import ConfigError, HwsimError, Problem
from hwsim.explore.spec import SweepSpec, Value
from hwsim.run import load

__all__ = ["Job", "Plan", "Point", "plan_of", "points_of"]

MAX_POINTS = 100_000
NAMED = ("machine", "workload")


@dataclass(frozen=True)
class Word:
    """One setting, and the key of the sweep's file that gave it."""

    key: str
    text: str
    source: str


@dataclass(frozen=True)
class Point:
    """One row of a sweep: what is set, and each variant's words.

    A sweep without variants has one, named by nothing.
    """

    settings: Mapping[str, str]
    """By axis; of one value at a time, only the axis that differs from the base."""
    variants: Mapping[str, tuple[Word, ...]]

    @property
    def name(self) -> str:
        """For progress and messages."""
        return ", ".join(f"{key}={text}" for key, text in self.settings.items()) or "base"


@dataclass(frozen=True)
class Job:
    """One simulation; equal keys, equal results."""

    key: str
    machine: str
    workload: str
    words: tuple[str, ...]
    where: str
    """The point and variant that it is for, in messages."""


@dataclass(frozen=True)
class Plan:
    """What to simulate: the points, the job of each point and variant, each job once."""

    points: tuple[Point, ...]
    keys: tuple[Mapping[str, str], ...]
    """For each point, the key of the job of each variant."""
    jobs: tuple[Job, ...]
    base: Mapping[str, str]
    """What each axis is in the base, where it is known."""


def points_of(spec: SweepSpec) -> Iterator[Point]:
    """The points in order: the last axis changes fastest; the base first, one value at a time."""
    fixed = [_word(text, f"set[{place}]") for place, text in enumerate(spec.set)]
    axes = [[_axis_word(key, value) for value in values] for key, values in spec.axes.items()]
    chosen: Iterator[tuple[Word, ...]]
    if spec.mode == "grid":
        chosen = itertools.product(*axes)
    else:
        chosen = itertools.chain([()], ((word,) for axis in axes for word in axis))
    for words in chosen:
        settings = {word.key: word.text for word in words}
        variants = {
            name: tuple(_last([*fixed, *words, *_variant(name, texts)]))
            for name, texts in (spec.variants or {"": ()}).items()
        }
        yield Point(settings, variants)


def _word(text: str, source: str) -> Word:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError([Problem("", source, "must be PATH=VALUE", text)])
    return Word(key.strip(), value.strip(), source)


def _axis_word(key: str, value: Value) -> Word:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Word(key, text, join_key(("axes", key)))


def _variant(name: str, texts: Sequence[str]) -> Iterator[Word]:
    return (_word(text, f"variants.{name}[{place}]") for place, text in enumerate(texts))


def _last(words: Sequence[Word]) -> Iterator[Word]:
    """Of words for the same key, the last."""
    return iter({word.key: word for word in words}.values())


def plan_of(spec: SweepSpec, path: Path) -> Plan:
    """Every point of the sweep in file ``path``, every machine and workload of it read.

    Raises
    ------
    ConfigError
        Every value that its field cannot hold, by the key of the file that gave it.
    """
    _check_size(spec, path)
    try:
        points = tuple(points_of(spec))
    except ConfigError as error:
        raise ConfigError([replace(item, where=str(path)) for item in error.problems]) from None
    jobs: dict[str, Job] = {}
    keys: list[dict[str, str]] = []
    problems: list[Problem] = []
    for point in points:
        keys.append({})
        for variant, words in point.variants.items():
            try:
                job = _job(spec, path.parent, words, _where(point, variant))
            except ConfigError as error:
                problems += [_told(problem, words, path) for problem in error.problems]
                continue
            except HwsimError as error:
                problems.append(Problem(str(path), "", f"{_where(point, variant)}: {error}"))
                continue
            keys[-1][variant] = jobs.setdefault(job.key, job).key
    if problems:
        raise ConfigError({str(problem): problem for problem in problems}.values())
    return Plan(points, tuple(keys), tuple(jobs.values()), _base(spec, path, points))


def _check_size(spec: SweepSpec, path: Path) -> None:
    count = len(spec.variants) or 1
    for values in spec.axes.values():
        count *= len(values) if spec.mode == "grid" else 1
    if count > MAX_POINTS:
        rule = f"must give at most {MAX_POINTS} simulations, got {count}"
        raise ConfigError([Problem(str(path), "axes", rule)])


def _where(point: Point, variant: str) -> str:
    return f"{point.name}, {variant}" if variant else point.name


def _job(spec: SweepSpec, folder: Path, words: Sequence[Word], where: str) -> Job:
    names, texts = _split(spec, folder, words)
    machine, workload = load(*names, texts)
    made = (hwsim.__version__, machine.entry.name, machine.sha256, workload.sha256)
    key = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]
    return Job(key, *names, texts, where)


def _split(
    spec: SweepSpec, folder: Path, words: Sequence[Word]
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Machine and workload, and the words for ``--set``."""
    names = {"machine": spec.machine, "workload": spec.workload}
    names |= {word.key: word.text for word in words if word.key in NAMED}
    texts = tuple(f"{word.key}={word.text}" for word in words if word.key not in NAMED)
    return (_located(names["machine"], folder), _located(names["workload"], folder)), texts


def _located(name: str, folder: Path) -> str:
    """A name as it is, a path below the folder of the sweep's file."""
    below = folder / name
    return str(below) if Path(name).suffix and below.is_file() else name


def _told(problem: Problem, words: Sequence[Word], path: Path) -> Problem:
    """A problem of a machine or workload, by the key of the sweep's file that caused it."""
    for word in words:
        _, _, key = word.key.partition(".")
        if problem.key == (key or word.key) or problem.value == f"{word.key}={word.text}":
            return replace(problem, where=str(path), key=f"{word.source}: {problem.key}")
    if problem.key in NAMED and not problem.where:
        return replace(problem, where=str(path))
    return replace(problem, where=f"{path}: {problem.where}" if problem.where else str(path))


def _base(spec: SweepSpec, path: Path, points: Sequence[Point]) -> dict[str, str]:
    """The value of each axis in the first point."""
    words = next(iter(points[0].variants.values()))
    names, texts = _split(spec, path.parent, words)
    machine, workload = load(*names, texts)
    known = {
        f"machine.{item.key}": item.value_text
        for item in parameter_table(machine.config, machine.raw)
    }
    known |= {f"workload.{item.key}": item.value_text for item in workload.parameters}
    known |= {"machine": names[0], "workload": names[1]}
    return {key: known[key] for key in spec.axes if key in known}
