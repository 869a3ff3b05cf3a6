"""How far each axis of a sweep moves a column from the base: one panel a column."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwsim.explore.columns import Sweep, short, shown
from hwsim.report.style import INK, MUTED, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hwsim.explore.spec import FigureConfig

__all__ = ["Swing", "draw_tornado", "swings_of"]

PANEL_INCHES, NAMES_INCHES, ROW_INCHES = 3.6, 2.6, 0.3
LOWER, HIGHER = PALETTE[1], PALETTE[0]
SMALLEST_SHOWN = 0.0005
ROOM = 1.7
"""Times the longest bar: the panel also holds the values beside it."""


@dataclass(frozen=True)
class Swing:
    """The lowest and the highest change of a column over an axis, as shares of the base.

    Each with the value of the axis that gives it; nothing where the base is the lowest or highest.
    """

    axis: str
    low: tuple[float, str]
    high: tuple[float, str]

    @property
    def width(self) -> float:
        """How far apart the two are."""
        return self.high[0] - self.low[0]


def swings_of(sweep: Sweep, column: str) -> list[Swing]:
    """The swing of each axis, in the order of the file."""
    base = sweep.rows[0].get(column)
    if base is None or not base.value:
        return []
    found: dict[str, list[tuple[float, str]]] = {key: [(0.0, "")] for key in sweep.spec.axes}
    for point, row in zip(sweep.plan.points, sweep.rows, strict=True):
        for axis, text in point.settings.items():
            if column in row:
                found[axis].append((row[column].value / base.value - 1, text))
    return [Swing(axis, min(ends), max(ends)) for axis, ends in found.items()]


def draw_tornado(made: Figure, sweep: Sweep, figure: FigureConfig, title: str) -> None:
    """A panel for each column; the axis that moves any of them most is on top."""
    panels = [swings_of(sweep, column) for column in figure.y]
    widths = {
        axis: max((each.width for each in _named(panels, axis)), default=0.0)
        for axis in sweep.spec.axes
    }
    order = sorted(sweep.spec.axes, key=lambda axis: -widths[axis])
    made.set_size_inches(NAMES_INCHES + PANEL_INCHES * len(panels), 1.6 + ROW_INCHES * len(order))
    made.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    rows = made.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, column, swings in zip(rows[0], figure.y, panels, strict=True):
        base = shown(sweep.rows[0].get(column))
        axes.set_title(textwrap.fill(f"{column} (base {base})".replace("_", " "), 44), fontsize=9)
        _draw_panel(axes, {each.axis: each for each in swings}, order)
    rows[0][0].set_yticks(range(len(order)), [_label(sweep, axis) for axis in order], color=INK)
    rows[0][0].set_ylim(len(order) - 0.4, -0.6)


def _named(panels: Sequence[Sequence[Swing]], axis: str) -> list[Swing]:
    return [each for swings in panels for each in swings if each.axis == axis]


def _label(sweep: Sweep, axis: str) -> str:
    base = sweep.plan.base.get(axis, "")
    return f"{short(axis)} = {base}" if base else short(axis)


def _draw_panel(axes: Axes, swings: dict[str, Swing], order: Sequence[str]) -> None:
    reach = max((abs(end) for s in swings.values() for end, _ in (s.low, s.high)), default=0.0)
    for place, axis in enumerate(order):
        if axis not in swings:
            continue
        for (change, text), fill in ((swings[axis].low, LOWER), (swings[axis].high, HIGHER)):
            if abs(change) < SMALLEST_SHOWN:
                continue
            axes.barh(place, 100 * change, 0.62, color=fill)
            side = 1 if change > 0 else -1
            axes.annotate(
                text,
                (100 * change, place),
                (3 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=7,
                color=MUTED,
            )
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_xlim(-100 * ROOM * (reach or 0.01), 100 * ROOM * (reach or 0.01))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("change (%)")
