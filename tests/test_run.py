"""The books that every run must close, and what a result says of itself."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim import run
from hwsim.errors import InvariantError
from hwsim.outcome import Metric, OpRow, Outcome, Phase, StageCycles
from hwsim.workloads import Norm, Step, Trace, TraceWorkload

HONEST = Outcome(
    metrics={
        "latency": Metric(1e-6, "s"),
        "cycles": Metric(100, "cycle"),
        "memory_bandwidth_utilization": Metric(1.0, "1"),
    },
    phases=(Phase("all", 100, 1e-6),),
    stages={"alu": StageCycles(60, 20, 10, 10)},
    ops=lambda: iter(()),
    events=1,
    headline=("latency",),
    bound_by={"compute": 0.1, "memory": 0.2, "nothing": 0.7},
)


def with_metric(name: str, metric: Metric) -> Outcome:
    return replace(HONEST, metrics={**HONEST.metrics, name: metric})


def test_an_honest_outcome_passes() -> None:
    run.check(HONEST)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (with_metric("energy", Metric(float("inf"), "J")), "metric energy must be finite, got inf"),
        (
            with_metric("energy", Metric(1, "kWh")),  # type: ignore[arg-type]
            "metric energy must have a unit of s B J W 1 cycle token/s token/J op/s B/s, got 'kWh'",
        ),
        (
            with_metric("compute_utilization", Metric(1.01, "1")),
            "metric compute_utilization must be between 0 and 1, got 1.01",
        ),
        (
            with_metric("cycles", Metric(101, "cycle")),
            "stage alu must account for the run's 101 cycles, got 100",
        ),
        (
            replace(HONEST, stages={"alu": StageCycles(110, -10, 0, 0)}),
            (
                "stage alu must have no negative account, "
                "got {'busy': 110, 'starved': -10, 'blocked': 0, 'idle': 0}"
            ),
        ),
        (
            replace(HONEST, bound_by={"memory": 0.9}),
            "bound-by shares must add up to 1, got 0.9",
        ),
        (replace(HONEST, bound_by={}), "bound-by shares must add up to 1, got 0.0"),
        (
            replace(HONEST, bound_by={"memory": 1.5, "compute": -0.5}),
            "bound-by share compute must not be negative, got -0.5",
        ),
        (with_metric("latency", Metric(0, "s")), "metric latency must be positive, got 0"),
        (
            replace(HONEST, metrics={"macs": Metric(0, "1")}, headline=("macs",)),
            "some work must be done, got no metric above 0",
        ),
        (replace(HONEST, headline=("speed",)), "headline must name metrics, got speed"),
    ],
)
def test_a_broken_book_is_named(outcome: Outcome, message: str) -> None:
    with pytest.raises(InvariantError) as caught:
        run.check(outcome)
    assert str(caught.value) == f"the run's books do not close: {message}"


def test_all_broken_books_are_named_at_once() -> None:
    outcome = replace(with_metric("energy", Metric(float("nan"), "J")), bound_by={})
    with pytest.raises(InvariantError, match=r"energy must be finite.*; bound-by shares"):
        run.check(outcome)


def test_without_a_metric_of_cycles_the_phases_say_how_long_the_run_is() -> None:
    metrics = {"latency": Metric(1e-6, "s")}
    run.check(replace(HONEST, metrics=metrics))
    with pytest.raises(InvariantError, match="the run's 7 cycles"):
        run.check(replace(HONEST, metrics=metrics, phases=(Phase("all", 7, 1e-6),)))


OP = Norm(0, "norm", "decode", 1, None, (), kind="rms", rows=1, width=8)
ROW = OpRow(0, "norm", "Norm", "decode", None, 0, 100, 16, 8, 5, "memory")
SUMS = {"macs": Metric(10, "1"), "bytes_read": Metric(32, "B"), "bytes_written": Metric(16, "B")}


def two_ops() -> TraceWorkload:
    step = Step(1, "decode", 1, 1, (OP, replace(OP, index=1)))
    return TraceWorkload("two", Trace.from_steps("two", {}, lambda: iter((step,))))


def test_honest_op_rows_pass_as_they_are() -> None:
    outcome = replace(HONEST, metrics={**HONEST.metrics, **SUMS}, ops=lambda: iter((ROW, ROW)))
    assert list(run.checked_ops(outcome, two_ops())) == [ROW, ROW]
    assert list(run.checked_ops(replace(outcome, metrics={}), two_ops())) == [ROW, ROW]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            (ROW,),
            ("op rows must be as many as the trace's 2 ops, got 1; "
            "macs of the op rows must add up to 10, got 5; "
            "bytes_read of the op rows must add up to 32, got 16; "
            "bytes_written of the op rows must add up to 16, got 8"),
        ),
        ((ROW, ROW, replace(ROW, macs=0, bytes_read=0, bytes_written=0)),
         "op rows must be as many as the trace's 2 ops, got 3"),
        ((ROW, replace(ROW, macs=4)), "macs of the op rows must add up to 10, got 9"),
        ((ROW, replace(ROW, bytes_read=17)),
         "bytes_read of the op rows must add up to 32, got 33"),
        ((ROW, replace(ROW, bytes_written=7)),
         "bytes_written of the op rows must add up to 16, got 15"),
    ],
)  # fmt: skip
def test_op_rows_that_do_not_close_are_named(rows: tuple[OpRow, ...], message: str) -> None:
    outcome = replace(HONEST, metrics={**HONEST.metrics, **SUMS}, ops=lambda: iter(rows))
    with pytest.raises(InvariantError) as caught:
        list(run.checked_ops(outcome, two_ops()))
    assert str(caught.value) == f"the run's books do not close: {message}"


def test_the_commit_is_that_of_the_source_tree(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "hwsim").mkdir()
    source = tmp_path / "hwsim" / "run.py"
    source.write_text("")
    monkeypatch.setattr(run, "__file__", str(source))
    run.git_commit.cache_clear()
    assert run.git_commit() is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    run.git_commit.cache_clear()
    commit = run.git_commit()
    assert commit is not None
    assert len(commit) == 40
    source.write_text("changed")
    run.git_commit.cache_clear()
    assert run.git_commit() == f"{commit}-dirty"
    run.git_commit.cache_clear()


def test_files_are_relative_to_the_machine_file_and_those_of_overrides_to_the_current_folder(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab").mkdir()
    text = 'extends = "flightllm/u280"\nattention.mask = "m.npz"\nweights.density_map = "d.npz"\n'
    Path("lab/mine.toml").write_text(text)

    given = run.load_machine("lab/mine.toml", [("weights.density_map", "d.npz")])
    assert given.config.input_files == {
        "attention.mask": "lab/m.npz",
        "weights.density_map": "d.npz",
    }
    assert run.load_machine("flightllm/u280").config.input_files == {}


def test_the_digest_of_a_machine_is_that_of_its_files_content_wherever_it_is_run(
    tmp_path: Path, monkeypatch: Any
) -> None:
    Path(tmp_path, "mine.toml").write_text('extends = "flightllm/u280"\nattention.mask = "m.npz"\n')
    Path(tmp_path, "m.npz").write_bytes(b"one")
    there = run.load_machine(str(tmp_path / "mine.toml")).sha256
    monkeypatch.chdir(tmp_path)
    assert run.load_machine("mine.toml").sha256 == there
    Path("m.npz").write_bytes(b"two")
    assert run.load_machine("mine.toml").sha256 != there
