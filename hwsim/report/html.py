"""The report: one page that a person reads, with everything in it, figures included.

This module turns a saved run into words, figures and cells; ``templates/report.html.j2`` says where
they go.
"""

from __future__ import annotations

import base64
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hwsim.outcome import Cell, StageCycles, TableData
from hwsim.report import saved
from hwsim.report.saved import MetricsFile, RunFile, SavedRun
from hwsim.report.style import colour, ink_on
from hwsim.report.text import capital, count, measure, part, words
from hwsim.units import format_quantity

__all__ = ["command", "render"]

KINDS = ("published", "derived", "calibrated", "assumed", "default", "override", "unstated")
STAGES = ("busy", "starved", "blocked", "idle")
SHOWN_ROWS = 40
FOLDED_ROWS = 200
NAMED_SEGMENT = 0.09
"""A part of a bar from which on its name fits into it."""


class Card(NamedTuple):
    """A headline number."""

    name: str
    value: str


class Segment(NamedTuple):
    """A part of a bar; ``width`` in per cent of the bar."""

    name: str
    share: str
    width: str
    fill: str
    ink: str
    named: bool


class Grid(NamedTuple):
    """A table as text; ``numeric`` says which columns are set to the right."""

    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]
    left_out: int


class Picture(NamedTuple):
    """A figure with its caption, and its table if that is short."""

    title: str
    caption: str
    png: str
    table: str
    grid: Grid | None


class Account(NamedTuple):
    """Where one component's cycles went."""

    component: str
    segments: Sequence[Segment]
    shares: Sequence[str]
    total: str


def render(run: SavedRun, figures: Mapping[str, bytes]) -> str:
    """The page of ``run``, with the PNG of each of its figures inside."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hwsim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_view(run, figures)) + "\n"


def command(measured: MetricsFile, described: RunFile) -> str:
    """The command line that gives this run again."""
    parts = ["hwsim", "run", measured.machine, measured.workload]
    for override in described.overrides:
        parts += ["--set", override]
    if seed := measured.provenance.get("seed"):
        parts += ["--seed", str(seed)]
    if measured.provenance.get("replay") is False:
        parts.append("--no-replay")
    return shlex.join(parts)


def _view(run: SavedRun, figures: Mapping[str, bytes]) -> dict[str, object]:
    measured, described = run.measured, run.described
    drawn = {spec.table for spec in described.figures}
    return {
        "title": f"{measured.workload} on {measured.machine}",
        "measured": measured,
        "overrides": described.overrides,
        "cards": [
            Card(words(name), measure(name, measured.metrics[name]))
            for name in described.headline
            if name in measured.metrics
        ],
        "notes": described.notes,
        "bound_by": _bar(dict(sorted(described.bound_by.items(), key=lambda item: -item[1]))),
        "phases": _phases(measured),
        "pictures": list(_pictures(run, figures)),
        "slowest": _slowest(described),
        "ops": f"{described.ops:,}",
        "accounts": [_account(name, stage) for name, stage in measured.stages.items()],
        "stages": [(name, colour(name, 0)) for name in STAGES],
        "tables": [
            (capital(words(name)), f"{name}.csv", _grid(table, SHOWN_ROWS))
            for name, table in run.tables.items()
            if name not in drawn
        ],
        "metrics": _metrics(measured),
        "settings": described.settings,
        "kinds": _kinds(described),
        "known_kinds": KINDS,
        "command": command(measured, described),
        "provenance": [(words(key), _plain(value)) for key, value in measured.provenance.items()],
        "host": list(_host(measured)),
        "has_timeline": (run.folder / saved.TIMELINE).exists(),
    }


def _bar(shares: Mapping[str, float]) -> list[Segment]:
    return [
        _segment(name, share, colour(name, index))
        for index, (name, share) in enumerate(shares.items())
        if share > 0
    ]


def _segment(name: str, share: float, fill: str) -> Segment:
    named = share >= max(NAMED_SEGMENT, 0.013 * len(name))
    return Segment(words(name), part(share), f"{100 * share:.3f}", fill, ink_on(fill), named)


def _phases(measured: MetricsFile) -> Grid:
    total = sum(phase.cycles for phase in measured.phases)
    rows = [
        [
            words(phase.name),
            f"{phase.cycles:,}",
            format_quantity(phase.seconds, "s"),
            _share(phase.cycles, total),
        ]
        for phase in measured.phases
    ]
    return Grid(("phase", "cycles", "time", "share"), (False, True, True, True), rows, 0)


def _pictures(run: SavedRun, figures: Mapping[str, bytes]) -> Iterator[Picture]:
    for spec in run.described.figures:
        table = run.tables[spec.table]
        grid = _grid(table, FOLDED_ROWS) if len(table.rows) <= FOLDED_ROWS else None
        png = base64.b64encode(figures[spec.name]).decode()
        yield Picture(spec.title, spec.caption, png, f"{spec.table}.csv", grid)


def _slowest(described: RunFile) -> Grid:
    total = sum(group.cycles for group in described.slowest_ops)
    rows = [
        [
            group.name,
            group.phase,
            f"{group.count:,}",
            f"{group.cycles:,}",
            _share(group.cycles, total),
            format_quantity(group.bytes_read, "B"),
            format_quantity(group.bytes_written, "B"),
            count(group.macs),
            words(group.bound_by) if group.bound_by else "",
        ]
        for group in described.slowest_ops
    ]
    columns = ("op", "phase", "count", "cycles", "share", "read", "written", "MACs", "bound by")
    return Grid(columns, (False, False, *[True] * 6, False), rows, 0)


def _account(name: str, stage: StageCycles) -> Account:
    cycles = {
        "busy": stage.busy,
        "starved": stage.starved,
        "blocked": stage.blocked,
        "idle": stage.idle,
    }
    total = stage.total or 1
    segments = _bar({key: value / total for key, value in cycles.items()})
    return Account(
        name, segments, [_share(value, total) for value in cycles.values()], f"{stage.total:,}"
    )


def _metrics(measured: MetricsFile) -> Grid:
    rows = [
        [name, measure(name, metric), repr(metric.value), metric.unit]
        for name, metric in measured.metrics.items()
    ]
    return Grid(("metric", "value", "exactly", "unit"), (False, True, True, False), rows, 0)


def _kinds(described: RunFile) -> list[tuple[str, int]]:
    """How many settings each kind of source gave, the kinds that there are."""
    counted = Counter(setting.kind for setting in described.settings)
    others = sorted(counted.keys() - set(KINDS))
    return [(kind, counted[kind]) for kind in (*KINDS, *others) if counted[kind]]


def _host(measured: MetricsFile) -> Iterator[tuple[str, str]]:
    for key, value in measured.host.items():
        name, _, unit = key.rpartition("_")
        if isinstance(value, int | float) and unit in ("seconds", "bytes"):
            yield words(name), format_quantity(value, {"seconds": "s", "bytes": "B"}[unit])
        else:
            yield words(key), _plain(value)


def _grid(table: TableData, most: int) -> Grid:
    shown = table.rows[:most]
    numeric = [
        bool(shown) and all(not isinstance(row[index], str) or row[index] == "" for row in shown)
        for index in range(len(table.columns))
    ]
    rows = [[_plain(cell) for cell in row] for row in shown]
    return Grid(
        [words(name) for name in table.columns], numeric, rows, len(table.rows) - len(shown)
    )


def _plain(value: Cell | bool | None) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else value


def _share(value: float, whole: float) -> str:
    return part(value / whole) if whole else ""
