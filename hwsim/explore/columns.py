"""A finished sweep as columns: metrics and ratios of each point, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import geometric_mean
from typing import Any

import hwsim
from hwsim.errors import ConfigError, Problem
from hwsim.explore.points import Plan
from hwsim.explore.spec import SweepSpec
from hwsim.explore.sweep import Found
from hwsim.outcome import Metric
from hwsim.units import format_quantity

__all__ = ["Sweep"]

SCHEMA = 1


@dataclass(frozen=True)
class Sweep:
    """What a sweep gave: a row a point, in the order of the file."""

    name: str
    where: str
    spec: SweepSpec
    plan: Plan
    found: Mapping[str, Found]

    @cached_property
    def rows(self) -> tuple[Mapping[str, Metric], ...]:
        """Every metric of each point, ``VARIANT.METRIC`` with variants, and the ratios."""
        return tuple(self._row(keys) for keys in self.plan.keys)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What is shown of them.

        Raises
        ------
        ConfigError
            For a name that no point has.
        """
        chosen = (*self.spec.ratios, *self.spec.metrics) or tuple(self._headline())
        self._check()
        return chosen

    @property
    def errors(self) -> tuple[str, ...]:
        """Of each point, what ended its simulations, or nothing."""
        return tuple(
            "; ".join(
                f"{variant}: {error}" if variant else error
                for variant, key in keys.items()
                if (error := self.found[key].error)
            )
            for keys in self.plan.keys
        )

    @property
    def exit_code(self) -> int:
        """That of the first error, when every point has one; else 0."""
        codes = [self.found[key].exit_code for keys in self.plan.keys for key in keys.values()]
        return next(code for code in codes if code) if all(self.errors) else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences the reader must know."""
        failed = [error for error in self.errors if error]
        if not failed:
            return ()
        return (f"{len(failed)} of {len(self.rows)} points failed; the first: {failed[0]}",)

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        points = []
        for point, row, error in zip(self.plan.points, self.rows, self.errors, strict=True):
            metrics = {name: asdict(row[name]) for name in self.columns if name in row}
            entry = {"settings": dict(point.settings), "metrics": metrics}
            points.append({**entry, "error": error} if error else entry)
        return {"schema": SCHEMA, "points": points}

    def csv(self) -> str:
        """The content of ``sweep.csv``: settings, columns, error; times in s, sizes in B."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*self.spec.axes, *self.columns, "error"))
        for cells, row, error in zip(self._settings(), self.rows, self.errors, strict=True):
            values = (row[name].value if name in row else "" for name in self.columns)
            writer.writerow((*cells, *values, error))
        return file.getvalue()

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns and rows for people."""
        if self.spec.mode == "one_at_a_time":
            return self._changes()
        rows = [
            (*cells, *(shown(row.get(name)) for name in self.columns), error)
            for cells, row, error in zip(self._settings(), self.rows, self.errors, strict=True)
        ]
        heads = (*map(short, self.spec.axes), *self.columns, "error")
        return _without_empty_last(heads, [*rows, *self._means()])

    def markdown(self) -> str:
        """The content of ``sweep.md``."""
        heads, rows = self.table()
        lines = [_markdown(cells) for cells in (heads, ["---"] * len(heads), *rows)]
        spec = self.spec
        about = [f"`hwsim sweep`: {spec.workload} on {spec.machine}, hwsim {hwsim.__version__}"]
        about += [f"set: {', '.join(f'`{text}`' for text in spec.set)}"] * bool(spec.set)
        ratios = [f"- {name} = {text}" for name, text in spec.ratios.items()]
        parts = [f"# {self.name}", ". ".join(about) + ".", "\n".join(ratios), "\n".join(lines)]
        return "\n\n".join(part for part in (*parts, *self.notes) if part) + "\n"

    def _row(self, keys: Mapping[str, str]) -> Mapping[str, Metric]:
        row = {
            f"{variant}.{name}" if variant else name: metric
            for variant, key in keys.items()
            for name, metric in self.found[key].metrics.items()
        }
        return row | dict(self._ratios(row))

    def _ratios(self, row: Mapping[str, Metric]) -> Iterator[tuple[str, Metric]]:
        for name, text in self.spec.ratios.items():
            above, below = text.split(" / ")
            if above in row and below in row and row[below].value:
                yield name, Metric(row[above].value / row[below].value, "1")

    def _headline(self) -> Iterator[str]:
        """What each run would show first."""
        names: dict[str, None] = {}
        for keys in self.plan.keys:
            for variant, key in keys.items():
                prefix = f"{variant}." if variant else ""
                names.update(dict.fromkeys(f"{prefix}{name}" for name in self.found[key].headline))
        return iter(names)

    def _check(self) -> None:
        if all(self.errors):
            return
        known = {name for row in self.rows for name in row}
        asked = [(f"metrics[{place}]", name) for place, name in enumerate(self.spec.metrics)]
        for ratio, text in self.spec.ratios.items():
            asked += [(f"ratios.{ratio}", operand) for operand in text.split(" / ")]
        for figure, each in self.spec.figures.items():
            ys = [f"{name}.{y}" for name in each.variants or ("",) for y in each.y]
            asked += [(f"figures.{figure}.y", y.removeprefix(".")) for y in ys]
        unknown = [(key, name) for key, name in asked if name not in known | {*self.spec.ratios}]
        if unknown:
            rule = f"must be a metric of some point: {', '.join(sorted(known))}"
            raise ConfigError([Problem(self.where, key, rule, name) for key, name in unknown])

    def _settings(self) -> Iterator[tuple[str, ...]]:
        """Of each point the value of each axis."""
        base = self.plan.base
        for point in self.plan.points:
            yield tuple(point.settings.get(key, base.get(key, "")) for key in self.spec.axes)

    def _means(self) -> Iterator[tuple[str, ...]]:
        """A row of geometric means of the ratios, when there are several points."""
        columns = [[row[name].value for row in self.rows if name in row] for name in self.columns]
        if len(self.rows) < 2 or not self.spec.ratios:
            return
        cells = (
            f"{geometric_mean(values):.3f}" if name in self.spec.ratios and values else ""
            for name, values in zip(self.columns, columns, strict=True)
        )
        yield ("geometric mean", *[""] * (len(self.spec.axes) - 1), *cells, "")

    def _changes(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """A row for each value of each axis: the columns, and how far they are from the base."""
        base = self.rows[0]
        rows = []
        for point, row, error in zip(self.plan.points, self.rows, self.errors, strict=True):
            axis, value = next(iter(point.settings.items()), ("base", ""))
            was = self.plan.base.get(axis, "")
            cells = (_changed(row.get(name), base.get(name), axis) for name in self.columns)
            rows.append((short(axis), value, was, *cells, error))
        heads = ("parameter", "value", "base", *self.columns, "error")
        return _without_empty_last(heads, rows)


def short(key: str) -> str:
    """An axis without the word that all of a machine's or workload's have."""
    return key.partition(".")[2] or key


def shown(metric: Metric | None) -> str:
    """A metric for people; plain numbers with three decimals."""
    if metric is None:
        return ""
    if metric.unit == "1" and isinstance(metric.value, float):
        return f"{metric.value:.3f}"
    return format_quantity(metric.value, metric.unit)


def _changed(metric: Metric | None, base: Metric | None, axis: str) -> str:
    if metric is None or base is None or axis == "base" or not base.value:
        return shown(metric)
    return f"{shown(metric)} ({metric.value / base.value - 1:+.1%})"


def _without_empty_last(
    heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table without its last column if nothing stands in it."""
    if any(row[-1] for row in rows):
        return heads, list(rows)
    return heads[:-1], [row[:-1] for row in rows]


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
