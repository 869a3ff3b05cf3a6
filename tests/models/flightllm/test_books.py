"""The run's own books, and what replay may take for the same work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InvariantError, ProtocolError
from hwsim.models.flightllm import books
from hwsim.models.flightllm.compiler import Compiled
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.system import simulate
from hwsim.outcome import Outcome, SimOptions
from hwsim.run import load

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
STEP = ("workload.phase=decode_step", "workload.kv_length=100")


def test_bytes_of_the_op_rows_add_up_to_the_metrics(run: Run, small: str) -> None:
    found = run("u280", small, "workload.prompt_tokens=30", "workload.output_tokens=20")
    rows = list(found.ops())
    assert sum(row.bytes_read for row in rows) == found.metrics["bytes_read"].value
    assert sum(row.bytes_written for row in rows) == found.metrics["bytes_written"].value


def test_layers_of_equal_mean_density_are_not_the_same_work(
    plan: Plans, small: str, tmp_path: Path
) -> None:
    """Replay must tell apart two maps with the same mean and another layout."""
    step = next(plan("u280", small, *STEP).trace.steps())
    op = next(op for op in step.ops if op.name == "layers.0.q_proj")
    upper = np.zeros((op.k // 16, op.n // 16), np.uint8)
    upper[: len(upper) // 2] = 16
    path = tmp_path / "maps.npz"
    np.savez(path, **{"layers.0.q_proj": upper, "layers.1.q_proj": upper[::-1]})
    made = plan("u280", small, *STEP, f"machine.weights.density_map={path}")
    keys = {
        compiled.operator.main.name: compiled.key
        for compiled in made.program(next(made.trace.steps())).operators
    }
    assert keys["layers.0.q_proj"] != keys["layers.1.q_proj"]


def test_a_bucket_beyond_a_group_reads_the_same_for_every_prompt_in_it(
    run: Run, small: str
) -> None:
    """A program addresses its whole bucket, however short the prompt is."""
    bucket = ("machine.buckets.prefill=1024", "workload.phase=prefill")
    short = run("vhk158", small, *bucket, "workload.prompt_tokens=100")
    long = run("vhk158", small, *bucket, "workload.prompt_tokens=1000")
    assert short.metrics["bytes_read"] == long.metrics["bytes_read"]
    assert short.metrics["latency"] == long.metrics["latency"]


def test_an_address_between_tensors_is_a_protocol_error(plan: Plans, small: str) -> None:
    memory = plan("u280", small, *STEP).memory
    gaps = [r for r, n in zip(memory.regions, memory.regions[1:], strict=False)
            if r.base + r.size < n.base]  # fmt: skip
    assert gaps
    astray = np.array([gaps[0].base + gaps[0].size], np.int64)
    with pytest.raises(ProtocolError, match=r"^hbm_addr must lie in a tensor, got \d+ beyond "):
        memory.lookup(astray)


def test_the_window_decides_where_the_run_began_does_not(tmp_path: Path) -> None:
    """Position 101 of a window of 100 costs the same in a run and alone."""
    import json

    from hwsim.models.flightllm.system import simulate

    model = {
        "model_type": "mistral", "hidden_size": 512, "intermediate_size": 1024,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2,
        "vocab_size": 1024, "max_position_embeddings": 4096, "sliding_window": 100,
        "hidden_act": "silu", "rms_norm_eps": 1e-5,
    }  # fmt: skip
    path = tmp_path / "windowed.json"
    path.write_text(json.dumps(model))

    def last_step(*words: str) -> float:
        machine, work = load("flightllm/u280", str(path), words)
        found = simulate(machine.config, work, SimOptions())  # type: ignore[arg-type]
        return float(found.metrics["decode_step_latency"].value)

    alone = last_step("workload.phase=decode_step", "workload.kv_length=101")
    in_run = last_step("workload.prompt_tokens=97", "workload.output_tokens=4")
    assert in_run == alone


def test_a_unit_without_work_is_idle_and_one_that_waits_for_tokens_is_starved(
    run: Run, small: str
) -> None:
    """In a decode step MM has no instructions; MV has, and waits for loads; LD waits for MV."""
    found = run("u280", small, *STEP)
    cycles = found.metrics["cycles"].value
    unused, matrix = found.stages["core.MM"], found.stages["core.MV"]
    assert (unused.idle, unused.starved, unused.busy, unused.blocked) == (cycles, 0, 0, 0)
    assert matrix.starved > matrix.idle > 0


PROMPT = ("workload.phase=prefill", "workload.prompt_tokens=130")
READ, WRITTEN = "bytes read must be at least", "bytes written must be at least"


@pytest.mark.parametrize(
    ("words", "kind", "field", "message"),
    [
        (STEP, "q_proj", "bytes_read", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "q_proj", "bytes_written", f"op 2 'layers.0.q_proj': {WRITTEN}"),
        (STEP, "KvAppend", "bytes_read", f"op 11 'layers.0.k_append': {READ}"),
        (STEP, "scores", "bytes_read", f"op 13 'layers.0.scores': {READ}"),
        (STEP, "values", "bytes_written", f"op 15 'layers.0.values': {WRITTEN}"),
        (STEP, "scores", "macs", "executed MACs must be at least the "),
        (STEP, "q_proj", "macs", "executed MACs must be at least the "),
        (PROMPT, "Norm", "bytes_written", f"op 1 'layers.0.input_norm': {WRITTEN}"),
        (PROMPT, "v_proj", "bytes_read", f"op 10 'layers.0.v_proj': {READ}"),
        (PROMPT, "values", "bytes_written", f"op 13 'layers.0.values': {WRITTEN}"),
        (PROMPT, "scores", "bytes_read", f"op 11 'layers.0.scores': {READ}"),
        (PROMPT, "scores", "macs", "executed MACs must be at least the "),
    ],
)
def test_an_operator_that_did_less_than_it_owes_is_an_error(
    small: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    kind: str,
    field: str,
    message: str,
) -> None:
    """A bill many times as large stands for a machine that does so much less."""
    counted = books.owed
    times = 2 if words is STEP and field != "macs" else 10_000

    def larger(plan: Plan, compiled: Compiled) -> books.Owed:
        found, op = counted(plan, compiled), compiled.operator.main
        if kind not in (getattr(op, "role", ""), getattr(op, "kind", ""), type(op).__name__):
            return found
        return replace(found, **{field: times * getattr(found, field)})

    monkeypatch.setattr(books, "owed", larger)
    machine, work = load("flightllm/u280", small, words)
    with pytest.raises(InvariantError, match=f"^{re.escape(message)}"):
        simulate(machine.config, work, SimOptions())  # type: ignore[arg-type]


def test_masked_blocks_of_prefill_attention_are_not_owed(plan: Plans, small: str) -> None:
    """Half of a causal mask is; whole blocks of 16 x 16, whatever a query sees of them."""
    made = plan("u280", small, "workload.phase=prefill", "workload.prompt_tokens=128",
                "machine.attention.mask=causal")  # fmt: skip
    operators = made.program(next(made.trace.steps())).operators
    (scores, *_) = [c for c in operators if getattr(c.operator.main, "kind", "") == "scores"]
    coarse_blocks = 3  # of 64 x 64, on and below the diagonal
    assert books.owed(made, scores).macs == 4 * 128 * coarse_blocks * 64 * 64
