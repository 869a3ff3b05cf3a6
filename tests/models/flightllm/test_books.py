"""The run's own books, and what replay may take for the same work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import InvariantError, ProtocolError
from hwsim.models.flightllm import books
from hwsim.models.flightllm.bill import Bill
from hwsim.models.flightllm.block import BlockWriter
from hwsim.models.flightllm.compiler import Compiled
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.schedule_mm import _LinearMm
from hwsim.models.flightllm.system import simulate
from hwsim.models.flightllm.tiling import RowTile
from hwsim.outcome import Outcome, SimOptions
from hwsim.run import load
from hwsim.workloads import Attention, Gemm, KvAppend, Norm, Softmax

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


SHORT = ("workload.phase=prefill", "workload.prompt_tokens=128")
LONG = ("workload.phase=prefill", "workload.prompt_tokens=512")
OFF_CHIP = (*STEP, "machine.always_on_chip_decode=false")
BATCH = (*STEP, "workload.batch=2")
METADATA = (*STEP, "machine.count_metadata=true")
WHOLE = [
    STEP, SHORT, LONG, OFF_CHIP, BATCH, METADATA, (*LONG, "machine.count_metadata=true"),
    ("workload.phase=decode_step", "workload.kv_length=700"),
    (*LONG, "machine.sparse_dsp_chain=false", "machine.mixed_precision=false"),
    ("workload.phase=prefill", "workload.prompt_tokens=130", "workload.batch=2"),
    ("workload.phase=prefill", "workload.prompt_tokens=77",
     "machine.length_adaptive_compilation=false"),
]  # fmt: skip


def simulated(workload: str, words: tuple[str, ...]) -> Outcome:
    machine, work = load("flightllm/u280", workload, words)
    return simulate(machine.config, work, SimOptions())  # type: ignore[arg-type]


@pytest.mark.parametrize("words", WHOLE)
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_bill_is_exact_for_every_kind_of_step(
    model: Callable[..., str], words: tuple[str, ...], kv_heads: int
) -> None:
    """Whoever runs to the end has been billed to the byte and to the MAC."""
    found = simulated(model(num_key_value_heads=kv_heads), words)
    assert found.metrics["executed_macs"].value > 0


@pytest.mark.parametrize("words", [STEP, LONG])
def test_the_bill_is_exact_for_a_density_map(
    small: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """4144 columns fill no group of 512: the last group's padding is as dense as the group."""
    rng = np.random.default_rng(0)
    path = tmp_path / "maps.npz"
    np.savez(path, gate_proj=rng.choice([0, 2, 4, 8, 16], size=(32, 259)).astype(np.uint8))
    assert simulated(small, (*words, f"machine.weights.density_map={path}")).metrics


READ, WRITTEN = "bytes read must be exactly", "bytes written must be exactly"


