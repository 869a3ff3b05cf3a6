"""Labels of points that cover neither a point nor one another."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwsim.report.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["Box", "Label", "place_labels"]

Box = npt.NDArray[np.float64]
"""x0, y0, x1, y1 in pixels."""

FONT_SIZE = 8.5
WRAP_CHARACTERS = 34
GAP = 4.0  # pixels of air around a label
DISTANCES = (6.0, 14.0, 30.0, 50.0, 75.0, 105.0, 140.0, 180.0)  # pixels from the marker's edge
ANGLES = (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200, 70, 290, 110, 250)
LEADER_FROM = 30.0


@dataclass(frozen=True)
class Label:
    """Text for the marker of ``radius`` pixels at ``x``, ``y``."""

    text: str
    x: float
    y: float
    radius: float


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    circles: Sequence[tuple[float, float, float]],
    taken: Sequence[Box],
) -> None:
    """Write each label at the nearest free place, with a line to a marker that is not beside it.

    A label with no free place within reach is left out: the table below the figure has it.
    """
    frame = np.asarray(axes.get_window_extent().extents)
    boxes = [*taken, *(_around(x, y, radius) for x, y, radius in circles)]
    for label in labels:
        if not label.text:
            continue
        text = axes.text(
            0, 0, textwrap.fill(label.text, WRAP_CHARACTERS), fontsize=FONT_SIZE, color=INK
        )
        extent = text.get_window_extent()
        for distance, box in _places(label, extent.width, extent.height):
            if _inside(box, frame) and not any(_overlap(box, other) for other in boxes):
                boxes.append(box)
                _put(axes, text, label, box, distance)
                break
        else:
            text.remove()


def _places(label: Label, width: float, height: float) -> Iterator[tuple[float, Box]]:
    """Boxes around a marker, the nearest first."""
    for distance in DISTANCES:
        for angle in ANGLES:
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            reach = label.radius + distance
            x = label.x + dx * reach + (dx - 1) / 2 * width
            y = label.y + dy * reach + (dy - 1) / 2 * height
            yield distance, np.array([x, y, x + width, y + height])


def _put(axes: Axes, text: Text, label: Label, box: Box, distance: float) -> None:
    inverse = axes.transData.inverted()
    text.set_position(tuple(inverse.transform((box[0], box[1]))))
    text.set_verticalalignment("bottom")
    text.set_zorder(4)
    if distance < LEADER_FROM:
        return
    near_x = min(max(label.x, box[0]), box[2])
    near_y = min(max(label.y, box[1]), box[3])
    ends = inverse.transform([(label.x, label.y), (near_x, near_y)])
    axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.6, zorder=2.5)


def _around(x: float, y: float, radius: float) -> Box:
    return np.array([x - radius, y - radius, x + radius, y + radius])


def _inside(box: Box, frame: Box) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlap(one: Box, other: Box) -> bool:
    return bool((one[:2] - GAP < other[2:]).all() and (other[:2] - GAP < one[2:]).all())
