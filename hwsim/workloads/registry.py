"""Workloads by name or path: the shipped models, and people's own models, scenarios and traces.

A shipped workload is a file in ``workloads/<kind>/``; its name is the file's without suffix. A file
of one's own is a model (``.json``), a scenario that names a model (``.toml``) or a trace
(``.jsonl``, ``.parquet``).
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from hwsim.config import RawConfig, apply_overrides, build, read_toml, shipped, take_provenance
from hwsim.errors import ConfigError, Problem, WorkloadError
from hwsim.workloads.files import TRACE_SUFFIXES, read_trace
from hwsim.workloads.huggingface import model_source, read_model, shape_of
from hwsim.workloads.llm import build_trace, check_positions
from hwsim.workloads.scenario import LlmScenario, Numerics
from hwsim.workloads.shapes import LlmShape
from hwsim.workloads.trace import Trace

__all__ = ["LlmWorkload", "TraceWorkload", "load_workload", "workload_kind", "workload_names"]

LLM: Final = "llm"
TRACE: Final = "trace"
MODEL: Final = ".json"
SCENARIO: Final = ".toml"
SUFFIXES: Final = (SCENARIO, MODEL, *TRACE_SUFFIXES)


@dataclass(frozen=True)
class LlmWorkload:
    """A language model and what is asked of it.

    Parameters
    ----------
    name : what reports and run folders call it.
    shape : of the model.
    scenario : prompt, output and batch.
    raw : the scenario as given, overrides included, for tables of parameters.
    source : where the shape comes from, in words; may be empty.
    where : its file, in messages.
    """

    kind: ClassVar[str] = LLM

    name: str
    shape: LlmShape
    scenario: LlmScenario
    raw: RawConfig
    source: str = ""
    where: str = ""

    @property
    def trace(self) -> Trace:
        """The ops, in the default data types."""
        return self.trace_in(Numerics())

    def trace_in(self, numerics: Numerics) -> Trace:
        """The ops, in the data types and densities that a system runs."""
        return build_trace(self.shape, self.scenario, numerics, self.name)

    @property
    def sha256(self) -> str:
        """Digest of model and scenario, whatever their name."""
        return self.trace.sha256()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        attended, made_for = self.scenario.attended, self.shape.max_positions
        if attended <= made_for:
            return ()
        return (
            f"{self.name} was made for {made_for} positions; this scenario attends {attended}.",
        )


@dataclass(frozen=True)
class TraceWorkload:
    """A workload that is given op by op, in the file ``where``."""

    kind: ClassVar[str] = TRACE

    name: str
    trace: Trace
    where: str = ""

    @property
    def sha256(self) -> str:
        """Digest of what defines the ops."""
        return self.trace.sha256()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        return ()


@dataclass(frozen=True)
class _File:
    """A workload's file, its name in messages and the name of the workload."""

    path: Path
    where: str
    name: str


def workload_names() -> tuple[str, ...]:
    """The shipped workloads, sorted."""
    return tuple(sorted(_shipped_files()))


def workload_kind(workload: str) -> str:
    """The kind, ``llm`` or ``trace``, of a workload by name or path; its file is not read."""
    return TRACE if _find(workload).path.suffix in TRACE_SUFFIXES else LLM


def load_workload(
    workload: str, overrides: Sequence[tuple[str, str]] = ()
) -> LlmWorkload | TraceWorkload:
    """A workload by shipped name (which wins) or path, its scenario overridden by (key, text).

    Raises
    ------
    ConfigError
        A file that can't be read as text, or a wrong key of the scenario.
    WorkloadError
        An unknown workload, or a wrong model or trace: a trace is read once from end to end.
    """
    file = _find(workload)
    if file.path.suffix in TRACE_SUFFIXES:
        return _load_trace(file, overrides)
    if file.path.suffix == SCENARIO:
        return _load_scenario(file, overrides)
    return _load_model(file, RawConfig({}, file.where), overrides)


def _load_trace(file: _File, overrides: Sequence[tuple[str, str]]) -> TraceWorkload:
    if overrides:
        rule = "must be left out: a trace has no keys"
        raise ConfigError([Problem("--set", key, rule, text) for key, text in overrides])
    trace = read_trace(file.path)
    for _ in trace.steps():
        pass
    return TraceWorkload(trace.name, trace, file.where)


def _load_scenario(file: _File, overrides: Sequence[tuple[str, str]]) -> LlmWorkload:
    raw = take_provenance(read_toml(file.path, file.where))
    model = raw.data.pop("model", None)
    raw.data.pop("description", None)
    if not isinstance(model, str):
        missing = "is missing; it " if model is None else ""
        rule = f"{missing}must be the name or path of a model"
        raise ConfigError([Problem(file.where, "model", rule, model)])
    found = _find(model, file.path.parent)
    if found.path.suffix != MODEL:
        rule = f"must be a {MODEL} model or the name of one"
        raise ConfigError([Problem(file.where, "model", rule, model)])
    return replace(_load_model(found, raw, overrides), name=file.name)


def _load_model(file: _File, raw: RawConfig, overrides: Sequence[tuple[str, str]]) -> LlmWorkload:
    """The model in ``file`` in the scenario of ``raw``."""
    model = read_model(file.path, file.where)
    shape = shape_of(model, file.where)
    given = apply_overrides(raw, LlmScenario, overrides)
    scenario = build(LlmScenario, given)
    check_positions(shape, scenario, file.name)
    return LlmWorkload(file.name, shape, scenario, given, model_source(model), file.where)


@functools.cache
def _shipped_files() -> dict[str, _File]:
    """The shipped workloads by name."""
    folder = shipped("workloads")
    paths = [path for path in folder.glob("*/*") if path.suffix in SUFFIXES]
    return {
        path.stem: _File(path, f"workloads/{path.relative_to(folder).as_posix()}", path.stem)
        for path in paths
    }


def _find(workload: str, folder: Path = Path()) -> _File:
    """The file of a shipped name, or of a path that is relative to ``folder``."""
    if workload in _shipped_files():
        return _shipped_files()[workload]
    path = folder / workload
    if path.suffix in SUFFIXES:
        return _File(path, str(path), _name_of(path))
    raise WorkloadError(f"{workload}: {_not_found(workload, path)}")


def _name_of(path: Path) -> str:
    """The name of a file, or of its folder where the file has the name every model's has."""
    return path.absolute().parent.name or path.stem if path.name == "config.json" else path.stem


def _not_found(workload: str, path: Path) -> str:
    kinds = f"must be a {', '.join(SUFFIXES)} file or the name of a workload"
    if os.path.isfile(path / "config.json"):  # noqa: PTH113 - False for a name too long
        return f"{kinds}; did you mean {path / 'config.json'}?"
    if close := difflib.get_close_matches(workload, workload_names(), n=1):
        return f"{kinds}; did you mean {close[0]}?"
    return f"{kinds} ({', '.join(workload_names())})"