@pytest.mark.parametrize(
    ("words", "slot", "message"),
    [
        (STEP, "weight", f"op 2 'layers.0.q_proj': {READ}"),
        (SHORT, "weight", f"op 2 'layers.0.q_proj': {READ}"),
        (LONG, "weight", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "input", f"op 2 'layers.0.q_proj': {READ}"),
        (LONG, "input", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "bias", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "index", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "block_n", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "operand1", f"op 2 'layers.0.q_proj': {READ}"),
        (LONG, "operand1", f"op 2 'layers.0.q_proj': {READ}"),
        (STEP, "operand0", f"op 1 'layers.0.input_norm': {READ}"),
        (STEP, "cache", f"op 11 'layers.0.k_append': {READ}"),
        (LONG, "cache", f"op 11 'layers.0.scores': {READ}"),
        (STEP, "output", f"op 1 'layers.0.input_norm': {WRITTEN}"),
        (LONG, "output", f"op 1 'layers.0.input_norm': {WRITTEN}"),
    ],
)
def test_a_schedule_that_moves_less_than_the_bill_is_an_error(
    small: str,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    slot: str,
    message: str,
) -> None:
    """Every transfer of one sort is of half its bytes."""
    method = "store" if slot == "output" else "load"
    written = getattr(BlockWriter, method)

    def thinner(self: BlockWriter, *args: Any, **keys: Any) -> None:
        *path, length, name = args
        written(self, *path, length // 2 if name == slot else length, name, **keys)

    monkeypatch.setattr(BlockWriter, method, thinner)
    if slot in ("index", "block_n"):
        words = (*words, "machine.count_metadata=true")
    with pytest.raises(InvariantError, match=f"^{re.escape(message)}"):
        simulated(small, words)


def test_weights_that_do_not_stream_again_for_later_rows_are_an_error(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four row tiles the last three load half: still twice what the weights take in HBM."""
    rows, tiles, writes = _LinearMm._row_tile, [], BlockWriter.load

    def tile(self: _LinearMm, of: RowTile) -> None:
        tiles.append(of)
        rows(self, of)

    def thinner(self: BlockWriter, mode: Any, path: Any, length: int, slot: str, **k: Any) -> None:
        later = slot == "weight" and tiles[-1].first
        writes(self, mode, path, length // 2 if later else length, slot, **k)

    monkeypatch.setattr(_LinearMm, "_row_tile", tile)
    monkeypatch.setattr(BlockWriter, "load", thinner)
    with pytest.raises(InvariantError, match=f"^op 2 'layers.0.q_proj': {READ}"):
        simulated(small, LONG)


@pytest.mark.parametrize("words", [STEP, SHORT, LONG])
def test_products_left_out_are_an_error(
    small: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Every MM and MV sums a block of K less than it should, where it has two."""
    computed = BlockWriter.compute

    def thinner(self: BlockWriter, unit: Any, k: int, **keys: Any) -> None:
        computed(self, unit, max(1, k - 1), **keys)

    monkeypatch.setattr(BlockWriter, "compute", thinner)
    with pytest.raises(InvariantError, match=r"^executed MACs must be exactly the \S+ of the run"):
        simulated(small, words)


@pytest.mark.parametrize(
    ("words", "main", "field", "message"),
    [
        (STEP, Gemm, "bytes_read", "op 2 'layers.0.q_proj': bytes read by its shape must be"),
        (LONG, Gemm, "macs", "op 2 'layers.0.q_proj': macs by its shape must be"),
        (LONG, Attention, "macs", "op 11 'layers.0.scores': macs by its shape must be"),
        (STEP, KvAppend, "bytes_read", "op 11 'layers.0.k_append': bytes read by its shape must"),
        (OFF_CHIP, Softmax, "bytes_written", "op 14 'layers.0.softmax': bytes written by its sh"),
        (LONG, Norm, "bytes_written", "op 1 'layers.0.input_norm': bytes written by its shape"),
    ],
)
def test_a_shape_too_small_for_its_op_is_an_error(
    small: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    main: type,
    field: str,
    message: str,
) -> None:
    """A bill of a tenth stands for a shape that the compiler made so much too small."""
    billed = books.bill_of

    def smaller(plan: Plan, compiled: Compiled) -> Bill:
        found = billed(plan, compiled)
        if not isinstance(compiled.operator.main, main):
            return found
        return replace(found, **{field: getattr(found, field) // 10})

    monkeypatch.setattr(books, "bill_of", smaller)
    with pytest.raises(InvariantError, match=f"^{re.escape(message)}"):
        simulated(small, words)


def test_masked_blocks_of_prefill_attention_are_not_owed(plan: Plans, small: str) -> None:
    """Half of a causal mask is; whole blocks of 16 x 16, whatever a query sees of them."""
    made = plan("u280", small, "workload.phase=prefill", "workload.prompt_tokens=128",
                "machine.attention.mask=causal")  # fmt: skip
    operators = made.program(next(made.trace.steps())).operators
    (scores, *_) = [c for c in operators if getattr(c.operator.main, "kind", "") == "scores"]
    coarse_blocks = 3  # of 64 x 64, on and below the diagonal
    assert books.owed(made, scores).macs == 4 * 128 * coarse_blocks * 64 * 64
