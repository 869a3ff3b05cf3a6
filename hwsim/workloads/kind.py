"""What a kind of workload is, and what every workload offers whatever its kind.

A kind has a module of its own with a workload class and a :class:`Kind`, and one line in
:mod:`hwsim.workloads.registry`. Systems name the kinds they take; nothing else tells them apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar

from hwsim.config import (
    Config,
    Parameter,
    RawConfig,
    apply_overrides,
    build,
    parameter_table,
    read_toml,
    take_provenance,
)
from hwsim.config.provenance import unknown_entries
from hwsim.workloads.sources import Source
from hwsim.workloads.trace import Trace

__all__ = [
    "TOML",
    "Kind",
    "Overrides",
    "ScenarioWorkload",
    "Workload",
    "read_scenario",
    "scenario_of",
]

C = TypeVar("C", bound=Config)
Overrides: TypeAlias = Sequence[tuple[str, str]]
"""Keys of a scenario, each with the text of its value."""

TOML: Final = ".toml"
"""A suffix that several kinds may share: the file says ``kind = "<name>"``."""


class Workload(Protocol):
    """What is to be simulated; each kind adds what its systems ask for."""

    @property
    def kind(self) -> str:
        """Name of its kind."""

    @property
    def name(self) -> str:
        """What reports and run folders call it."""

    @property
    def trace(self) -> Trace:
        """The ops; where a machine decides on them too, those of a default machine."""

    @property
    def sha256(self) -> str:
        """Digest of what defines the work, whatever its name and the machine."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""

    @property
    def parameters(self) -> Sequence[Parameter]:
        """Every value that the work depends on, with where it comes from."""


@dataclass(frozen=True)
class ScenarioWorkload(ABC, Generic[C]):
    """A workload that its scenario says whole; a subclass names its kind and builds the trace.

    Parameters
    ----------
    name : what reports and run folders call it.
    scenario : what is asked for.
    raw : the scenario as given, overrides included, for tables of parameters.
    where : its file, in messages.
    """

    kind: ClassVar[str]

    name: str
    scenario: C
    raw: RawConfig
    where: str = ""

    @property
    @abstractmethod
    def trace(self) -> Trace:
        """The ops; where a machine decides on them too, those of a default machine."""

    @property
    def sha256(self) -> str:
        """Digest of the scenario, whatever its name and the machine."""
        return self.trace.sha256()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        return ()

    @property
    def parameters(self) -> Sequence[Parameter]:
        """Every value of the scenario, with where it comes from."""
        return parameter_table(self.scenario, self.raw)


@dataclass(frozen=True)
class Kind:
    """One kind of workload.

    Parameters
    ----------
    name : in ``kind = "..."``, in systems' ``workload_kinds``, and of the folder of shipped files.
    suffixes : of the files it reads. But for ``.toml``, each is of one kind only.
    load : reads a file of one of these suffixes, the keys of its scenario overridden. Raises
        ``ConfigError`` or ``WorkloadError`` with all that is wrong.
    """

    name: str
    suffixes: tuple[str, ...]
    load: Callable[[Source, Overrides], Workload]


def read_scenario(source: Source) -> RawConfig:
    """What a TOML file of a workload says, without ``kind``, ``description`` and provenance."""
    raw = take_provenance(read_toml(source.path, source.where))
    raw = replace(raw, problems=(*raw.problems, *unknown_entries(raw)))
    for key in ("kind", "description"):
        raw.data.pop(key, None)
    return raw


def scenario_of(cls: type[C], raw: RawConfig, overrides: Overrides) -> tuple[C, RawConfig]:
    """The scenario that ``raw`` and the overrides give, and ``raw`` with the overrides."""
    given = apply_overrides(raw, cls, overrides)
    return build(cls, given), given
