"""A run as its folder holds it: the files, read and checked.

``metrics.json`` is the contract that scripts read; ``run.json`` is what the report needs beyond it.
Both are plain dataclasses here, so that reading checks every field and names each wrong one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hwsim.errors import ConfigError, Problem
from hwsim.outcome import Cell, FigureSpec, Metric, Phase, StageCycles, TableData
from hwsim.report.ops import OpGroup

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "FILES",
    "FOLDERS",
    "METRICS",
    "OPS",
    "REPORT",
    "RUN",
    "SCHEMA",
    "STALLS",
    "TIMELINE",
    "MetricsFile",
    "RunFile",
    "SavedRun",
    "Setting",
    "load_metrics",
    "load_run",
]

SCHEMA = 1
METRICS, RUN, OPS, STALLS = "metrics.json", "run.json", "ops.csv", "stalls.csv"
REPORT, TIMELINE = "report.html", "timeline.json.gz"
FILES = frozenset({METRICS, RUN, OPS, STALLS, REPORT, TIMELINE})
FOLDERS: Mapping[str, str] = {"figures": ".png", "tables": ".csv"}
"""The subfolders of a run and the ending of every file in them."""

MAX_JSON_BYTES = 64 * 2**20
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

Value = str | int | float | bool | None
Read = TypeVar("Read")


@dataclass(frozen=True)
class MetricsFile:
    """``metrics.json``."""

    schema: Literal[1]
    system: str
    machine: str
    workload: str
    metrics: Mapping[str, Metric]
    phases: Sequence[Phase]
    stages: Mapping[str, StageCycles]
    provenance: Mapping[str, Value]
    host: Mapping[str, Value]


@dataclass(frozen=True)
class Setting:
    """One value of the machine's config or of the scenario, as text, and where it comes from."""

    key: str
    value: str
    kind: str
    source: str


@dataclass(frozen=True)
class RunFile:
    """``run.json``: what the report shows beyond the metrics."""

    schema: Literal[1]
    headline: Sequence[str]
    bound_by: Mapping[str, float]
    notes: Sequence[str]
    overrides: Sequence[str]
    settings: Sequence[Setting]
    figures: Sequence[FigureSpec]
    tables: Sequence[str]
    ops: int
    slowest_ops: Sequence[OpGroup]
    """The groups of ops that took the most cycles; then all others as one, and all fused ones."""
    scenario: Sequence[Setting] = ()
    """The workload's values; none of a trace, and of a run from before they were kept."""
    input_sha256: Mapping[str, str] = field(default_factory=dict)
    """Digest of the file that a key of the machine's config names."""
    table_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows of each table; none of a run from before they were counted."""


@dataclass(frozen=True)
class SavedRun:
    """All that a report is made of."""

    folder: Path
    measured: MetricsFile
    described: RunFile
    tables: Mapping[str, TableData]


def load_run(folder: Path) -> SavedRun:
    """Read the run that ``folder`` holds.

    Raises
    ------
    ConfigError
        The folder holds no run, or a file of it is missing or wrong; the message names the file.
    """
    measured = load_metrics(folder)
    described = _read_json(folder / RUN, RunFile)
    _check_names(folder / RUN, described)
    tables = {name: _read_table(folder / "tables" / f"{name}.csv") for name in described.tables}
    _check_figures(folder, described.figures, tables)
    return SavedRun(folder, measured, described, tables)


def load_metrics(folder: Path) -> MetricsFile:
    """Read ``metrics.json`` of the run that ``folder`` holds; raises as :func:`load_run` does."""
    if not folder.is_dir():
        rule = "must be the folder of a run, and is a file" if folder.exists() else "doesn't exist"
        raise ConfigError([Problem(str(folder), "", rule)])
    if not (folder / METRICS).is_file():
        raise ConfigError([Problem(str(folder), "", f"holds no hwsim run: it has no {METRICS}")])
    return _read_json(folder / METRICS, MetricsFile)


def adapter(kind: type[Read]) -> TypeAdapter[Read]:
    """What checks the fields of one of the files above."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _read_json(path: Path, kind: type[Read]) -> Read:
    from pydantic import ValidationError

    data = _read_bytes(path)
    try:
        read: Read = adapter(kind).validate_json(data)
    except ValidationError as error:
        raise ConfigError(_problem(path, dict(detail)) for detail in error.errors()) from None
    return read


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            limit = f"must be at most {MAX_JSON_BYTES >> 20} MiB"
            raise ConfigError([Problem(str(path), "", limit, f"{size >> 20} MiB")])
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"can't be read: {error.strerror}")]) from None


def _problem(path: Path, detail: dict[str, Any]) -> Problem:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "json_invalid":
        reason = str(detail["msg"]).removeprefix("Invalid JSON: ")
        return Problem(str(path), "", f"must be JSON: {reason}")
    if detail["type"] == "missing":
        return Problem(str(path), key, "is missing")
    rule = str(detail["msg"]).removeprefix("Input should be ")
    return Problem(str(path), key, f"must be {rule}", detail["input"])


def _check_names(path: Path, described: RunFile) -> None:
    """Names become file names: refuse one that would lead elsewhere."""
    names = [("tables", name) for name in described.tables]
    names += [("figures", spec.name) for spec in described.figures]
    wrong = [(key, name) for key, name in names if not FILE_NAME.fullmatch(name)]
    if wrong:
        rule = "must have names of letters, digits, '_', '-' and '.'"
        raise ConfigError(Problem(str(path), key, rule, name) for key, name in wrong)


def _read_table(path: Path) -> TableData:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"can't be read: {error.strerror}")]) from None
    except (ValueError, csv.Error) as error:  # no header, not UTF-8, a stray quote
        raise ConfigError([Problem(str(path), "", f"must be CSV with a header: {error}")]) from None
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            rule = f"must have {len(header)} cells, as the header has"
            raise ConfigError([Problem(str(path), f"line {number}", rule, len(row))])
    return TableData(tuple(header), [[_cell(text) for text in row] for row in rows])


def _cell(text: str) -> Cell:
    """A number if ``text`` is exactly how one is written, so that ``007`` stays text."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if repr(value) == text:
            return value
    return text


def _check_figures(
    folder: Path, figures: Sequence[FigureSpec], tables: Mapping[str, TableData]
) -> None:
    problems = []
    for spec in figures:
        table = tables.get(spec.table)
        if table is None:
            rule = f"must draw one of the run's tables ({', '.join(tables) or 'it has none'})"
            problems.append(Problem(str(folder / RUN), f"figures.{spec.name}", rule, spec.table))
        else:
            path = folder / "tables" / f"{spec.table}.csv"
            problems += _column_problems(path, spec, table)
    if problems:
        raise ConfigError(problems)


def _column_problems(path: Path, spec: FigureSpec, table: TableData) -> Iterator[Problem]:
    """Columns that the figure draws and the table lacks, or that hold text instead of numbers."""
    texts = {spec.label} | ({spec.x} if spec.kind in ("bar", "stacked_bar") else set())
    for name in dict.fromkeys((spec.x, *spec.y, spec.label)):
        if name is None:
            continue
        if name not in table.columns:
            rule = f"must have the column {name!r} that figure {spec.name!r} draws"
            yield Problem(str(path), "", rule)
        elif name not in texts:
            column = table.columns.index(name)
            wrong = [
                row[column] for row in table.rows if isinstance(row[column], str) and row[column]
            ]
            if wrong:
                rule = f"must hold the numbers that figure {spec.name!r} draws"
                yield Problem(str(path), f"column {name}", rule, wrong[0])
