"""Runs side by side: their metrics with ratios to the first run, and what they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hwsim.outcome import Metric, TableData
from hwsim.report.saved import MetricsFile, SavedRun, load_metrics, load_run
from hwsim.report.text import measure

__all__ = ["compare_notes", "compare_runs", "compare_settings"]

ABSENT = "-"
DIGEST_SHOWN = 16


def compare_runs(folders: Sequence[Path]) -> TableData:
    """Every metric of the runs as text with its unit, with each later run's ratio to the first.

    Metrics that all runs have come first. No ratio is given where the first run's value is zero
    or the unit is another; the unit stands in every cell.

    Raises
    ------
    ConfigError
        A folder holds no run.
    """
    runs = [load_metrics(folder) for folder in folders]
    titles = _titles(folders)
    columns = ["metric", titles[0]]
    for title in titles[1:]:
        columns += [title, "ratio"]
    return TableData(tuple(columns), [_row(name, runs) for name in _names(runs)])


def compare_settings(folders: Sequence[Path]) -> TableData:
    """What the runs were given and that differs: names, values of the workload, of the machine.

    Values have the path that ``--set`` takes; a file that a value names counts
    by its content too. Raises as :func:`compare_runs` does.
    """
    runs = [dict(_given(load_run(folder))) for folder in folders]
    keys = dict.fromkeys(key for run in runs for key in run)
    rows = [(key, *(run.get(key, ABSENT) for run in runs)) for key in _by_owner(keys)]
    return TableData(("setting", *_titles(folders)), [row for row in rows if len(set(row[1:])) > 1])


def compare_notes(folders: Sequence[Path]) -> list[str]:
    """What a reader of the ratios must know; raises as :func:`compare_runs` does."""
    digests = [load_metrics(folder).provenance.get("workload_sha256") for folder in folders]
    titles = _titles(folders)
    others = [title for title, digest in zip(titles, digests, strict=True) if digest != digests[0]]
    if not others:
        return []
    who = f"Not the workload of {titles[0]}: {', '.join(others)} (workload_sha256 differs)"
    unless = "Unless a trace file holds the same ops, which its digest doesn't tell"
    return [f"{who}. {unless}, these ratios are not of the machine alone."]


def _given(run: SavedRun) -> Iterator[tuple[str, str]]:
    yield "workload", run.measured.workload
    for setting in run.described.scenario:
        yield f"workload.{setting.key}", setting.value
    yield "machine", run.measured.machine
    for setting in run.described.settings:
        yield f"machine.{setting.key}", setting.value
        if digest := run.described.input_sha256.get(setting.key):
            yield f"machine.{setting.key} (content)", f"sha256 {digest[:DIGEST_SHOWN]}"


def _by_owner(keys: Iterable[str]) -> list[str]:
    """The workload's keys, then the machine's, each in the order they came."""
    return sorted(keys, key=lambda key: key.startswith("machine"))


def _titles(folders: Sequence[Path]) -> list[str]:
    """Folder names, or whole paths where names alone don't tell the runs apart."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _names(runs: Sequence[MetricsFile]) -> list[str]:
    every = dict.fromkeys(name for run in runs for name in run.metrics)
    return sorted(every, key=lambda name: not all(name in run.metrics for run in runs))


def _row(name: str, runs: Sequence[MetricsFile]) -> list[str]:
    first = runs[0].metrics.get(name)
    cells = [name, _text(name, first)]
    for run in runs[1:]:
        metric = run.metrics.get(name)
        cells += [_text(name, metric), _ratio(metric, first)]
    return cells


def _text(name: str, metric: Metric | None) -> str:
    return ABSENT if metric is None else measure(name, metric)


def _ratio(metric: Metric | None, first: Metric | None) -> str:
    if metric is None or first is None or metric.unit != first.unit or not first.value:
        return ABSENT
    return f"{metric.value / first.value:.4g}x"
