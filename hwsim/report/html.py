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

from hwsim.outcome import FUSED, Cell, FigureSpec, StageCycles, TableData
from hwsim.report import saved
from hwsim.report.saved import MetricsFile, RunFile, SavedRun
from hwsim.report.scale import WIDE_SPAN, axis_scale, label_of_name, span, unit_of_label
from hwsim.report.style import colour, ink_on
from hwsim.report.text import capital, count, measure, part, series, words
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
    """Where one component's cycles went; ``passes_on`` if it took none for itself."""

    component: str
    segments: Sequence[Segment]
    shares: Sequence[str]
    total: str
    passes_on: bool


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
        "any_fused": any(group.bound_by == FUSED for group in described.slowest_ops),
        "scenario": described.scenario,
        "ops": f"{described.ops:,}",
        "accounts": sorted(
            (_account(name, stage) for name, stage in measured.stages.items()),
            key=lambda account: account.passes_on,
        ),
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
        grid = _grid(table, FOLDED_ROWS, _labels(spec)) if len(table.rows) <= FOLDED_ROWS else None
        png = base64.b64encode(figures[spec.name]).decode()
        yield Picture(spec.title, spec.caption, png, f"{spec.table}.csv", grid)


def _slowest(described: RunFile) -> Grid:
    total = sum(group.cycles for group in described.slowest_ops if group.bound_by != FUSED)
    rows = [
        [
            group.name,
            group.phase,
            f"{group.count:,}",
            f"{group.cycles:,}",
            "" if group.bound_by == FUSED else _share(group.cycles, total),
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
    passes_on = not stage.busy and stage.blocked > 0
    segments = _bar({key: value / total for key, value in cycles.items()})
    if passes_on:
        pale = colour("idle", 0)
        segments = [part._replace(fill=pale, ink=ink_on(pale)) for part in segments]
    shares = [_share(value, total) for value in cycles.values()]
    return Account(name, segments, shares, f"{stage.total:,}", passes_on)


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


def _labels(spec: FigureSpec) -> Mapping[str, str]:
    """Labels with unit of the columns on the figure's axes; a roofline's second y has none."""
    on_y = spec.y[:1] if spec.kind == "roofline" else spec.y
    unit = unit_of_label(spec.y_label)
    labels = {spec.x: spec.x_label} if unit_of_label(spec.x_label) else {}
    if unit and len(on_y) == 1:
        return {**labels, on_y[0]: spec.y_label}
    return {**labels, **{name: f"{series(name)} ({unit})" for name in on_y if unit}}


def _grid(table: TableData, most: int, labels: Mapping[str, str] | None = None) -> Grid:
    """The first rows as text: a column of known unit in people's units, named in its header."""
    shown = table.rows[:most]
    names, numeric, columns = [], [], []
    for index, name in enumerate(table.columns):
        cells = [row[index] for row in shown]
        numeric.append(bool(cells) and all(not isinstance(c, str) or not c for c in cells))
        label = (labels or {}).get(name) or label_of_name(name)
        in_unit = numeric[-1] and label
        header, texts = _in_unit(label, cells) if in_unit else _as_is(words(name), cells)
        names.append(header)
        columns.append(texts)
    rows = list(zip(*columns, strict=True))
    return Grid(names, numeric, rows, len(table.rows) - len(shown))


def _as_is(header: str, cells: Sequence[Cell]) -> tuple[str, list[str]]:
    return header, [_plain(cell) for cell in cells]


def _in_unit(label: str, cells: Sequence[Cell]) -> tuple[str, list[str]]:
    """Cycles as they are; others in one unit, or in one each where one would hide the small."""
    if unit_of_label(label) == "cycle":
        return _as_is(label, cells)
    values = [float(cell) for cell in cells if cell != ""]
    scale = axis_scale(label, values, False)
    wide = span(values) >= WIDE_SPAN
    text = scale.full_cell if wide else scale.cell
    header = label.rpartition(" (")[0] if wide else scale.label
    return header, ["" if cell == "" else text(float(cell)) for cell in cells]


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
