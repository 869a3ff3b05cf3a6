"""Sweeps: the points that a file asks for, what they give, what is kept, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import ConfigError, DeadlockError
from hwsim.explore import Plan, Sweep, open_points, plan_of, read_spec, run_sweep, write_sweep
from hwsim.explore import sweep as sweep_module
from hwsim.run import simulate

HEAD = """
machine = "t3/gpu80"
workload = "collective"
set = ["workload.collective=reduce_scatter", "machine.memory=ideal"]
"""
GRID = """
[axes]
"workload.message_bytes" = ["1 MiB", "4 MiB"]
"machine.devices" = [4, 8]
"""
ONE = 'mode = "one_at_a_time"\nmetrics = ["latency"]\n' + GRID
SLOWER = """
[variants]
fast = ["machine.link.bandwidth=150 GB/s"]
slow = ["machine.link.bandwidth=75 GB/s"]

[ratios]
gain = "slow.latency / fast.latency"
"""

Made = Callable[..., tuple[Path, Plan]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Writes a sweep's file; gives its path and its plan."""

    def make(text: str) -> tuple[Path, Plan]:
        path = tmp_path / "spec.toml"
        path.write_text(HEAD + text)
        return path, plan_of(read_spec(path), path)

    return make


def ran(made: Made, text: str, **how: Any) -> Sweep:
    path, plan = made(text)
    return Sweep(path.stem, str(path), read_spec(path), plan, run_sweep(plan, **how))


def alone(*settings: str) -> float:
    fixed = ["workload.collective=reduce_scatter", "machine.memory=ideal"]
    outcome = simulate("t3/gpu80", "collective", [*fixed, *settings]).outcome
    return outcome.metrics["latency"].value


# Points ----------------------------------------------------------------------------------------


def test_a_grid_has_every_combination_and_each_gives_what_a_run_gives(made: Made) -> None:
    points = ran(made, 'metrics = ["latency"]\n' + GRID).to_json()["points"]

    assert [tuple(point["settings"].values()) for point in points] == [
        ("1 MiB", "4"),
        ("1 MiB", "8"),
        ("4 MiB", "4"),
        ("4 MiB", "8"),
    ]
    for point in points:
        settings = [f"{key}={value}" for key, value in point["settings"].items()]
        assert point["metrics"] == {"latency": {"value": alone(*settings), "unit": "s"}}


def test_one_at_a_time_leaves_the_others_at_the_base(made: Made) -> None:
    sweep = ran(made, ONE.replace('"1 MiB", ', '"1 MiB", "2 MiB", '))
    settings = [dict(point.settings) for point in sweep.plan.points]

    assert settings == [
        {},
        {"workload.message_bytes": "1 MiB"},
        {"workload.message_bytes": "2 MiB"},
        {"workload.message_bytes": "4 MiB"},
        {"machine.devices": "4"},
        {"machine.devices": "8"},
    ]
    heads, rows = sweep.table()
    assert heads == ("parameter", "value", "base", "latency")
    assert rows[0][0] == "base"
    assert rows[1][3].endswith("%)")


def test_variants_run_at_each_point_and_ratios_divide_them(made: Made) -> None:
    sweep = ran(made, GRID + SLOWER)

    assert sweep.columns == ("gain",)
    for row in sweep.rows:
        assert row["gain"].value == row["slow.latency"].value / row["fast.latency"].value > 1
    assert sweep.table()[1][-1][0] == "geometric mean"


def test_what_is_asked_twice_is_simulated_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _counted(monkeypatch)
    ran(made, GRID + SLOWER.replace("75 GB/s", "150 GB/s"))
    assert len(calls) == 4


def test_a_path_is_below_the_folder_of_the_file(made: Made, tmp_path: Path) -> None:
    mine = 'system = "t3"\nextends = "t3/gpu80"\n[link]\nlatency = "2 us"\n'
    (tmp_path / "mine.toml").write_text(mine)
    axis = '[axes]\nmachine = ["t3/gpu80", "mine.toml"]\n'
    sweep = ran(made, 'metrics = ["latency"]\n' + axis)
    near, far = (row["latency"].value for row in sweep.rows)
    assert far == pytest.approx(near + 7 * 1.5e-6)


# Running ---------------------------------------------------------------------------------------


def _counted(monkeypatch: pytest.MonkeyPatch, broken: str = "none") -> list[tuple[str, ...]]:
    """The words of every simulation; one with the word ``broken`` in them deadlocks."""
    calls: list[tuple[str, ...]] = []

    def counted(machine: str, workload: str, words: tuple[str, ...]) -> Any:
        calls.append(words)
        if broken in words:
            raise DeadlockError("nothing moves")
        return simulate(machine, workload, words)

    monkeypatch.setattr(sweep_module, "simulate", counted)
    return calls


def test_the_number_of_workers_changes_nothing(made: Made) -> None:
    one, two = (ran(made, GRID + SLOWER, workers=workers) for workers in (1, 2))
    assert one.to_json() == two.to_json()
    assert one.csv() == two.csv()


