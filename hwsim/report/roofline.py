"""The roofline: ops as points of intensity and rate, under the roofs of compute and memory.

Rows of one label are one point, its area the group's share. The second y column, if there is one,
weighs the rows (time spent); otherwise all weigh the same, and no share is shown. Weighted by
time, a group's point is exactly its total ops over its total bytes, and over its total time.

Ref: S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwsim.outcome import Cell, FigureSpec, TableData
from hwsim.report.figures import column, numbers
from hwsim.report.labels import Box, Label, place_labels
from hwsim.report.scale import axis_scale
from hwsim.report.style import INK, MUTED, PALETTE
from hwsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Point", "draw_roofline", "points"]

LABELLED_POINTS = 14
SMALLEST_AREA, EQUAL_AREA, LARGEST_AREA = 28.0, 60.0, 420.0  # square points
HEIGHT_INCHES = 4.8
BOXES_A_LINE = 120
MERGED_PIXELS = 14.0
NAMES_SHOWN = 6
LEAST_DECADES = 100.0


@dataclass(frozen=True)
class Point:
    """A group of ops: op/B, op/s, and its part of the whole."""

    label: str
    intensity: float
    rate: float
    share: float


def points(spec: FigureSpec, table: TableData) -> list[Point]:
    """The groups, the largest share first, without rows that have no work or no traffic."""
    intensity, rate = numbers(table, spec.x), numbers(table, spec.y[0])
    weight = numbers(table, spec.y[1]) if len(spec.y) > 1 else np.ones(len(rate))
    labels: Sequence[Cell] = column(table, spec.label) if spec.label else range(len(rate))
    shown = (intensity > 0) & (rate > 0) & (weight > 0)  # NaN is not shown either
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero(shown).tolist():
        groups.setdefault(str(labels[row]), []).append(row)
    total = float(weight[shown].sum())
    found = []
    for label, rows in groups.items():
        ops = weight[rows] * rate[rows]
        traffic = float((ops / intensity[rows]).sum())
        spent = float(weight[rows].sum())
        name = label if spec.label else ""
        found.append(
            Point(name, float(ops.sum()) / traffic, float(ops.sum()) / spent, spent / total)
        )
    return sorted(found, key=lambda point: (-point.share, point.label))


def draw_roofline(figure: Figure, axes: Axes, spec: FigureSpec, table: TableData) -> None:
    """Points under roofs on logarithmic axes."""
    found = points(spec, table)
    figure.set_size_inches(figure.get_figwidth(), HEIGHT_INCHES)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _set_limits(axes, found, spec.roofs)
    axis_scale(spec.x_label, (), True).dress(axes.xaxis, True)
    axis_scale(spec.y_label, (), True).dress(axes.yaxis, True)
    axes.tick_params(which="minor", length=0)
    figure.draw_without_rendering()  # settles the layout, so that places in pixels mean something
    taken = _draw_roofs(axes, spec.roofs)
    found = _merged(axes, found) if spec.label else found
    weighed = len(spec.y) > 1
    circles = _draw_points(axes, found, weighed)
    labels = [
        Label(_caption(point, weighed), *circle)
        for point, circle in list(zip(found, circles, strict=True))[:LABELLED_POINTS]
    ]
    place_labels(axes, labels, circles, taken)


def _draw_points(
    axes: Axes, found: Sequence[Point], weighed: bool
) -> list[tuple[float, float, float]]:
    """Draw the markers; returns centre and radius of each, in pixels."""
    areas = [
        max(SMALLEST_AREA, LARGEST_AREA * point.share) if weighed else EQUAL_AREA for point in found
    ]
    axes.scatter(
        [point.intensity for point in found],
        [point.rate for point in found],
        s=areas,
        c=[PALETTE[index % len(PALETTE)] for index in range(len(found))],
        alpha=0.85,
        linewidths=0.7,
        edgecolors="white",
        zorder=3,
    )
    per_point = axes.figure.dpi / 72
    return [
        (x, y, math.sqrt(area / math.pi) * per_point)
        for (x, y), area in zip(_pixels(axes, found), areas, strict=True)
    ]


def _set_limits(
    axes: Axes, found: Sequence[Point], roofs: Sequence[tuple[str, float, float]]
) -> None:
    ridges = [peak / bandwidth for _, peak, bandwidth in roofs]
    x = [point.intensity for point in found] + ridges or [1.0]
    y = [point.rate for point in found] + [peak for _, peak, _ in roofs] or [1.0]
    axes.set_xlim(*_limits(x, 4, 6))
    axes.set_ylim(*_limits(y, 4, 3))


def _limits(values: Sequence[float], below: float, above: float) -> tuple[float, float]:
    """Room on both sides of the values, and two decades at the least."""
    low, high = min(values) / below, max(values) * above
    return min(low, high / LEAST_DECADES), high


def _draw_roofs(axes: Axes, roofs: Sequence[tuple[str, float, float]]) -> list[Box]:
    """Draw roofs and their names; returns the boxes that are taken, in pixels (x0, y0, x1, y1).

    Roofs of less than the largest bandwidth are dashed.
    """
    low, high = axes.get_xlim()
    taken = []
    slopes: set[float] = set()
    steepest = max((bandwidth for _, _, bandwidth in roofs), default=0.0)
    for name, peak, bandwidth in roofs:
        ridge = peak / bandwidth
        solid = bandwidth == steepest
        path = [low, ridge, high], [low * bandwidth, peak, peak]
        axes.plot(*path, color=INK, linewidth=1.3, linestyle="-" if solid else "--", zorder=2)
        text = axes.annotate(
            f"{name}: {format_quantity(peak, 'op/s')}",
            (high, peak),
            xytext=(-4, 4 if solid else -4),
            textcoords="offset points",
            ha="right",
            va="baseline" if solid else "top",
            fontsize=8.5,
            color=INK,
        )
        taken.append(np.asarray(text.get_window_extent().extents))
        taken += _boxes_along(axes, [(low, low * bandwidth), (ridge, peak), (high, peak)])
        if bandwidth not in slopes:
            slopes.add(bandwidth)
            taken.append(_name_slope(axes, ridge, bandwidth, 0.5 if solid else 0.25))
    return taken


def _boxes_along(axes: Axes, path: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes that cover a line, in pixels."""
    corners = axes.transData.transform(np.array(path))
    steps = np.linspace(0, 1, BOXES_A_LINE)[:, np.newaxis]
    dots = np.concatenate([a + steps * (b - a) for a, b in itertools.pairwise(corners)])
    return [np.concatenate([dot - 1, dot + 1]) for dot in dots]


