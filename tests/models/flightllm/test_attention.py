"""Attention and what differs between models: masks, buckets, grouped queries, windows, OPT."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_isa import LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.masks import generate_mask
from hwsim.models.flightllm.plan import Plan
from hwsim.outcome import Outcome

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
Words = NDArray[np.uint32]
Program = Callable[[Plan], Words]
LD, ST, MM, MV, MISC, SYS = Opcode
STEP = "workload.phase=decode_step"
PREFILL = "workload.phase=prefill"
BUCKETS = (16, 32, 128, 144, 160, 512, 528, 1024, 1040, 2048)


def at(positions: int) -> tuple[str, str]:
    return STEP, f"workload.kv_length={positions}"


def prompt(tokens: int) -> tuple[str, str]:
    return PREFILL, f"workload.prompt_tokens={tokens}"


def metric(outcome: Outcome, name: str) -> int | float:
    return outcome.metrics[name].value


def latency(outcome: Outcome) -> float:
    return float(metric(outcome, "latency"))


def causal_blocks(layers: int, heads: int, blocks: int) -> NDArray[np.bool_]:
    """Dense causal attention: every block on or below the diagonal, in every head."""
    return np.broadcast_to(np.tri(blocks, dtype=np.bool_), (layers, heads, blocks, blocks))


def rows(outcome: Outcome, name: str, layer: int = 0) -> Any:
    """The op row of that name in a layer."""
    return next(row for row in outcome.ops() if row.name == f"layers.{layer}.{name}")


# Buckets


def test_decode_latency_is_a_staircase_in_buckets_of_16(run: Run, small: str) -> None:
    steps = [{latency(run("vhk158", small, *at(n))) for n in (b - 15, b - 8, b)} for b in BUCKETS]
    assert all(len(step) == 1 for step in steps)
    assert all(max(one) < min(other) for one, other in pairwise(steps))


def test_positions_129_to_144_cost_the_same_and_145_more(run: Run) -> None:
    found = {n: run("vhk158", "llama2_7b", *at(n)) for n in (129, 144, 145)}
    for name in ("latency", "bytes_read", "bytes_written", "instructions", "executed_macs"):
        assert metric(found[129], name) == metric(found[144], name)
    assert latency(found[145]) > latency(found[144])


def test_a_prompt_costs_what_its_bucket_of_128_costs(run: Run, small: str) -> None:
    times = {n: latency(run("vhk158", small, *prompt(n))) for n in (1, 100, 128, 129, 256)}
    assert times[1] == times[100] == times[128] < times[129] == times[256]


def test_bucket_sizes_are_the_machine_s(run: Run, small: str) -> None:
    fine = "machine.buckets.decode=8"
    assert latency(run("vhk158", small, *at(120), fine)) < latency(
        run("vhk158", small, *at(121), fine)
    )
    coarse = "machine.buckets.decode=64"
    assert latency(run("vhk158", small, *at(65), coarse)) == latency(run("vhk158", small, *at(128)))


@pytest.mark.parametrize("machine", ["vhk158", "u280"])
def test_latency_jumps_where_a_group_of_512_columns_is_added(run: Run, machine: str) -> None:
    """QK^T computes whole groups: 16 positions more cost as much as 512 would."""
    before, at_512, after, later = (
        latency(run(machine, "llama2_7b", *at(n))) for n in (496, 512, 528, 544)
    )
    assert after - at_512 > 3 * (at_512 - before)
    assert after - at_512 > 3 * (later - after)


# Masks


def published_and_causal(run: Run, small: str, tokens: int) -> tuple[Outcome, Outcome]:
    causal = run("vhk158", small, *prompt(tokens), "machine.attention.mask=causal")
    return run("vhk158", small, *prompt(tokens)), causal


def test_the_published_mask_skips_blocks(run: Run, small: str) -> None:
    published, causal = published_and_causal(run, small, 1024)
    for name in ("latency", "instructions_mm", "bytes_written", "executed_macs"):
        assert metric(published, name) < metric(causal, name), name
    for name in ("macs", "dense_macs", "instructions_sys"):
        assert metric(published, name) == metric(causal, name), name


def test_the_mask_changes_nothing_but_attention(run: Run, small: str) -> None:
    published, causal = published_and_causal(run, small, 1024)
    for one, other in zip(published.ops(), causal.ops(), strict=True):
        same = (one.cycles, one.bytes_read) == (other.cycles, other.bytes_read)
        if one.type not in ("Attention", "Softmax"):
            assert abs(one.cycles - other.cycles) <= 1, one.name  # edges are rounded to cycles
            assert one.bytes_read == other.bytes_read, one.name
        elif one.type == "Attention":
            assert not same, one.name


def test_a_mask_is_for_prefill_only(run: Run, small: str) -> None:
    causal = run("vhk158", small, *at(1024), "machine.attention.mask=causal")
    assert dict(causal.metrics) == dict(run("vhk158", small, *at(1024)).metrics)


def test_score_products_are_the_column_blocks_that_some_row_of_the_tile_sees(
    plan: Plans, small: str, program: Program, fields: Any
) -> None:
    """Law: one MM a head, tile of 128 rows and seen block of 16 columns (8 blocks of K)."""
    made = plan("vhk158", small, *prompt(512))
    k = fields(program(made), MM)["k"]
    kept = generate_mask(2, 4, 32).kept[:, :, :8, :8]
    tiles = kept.reshape(2, 4, 4, 2, 8).any(axis=3)
    values = 2 * 4 * 4 * 8  # layers, heads, row tiles, column blocks of 16 of the values
    assert np.sum(k == 8) == 4 * tiles.sum()
    assert np.sum(k == 512 // 16) == values + projections_of_width(made, 512)


def projections_of_width(made: Plan, width: int) -> int:
    """MMs of projections with K = ``width``: one a row tile and block of 16 columns."""
    ops = next(made.trace.steps()).ops
    columns = sum(op.n // 16 for op in ops if type(op).__name__ == "Gemm" and op.k == width)
    return columns * 4


def test_a_user_s_mask_is_used(run: Run, small: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    np.savez(path, mask=causal_blocks(2, 4, 32))
    given = f"machine.attention.mask={path}"
    causal = run("vhk158", small, *prompt(512), "machine.attention.mask=causal")
    assert dict(run("vhk158", small, *prompt(512), given).metrics) == dict(causal.metrics)


def test_a_diagonal_mask_computes_the_diagonal_alone(run: Run, small: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    diagonal = np.broadcast_to(np.eye(32, dtype=np.bool_), (2, 4, 32, 32))
    np.savez(path, mask=diagonal)
    found = run("vhk158", small, *prompt(1024), f"machine.attention.mask={path}")
    published, _ = published_and_causal(run, small, 1024)
    assert metric(found, "instructions_mm") < metric(published, "instructions_mm")
    assert latency(found) < latency(published)


def test_a_user_s_block_size_is_used(run: Run, small: str, tmp_path: Path) -> None:
    """Causal in blocks of 16 computes less above the diagonal than in blocks of 64."""
    path = tmp_path / "mask.npz"
    np.savez(path, mask=causal_blocks(2, 4, 128), block_tokens=16)
    fine = run("vhk158", small, *prompt(512), f"machine.attention.mask={path}")
    coarse = run("vhk158", small, *prompt(512), "machine.attention.mask=causal")
    assert metric(fine, "bytes_written") < metric(coarse, "bytes_written")
    assert latency(fine) < latency(coarse)


def test_a_mask_of_another_model_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    np.savez(path, mask=causal_blocks(3, 4, 32))
    message = f"{path}: mask must have shape [2, 4, 32, 32] or more blocks, got [3, 4, 32, 32]"
    with pytest.raises(WorkloadError, match=f"^{re.escape(message)}$"):
        plan("vhk158", small, PREFILL, f"machine.attention.mask={path}")


def test_a_mask_that_ends_before_the_machine_s_longest_prompt_is_refused(
    plan: Plans, small: str, tmp_path: Path
) -> None:
    path = tmp_path / "mask.npz"
    np.savez(path, mask=causal_blocks(2, 4, 31))
    message = f"{path}: mask must have shape [2, 4, 32, 32] or more blocks, got [2, 4, 31, 31]"
    with pytest.raises(WorkloadError, match=f"^{re.escape(message)}$"):
        plan("vhk158", small, PREFILL, f"machine.attention.mask={path}")


def test_a_missing_mask_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    message = f"{path}: mask file must be readable, got No such file or directory"
    with pytest.raises(WorkloadError, match=f"^{re.escape(message)}$"):
        plan("vhk158", small, PREFILL, f"machine.attention.mask={path}")


@pytest.mark.parametrize(
    "machine", ["machine.max_tokens=300", "machine.buckets.prefill=2048"], ids=["short", "coarse"]
)
@pytest.mark.parametrize("mask", ["published", "causal"])
def test_a_mask_covers_the_bucket_of_the_longest_prompt(
    run: Run, small: str, machine: str, mask: str
) -> None:
    """A bucket may reach beyond the longest prompt: 300 positions run the program of 384."""
    found = run("vhk158", small, *prompt(300), machine, f"machine.attention.mask={mask}")
    assert latency(found) >= latency(run("vhk158", small, *prompt(300)))


def test_only_a_prefill_with_the_published_mask_bounds_the_longest_prompt(
    plan: Plans, program: Program
) -> None:
    large = ("llama2_7b", "machine.max_tokens=32768")
    assert program(plan("u280", *large, *at(128))).size
    assert program(plan("u280", *large, *prompt(128), "machine.attention.mask=causal")).size
    message = (
        "machine.max_tokens must be at most 8192 for a published attention mask of 32 layers x "
        "32 heads (any with machine.attention.mask = causal), got 32768"
    )
    with pytest.raises(WorkloadError, match=f"^{re.escape(message)}$"):
        program(plan("u280", *large, *prompt(128)))
    longest = ("llama2_7b", "machine.max_tokens=8192")
    assert program(plan("u280", *longest, *prompt(128))).size


# Grouped queries


def cache_bytes(words: Words, fields: Any, made: Plan) -> int:
    """Buffer bytes of all loads of attention from the cache."""
    load = fields(words, LD)
    regions = [made.memory.regions[i].name for i in made.memory.lookup(load["hbm_addr"])]
    cached = np.array([name.endswith("_cache") for name in regions])
    return int(load["length_1d"][cached & (load["mode"] == LoadMode.A)].sum())


def test_llama3_loads_each_kv_head_once_for_the_queries_that_share_it(
    plan: Plans, program: Program, fields: Any
) -> None:
    """8 KV heads of 128 serve 32 query heads, in each of 32 layers; keys and values."""
    made = plan("u280", "llama3_1_8b", *at(128))
    words = program(made)
    assert cache_bytes(words, fields, made) == 2 * 32 * 8 * 128 * 128
    k, op = fields(words, MV)["k"], fields(words, MISC)["op"]
    assert np.sum(k == 8) == 2 * 32 * 32  # a product for every query head all the same
    assert np.sum(op == MiscOp.SOFTMAX) == 32 * 32


def test_grouped_queries_cost_less_cache_traffic_and_as_many_products(
    run: Run, model: Callable[..., str]
) -> None:
    alone, grouped = (run("u280", model(num_key_value_heads=n), *at(512)) for n in (4, 1))
    for name in ("scores", "values"):
        one, other = rows(alone, name), rows(grouped, name)
        vectors = 4 * (128 if name == "scores" else 512)
        assert one.bytes_read - vectors == 4 * (other.bytes_read - vectors)
        assert one.macs == other.macs
        assert other.cycles <= one.cycles + 1  # edges are rounded to cycles


# Sliding windows


def test_beyond_its_window_a_model_attends_no_more(run: Run, model: Callable[..., str]) -> None:
    windowed = model(model_type="mistral", sliding_window=64)
    plain = model(model_type="mistral")
    times = [latency(run("vhk158", windowed, *at(n))) for n in (48, 64, 80, 512)]
    assert times[0] < times[1] == times[2] == times[3]
    assert latency(run("vhk158", plain, *at(512))) > times[3]
    assert latency(run("vhk158", plain, *at(48))) == times[0]


def test_a_window_skips_blocks_in_prefill(run: Run, model: Callable[..., str]) -> None:
    causal = "machine.attention.mask=causal"
    windowed = run("vhk158", model(model_type="mistral", sliding_window=64), *prompt(512), causal)
    plain = run("vhk158", model(model_type="mistral"), *prompt(512), causal)
    assert metric(windowed, "instructions_mm") < metric(plain, "instructions_mm")
    assert latency(windowed) < latency(plain)


# OPT


@pytest.fixture(scope="module")
def opt(plan: Plans, program: Program, fields: Any) -> dict[Opcode, Any]:
    words = program(plan("u280", "opt_6_7b", *at(128)))
    return {unit: fields(words, unit) for unit in (LD, MV, MISC)}


def test_opt_has_layer_norms_and_no_silu(opt: dict[Opcode, Any]) -> None:
    found = np.unique(opt[MISC]["op"])
    assert set(found.tolist()) == {MiscOp.ADD, MiscOp.SOFTMAX, MiscOp.LAYERNORM}
    assert int(MiscOp.LAYERNORM) == 3
    assert np.sum(opt[MISC]["op"] == MiscOp.LAYERNORM) == 2 * 32 + 1


def test_relu_is_a_flag_of_the_matrix_unit_on_the_last_k_tile_of_fc1(
    opt: dict[Opcode, Any],
) -> None:
    """fc1: 16384 columns in 32 groups, in 32 layers; two K tiles, of which the last writes."""
    relu = opt[MV]["relu"] == 1
    assert relu.sum() == 32 * 32
    assert np.all(opt[MV]["output"][relu] == 1)


def test_every_projection_of_opt_but_the_head_has_a_bias(opt: dict[Opcode, Any]) -> None:
    assert np.sum(opt[LD]["mode"] == LoadMode.BIAS) == 6 * 32


def test_llama_uses_no_relu(plan: Plans, program: Program, fields: Any, small: str) -> None:
    assert not fields(program(plan("u280", small, *at(16))), MV)["relu"].any()


# Batches


def test_a_lone_sequence_decodes_in_mv_and_a_batch_in_mm(run: Run, small: str) -> None:
    one, two = (run("vhk158", small, *at(64), f"workload.batch={n}") for n in (1, 2))
    assert metric(one, "instructions_mm") == 0
    heads, layers = 4, 2
    assert metric(two, "instructions_mv") == 2 * 2 * heads * layers  # attention, a sequence each
    assert metric(two, "instructions_mm") > 0
    assert metric(two, "macs") == 2 * metric(one, "macs")


def test_weights_stream_once_for_a_whole_batch(run: Run, small: str) -> None:
    found = {n: run("vhk158", small, *at(64), f"workload.batch={n}") for n in (2, 16, 128)}
    gate = {n: rows(outcome, "up_proj").bytes_read for n, outcome in found.items()}
    assert gate[16] == gate[2]
    assert gate[128] < 8 * gate[16]
    throughput = [metric(outcome, "throughput") for outcome in found.values()]
    assert all(a < b for a, b in pairwise(throughput))


def test_each_sequence_of_a_batch_reads_its_own_cache(run: Run, small: str) -> None:
    two, four = (run("vhk158", small, *at(64), f"workload.batch={n}") for n in (2, 4))
    for name in ("scores", "values", "k_append"):
        assert rows(four, name).bytes_read == 2 * rows(two, name).bytes_read


@pytest.mark.parametrize("batch", [2, 3])
def test_a_batch_of_prompts_is_as_many_prompts(run: Run, small: str, batch: int) -> None:
    one = run("vhk158", small, *prompt(128))
    many = run("vhk158", small, *prompt(128), f"workload.batch={batch}")
    assert metric(many, "macs") == batch * metric(one, "macs")
    assert latency(many) == pytest.approx(batch * latency(one), rel=0.02)
    assert metric(many, "instructions_mm") == batch * metric(one, "instructions_mm")


@pytest.mark.slow
def test_weights_of_a_batch_of_long_prompts_are_still_in_few_bits(
    run: Run, model: Callable[..., str]
) -> None:
    """Activations of 75 MB: their addresses must not be taken for those of weights."""
    shallow = model(num_hidden_layers=1, intermediate_size=8192, vocab_size=512)
    room = "machine.hbm.capacity=64 GiB"
    read = [
        rows(
            run("vhk158", shallow, *prompt(1024), f"workload.batch={n}", room), "down_proj"
        ).bytes_read
        for n in (1, 9)
    ]
    assert read[1] == 9 * read[0]
