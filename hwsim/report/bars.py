"""Bars, side by side or stacked, the longer text lying flat so that all of it can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwsim.outcome import FigureSpec, TableData
from hwsim.report.figures import Numbers, column, legend_above, numbers
from hwsim.report.scale import WIDE_SPAN, Scale, axis_scale, span
from hwsim.report.style import INK, WIDTH_INCHES, colour, ink_on
from hwsim.report.text import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_bars", "draw_stacked_bars", "fits_upright"]

MAX_BARS = 40
UPRIGHT_BARS, UPRIGHT_CHARACTERS = 12, 84
FEWEST_SLOTS = 4
"""Few bars stay slim: they take as much room as so many."""
LABEL_CHARACTERS = 40
GROUP_WIDTH = 0.76
SMALLEST_LABELLED = 0.055
"""Part of the axis below which a segment has no room for its figure."""


def draw_bars(figure: Figure, axes: Axes, spec: FigureSpec, table: TableData) -> None:
    """Bars for each row, one a y column, each with its value; upright if the labels are short."""
    table = _first_rows(table, axes)
    names = _names(spec, table)
    ys = [np.nan_to_num(numbers(table, name)) for name in spec.y]
    scale = axis_scale(spec.y_label, np.concatenate(ys), spec.log_y)
    bars = len(names) * len(ys)
    upright = bars <= UPRIGHT_BARS and fits_upright(names)
    _place_bars(axes, spec, ys, scale, upright)
    _name_bars(axes, names, upright)
    category, value = (axes.xaxis, axes.yaxis) if upright else (axes.yaxis, axes.xaxis)
    category.set_label_text(spec.x_label)
    if spec.log_y:
        (axes.set_yscale if upright else axes.set_xscale)("log")
    scale.dress(value, spec.log_y)
    if not upright:
        figure.set_size_inches(WIDTH_INCHES, _height(bars))
    if len(ys) > 1:
        legend_above(figure, axes)


def fits_upright(names: list[str]) -> bool:
    """Whether every name fits under its bars without touching the next one."""
    room = UPRIGHT_CHARACTERS // max(len(names), FEWEST_SLOTS) - 2
    return all(len(name) <= room for name in names)


def draw_stacked_bars(figure: Figure, axes: Axes, spec: FigureSpec, table: TableData) -> None:
    """A horizontal bar for each row: the y columns end to end, with values where there is room."""
    table = _first_rows(table, axes)
    names = _names(spec, table)
    ys = [np.nan_to_num(numbers(table, name)) for name in spec.y]
    totals = np.sum(ys, axis=0)
    scale = axis_scale(spec.y_label, totals, False)
    left = np.zeros(len(names))
    for index, (name, y) in enumerate(zip(spec.y, ys, strict=True)):
        fill = colour(name, index)
        bars = axes.barh(
            np.arange(len(names)),
            y * scale.factor,
            left=left,
            height=0.68,
            color=fill,
            edgecolor="white",
            linewidth=0.5,
            label=series(name),
        )
        texts = _segment_texts(y, totals.max(), scale)
        axes.bar_label(bars, labels=texts, label_type="center", color=ink_on(fill), fontsize=8)
        left += y * scale.factor
    _name_bars(axes, names, upright=False)
    axes.set_xlim(0, float(left.max()) * 1.01 or 1)
    axes.yaxis.set_label_text(spec.x_label)
    scale.dress(axes.xaxis, False)
    figure.set_size_inches(WIDTH_INCHES, _height(len(names)))
    if len(ys) > 1:
        legend_above(figure, axes)


def _first_rows(table: TableData, axes: Axes) -> TableData:
    if len(table.rows) <= MAX_BARS:
        return table
    title = axes.get_title(loc="left")
    axes.set_title(f"{title} (first {MAX_BARS} of {len(table.rows)})", pad=10)
    return TableData(table.columns, table.rows[:MAX_BARS])


def _names(spec: FigureSpec, table: TableData) -> list[str]:
    texts = [str(cell) for cell in column(table, spec.x)]
    return [
        text if len(text) <= LABEL_CHARACTERS else f"{text[: LABEL_CHARACTERS - 1]}…"
        for text in texts
    ]


def _place_bars(
    axes: Axes, spec: FigureSpec, ys: list[Numbers], scale: Scale, upright: bool
) -> None:
    thick = GROUP_WIDTH / len(ys)
    text = scale.full_text if spec.log_y or span(np.concatenate(ys)) >= WIDE_SPAN else scale.text
    for index, (name, y) in enumerate(zip(spec.y, ys, strict=True)):
        places = np.arange(len(y)) + (index - (len(ys) - 1) / 2) * thick
        bar = axes.bar if upright else axes.barh
        bars = bar(
            places, y * scale.factor, thick * 0.92, color=colour(name, index), label=series(name)
        )
        axes.bar_label(bars, labels=[text(v) for v in y], padding=3, fontsize=8.5, color=INK)


def _name_bars(axes: Axes, names: list[str], upright: bool) -> None:
    """Bar names along the category axis, the first one leftmost or on top; few bars stay slim."""
    spare = max(0.0, (FEWEST_SLOTS - len(names)) / 2) if upright else 0.0
    ends = (-0.6 - spare, len(names) - 0.4 + spare)
    if upright:
        axes.set_xticks(range(len(names)), names, color=INK)
        axes.set_xlim(*ends)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.1)
    else:
        axes.set_yticks(range(len(names)), names, color=INK)
        axes.set_ylim(*ends[::-1])
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
    axes.tick_params(axis="x" if upright else "y", length=0)


def _segment_texts(values: Numbers, longest: float, scale: Scale) -> list[str]:
    return [
        scale.text(value) if longest and value / longest >= SMALLEST_LABELLED else ""
        for value in values
    ]


def _height(bars: int) -> float:
    """Inches for so many horizontal bars with title, legend and axis."""
    return 1.5 + 0.32 * max(min(bars, 15), 3) + 0.25 * max(bars - 15, 0)
