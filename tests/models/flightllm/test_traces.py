"""A trace file runs as the named workload it was written from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.operators import fuse
from hwsim.outcome import Outcome
from hwsim.run import load
from hwsim.workloads import Activation, Gemm, Op, Trace, load_workload, write_trace

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


def test_a_density_map_stands_above_the_sparsity_of_a_trace(
    run: Run, small: str, tmp_path: Path
) -> None:
    """And the trace's own above the config's."""
    given = [("phase", "decode_step"), ("kv_length", "40")]
    trace = load_workload(small, given).trace
    steps = [replace(step, ops=tuple(halved(op) for op in step.ops)) for step in trace.steps()]
    path, maps = tmp_path / "small.jsonl", tmp_path / "maps.npz"
    write_trace(Trace.from_steps("small", {}, lambda: iter(steps)), path)
    np.savez(maps, **{"layers.0.q_proj": np.full((32, 32), 2, np.uint8)})
    found = run("u280", str(path), f"machine.weights.density_map={maps}")
    rows = {row.name: row.macs for row in found.ops()}
    assert rows["layers.0.q_proj"] == 512 * 512 / 8
    assert rows["layers.1.q_proj"] == 512 * 512 / 2
    assert found.metrics["macs"].value == sum(rows.values())


def halved(op: Op) -> Op:
    return replace(op, density=0.5) if isinstance(op, Gemm) else op


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


def saved(path: Path, lines: list[Any]) -> str:
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return str(path)


def message_of(run: Run, path: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        run("u280", path)
    return str(caught.value)


ROLES = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, fc1, fc2, lm_head"
INT8 = (
    "must be int8, which the machine computes in (machine.weights says how weights are stored), got"
)


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        (
            0,
            {"kv_length": 40},
            ("tokens must be a multiple of kv_length = 40 (whole prompts) in a prefill, got 20"),
        ),
        (
            0,
            {"kv_length": 2049, "tokens": 2049},
            ("kv_length must be at most machine.max_tokens = 2048, got 2049"),
        ),
        (1, {"kv_length": None}, "kv_length is missing; it must be given here"),
        (0, {"tokens": 2**40}, "tokens must be at most 4194304, got 1099511627776"),
        (1, {"tokens": 2**62}, "tokens must be at most 4194304, got 4611686018427387904"),
    ],
)
def test_a_step_that_the_machine_would_run_as_something_else_is_refused(
    run: Run, lines: list[Any], tmp_path: Path, step: int, change: dict[str, Any], message: str
) -> None:
    next(line for line in lines if "tokens" in line and line.get("index") == step).update(change)
    path = saved(tmp_path / "t.jsonl", lines)
    assert message_of(run, path) == f"{path}: step {step}: {message}"


def test_training_is_refused(run: Run, lines: list[Any], tmp_path: Path) -> None:
    for line in lines:
        if line.get("phase") == "prefill":
            line["phase"] = "forward"
    path = saved(tmp_path / "t.jsonl", lines)
    message = "step 0: phase must be prefill or decode, got 'forward'"
    assert message_of(run, path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("prefill q_proj", {"m": 21}, "m must be 20 in this step, got 21"),
        ("prefill q_proj", {"m": 2**40}, f"m must be 20 in this step, got {2**40}"),
        (
            "prefill q_proj",
            {"n": 2**40},
            ("work must be of at most 4194304 rows or tiles, got 68719476736"),
        ),
        ("prefill q_proj", {"role": "query"}, f"role must be one of {ROLES}, got 'query'"),
        ("prefill q_proj", {"input_dtype": "fp16"}, f"input_dtype {INT8} 'fp16'"),
        ("prefill q_proj", {"weight_dtype": "int3"}, f"weight_dtype {INT8} 'int3'"),
        ("prefill q_proj", {"output_dtype": "int32"}, f"output_dtype {INT8} 'int32'"),
        (
            "prefill q_proj",
            {"operand": "activations"},
            "operand must be 'parameters', as it is stored before the run, got 'activations'",
        ),
        (
            "prefill gate",
            {"role": "gradient"},
            "role must not be that of training, got 'gradient'",
        ),
        ("decode k_append", {"kv_dtype": "fp8"}, f"kv_dtype {INT8} 'fp8'"),
        ("decode input_norm", {"dtype": "bf16"}, f"dtype {INT8} 'bf16'"),
        ("decode k_append", {"tokens": 2}, "tokens must be 1 in this step, got 2"),
        (
            "decode k_append",
            {"kv_length": 99},
            ("kv_length must be at most the step's kv_length = 21, got 99"),
        ),
        (
            "decode k_append",
            {"layer": None},
            ("layer must be from 0 to 9999, as each has a cache, got None"),
        ),
        ("prefill scores", {"causal": False}, "causal must be True in this step, got False"),
        (
            "prefill scores",
            {"layer": 10**4},
            "layer must be from 0 to 9999, as each has a cache, got 10000",
        ),
        ("prefill scores", {"queries": 4}, "queries must be 20 in this step, got 4"),
        ("prefill scores", {"kv_length": 24}, "kv_length must be 20 in this step, got 24"),
        ("decode scores", {"batch": 2}, "batch must be 1 in this step, got 2"),
        ("decode scores", {"window": 8}, "window must be None in this step, got 8"),
        (
            "decode values",
            {"heads": 2**40},
            (f"work must be of at most 4194304 rows or tiles, got {2**43}"),
        ),
        ("decode values", {"heads": 8}, "heads must be 4 as in op 11 'layers.0.scores', got 8"),
        ("prefill ffn_norm", {"rows": 3}, "rows must be 20 in this step, got 3"),
        (
            "prefill softmax",
            {"rows": 81},
            ("rows must be a multiple of the step's tokens = 20, got 81"),
        ),
        (
            "decode softmax",
            {"columns": 22},
            ("columns must be at most the step's kv_length = 21, got 22"),
        ),
        (
            "prefill gate",
            {"elements": 33},
            ("elements must be a multiple of the step's tokens = 20, got 33"),
        ),
        (
            "decode gate",
            {"elements": 2**40},
            (f"work must be of at most 4194304 rows or tiles, got {2**31}"),
        ),
        ("decode o_proj", {"k": 256}, "k must be 512 as in op 14 'layers.0.o_proj', got 256"),
        ("decode lm_head", {"bias": True}, "bias must be False as in op 46 'lm_head', got True"),
        (
            "decode down_proj",
            {"density": 0.5},
            ("density must be 1.0 as in op 21 'layers.0.down_proj', got 0.5"),
        ),
    ],
)
def test_a_field_that_the_machine_would_ignore_is_refused(
    run: Run, lines: list[Any], tmp_path: Path, place: str, change: dict[str, Any], message: str
) -> None:
    phase, name = place.split()
    op = next(
        line
        for line in lines
        if line.get("phase") == phase and line.get("name", "").rpartition(".")[2] == name
    )
    op.update(change)
    path = saved(tmp_path / "t.jsonl", lines)
    assert message_of(run, path) == f"{path}: op {op['index']} {op['name']!r}: {message}"


def test_a_mask_without_end_is_refused(run: Run, lines: list[Any], tmp_path: Path) -> None:
    """It has room for every layer up to the last."""
    next(line for line in lines if line.get("name") == "layers.1.scores").update(layer=9999)
    path = saved(tmp_path / "t.jsonl", lines)
    assert message_of(run, path) == (
        "machine.max_tokens must be at most 1280 for a published attention mask of 10000 layers x "
        "4 heads (any with machine.attention.mask = causal), got 2048"
    )


def odd(lines: list[Any]) -> list[Any]:
    """Sizes that fill no block, ops that are not as large as what they follow, none alike."""
    for line in lines:
        name, layer = line.get("name", "").rpartition(".")[2], line.get("layer")
        if name in ("up_proj", "q_proj", "fc1"):
            line.update(n=line["n"] + 3 + 16 * layer)
        if name == "down_proj":
            line.update(k=line["k"] - 7 * (1 + layer))
        if name in ("scores", "values"):
            line.update(head_dim=20 * layer + 4, kv_heads=1 + layer)
        if name == "softmax" and layer:
            line.update(rows=2 * line["rows"])
        if name == "v_append":
            line.update(head_dim=5)
        if name == "ffn_add" and line["phase"] == "decode":
            line.update(elements=77)
    return lines


@pytest.mark.parametrize("switch", ["machine.cores=3", "machine.always_on_chip_decode=false"])
def test_replay_of_an_odd_trace_is_exact(
    run: Run, lines: list[Any], tmp_path: Path, switch: str
) -> None:
    path = saved(tmp_path / "odd.jsonl", odd(lines))
    found, expected = run("u280", path, switch), run("u280", path, switch, replay=False)
    assert found.events < expected.events
    assert dict(found.metrics) == dict(expected.metrics)
    assert dict(found.stages) == dict(expected.stages)
    assert list(found.ops()) == list(expected.ops())


def test_heads_narrower_than_a_block_have_room_in_the_cache(
    run: Run, model: Callable[..., str]
) -> None:
    """A head of 4 is loaded in blocks of 16: every block from its own cache, at INT8."""
    step = ("workload.phase=decode_step", "workload.kv_length=512")
    rows = {row.name: row for row in run("u280", model(head_dim=4), *step).ops()}
    loaded = rows["layers.0.values"].bytes_read
    assert loaded == 4 * 512 * 16 + 4 * 512  # four heads' values, and their scores
