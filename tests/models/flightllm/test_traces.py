"""A trace file runs as the named workload it was written from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.operators import fuse
from hwsim.outcome import Outcome
from hwsim.run import load
from hwsim.workloads import Activation, Op, load_workload, write_trace

Run = Callable[..., Outcome]
GENERATE = ("workload.prompt_tokens=100", "workload.output_tokens=20")


def ops_of(workload: str, *overrides: str) -> list[Op]:
    """The ops of the first step."""
    _, work = load("flightllm/u280", workload, overrides)
    return list(next(work.trace.steps()).ops)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("machine", ["u280", "vhk158"])
def test_a_trace_runs_as_its_workload_does(
    run: Run, small: str, tmp_path: Path, suffix: str, machine: str
) -> None:
    path = tmp_path / f"small.{suffix}"
    given = [("prompt_tokens", "100"), ("output_tokens", "20")]
    write_trace(load_workload(small, given).trace, path)
    found, expected = run(machine, str(path)), run(machine, small, *GENERATE)
    assert dict(found.metrics) == dict(expected.metrics)
    assert list(found.ops()) == list(expected.ops())


def tails(ops: list[Op], *, on_chip: bool) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (operator.main.name.rpartition(".")[2], operator.tail + ("softmax",) * operator.softmax)
        for operator in fuse(ops, on_chip=on_chip)
    ]


def test_a_layer_is_fused_as_published(small: str) -> None:
    ops = [op for op in ops_of(small, "workload.phase=decode_step") if op.layer in (0, None)]
    assert tails(ops, on_chip=True) == [
        ("input_norm", ()),
        ("q_proj", ("rope",)),
        ("k_proj", ("rope",)),
        ("v_proj", ()),
        ("k_append", ()),
        ("v_append", ()),
        ("scores", ("softmax",)),
        ("values", ()),
        ("o_proj", ("add",)),
        ("ffn_norm", ()),
        ("gate_proj", ("silu",)),
        ("up_proj", ("mul",)),
        ("down_proj", ("add",)),
        ("final_norm", ()),
        ("lm_head", ()),
    ]


def test_off_chip_nothing_is_fused(small: str) -> None:
    ops = ops_of(small, "workload.phase=decode_step")
    assert all(tail == () for _, tail in tails(ops, on_chip=False))
    assert len(tails(ops, on_chip=False)) == len(ops) - 1  # the embedding is the host's


def test_every_op_belongs_to_one_operator_or_to_the_host(small: str) -> None:
    ops = ops_of(small)
    positions = [i for operator in fuse(ops, on_chip=True) for i in operator.positions]
    hosted = [i for i, op in enumerate(ops) if type(op).__name__ == "Embedding"]
    assert sorted(positions + hosted) == list(range(len(ops)))


def test_an_op_without_an_instruction_is_refused(small: str) -> None:
    ops: list[Any] = ops_of(small, "workload.phase=decode_step")
    at = next(i for i, op in enumerate(ops) if isinstance(op, Activation))
    ops[at] = replace(ops[at], kind="gelu")
    message = (
        f"op {at} 'layers.0.activation': type must be one FlightLLM has an instruction for "
        "(add, mul, softmax, layernorm, rmsnorm, silu, matrix products), got 'Activation gelu'"
    )
    with pytest.raises(WorkloadError) as caught:
        list(fuse(ops, on_chip=True))
    assert str(caught.value) == message


@pytest.fixture
def lines(small: str, tmp_path: Path) -> list[Any]:
    """The records of a trace of a prompt and two steps."""
    path = tmp_path / "lines.jsonl"
    given = [("prompt_tokens", "20"), ("output_tokens", "2")]
    write_trace(load_workload(small, given).trace, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_projection_that_the_first_step_does_not_have_has_its_weights_all_the_same(
    run: Run, lines: list[Any], tmp_path: Path
) -> None:
    """Steps of a trace need not be alike."""
    for line in lines:
        if line.get("phase") == "decode" and line.get("name", "").endswith("up_proj"):
            line["name"] = line["name"].replace("up_proj", "expert_1")
    path = tmp_path / "experts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    found = {row.name: row for row in run("u280", str(path)).ops()}
    assert found["layers.0.expert_1"].bytes_read > 0


def test_a_prompt_in_chunks_is_refused(run: Run, lines: list[Any], tmp_path: Path) -> None:
    """20 tokens that attend 40 positions: the schedule is for whole prompts."""
    for line in lines:
        if line.get("type") == "Step" and line["phase"] == "prefill":
            line["kv_length"] = 40
    path = tmp_path / "chunks.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    with pytest.raises(WorkloadError):
        run("u280", str(path))
