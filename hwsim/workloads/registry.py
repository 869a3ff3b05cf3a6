"""Workloads by name or path: the shipped ones, and people's own models, scenarios and traces.

A shipped workload is a file in ``workloads/<kind>/``; its name is the file's without suffix. The
kind of a file of one's own follows from its suffix; a ``.toml`` says ``kind = "..."``, and is a
scenario of a language model if it does not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hwsim.config import read_toml
from hwsim.errors import ConfigError, Problem, WorkloadError
from hwsim.workloads.collective import COLLECTIVE
from hwsim.workloads.kind import TOML, Kind, Overrides, Workload
from hwsim.workloads.llm_workload import LLM
from hwsim.workloads.sources import Source, find, shipped_sources, similar
from hwsim.workloads.tensor_parallel import TENSOR_PARALLEL
from hwsim.workloads.trace_workload import TRACE

__all__ = ["KINDS", "load_workload", "workload_kind", "workload_names"]

KINDS: Final = {kind.name: kind for kind in (LLM, TENSOR_PARALLEL, COLLECTIVE, TRACE)}
"""Every kind of workload by name: a new one is its module and its place here."""
SUFFIXES: Final = tuple(dict.fromkeys(s for kind in KINDS.values() for s in kind.suffixes))


def workload_names() -> tuple[str, ...]:
    """The shipped workloads, sorted."""
    return tuple(shipped_sources())


def workload_kind(workload: str) -> str:
    """The kind of a workload by name or path; no more is read than a ``.toml`` of one's own."""
    return _kind_of(find(workload), workload).name


def load_workload(workload: str, overrides: Overrides = ()) -> Workload:
    """A workload by shipped name (which wins) or path, its scenario overridden by (key, text).

    Raises
    ------
    ConfigError
        A file that can't be read as text, an unknown kind, or a wrong key of the scenario.
    WorkloadError
        An unknown workload, or a wrong model or trace: a trace is read once from end to end.
    """
    source = find(workload)
    return _kind_of(source, workload).load(source, overrides)


def _kind_of(source: Source, asked: str) -> Kind:
    if source.kind:
        return KINDS[source.kind]
    suffix = source.path.suffix
    takers = {kind.name: kind for kind in KINDS.values() if suffix in kind.suffixes}
    if not takers:
        raise WorkloadError(f"{asked}: {_not_found(asked, source.path)}")
    return _stated_kind(source, takers) if suffix == TOML else next(iter(takers.values()))


def _stated_kind(source: Source, kinds: dict[str, Kind]) -> Kind:
    """The one of ``kinds`` that a ``.toml`` file says it is of."""
    stated = read_toml(source.path, source.where).data.get("kind", LLM.name)
    if not isinstance(stated, str) or stated not in kinds:
        rule = f"must be one of {', '.join(map(repr, kinds))}"
        raise ConfigError([Problem(source.where, "kind", rule, stated)])
    return kinds[stated]


def _not_found(workload: str, path: Path) -> str:
    kinds = f"must be a {', '.join(SUFFIXES)} file or the name of a workload"
    if os.path.isfile(path / "config.json"):  # noqa: PTH113 - False for a name too long
        return f"{kinds}; did you mean {path / 'config.json'}?"
    return kinds + (similar(workload) or f" ({', '.join(workload_names())})")