def _name_slope(axes: Axes, ridge: float, bandwidth: float, part: float) -> Box:
    """Write the bandwidth along its slope, that part of the way up what is seen of it."""
    (low, high), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    start = max(low, bottom / bandwidth)
    x = start * (min(ridge, high) / start) ** part
    here, there = axes.transData.transform([(x, x * bandwidth), (2 * x, 2 * x * bandwidth)])
    angle = math.degrees(math.atan2(there[1] - here[1], there[0] - here[0]))
    text = axes.annotate(
        format_quantity(bandwidth, "B/s"),
        (x, x * bandwidth),
        xytext=(-7, 7),
        textcoords="offset points",
        ha="center",
        va="center",
        rotation=angle,
        rotation_mode="anchor",
        fontsize=8.5,
        color=MUTED,
    )
    return np.asarray(text.get_window_extent().extents)


def _pixels(axes: Axes, found: Sequence[Point]) -> list[tuple[float, float]]:
    places = np.array([(point.intensity, point.rate) for point in found]).reshape(-1, 2)
    return [(float(x), float(y)) for x, y in axes.transData.transform(places)]


def _merged(axes: Axes, found: Sequence[Point]) -> list[Point]:
    """The points, those that nearly cover one another as one."""
    groups: list[tuple[tuple[float, float], list[Point]]] = []
    for point, place in zip(found, _pixels(axes, found), strict=True):
        near = [group for centre, group in groups if math.dist(centre, place) < MERGED_PIXELS]
        if near:
            near[0].append(point)
        else:
            groups.append((place, [point]))
    merged = [group[0] if len(group) == 1 else _union(group) for _, group in groups]
    return sorted(merged, key=lambda point: (-point.share, point.label))


def _union(group: Sequence[Point]) -> Point:
    """One point for several: all their ops over all their bytes, and over all their time."""
    share = math.fsum(point.share for point in group)
    ops = math.fsum(point.share * point.rate for point in group)
    traffic = math.fsum(point.share * point.rate / point.intensity for point in group)
    names = [point.label for point in group if point.label]
    more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return Point(", ".join(names[:NAMES_SHOWN] + more), ops / traffic, ops / share, share)


def _caption(point: Point, weighed: bool) -> str:
    share = f" ({100 * point.share:.2g}\N{NO-BREAK SPACE}%)" if weighed else ""
    return f"{point.label}{share}" if point.label else ""
