"""``stalls.csv``, ``ops.csv`` and the tables of a saved run, held to what its JSON files say."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hwsim.errors import ConfigError, Problem
from hwsim.outcome import StageCycles
from hwsim.report import saved
from hwsim.report.ops import OPS_COLUMNS
from hwsim.report.saved import SavedRun

__all__ = ["STALL_COLUMNS", "check_ops", "check_stalls", "check_tables", "stall_rows"]

STALL_COLUMNS = ("component", "busy", "starved", "blocked", "idle", "total")
COUNTS = slice(OPS_COLUMNS.index("start_cycle"), OPS_COLUMNS.index("bound_by"))

Row = Sequence[str]


def stall_rows(stages: Mapping[str, StageCycles]) -> Iterator[tuple[object, ...]]:
    """The rows of ``stalls.csv``, in the order of :data:`STALL_COLUMNS`."""
    for name, cycles in stages.items():
        yield name, cycles.busy, cycles.starved, cycles.blocked, cycles.idle, cycles.total


def check_stalls(run: SavedRun) -> None:
    """Raise :class:`ConfigError` unless ``stalls.csv`` has the accounts of ``metrics.json``."""
    path = run.folder / saved.STALLS
    expected = [[str(cell) for cell in row] for row in stall_rows(run.measured.stages)]
    with _rows(path, STALL_COLUMNS) as rows:
        found = list(rows)
    _check_count(path, len(found), len(expected), saved.METRICS)
    for number, (row, right) in enumerate(zip(found, expected, strict=True), start=2):
        if list(row) != right:
            rule = f"must be {','.join(right)!r}, as {saved.METRICS} has it"
            raise ConfigError([Problem(str(path), f"line {number}", rule, ",".join(row))])


def check_tables(run: SavedRun) -> None:
    """Raise :class:`ConfigError` unless each table has as many rows as ``run.json`` says."""
    for name, expected in run.described.table_rows.items():
        if name in run.tables:
            path = run.folder / "tables" / f"{name}.csv"
            _check_count(path, len(run.tables[name].rows), expected, saved.RUN)


def check_ops(run: SavedRun) -> None:
    """Raise :class:`ConfigError` unless ``ops.csv`` has as many rows as ``run.json``, all whole."""
    path = run.folder / saved.OPS
    found = 0
    with _rows(path, OPS_COLUMNS) as rows:
        for row in rows:
            found += 1
            if len(row) != len(OPS_COLUMNS) or not all(map(str.isdecimal, row[COUNTS])):
                raise ConfigError([_wrong_op(path, found, row)])
    _check_count(path, found, run.described.ops, saved.RUN)


def _wrong_op(path: Path, number: int, row: Row) -> Problem:
    key = f"row {number}"
    if len(row) != len(OPS_COLUMNS):
        rule = f"must have {len(OPS_COLUMNS)} cells, as the header has"
        return Problem(str(path), key, rule, len(row))
    wrong = next(cell for cell in row[COUNTS] if not cell.isdecimal())
    column = OPS_COLUMNS[row.index(wrong, COUNTS.start)]
    return Problem(str(path), f"{key}, {column}", "must be a whole number", wrong)


@contextmanager
def _rows(path: Path, columns: Row) -> Iterator[Iterator[Row]]:
    """The rows below the header; what can't be read, or is no CSV, is a :class:`ConfigError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if tuple(header) != tuple(columns):
                rule = f"must begin with the header {','.join(columns)!r}"
                raise ConfigError([Problem(str(path), "", rule, ",".join(header))])
            yield rows
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"can't be read: {error.strerror}")]) from None
    except (ValueError, csv.Error) as error:  # not UTF-8, a stray quote
        raise ConfigError([Problem(str(path), "", f"must be CSV: {error}")]) from None


def _check_count(path: Path, found: int, expected: int, source: str) -> None:
    if found != expected:
        rule = f"must have {expected} rows below its header, as {source} says"
        raise ConfigError([Problem(str(path), "", rule, found)])
