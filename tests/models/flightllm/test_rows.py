"""The rows of ``ops.csv``: every op of the trace, in order, with all of the work."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hwsim.outcome import OpRow, Outcome
from hwsim.run import load

Run = Callable[..., Outcome]
GENERATE = ("workload.prompt_tokens=100", "workload.output_tokens=20")
RUNS = {
    "decode": ("workload.phase=decode_step", "workload.kv_length=100"),
    "prefill": ("workload.phase=prefill", "workload.prompt_tokens=100"),
    "generate": GENERATE,
    "batch": ("workload.phase=decode_step", "workload.batch=3"),
    "off chip": (*GENERATE, "machine.always_on_chip_decode=false"),
    "metadata": (*GENERATE, "machine.count_metadata=true"),
}
MODELS = ["small", "grouped", "opt"]


@pytest.fixture(scope="module")
def workloads(model: Callable[..., str]) -> dict[str, str]:
    plain = {"model_type": "opt", "ffn_dim": 2048, "word_embed_proj_dim": 512}
    rest = {"activation_function": "relu", "do_layer_norm_before": True, "hidden_act": None}
    opt = {key: value for key, value in {**plain, **rest}.items() if value is not None}
    return {"small": model(), "grouped": model(num_key_value_heads=2), "opt": model(**opt)}


@pytest.fixture(params=[(m, r) for m in MODELS for r in RUNS], ids="-".join)
def case(request: pytest.FixtureRequest, workloads: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    name, words = request.param
    return workloads[name], RUNS[words]


def rows_of(run: Run, case: tuple[str, tuple[str, ...]]) -> tuple[list[OpRow], Outcome]:
    outcome = run("u280", case[0], *case[1])
    return list(outcome.ops()), outcome


def test_every_op_of_the_trace_has_a_row(run: Run, case: Any) -> None:
    rows, _ = rows_of(run, case)
    _, work = load("flightllm/u280", case[0], case[1])
    ops = [op for step in work.trace.steps() for op in step.ops]
    assert [row.index for row in rows] == list(range(len(ops)))
    for row, op in zip(rows, ops, strict=True):
        assert (row.name, row.type, row.phase, row.layer) == (
            op.name, type(op).__name__, op.phase, op.layer,
        )  # fmt: skip


def test_rows_end_after_they_start_and_within_the_run(run: Run, case: Any) -> None:
    rows, outcome = rows_of(run, case)
    cycles = outcome.metrics["cycles"].value
    for row in rows:
        assert 0 <= row.start_cycle <= row.end_cycle <= cycles
    assert max(row.end_cycle for row in rows) >= cycles - 1


def test_operators_start_in_program_order(run: Run, case: Any) -> None:
    rows, _ = rows_of(run, case)
    starts = [row.start_cycle for row in rows if row.bytes_read or row.type == "Norm"]
    assert all(one <= other for one, other in pairwise(starts))


def test_operators_end_in_program_order_but_for_loads_of_the_cache(run: Run, case: Any) -> None:
    """Growing the cache has a barrier that waits for nothing: its loads go on under the next."""
    rows, _ = rows_of(run, case)
    ends = [row.end_cycle for row in rows if row.bytes_written]
    assert all(one <= other for one, other in pairwise(ends))


def test_macs_and_bytes_of_the_rows_add_up_to_the_metrics(run: Run, case: Any) -> None:
    rows, outcome = rows_of(run, case)
    assert sum(row.macs for row in rows) == outcome.metrics["macs"].value
    assert sum(row.bytes_written for row in rows) == outcome.metrics["bytes_written"].value
    read = sum(row.bytes_read for row in rows)  # each rounded to a byte
    assert read == pytest.approx(outcome.metrics["bytes_read"].value, abs=len(rows) / 2)


def test_what_is_fused_moves_nothing_of_its_own(run: Run, small: str) -> None:
    for row in run("u280", small, *RUNS["decode"]).ops():
        if row.type in ("Elementwise", "Activation", "Softmax"):
            assert (row.bytes_read, row.bytes_written, row.bound_by) == (0, 0, "fused")


def test_what_the_host_does_takes_no_time_and_moves_nothing(run: Run, small: str) -> None:
    hosted = [row for row in run("u280", small, *GENERATE).ops() if row.type == "Embedding"]
    assert len(hosted) == 1 + 20
    for row in hosted:
        assert (row.cycles, row.bytes_read, row.bytes_written, row.bound_by) == (0, 0, 0, "host")


def test_steps_follow_one_another(run: Run, small: str) -> None:
    outcome = run("u280", small, *GENERATE)
    rows = list(outcome.ops())
    prefill = [row for row in rows if row.phase == "prefill"]
    decode = [row for row in rows if row.phase == "decode"]
    assert max(row.end_cycle for row in prefill) <= min(row.start_cycle for row in decode)
    assert [phase.name for phase in outcome.phases] == ["prefill", "decode"]
    assert sum(phase.cycles for phase in outcome.phases) == outcome.metrics["cycles"].value


def test_rows_can_be_read_twice(run: Run, small: str) -> None:
    outcome = run("u280", small, *GENERATE)
    assert list(outcome.ops()) == list(outcome.ops())


def test_what_binds_is_the_busiest_unit(run: Run) -> None:
    """U280 decode is HBM-bound, VHK158 decode bound by the matrix engine, as published."""
    step = ("workload.phase=decode_step", "workload.kv_length=128")
    shares = {m: run(m, "llama2_7b", *step).bound_by for m in ("u280", "vhk158")}
    assert max(shares["u280"], key=lambda name: shares["u280"][name]) == "hbm_read"
    assert max(shares["vhk158"], key=lambda name: shares["vhk158"][name]) == "compute"
