"""How every figure looks: one palette that colour-blind readers can tell apart, one set of sizes.

Ref: M. Okabe, K. Ito, "Color Universal Design", 2008 (the palette, without its yellow, which is too
pale on white).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["DPI", "INK", "MUTED", "PALETTE", "WIDTH_INCHES", "colour", "house_style", "ink_on"]

DPI = 150
WIDTH_INCHES = 8.0
INK, MUTED, GRID = "#222222", "#666666", "#e3e3e3"

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#332288")
MEANINGS: Mapping[str, str] = {
    "busy": "#0072B2",
    "starved": "#E69F00",
    "blocked": "#D55E00",
    "idle": "#DDDDDD",
}
"""Words that have the same colour in every figure and on the page."""

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.0,
    "legend.columnspacing": 1.4,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.handletextpad": 0.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "butt",
    "path.simplify": True,
    "savefig.dpi": DPI,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelsize": 9,
}


@contextmanager
def house_style() -> Iterator[None]:
    """The house style on Matplotlib's own defaults, whatever the user's ``matplotlibrc`` says."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # keys are checked at run time
        yield


def colour(name: str, index: int) -> str:
    """The colour of a series: that of its meaning, or the ``index``-th of the palette."""
    first = PALETTE[index % len(PALETTE)]
    return MEANINGS.get(name.removesuffix("_cycles"), _paler(first, index // len(PALETTE)))


def _paler(colour: str, times: int) -> str:
    """``colour`` mixed half and half with white, so many times."""
    keep = 0.5**times
    return "#" + "".join(f"{round(255 - keep * (255 - part)):02X}" for part in _parts(colour))


def _parts(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def ink_on(background: str) -> str:
    """Black or white, whichever reads better on ``background`` (``#rrggbb``)."""
    red, green, blue = _parts(background)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
