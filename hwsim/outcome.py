"""What a simulation leaves behind: plain data, the same for every system.

A system's ``simulate`` returns an :class:`Outcome`; :mod:`hwsim.run` adds provenance and host
figures, :mod:`hwsim.report` draws it. Nothing here knows a system, a file or a plot library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hwsim.units import MetricUnit

if TYPE_CHECKING:
    from hwsim.sim.timeline import Timeline

__all__ = [
    "FUSED",
    "DeferredTables",
    "FigureSpec",
    "Metric",
    "OpRow",
    "Outcome",
    "Phase",
    "SimOptions",
    "StageCycles",
    "TableData",
]

Cell = int | float | str
FUSED = "fused"
"""What bounds an op that runs under another one, whose cycles contain its own."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """How to simulate, as opposed to what: none of these may change a result."""

    replay: bool = True
    seed: int = 0
    shuffle_ties: bool = False
    timeline: bool = False
    progress: Callable[[float, str], None] | None = None
    """Called with the fraction done and what is being simulated."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure with its unit."""

    value: int | float
    unit: MetricUnit


@dataclass(frozen=True, slots=True)
class Phase:
    """A named stretch of the run, in cycles of the system's main clock."""

    name: str
    cycles: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StageCycles:
    """Where a component's cycles went; the four add up to the run's cycles."""

    busy: int
    starved: int
    blocked: int
    idle: int

    @property
    def total(self) -> int:
        """All cycles accounted for."""
        return self.busy + self.starved + self.blocked + self.idle


@dataclass(frozen=True, slots=True)
class OpRow:
    """One row of ``ops.csv``: a trace op and the cycles it took."""

    index: int
    name: str
    type: str
    phase: str
    layer: int | None
    start_cycle: int
    end_cycle: int
    bytes_read: int
    bytes_written: int
    macs: int
    bound_by: str

    @property
    def cycles(self) -> int:
        """Elapsed cycles of the op."""
        return self.end_cycle - self.start_cycle


@dataclass(frozen=True, slots=True)
class TableData:
    """A small named table: what a figure is drawn from and what the report prints."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


class DeferredTables(Mapping[str, TableData]):
    """Tables made when somebody looks at them: a run that writes nothing makes none."""

    def __init__(self, makers: Mapping[str, Callable[[], TableData]]) -> None:
        self._makers = makers
        self._made: dict[str, TableData] = {}

    def __getitem__(self, name: str) -> TableData:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """A figure as data: which table, which columns, how to draw it.

    Kinds: ``line`` and ``steps`` (x against one or more y columns), ``bar`` (x is text),
    ``stacked_bar`` (x is text, the y columns stack; drawn horizontally), ``area`` (stacked over x),
    ``roofline`` (points x = op/B, y = op/s from the first y column, labels from ``label``; roofs in
    ``roofs`` as (name, peak op/s, peak B/s)).
    """

    name: str
    title: str
    kind: Literal["line", "steps", "bar", "stacked_bar", "area", "roofline"]
    table: str
    x: str
    y: tuple[str, ...]
    x_label: str
    y_label: str
    caption: str
    label: str | None = None
    log_x: bool = False
    log_y: bool = False
    roofs: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one simulation produced.

    ``metrics`` is ordered: the headline first. ``ops`` is a callable so that hundreds of thousands
    of rows are made only when somebody writes them.
    """

    metrics: Mapping[str, Metric]
    phases: Sequence[Phase]
    stages: Mapping[str, StageCycles]
    ops: Callable[[], Iterator[OpRow]]
    events: int
    headline: Sequence[str]
    """Names of the metrics a person wants to see first."""
    bound_by: Mapping[str, float]
    """Share of elapsed time by what bound it; sums to 1."""
    tables: Mapping[str, TableData] = field(default_factory=dict)
    figures: Sequence[FigureSpec] = ()
    notes: Sequence[str] = ()
    """Sentences the reader must know: what was assumed, overrun, not modelled."""
    timeline: Timeline | None = None
