"""Figures: every kind, with much, little and no data."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hwsim.outcome import FigureSpec, TableData
from hwsim.report import figures
from hwsim.report.bars import fits_upright
from hwsim.report.figures import draw
from hwsim.report.roofline import points
from hwsim.report.style import MEANINGS, PALETTE, colour, ink_on

KINDS = get_args(FigureSpec.__annotations__["kind"]) or (
    *("line", "steps", "bar", "stacked_bar", "area", "roofline"),
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _spec(kind: Any, **more: Any) -> FigureSpec:
    given = {
        "name": "figure",
        "title": "A figure",
        "kind": kind,
        "table": "table",
        "x": "x",
        "y": ("a", "b"),
        "x_label": "x (op/B)",
        "y_label": "y (B/s)",
        "caption": "",
        "roofs": (("peak", 1e12, 1e11),),
    }
    return FigureSpec(**(given | more))


def _table(rows: int) -> TableData:
    return TableData(("x", "a", "b"), [(i + 1, 1e9 * (1 + i % 7), 2e9) for i in range(rows)])


def _size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


@pytest.mark.parametrize("rows", [0, 1, 2, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_no_rows_one_row_and_many(kind: str, rows: int) -> None:
    png = draw(_spec(kind), _table(rows))

    assert png.startswith(SIGNATURE)
    assert _size(png)[0] == 1200


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_zeros_and_gaps(kind: str) -> None:
    table = TableData(("x", "a", "b"), [(1, 0, ""), (2, 0, math.inf), (3, "", 0)])

    assert draw(_spec(kind), table).startswith(SIGNATURE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data_gives_the_same_bytes(kind: str) -> None:
    assert draw(_spec(kind), _table(30)) == draw(_spec(kind), _table(30))


def test_the_users_matplotlib_settings_change_nothing_and_stay() -> None:
    expected = draw(_spec("line"), _table(30))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 40}):
        assert draw(_spec("line"), _table(30)) == expected
        assert mpl.rcParams["font.size"] == 30


def test_names_that_would_touch_lie_flat() -> None:
    """Three names of two words are short in all, yet too long for the place of a bar each."""
    assert fits_upright(["LD", "ST", "simulated"])
    assert not fits_upright(["simulated", "V100S, vLLM + SmoothQuant", "A100"])


def _axes(spec: FigureSpec, table: TableData) -> Any:
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figures._painter(spec.kind)(figure, axes, spec, table)
    return axes


@pytest.mark.parametrize(
    ("least", "label"), [(0.9, "y (GB/s)\n(axis does not start at 0)"), (0.1, "y (GB/s)")]
)
def test_an_axis_that_does_not_start_at_zero_says_so(least: float, label: str) -> None:
    table = TableData(("x", "a"), [(1, 1e9), (2, least * 1e9)])

    assert _axes(_spec("steps", y=("a",)), table).get_ylabel() == label


def test_roofs_below_the_largest_bandwidth_are_dashed() -> None:
    roofs = (("peak", 1e12, 2e11), ("attainable", 8e11, 1e11))
    axes = _axes(_spec("roofline", y=("a",), roofs=roofs), _table(1))

    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert "attainable: 800 Gop/s" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("kind", ["bar", "stacked_bar"])
def test_text_names_bars_and_more_bars_make_a_taller_figure(kind: str) -> None:
    few, many = (
        TableData(("x", "a", "b"), [(f"layers.*.projection_{i}", 1, 2) for i in range(count)])
        for count in (8, 30)
    )

    assert _size(draw(_spec(kind), many))[1] > _size(draw(_spec(kind), few))[1]


def test_thousands_of_bars_do_not_make_an_endless_figure() -> None:
    table = TableData(("x", "a", "b"), [(f"op {i}", 1, 2) for i in range(5000)])

    assert _size(draw(_spec("bar"), table))[1] < 4000


def test_a_column_of_text_is_refused_where_numbers_are_drawn() -> None:
    table = TableData(("x", "a", "b"), [(1, "many", 2)])

    with pytest.raises(ValueError, match=re.escape("could not convert string to float: 'many'")):
        draw(_spec("line"), table)


def test_thinning_keeps_ends_peaks_and_troughs() -> None:
    y = np.zeros(100_000)
    y[12_345], y[54_321] = 1.0, -1.0
    kept = figures._extremes([y, np.arange(100_000.0)])

    assert len(kept) <= figures.MAX_POINTS + 2
    assert {0, 12_345, 54_321, 99_999} <= set(kept.tolist())


def test_averaging_keeps_the_area() -> None:
    y = np.arange(40_000.0)
    (thinned,) = figures._averages([y])

    assert len(thinned) == figures.MAX_POINTS
    assert thinned.mean() == pytest.approx(y.mean())


def test_short_tables_are_not_thinned() -> None:
    assert figures._extremes([np.zeros(4000)]).tolist() == list(range(4000))


def test_a_roofline_group_is_all_its_ops_over_all_its_bytes_and_all_its_time() -> None:
    # 10 s at 100 op/s and 5 op/B: 1000 ops, 200 B; 30 s at 20 op/s and 2 op/B: 600 ops, 300 B
    spec = _spec("roofline", y=("rate", "seconds"), label="kind")
    table = TableData(
        ("x", "kind", "rate", "seconds"),
        [(5, "linear", 100, 10), (2, "linear", 20, 30), (1, "norm", 1, 10), (0, "copy", 0, 99)],
    )
    linear, norm = points(spec, table)

    assert (linear.label, linear.share) == ("linear", 0.8)
    assert linear.intensity == pytest.approx(1600 / 500)
    assert linear.rate == pytest.approx(1600 / 40)
    assert (norm.label, norm.share) == ("norm", 0.2)


def test_rows_without_labels_are_a_point_each() -> None:
    table = TableData(("x", "a", "b"), [(1, 1e9, 1), (2, 1e9, 1), (4, 1e9, 2)])

    assert [(p.label, p.intensity, p.share) for p in points(_spec("roofline"), table)] == [
        ("", 4, 0.5),
        ("", 1, 0.25),
        ("", 2, 0.25),
    ]


def test_busy_and_idle_have_one_colour_everywhere() -> None:
    assert colour("busy", 0) == colour("busy", 5) == colour("busy_cycles", 3) == MEANINGS["busy"]


def test_the_ninth_series_is_told_from_the_first() -> None:
    assert len({colour("", index) for index in range(2 * len(PALETTE))}) == 2 * len(PALETTE)


def test_text_on_dark_is_white_and_on_light_dark() -> None:
    assert ink_on("#0072B2") == "white"
    assert ink_on("#DDDDDD") != "white"
