"""The folder a run leaves behind: written whole or not at all, and drawn again from its files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import ConfigError, InvariantError, Problem
from hwsim.outcome import Outcome, TableData
from hwsim.replace import check_writable, replaced_file, replaced_folder
from hwsim.report import saved
from hwsim.report.check import STALL_COLUMNS, check_ops, check_stalls, check_tables, stall_rows
from hwsim.report.ops import slowest, write_ops
from hwsim.report.saved import RunFile, SavedRun, Setting, load_run

if TYPE_CHECKING:
    from hwsim.config import Parameter
    from hwsim.run import Result

__all__ = ["check_run_folder", "rebuild_report", "run_folder", "write_run"]

RUNS = Path("runs")
SLOWEST_OPS = 12
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.+]+")


def run_folder(result: Result) -> Path:
    """Where a run goes by default: ``runs/<machine>-<workload>-<hash of all inputs>``."""
    source = result.provenance
    inputs = (source.config_sha256, source.workload_sha256, source.seed)
    digest = hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]
    name = NOT_IN_NAMES.sub("-", f"{result.machine}-{result.workload}").strip("-.")
    return RUNS / f"{name[:80]}-{digest}"


def check_run_folder(folder: Path) -> bool:
    """Whether writing a run to ``folder`` replaces an earlier one.

    Call it before simulating, so that a folder that can't be used is known at once.

    Raises
    ------
    ConfigError
        ``folder`` is, or is under, a file; holds what no run wrote; or can't be replaced whole.
    """
    rule = _why_not(folder)
    if rule:
        raise ConfigError([Problem(str(folder), "", rule)])
    return folder.is_dir() and any(folder.iterdir())


def write_run(result: Result, out: Path | None = None) -> Path:
    """Write the run folder, report and figures included, in place of an earlier run; returns it.

    On any exception, an interrupt included, nothing is left behind and an earlier run stays as it
    was.

    Raises
    ------
    ConfigError
        As :func:`check_run_folder`, or the disk refuses.
    """
    target = out or run_folder(result)
    check_run_folder(target)
    with _disk_errors(target), replaced_folder(target) as aside:
        _write_data(result, aside)
        _write_report(load_run(aside))
    return target


def rebuild_report(folder: Path) -> Path:
    """Draw the figures and the report of a run again from its files; returns the report.

    Raises
    ------
    ConfigError
        The folder holds no run, or a file of it is missing or wrong; the message names the file.
    """
    run = load_run(folder)
    check_stalls(run)
    check_tables(run)
    check_ops(run)
    with _disk_errors(folder):
        return _write_report(run)


def _why_not(folder: Path) -> str:
    """The rule that keeps a run from being written to ``folder``, or nothing."""
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            is_file = "is a file" if nearest == folder else f"{nearest} is a file"
            return f"must be a folder, and {is_file}"
        parent = nearest.parent if nearest == folder else nearest
        if not os.access(parent, os.W_OK | os.X_OK):
            return f"can't be written: {parent} is read-only for this user"
        with _disk_errors(folder):
            check_writable(parent)
        if nearest != folder:
            return ""
        if Path.cwd().is_relative_to(folder.resolve()) or folder.is_mount():
            return "must not be the current folder or a mount: a run replaces the folder as a whole"
        return _whose(folder)
    except OSError as error:
        return f"can't be used: {error.strerror}"


def _whose(folder: Path) -> str:
    """Why what is in ``folder`` must be kept, or nothing."""
    present = sorted(entry.name for entry in folder.iterdir())
    if present and not _holds_run(folder):
        return f"must be new, empty, or hold an earlier run of hwsim; it holds {present[0]!r}"
    foreign = sorted(_foreign(folder))
    if foreign:
        return f"holds an earlier run, and {foreign[0]!r}, which hwsim did not write"
    return ""


def _holds_run(folder: Path) -> bool:
    try:
        found = json.loads((folder / saved.METRICS).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"schema", "metrics", "provenance"} <= found.keys()


def _foreign(folder: Path) -> Iterator[str]:
    """What is in a run folder that no run writes, as paths below it."""
    for entry in folder.iterdir():
        ending = saved.FOLDERS.get(entry.name)
        if ending is not None and entry.is_dir():
            yield from (
                f"{entry.name}/{file.name}" for file in entry.iterdir() if file.suffix != ending
            )
        elif entry.name not in saved.FILES:
            yield entry.name


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Tell a full disk or a missing permission as one message."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(folder), "", f"can't be written: {reason}")]) from error


def _write_data(result: Result, folder: Path) -> None:
    outcome = result.outcome
    _write_json(folder / saved.METRICS, result.to_json())
    totals = write_ops(outcome.ops(), folder / saved.OPS)
    _write_csv(folder / saved.STALLS, STALL_COLUMNS, stall_rows(outcome.stages))
    for name, table in outcome.tables.items():
        _write_table(folder / "tables", name, table)
    described = RunFile(
        schema=1,
        headline=[name for name in outcome.headline if name in outcome.metrics],
        bound_by=dict(outcome.bound_by),
        notes=list(outcome.notes),
        overrides=list(result.overrides),
        settings=_settings(result.parameters),
        figures=list(outcome.figures),
        tables=list(outcome.tables),
        table_rows={name: len(table.rows) for name, table in outcome.tables.items()},
        ops=totals.count,
        slowest_ops=slowest(totals.groups(), SLOWEST_OPS),
        scenario=_settings(result.scenario),
        input_sha256=dict(result.input_sha256),
    )
    _write_json(folder / saved.RUN, saved.adapter(RunFile).dump_python(described, mode="json"))
    _write_timeline(result, outcome, folder)


def _settings(parameters: Iterable[Parameter]) -> list[Setting]:
    return [Setting(p.key, p.value_text, p.kind, p.source) for p in parameters]


def _write_timeline(result: Result, outcome: Outcome, folder: Path) -> None:
    if outcome.timeline is None:
        return
    from hwsim.report.timeline_export import export_timeline

    process = f"{result.workload} on {result.machine}"
    export_timeline(outcome.timeline, folder / saved.TIMELINE, process)


def _write_report(run: SavedRun) -> Path:
    """Draw all figures, then the page that holds them; each file is replaced whole."""
    from hwsim.report.figures import draw
    from hwsim.report.html import render

    drawn = {spec.name: draw(spec, run.tables[spec.table]) for spec in run.described.figures}
    page = render(run, drawn)
    figures = run.folder / "figures"
    figures.mkdir(exist_ok=True)
    for name, png in drawn.items():
        with replaced_file(figures / f"{name}.png") as path:
            path.write_bytes(png)
    for stale in set(figures.glob("*.png")) - {figures / f"{name}.png" for name in drawn}:
        stale.unlink()
    with replaced_file(run.folder / saved.REPORT) as path:
        path.write_text(page, encoding="utf-8", newline="\n")
    return run.folder / saved.REPORT


def _write_table(folder: Path, name: str, table: TableData) -> None:
    if not saved.FILE_NAME.fullmatch(name):
        raise InvariantError(f"table names must be letters, digits, '_', '-' and '.', got {name!r}")
    folder.mkdir(exist_ok=True)
    _write_csv(folder / f"{name}.csv", table.columns, table.rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(
        json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n"
    )
