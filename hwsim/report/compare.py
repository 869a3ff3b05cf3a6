"""Runs side by side: their metrics with ratios to the first run, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwsim.outcome import Metric, TableData
from hwsim.report.saved import MetricsFile, load_metrics, load_run
from hwsim.report.text import measure

__all__ = ["compare_runs", "compare_settings"]

ABSENT = "-"


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
    """The machine settings that differ between the runs; raises as :func:`compare_runs` does."""
    runs = [
        {setting.key: setting.value for setting in load_run(folder).described.settings}
        for folder in folders
    ]
    keys = dict.fromkeys(key for run in runs for key in run)
    rows = [(key, *(run.get(key, ABSENT) for run in runs)) for key in keys]
    return TableData(("setting", *_titles(folders)), [row for row in rows if len(set(row[1:])) > 1])


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
