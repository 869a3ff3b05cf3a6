"""Whole layers: an iteration is its ops, and no op is faster than what it moves and computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hwsim.models.t3 import outcome as module
from hwsim.outcome import OpRow, Outcome, SimOptions
from hwsim.run import simulate

MODEL = """
kind = "tensor_parallel"
tensor_parallel = 4
sequence_length = 512
batch = 4

[model]
hidden_size = 512
layers = 3
heads = 8
"""
SMALL = ("machine.compute.units=8", "workload.scope=iteration")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three layers."""
    path = tmp_path_factory.mktemp("model") / "model.toml"
    path.write_text(MODEL)
    return path


def run(model: Path, *words: str, options: SimOptions | None = None) -> Outcome:
    return simulate("t3/gpu80", str(model), [*SMALL, *words], options or SimOptions()).outcome


@pytest.fixture(scope="module")
def iteration(model: Path) -> Outcome:
    return run(model, "machine.compare=sequential")


@pytest.fixture(scope="module")
def rows(iteration: Outcome) -> Sequence[OpRow]:
    return list(iteration.ops())


def test_layers_take_as_long_as_one_times_their_number(model: Path, iteration: Outcome) -> None:
    one = run(model, "workload.model.layers=1", "machine.compare=sequential")
    for name in ("latency", "gemm_latency", "bytes_read", "gemm_rs_bytes_written", "macs"):
        assert iteration.metrics[name].value == pytest.approx(3 * one.metrics[name].value, 1e-12)
    name = "speedup_over_sequential"
    assert iteration.metrics[name].value == pytest.approx(one.metrics[name].value, 1e-12)


def test_a_layer_is_simulated_once(model: Path, iteration: Outcome) -> None:
    one = run(model, "workload.model.layers=1", "machine.compare=sequential")
    assert iteration.events == one.events
    every = run(model, "machine.overlap=ideal", options=SimOptions(replay=False))
    again = run(model, "machine.overlap=ideal")
    assert list(every.ops()) == list(again.ops())
    assert every.events > 3 * again.events


def test_tables_have_all_layers_together(model: Path, iteration: Outcome) -> None:
    one = run(model, "workload.model.layers=1", "machine.compare=sequential")
    for name in ("latency", "traffic", "sublayers"):
        rows, single = iteration.tables[name].rows, one.tables[name].rows
        assert len(rows) == len(single)
        for row, other in zip(rows, single, strict=True):
            for value, of_one in zip(row, other, strict=True):
                if isinstance(value, str):
                    assert value == of_one
                else:
                    assert value == pytest.approx(3 * float(of_one), 1e-12)
    names = [str(row[0]) for row in iteration.tables["latency"].rows]
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("fc2")] == [
        "fc2, sequential",
        "fc2, t3_mca",
        "fc2_data_gradient",
        "fc2_weight_gradient",
    ]


def test_bandwidth_over_time_is_that_of_a_sublayer(iteration: Outcome) -> None:
    """Which moves something for the collective; the norm that the iteration begins with doesn't."""
    table = iteration.tables["bandwidth"]
    place = table.columns.index("collective_writes")
    assert sum(float(row[place]) for row in table.rows) > 0


def test_no_op_beats_the_matrix_cores_or_the_data_buses(rows: Sequence[OpRow]) -> None:
    """8 units of 512 MACs a cycle at 0.9; 1.024 TB/s at 1.4 GHz."""
    for row in rows:
        if row.type in {"Gemm", "Attention"}:
            assert row.cycles >= row.macs / (8 * 512 * 0.9)
        if row.type != "Collective":
            assert row.cycles >= (row.bytes_read + row.bytes_written) / (1.024e12 / 1.4e9)


def test_a_pass_over_large_operands_is_near_the_bandwidth_of_memory(tmp_path: Path) -> None:
    """Refresh and turn-around leave at least 80 %."""
    path = tmp_path / "wide.toml"
    path.write_text(MODEL.replace("heads = 8", "heads = 4").replace("= 512", "= 2048"))
    words = ["workload.scope=iteration", "workload.model.layers=1", "workload.phase=prompt"]
    done = simulate("t3/gpu80", str(path), words).outcome
    norms = [row for row in done.ops() if row.type == "Norm"]
    for row in norms:
        moved = row.bytes_read + row.bytes_written
        assert moved == pytest.approx(2 * 2 * 8192 * 2048, 1e-3)
        assert row.cycles <= moved / (1.024e12 / 1.4e9) / 0.8


def test_a_timeline_ends_where_a_viewer_would_not_take_more(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SimOptions(timeline=True)
    words = ("workload.phase=prompt",)
    whole = run(model, *words, options=options)
    assert whole.timeline is not None
    assert not any("timeline" in note for note in whole.notes)
    records = len(whole.timeline.slices) + len(whole.timeline.samples)
    monkeypatch.setattr(module, "RECORDS_DRAWN", records // 3)
    cut = run(model, *words, options=options)
    assert cut.timeline is not None
    assert cut.timeline.slices == whole.timeline.slices[: len(cut.timeline.slices)]
    assert 0 < len(cut.timeline.slices) < len(whole.timeline.slices)
    (note,) = [note for note in cut.notes if "timeline" in note]
    assert note.startswith("The timeline covers the first ")
