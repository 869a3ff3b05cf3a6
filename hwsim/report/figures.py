"""Figures as PNG: a :class:`~hwsim.outcome.FigureSpec` and its table, drawn in the house style.

The bytes depend on the data and the Matplotlib version only. How units on axes are scaled: see
:mod:`hwsim.report.scale`.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwsim.outcome import Cell, FigureSpec, TableData
from hwsim.report.scale import axis_scale
from hwsim.report.style import DPI, MUTED, WIDTH_INCHES, colour, house_style
from hwsim.report.text import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Numbers", "column", "draw", "legend_above", "numbers"]

Numbers = npt.NDArray[np.float64]

MAX_POINTS = 4000
"""More points than this a figure has no pixels for."""
MARKED_POINTS = 40
FINE_LINE, FINE_FROM = 1.0, 400
WASTED = 0.5
"""A part of the axis that may stay empty for the sake of starting at zero."""
CUT = "(axis does not start at 0)"
HEIGHT_INCHES, EMPTY_INCHES = 4.0, 1.4
TITLE_CHARACTERS = 84


def draw(spec: FigureSpec, table: TableData) -> bytes:
    """The PNG of one figure.

    Raises
    ------
    ValueError
        A cell to be drawn as a number is none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(textwrap.fill(spec.title, TITLE_CHARACTERS), pad=10)
        if table.rows:
            _painter(spec.kind)(figure, axes, spec, table)
        else:
            _say_nothing_here(figure, axes)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def column(table: TableData, name: str) -> list[Cell]:
    """The cells of one column."""
    index = table.columns.index(name)
    return [row[index] for row in table.rows]


def numbers(table: TableData, name: str) -> Numbers:
    """A column as floats, NaN where a cell is empty or not finite."""
    cells = [math.nan if cell == "" else float(cell) for cell in column(table, name)]
    values = np.array(cells, dtype=np.float64)
    return np.where(np.isfinite(values), values, math.nan)


Painter = Callable[["Figure", "Axes", FigureSpec, TableData], None]


def _painter(kind: str) -> Painter:
    from hwsim.report.bars import draw_bars, draw_stacked_bars
    from hwsim.report.roofline import draw_roofline

    painters: dict[str, Painter] = {
        "line": _draw_lines,
        "steps": _draw_lines,
        "area": _draw_area,
        "bar": draw_bars,
        "stacked_bar": draw_stacked_bars,
        "roofline": draw_roofline,
    }
    return painters[kind]


def legend_above(figure: Figure, axes: Axes) -> None:
    """A legend in rows between the title and the data, as many columns as there is room for."""
    handles, names = axes.get_legend_handles_labels()
    figure.draw_without_rendering()  # settles how wide the axes are
    room = figure.bbox.x1 - axes.get_window_extent().x0 - 0.1 * DPI
    for columns in range(len(names), 0, -1):
        legend = axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(0.0, 1.02), ncols=columns
        )
        box = legend.get_window_extent()
        if box.width <= room:
            break
    height_points = box.height * 72 / figure.dpi
    axes.set_title(axes.get_title(loc="left"), pad=14 + height_points)


def _say_nothing_here(figure: Figure, axes: Axes) -> None:
    figure.set_size_inches(WIDTH_INCHES, EMPTY_INCHES)
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        "nothing to show: the table is empty",
        transform=axes.transAxes,
        ha="center",
        color=MUTED,
    )


