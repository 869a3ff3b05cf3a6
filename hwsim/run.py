"""One simulation from names to checked result: what every command that simulates calls.

:func:`simulate` reads the machine and the workload, lets the machine's system simulate, checks the
books that all systems share and adds where the numbers come from. Writing and drawing are
:mod:`hwsim.report`'s.
"""

from __future__ import annotations

import collections
import functools
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import hwsim
from hwsim.config import (
    Config,
    Parameter,
    RawConfig,
    apply_overrides,
    build,
    config_sha256,
    input_sha256,
    load_machine_file,
    locate_files,
    machine_names,
    parameter_table,
    parse_overrides,
)
from hwsim.errors import ConfigError, InvariantError, Problem, WorkloadError
from hwsim.models.registry import SystemEntry, systems
from hwsim.outcome import Metric, OpRow, Outcome, SimOptions
from hwsim.units import METRIC_UNITS
from hwsim.workloads import Workload, load_workload

__all__ = [
    "Host",
    "Machine",
    "Provenance",
    "Result",
    "check",
    "checked_ops",
    "load",
    "load_machine",
    "simulate",
]

SCHEMA = 1
SHARES_CLOSE_WITHIN = 1e-9
SUMMED = ("macs", "bytes_read", "bytes_written")
"""Metrics that the op rows add up to."""
OPS_CHECKED_AT_ONCE = 5000
"""A prefill or a few decode steps. The rows of a longer trace take as long to make as its run, and
are checked when they are written."""


@dataclass(frozen=True)
class Machine:
    """A machine as read: its system, its config, and the file that gave each value."""

    name: str
    entry: SystemEntry
    config: Config
    raw: RawConfig

    @property
    def sha256(self) -> str:
        """Digest of the effective config, overrides included; names and comments don't count."""
        return config_sha256(self.config)


@dataclass(frozen=True)
class Provenance:
    """What gave this result: equal provenance, equal result."""

    hwsim: str
    git: str | None
    config_sha256: str
    workload_sha256: str
    seed: int
    replay: bool


