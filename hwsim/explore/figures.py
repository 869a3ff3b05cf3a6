"""Pictures of a sweep: bars by place, lines over an axis, stacks by variant, and tornadoes."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import geometric_mean
from typing import TYPE_CHECKING

import numpy as np

from hwsim.explore.columns import Sweep, short
from hwsim.explore.spec import FigureConfig
from hwsim.explore.tornado import draw_tornado
from hwsim.report.figures import legend_above
from hwsim.report.scale import Scale, axis_scale
from hwsim.report.style import DPI, INK, MUTED, WIDTH_INCHES, colour, house_style
from hwsim.report.text import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_figure"]

WIDEST_INCHES = 14.0
PLACE_INCHES = 0.62
HEIGHT_INCHES = 4.2
LINE_CHARACTERS = 9
LABELLED_BARS = 24
"""So many bars have room for their values."""
GROUP_WIDTH = 0.8
HATCHES = ("", "////", "....", "xxxx")
NUMBER = re.compile(r"(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?: (?P<unit>\S+))?")

Place = tuple[str, ...]
Values = Sequence[float]


@dataclass(frozen=True)
class Series:
    """One colour of a figure: a value at each place."""

    name: str
    values: Values


def draw_figure(sweep: Sweep, name: str, figure: FigureConfig) -> bytes:
    """The PNG of one figure of a sweep."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    title = figure.title or f"{words(sweep.name)}: {words(name)}"
    with house_style():
        made = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
        FigureCanvasAgg(made)
        if figure.kind == "tornado":
            draw_tornado(made, sweep, figure, title)
        else:
            _draw(made, sweep, figure, title)
        file = io.BytesIO()
        made.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def _draw(made: Figure, sweep: Sweep, figure: FigureConfig, title: str) -> None:
    axes = made.add_subplot()
    axes.set_title(textwrap.fill(title, 100), pad=10)
    places = _places(sweep, figure)
    if figure.kind == "stacked":
        _draw_stacks(made, axes, sweep, figure, places)
        return
    series = _series(sweep, figure, places)
    scale = _scale(sweep, figure, [value for each in series for value in each.values])
    if figure.kind == "lines":
        _draw_lines(axes, figure, places, series, scale)
    else:
        _draw_bars(made, axes, figure, places, series, scale)
    scale.dress(axes.yaxis, False)
    if len(series) > 1:
        legend_above(made, axes)


# What is drawn ---------------------------------------------------------------------------------


def _places(sweep: Sweep, figure: FigureConfig) -> list[Place]:
    """The values of the x axes, in the order of the points."""
    return list(dict.fromkeys(_at(sweep, point.settings, figure.x) for point in sweep.plan.points))


def _at(sweep: Sweep, settings: Mapping[str, str], axes: Sequence[str]) -> Place:
    return tuple(settings.get(key, sweep.plan.base.get(key, "")) for key in axes)


def _series(sweep: Sweep, figure: FigureConfig, places: Sequence[Place]) -> list[Series]:
    """A series for each column of y, or for each value of the series' axis."""
    if figure.series is None:
        return [Series(name, _values(sweep, figure, places, name)) for name in figure.y]
    names = dict.fromkeys(
        _at(sweep, point.settings, (figure.series,))[0] for point in sweep.plan.points
    )
    (column,) = figure.y
    return [
        Series(
            f"{short(figure.series)} {name}",
            _values(sweep, figure, places, column, {figure.series: name}),
        )
        for name in names
    ]


def _values(
    sweep: Sweep,
    figure: FigureConfig,
    places: Sequence[Place],
    column: str,
    where: Mapping[str, str] | None = None,
) -> Values:
    """A column at each place, the mean of the points there; NaN where there is none."""
    wanted = where or {}
    found: dict[Place, list[float]] = {place: [] for place in places}
    for point, row in zip(sweep.plan.points, sweep.rows, strict=True):
        if _at(sweep, point.settings, list(wanted)) == tuple(wanted.values()) and column in row:
            found[_at(sweep, point.settings, figure.x)].append(row[column].value)
    return [float(np.mean(values)) if values else math.nan for values in found.values()]


def _scale(sweep: Sweep, figure: FigureConfig, values: Values) -> Scale:
    column = f"{figure.variants[0]}.{figure.y[0]}" if figure.variants else figure.y[0]
    metrics = [row[column] for row in sweep.rows if column in row]
    unit = metrics[0].unit if metrics else "1"
    what = figure.y_label or words(figure.y[0].rpartition(".")[2])
    return axis_scale(f"{what} ({unit})", values, False)


# Bars and lines --------------------------------------------------------------------------------


def _draw_bars(
    made: Figure,
    axes: Axes,
    figure: FigureConfig,
    places: Sequence[Place],
    series: Sequence[Series],
    scale: Scale,
) -> None:
    thick = GROUP_WIDTH / len(series)
    for number, each in enumerate(series):
        values = [*each.values, *[_mean(each.values)] * figure.geomean]
        at = np.arange(len(values)) + (number - (len(series) - 1) / 2) * thick
        heights = np.nan_to_num(values) * scale.factor
        bars = axes.bar(
            at, heights, thick * 0.92, color=colour(each.name, number), label=words(each.name)
        )
        few = len(values) * len(series) <= LABELLED_BARS
        texts = [scale.text(value) if few else "" for value in values]
        if figure.geomean:
            texts[-1] = f"{values[-1] * scale.factor:.2f}"
        axes.bar_label(bars, labels=texts, padding=3, fontsize=7.5, rotation=0 if few else 90)
    if figure.geomean:
        axes.axvline(len(places) - 0.5, color=MUTED, linewidth=0.8, linestyle=":")
    _name_places(made, axes, figure, places)
    axes.margins(y=0.12)
    _start_near(axes, [value * scale.factor for each in series for value in each.values])