def _draw_lines(figure: Figure, axes: Axes, spec: FigureSpec, table: TableData) -> None:
    x = numbers(table, spec.x)
    ys = [numbers(table, name) for name in spec.y]
    kept = _extremes(ys)
    x_scale = axis_scale(spec.x_label, x, spec.log_x)
    y_scale = axis_scale(spec.y_label, np.concatenate(ys), spec.log_y)
    if spec.kind == "steps" and len(x) > 1:
        x, ys = _held(x), [_held(y, still=True) for y in ys]
        kept = np.append(kept, len(x) - 1)
    marked = len(kept) <= MARKED_POINTS if spec.kind == "line" else len(kept) == 1
    for index, (name, y) in enumerate(zip(spec.y, ys, strict=True)):
        axes.plot(
            x[kept] * x_scale.factor,
            y[kept] * y_scale.factor,
            color=colour(name, index),
            linestyle=("-", "--", ":")[index // 8 % 3],
            linewidth=FINE_LINE if len(kept) > FINE_FROM else None,
            drawstyle="steps-post" if spec.kind == "steps" else "default",
            marker="o" if marked else "",
            markersize=4,
            label=series(name),
        )
    _finish(axes, spec, whole=bool((x * x_scale.factor % 1 == 0).all()))
    x_scale.dress(axes.xaxis, spec.log_x)
    y_scale.dress(axes.yaxis, spec.log_y)
    if not spec.log_y and axes.get_ylim()[0] > 0:
        axes.yaxis.set_label_text(f"{axes.get_ylabel()}\n{CUT}")
    if len(ys) > 1:
        legend_above(figure, axes)


def _draw_area(figure: Figure, axes: Axes, spec: FigureSpec, table: TableData) -> None:
    x = numbers(table, spec.x)
    ys = [np.nan_to_num(numbers(table, name)) for name in spec.y]
    x, *ys = _averages([x, *ys])
    x_scale = axis_scale(spec.x_label, x, spec.log_x)
    y_scale = axis_scale(spec.y_label, np.sum(ys, axis=0), False)
    axes.stackplot(
        x * x_scale.factor,
        [y * y_scale.factor for y in ys],
        labels=[series(name) for name in spec.y],
        colors=[colour(name, index) for index, name in enumerate(spec.y)],
        linewidth=0,
    )
    _finish(axes, spec, whole=bool((x * x_scale.factor % 1 == 0).all()))
    axes.margins(x=0)
    x_scale.dress(axes.xaxis, spec.log_x)
    y_scale.dress(axes.yaxis, False)
    if len(ys) > 1:
        legend_above(figure, axes)


def _held(values: Numbers, still: bool = False) -> Numbers:
    """The values and one more, so that a staircase's last step is as wide as the one before."""
    last = values[-1]
    return np.append(values, last if still else 2 * last - values[-2])


def _finish(axes: Axes, spec: FigureSpec, whole: bool) -> None:
    """Linear or logarithmic axes; a linear y axis starts at zero when that wastes little of it."""
    from matplotlib.ticker import MaxNLocator

    if spec.log_x:
        axes.set_xscale("log")
    elif whole:
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if spec.log_y and spec.kind != "area":
        axes.set_yscale("log")
        return
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if 0 <= low <= WASTED * high:
        axes.set_ylim(0, 1.05 * high or 1)


def _extremes(ys: Sequence[Numbers]) -> npt.NDArray[np.intp]:
    """Indices of at most about :data:`MAX_POINTS` points that keep every peak and every trough."""
    count = len(ys[0])
    if count <= MAX_POINTS:
        return np.arange(count)
    buckets = np.array_split(np.arange(count), MAX_POINTS // (2 * len(ys)))
    picked = [0, count - 1]
    for y in ys:
        filled = np.nan_to_num(y)
        for bucket in buckets:
            part = filled[bucket]
            picked += [int(bucket[part.argmin()]), int(bucket[part.argmax()])]
    return np.unique(picked)


def _averages(columns: Sequence[Numbers]) -> list[Numbers]:
    """The columns, neighbours averaged to :data:`MAX_POINTS` points: areas keep their size."""
    count = len(columns[0])
    if count <= MAX_POINTS:
        return list(columns)
    starts = np.linspace(0, count, MAX_POINTS + 1).astype(np.intp)[:-1]
    sizes = np.diff(np.append(starts, count))
    return [np.add.reduceat(values, starts) / sizes for values in columns]