@dataclass(frozen=True)
class Host:
    """What the simulation cost where it ran; the only part that differs from run to run."""

    wall_seconds: float
    events: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class Result:
    """An outcome, with its names and its provenance."""

    system: str
    machine: str
    workload: str
    outcome: Outcome
    provenance: Provenance
    host: Host
    parameters: Sequence[Parameter] = ()
    """Every value of the machine's config, with where it comes from."""
    scenario: Sequence[Parameter] = ()
    """Every value that the workload depends on; none of a trace."""
    overrides: Sequence[str] = ()
    """The ``--set`` words of this run, as given."""
    input_sha256: Mapping[str, str] = field(default_factory=dict)
    """Digest of each file that the machine's config names, by the key that names it."""

    def to_json(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        outcome = self.outcome
        return {
            "schema": SCHEMA,
            "system": self.system,
            "machine": self.machine,
            "workload": self.workload,
            "metrics": {name: asdict(metric) for name, metric in outcome.metrics.items()},
            "phases": [asdict(phase) for phase in outcome.phases],
            "stages": {name: asdict(cycles) for name, cycles in outcome.stages.items()},
            "provenance": asdict(self.provenance),
            "host": asdict(self.host),
        }


def simulate(
    machine: str,
    workload: str,
    overrides: Sequence[str] = (),
    options: SimOptions | None = None,
) -> Result:
    """Simulate ``workload`` on ``machine`` (names or paths).

    ``overrides`` are the words of ``--set``: ``machine.clock=300 MHz``, ``workload.batch=4``.

    Raises
    ------
    ConfigError, WorkloadError
        Wrong machine, workload or override, or a workload this system can't run.
    ProtocolError, DeadlockError, InvariantError
        The simulation broke its own rules. Of a long trace, op rows that do not close raise when
        they are read to the end.
    """
    options = options or SimOptions()
    built, work = load(machine, workload, overrides)
    started = time.perf_counter()
    outcome = built.entry.simulator()(built.config, work, options)
    host = Host(time.perf_counter() - started, outcome.events, _peak_rss_bytes())
    check(outcome)
    outcome = replace(
        outcome,
        ops=functools.partial(checked_ops, outcome, work),
        notes=(*work.notes, *outcome.notes),
    )
    if _is_short(work):
        collections.deque(outcome.ops(), maxlen=0)
    return Result(
        system=built.entry.name,
        machine=built.name,
        workload=work.name,
        outcome=outcome,
        provenance=_provenance(built, work, options),
        host=host,
        parameters=parameter_table(built.config, built.raw),
        scenario=work.parameters,
        overrides=tuple(overrides),
        input_sha256=input_sha256(built.config),
    )


def load(machine: str, workload: str, overrides: Sequence[str] = ()) -> tuple[Machine, Workload]:
    """Read both, overridden; refuses a kind of workload that the machine's system doesn't take."""
    given = parse_overrides(overrides)
    built = load_machine(machine, given["machine"])
    work = load_workload(workload, given["workload"])
    if work.kind not in built.entry.workload_kinds:
        takes = " or ".join(built.entry.workload_kinds)
        raise WorkloadError(f"{workload}: must be of kind {takes} for {built.name}, is {work.kind}")
    return built, work


def load_machine(name: str, overrides: Sequence[tuple[str, str]] = ()) -> Machine:
    """Read the machine file of that name or path and build its system's config."""
    raw = load_machine_file(name)
    entry = _system_of(raw)
    config_class = entry.config_class()
    raw = apply_overrides(locate_files(raw, config_class), config_class, overrides)
    shown = name if name in machine_names() else Path(name).stem
    return Machine(shown, entry, build(config_class, raw), raw)


def _system_of(raw: RawConfig) -> SystemEntry:
    for entry in systems():
        if entry.name == raw.system:
            return entry
    known = ", ".join(entry.name for entry in systems())
    raise ConfigError([Problem(raw.where, "system", f"must be one of {known}", raw.system)])


def _provenance(machine: Machine, workload: Workload, options: SimOptions) -> Provenance:
    return Provenance(
        hwsim=hwsim.__version__,
        git=git_commit(),
        config_sha256=machine.sha256,
        workload_sha256=workload.sha256,
        seed=options.seed,
        replay=options.replay,
    )


@functools.cache
def git_commit() -> str | None:
    """Commit of the source tree that runs, ``-dirty`` when changed; None when installed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(root), *describe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _peak_rss_bytes() -> int:
    """Largest resident size of this process so far; 0 where the system doesn't tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check(outcome: Outcome) -> None:
    """Raise :class:`InvariantError` with every broken rule of the books that all systems share."""
    broken = [
        *_broken_metrics(outcome.metrics),
        *_broken_stages(outcome),
        *_broken_shares(outcome.bound_by),
        *_broken_headline(outcome),
        *_no_work(outcome.metrics),
    ]
    _raise(broken)


def _raise(broken: Sequence[str]) -> None:
    if broken:
        raise InvariantError("the run's books do not close: " + "; ".join(broken))


def checked_ops(outcome: Outcome, workload: Workload) -> Iterator[OpRow]:
    """The op rows, whose books are checked when the last is taken.

    Raises
    ------
    InvariantError
        When there is not a row for each op of the trace, or the rows do not add up to a metric.
    """
    rows = 0
    sums = dict.fromkeys((name for name in SUMMED if name in outcome.metrics), 0)
    for row in outcome.ops():
        rows += 1
        for name in sums:
            sums[name] += getattr(row, name)
        yield row
    broken = list(_broken_sums(outcome.metrics, sums))
    ops = sum(len(step.ops) for step in workload.trace.steps())
    if rows != ops:
        broken.insert(0, f"op rows must be as many as the trace's {ops} ops, got {rows}")
    _raise(broken)


def _is_short(workload: Workload) -> bool:
    """Whether the trace is of a few steps, so that checking its op rows takes next to no time."""
    ops = 0
    for step in workload.trace.steps():
        ops += len(step.ops)
        if ops > OPS_CHECKED_AT_ONCE:
            return False
    return True


def _broken_sums(metrics: Mapping[str, Metric], sums: Mapping[str, int]) -> Iterator[str]:
    for name, found in sums.items():
        if found != metrics[name].value:
            yield f"{name} of the op rows must add up to {metrics[name].value}, got {found}"


def _broken_metrics(metrics: Mapping[str, Metric]) -> Iterator[str]:
    for name, metric in metrics.items():
        if not math.isfinite(metric.value):
            yield f"metric {name} must be finite, got {metric.value}"
        if metric.unit not in METRIC_UNITS:
            yield f"metric {name} must have a unit of {' '.join(METRIC_UNITS)}, got {metric.unit!r}"
        if name.endswith("_utilization") and not 0 <= metric.value <= 1:
            yield f"metric {name} must be between 0 and 1, got {metric.value}"


def _broken_headline(outcome: Outcome) -> Iterator[str]:
    for name in outcome.headline:
        if name not in outcome.metrics:
            yield f"headline must name metrics, got {name}"


def _broken_stages(outcome: Outcome) -> Iterator[str]:
    cycles = _run_cycles(outcome)
    for name, stage in outcome.stages.items():
        if min(stage.busy, stage.starved, stage.blocked, stage.idle) < 0:
            yield f"stage {name} must have no negative account, got {asdict(stage)}"
        if stage.total != cycles:
            yield f"stage {name} must account for the run's {cycles} cycles, got {stage.total}"


def _run_cycles(outcome: Outcome) -> int | float:
    if "cycles" in outcome.metrics:
        return outcome.metrics["cycles"].value
    return sum(phase.cycles for phase in outcome.phases)


def _broken_shares(bound_by: Mapping[str, float]) -> Iterator[str]:
    total = math.fsum(bound_by.values())
    if not abs(total - 1) <= SHARES_CLOSE_WITHIN:
        yield f"bound-by shares must add up to 1, got {total}"
    for name, share in bound_by.items():
        if share < 0:
            yield f"bound-by share {name} must not be negative, got {share}"


def _no_work(metrics: Mapping[str, Metric]) -> Iterator[str]:
    for name in ("cycles", "latency"):
        if name in metrics and not metrics[name].value > 0:
            yield f"metric {name} must be positive, got {metrics[name].value}"
    if not any(metric.value > 0 for metric in metrics.values()):
        yield "some work must be done, got no metric above 0"