def _mean(values: Values) -> float:
    known = [value for value in values if value > 0]
    return geometric_mean(known) if known else math.nan


def _start_near(axes: Axes, values: Values) -> None:
    """A line where nothing is gained, for speed-ups and other ratios around 1."""
    known = [value for value in values if math.isfinite(value)]
    if known and min(known) > 0.5 and max(known) < 4:
        axes.axhline(1, color=INK, linewidth=0.9)


def _name_places(made: Figure, axes: Axes, figure: FigureConfig, places: Sequence[Place]) -> None:
    """The last axis at each place, the others once under the places that share them."""
    names = [_broken(place[-1]) for place in places] + ["geometric\nmean"] * figure.geomean
    axes.set_xticks(range(len(names)), names, color=INK, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.6, len(names) - 0.4)
    inches = min(WIDEST_INCHES, max(WIDTH_INCHES, PLACE_INCHES * len(names) + 1))
    made.set_size_inches(inches, HEIGHT_INCHES)
    lines = 1 + max(name.count("\n") for name in names)
    first = 0
    if len(figure.x) > 1:
        for group, members in groupby(place[:-1] for place in places):
            count = len(list(members))
            _name_group(axes, figure, group, first, count, lines)
            first += count
        axes.set_xlabel(" ", fontsize=14)  # keeps room for the groups' names
    else:
        axes.set_xlabel(short(figure.x[0]).replace("_", " "))


def _name_group(
    axes: Axes, figure: FigureConfig, group: Place, first: int, count: int, lines: int
) -> None:
    texts = [
        text if not text.isdigit() else f"{words(short(key).rpartition('.')[2])} {text}"
        for key, text in zip(figure.x, group, strict=False)
    ]
    down = -12 - 11 * lines
    axes.annotate(
        words(", ".join(texts)),
        (first + (count - 1) / 2, 0),
        (0, down),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=9,
        color=INK,
    )
    if first:
        axes.axvline(first - 0.5, color=MUTED, linewidth=0.8, linestyle=":")


def _broken(text: str) -> str:
    """A name as words on short lines."""
    return textwrap.fill(words(text), LINE_CHARACTERS, break_long_words=False)


def _draw_lines(
    axes: Axes,
    figure: FigureConfig,
    places: Sequence[Place],
    series: Sequence[Series],
    scale: Scale,
) -> None:
    names = [", ".join(place) for place in places]
    numbers, unit = _numbers(names)
    for number, each in enumerate(series):
        axes.plot(
            numbers or range(len(names)),
            np.array(each.values) * scale.factor,
            marker="o",
            markersize=4,
            color=colour(each.name, number),
            label=words(each.name),
        )
    label = ", ".join(words(short(key)) for key in figure.x)
    axes.set_xlabel(f"{label} ({unit})" if unit else label)
    if not numbers:
        axes.set_xticks(range(len(names)), [_broken(name) for name in names])
    axes.set_ylim(bottom=0)


def _numbers(names: Sequence[str]) -> tuple[list[float], str]:
    """The numbers and the unit that all names have, or none."""
    found = [NUMBER.fullmatch(name) for name in names]
    units = {match["unit"] or "" for match in found if match}
    if not all(found) or len(units) != 1:
        return [], ""
    return [float(match["number"]) for match in found if match], units.pop()


# Stacks ----------------------------------------------------------------------------------------


def _draw_stacks(
    made: Figure, axes: Axes, sweep: Sweep, figure: FigureConfig, places: Sequence[Place]
) -> None:
    variants = figure.variants or ("",)
    thick = GROUP_WIDTH / len(variants)
    totals = [
        np.nansum([_of(sweep, figure, places, variant, name) for name in figure.y], axis=0)
        for variant in variants
    ]
    scale = _scale(sweep, figure, np.concatenate(totals).tolist())
    for number, variant in enumerate(variants):
        below = np.zeros(len(places))
        at = np.arange(len(places)) + (number - (len(variants) - 1) / 2) * thick
        for index, name in enumerate(figure.y):
            heights = np.nan_to_num(_of(sweep, figure, places, variant, name)) * scale.factor
            axes.bar(
                at,
                heights,
                thick * 0.9,
                bottom=below,
                color=colour(name, index),
                edgecolor="white",
                linewidth=0.4,
                hatch=HATCHES[number % len(HATCHES)],
                label=words(name.rpartition(".")[2]) if number == 0 else None,
            )
            below += heights
    _name_places(made, axes, figure, places)
    axes.margins(y=0.05)
    scale.dress(axes.yaxis, False)
    if figure.variants:
        for number, variant in enumerate(variants):
            hatch = HATCHES[number % len(HATCHES)]
            axes.bar(0, 0, color="white", edgecolor=MUTED, hatch=hatch, label=words(variant))
    legend_above(made, axes)


def _of(
    sweep: Sweep, figure: FigureConfig, places: Sequence[Place], variant: str, name: str
) -> Values:
    return _values(sweep, figure, places, f"{variant}.{name}" if variant else name)
