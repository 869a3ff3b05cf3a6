"""The systems hwsim knows: one line each here, or an entry point of the group ``hwsim.models``.

Nothing heavy is imported until a system is used, so that ``hwsim list`` stays quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from hwsim.errors import ConfigError, Problem

if TYPE_CHECKING:
    from hwsim.config import Config
    from hwsim.outcome import Outcome, SimOptions

    Simulate = Callable[[Any, Any, SimOptions], Outcome]

__all__ = ["SystemEntry", "load", "system", "systems"]


@dataclass(frozen=True)
class SystemEntry:
    """Where a system's parts are, as ``module:attribute``, imported on first use.

    ``config`` names the machine's config class, ``simulate`` a function of (config, workload,
    :class:`~hwsim.outcome.SimOptions`) giving an :class:`~hwsim.outcome.Outcome`,
    ``program`` (for systems that run instruction programs) one that builds them, ``benchmarks`` the
    system's own speed figures.
    """

    name: str
    title: str
    package: str
    config: str
    simulate: str
    workload_kinds: tuple[str, ...]
    program: str | None = None
    benchmarks: str | None = None

    def config_class(self) -> type[Config]:
        """The config class of this system's machines."""
        found: type[Config] = load(self.config)
        return found

    def simulator(self) -> Simulate:
        """The function that simulates one workload on one machine."""
        found: Simulate = load(self.simulate)
        return found


BUILT_IN = ("hwsim.models.flightllm:SYSTEM", "hwsim.models.t3:SYSTEM")


def load(reference: str) -> Any:
    """Import ``module:attribute``."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


@functools.cache
def systems() -> tuple[SystemEntry, ...]:
    """Every registered system: the built-in ones, then those of installed packages, by name."""
    built_in = [load(reference) for reference in BUILT_IN]
    outside = [point.load() for point in entry_points(group="hwsim.models")]
    return (*built_in, *sorted(outside, key=lambda entry: entry.name))


def system(name: str) -> SystemEntry:
    """The system of that name, or a :class:`ConfigError` that lists the known ones."""
    for entry in systems():
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in systems())
    raise ConfigError([Problem("", "system", f"must be one of {known}", name)])