def test_resume_simulates_what_is_not_there(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = open_points(tmp_path / "out", resume=False)
    whole = ran(made, GRID, points=points)
    files = sorted(points.iterdir())
    files[0].unlink()
    files[1].write_text(files[1].read_text()[:40])
    calls = _counted(monkeypatch)
    again = ran(made, GRID, points=open_points(tmp_path / "out", resume=True), resume=True)

    assert len(calls) == 2
    assert again.to_json() == whole.to_json()


def test_a_new_sweep_in_the_folder_takes_nothing_of_the_last(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(made, GRID, points=open_points(tmp_path / "out", resume=False))
    calls = _counted(monkeypatch)
    ran(made, GRID, points=open_points(tmp_path / "out", resume=False))
    assert len(calls) == 4


def test_a_point_that_fails_is_in_the_table_and_the_others_go_on(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    _counted(monkeypatch, "machine.devices=8")
    sweep = ran(made, GRID)
    rows = list(csv.DictReader(sweep.csv().splitlines()))

    assert [row["error"] for row in rows] == ["", "nothing moves"] * 2
    assert sweep.notes == ("2 of 4 points failed; the first: nothing moves",)
    assert sweep.exit_code == 0


def test_the_error_of_all_is_the_code_of_the_first(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    _counted(monkeypatch, "machine.memory=ideal")
    assert ran(made, GRID).exit_code == DeadlockError.exit_code == 3


# Files -----------------------------------------------------------------------------------------


def test_a_sweep_leaves_its_table_and_its_figures(made: Made, tmp_path: Path) -> None:
    text = (
        GRID
        + SLOWER
        + """
[figures.bars]
kind = "bars"
x = ["machine.devices", "workload.message_bytes"]
y = ["gain"]
geomean = true

[figures.lines]
kind = "lines"
x = ["workload.message_bytes"]
series = "machine.devices"
y = ["fast.latency"]

[figures.stacked]
kind = "stacked"
x = ["machine.devices", "workload.message_bytes"]
y = ["bytes_read", "bytes_written"]
variants = ["fast", "slow"]
"""
    )
    write_sweep(ran(made, text), tmp_path / "out")
    figures = {path.name: path.read_bytes() for path in (tmp_path / "out/figures").iterdir()}

    assert set(figures) == {"bars.png", "lines.png", "stacked.png"}
    assert all(content.startswith(b"\x89PNG") for content in figures.values())
    assert (tmp_path / "out/sweep.md").read_text().count("| ") > 10
    assert len((tmp_path / "out/sweep.csv").read_text().splitlines()) == 5


def test_one_at_a_time_is_drawn_as_a_tornado(made: Made, tmp_path: Path) -> None:
    write_sweep(ran(made, ONE), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/figures").iterdir()] == ["sensitivity.png"]


# What is refused -------------------------------------------------------------------------------

WRONG = [
    ("", "axes must be given"),
    ("[axes]\n", "axes must name at least one setting, got none"),
    (
        '[axes]\n"link.bandwidth" = ["1 GB/s"]\n',
        "axes must have keys that start with machine or workload, got 'link.bandwidth'",
    ),
    (
        '[axes]\n"machine.devices" = []\n',
        "axes must give at least one value, got none of machine.devices",
    ),
    (
        '[axes]\n"machine.devices" = [4, 4]\n',
        "axes must give each value once, got [4, 4] of machine.devices",
    ),
    ('mode = "random"\n' + GRID, "mode must be one of 'grid', 'one_at_a_time', got 'random'"),
    (
        GRID + '[figures.a]\nkind = "bars"\nx = ["machine.mode"]\ny = ["latency"]\n',
        "figures.a.x must name axes, got 'machine.mode'",
    ),
    (
        GRID + SLOWER.replace("slow.latency", "slower.latency"),
        "ratios.gain must be VARIANT.METRIC with one of the variants, got 'slower.latency'",
    ),
    (
        GRID + '[figures.a]\nkind = "tornado"\ny = ["latency"]\n',
        "figures.a.kind must not be tornado with mode = grid, got 'tornado'",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_refused(made: Made, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        made(text)
    assert message in str(refused.value)
    assert "spec.toml" in str(refused.value)


def test_every_wrong_value_is_told_by_its_axis_before_anything_runs(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _counted(monkeypatch)
    with pytest.raises(ConfigError) as refused:
        ran(made, GRID.replace("[4, 8]", '[4, 1, "x"]'))
    told = str(refused.value)

    assert "axes.machine.devices" in told or 'axes."machine.devices"' in told
    assert "got '1'" in told
    assert "got 'x'" in told
    assert calls == []


def test_a_metric_that_no_point_has_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\] must be a metric .*'speed'"):
        _ = ran(made, 'metrics = ["speed"]\n' + GRID).columns


def test_json_is_what_the_contract_says(made: Made) -> None:
    found = json.loads(json.dumps(ran(made, 'metrics = ["latency"]\n' + GRID).to_json()))
    assert found["schema"] == 1
    assert set(found["points"][0]) == {"settings", "metrics"}
