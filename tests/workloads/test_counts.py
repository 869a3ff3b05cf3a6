from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.workloads import (
    OP_TYPES,
    Activation,
    Attention,
    Collective,
    Elementwise,
    Embedding,
    Gemm,
    KvAppend,
    LlmScenario,
    Norm,
    Numerics,
    Op,
    OpCounts,
    Softmax,
    bytes_read,
    bytes_written,
    count,
    effective_macs,
    link_bytes,
    load_workload,
    macs,
    total,
    weight_bytes,
)
from hwsim.workloads.counts import _operand_bytes as operand_bytes
from hwsim.workloads.counts import bias_bytes, packed_bytes, weights

PLACE = (0, "op", "decode", 1, None, ())

OPS = [
    Gemm(*PLACE, m=3, n=5, k=8, role="q_proj", bias=True, density=0.5, weight_dtype="int4"),
    KvAppend(*PLACE, role="k", tokens=1, kv_length=7, kv_heads=2, head_dim=4, batch=3),
    Attention(*PLACE, kind="scores", queries=1, kv_length=7, heads=4, kv_heads=2, head_dim=4),
    Attention(*PLACE, kind="values", queries=1, kv_length=7, heads=4, kv_heads=2, head_dim=4),
    Softmax(*PLACE, rows=4, columns=7),
    Norm(*PLACE, kind="layer", rows=2, width=8),
    Activation(*PLACE, kind="silu", elements=10),
    Elementwise(*PLACE, kind="add", elements=10, role="residual"),
    Embedding(*PLACE, rows=2, width=8),
    Collective(*PLACE, kind="reduce_scatter", bytes=48, devices=4, role="fc2"),
]


def decode_ops(name: str, numerics: Numerics | None = None) -> Iterable[Op]:
    workload = load_workload(name, [("phase", "decode_step"), ("kv_length", "128")])
    return workload.trace_in(numerics or Numerics())


def test_bytes_and_macs_of_each_op_are_the_worked_examples() -> None:
    assert [(bytes_read(op), bytes_written(op), macs(op)) for op in OPS] == [
        (3 * 8 + 10 + 5 * 4, 3 * 5, 3 * 5 * 8),  # 20 of 40 weights kept, INT4; INT32 bias
        (24, 24, 0),
        (16 + 7 * 2 * 4, 4 * 7, 4 * 4 * 7),
        (4 * 7 + 7 * 2 * 4, 16, 4 * 4 * 7),
        (28, 28, 0),
        (16 + 2 * 8, 16, 0),
        (10, 10, 0),
        (20, 10, 0),
        (16, 16, 0),
        (48, 12, 0),
    ]


def test_totals_of_a_trace_are_those_of_its_ops() -> None:
    workload = load_workload("tinyllama_1_1b", [("prompt_tokens", "7"), ("output_tokens", "3")])
    assert workload.trace.totals() == total(workload.trace) == total(list(workload.trace))


COUNTERS = (macs, effective_macs, weights, bias_bytes, weight_bytes, bytes_read, bytes_written,
            link_bytes, operand_bytes)  # fmt: skip


@pytest.mark.parametrize("counter", COUNTERS)
def test_every_type_of_op_has_a_case(counter: Callable[[Op], int]) -> None:
    assert {type(op) for op in OPS} == set(OP_TYPES.values())
    assert all(counter(op) >= 0 for op in OPS)


@pytest.mark.parametrize("counter", COUNTERS)
def test_an_unknown_type_of_op_is_not_counted_as_nothing(counter: Callable[[Op], int]) -> None:
    with pytest.raises(TypeError, match=r"^op op must be of a known type, got Op$"):
        counter(Op(*PLACE))


@pytest.mark.parametrize(
    ("elements", "dtype", "expected"),
    [
        (3, "int8", 3),
        (3, "int4", 2),
        (3, "int3", 2),
        (8, "int3", 3),
        (5, "fp16", 10),
        (0, "int5", 0),
    ],
)
def test_packed_bytes_fill_up_the_last_byte(elements: int, dtype: str, expected: int) -> None:
    assert packed_bytes(elements, dtype) == expected


def test_bias_is_int32_beside_integer_weights_and_of_the_output_type_otherwise() -> None:
    gemm = OPS[0]
    assert bias_bytes(gemm) == 20
    half = dataclasses.replace(gemm, weight_dtype="bf16", output_dtype="bf16")
    assert bias_bytes(half) == 10
    assert bias_bytes(dataclasses.replace(gemm, bias=False)) == 0


def test_density_scales_weights_and_effective_macs_but_not_dense_macs() -> None:
    dense = Gemm(*PLACE, m=2, n=10, k=10, role="q_proj")
    sparse = dataclasses.replace(dense, density=0.7)
    assert (macs(sparse), effective_macs(sparse)) == (200, 140)
    assert (weights(sparse), weight_bytes(sparse)) == (70, 70)
    assert effective_macs(dense) == macs(dense)


def test_activations_as_second_operand_are_read_but_are_no_weights() -> None:
    product = Gemm(*PLACE, m=2, n=10, k=5, role="fc1", density=0.5)
    gradient = dataclasses.replace(product, operand="activations", weight_dtype="fp16")
    assert (weights(product), weight_bytes(product), bytes_read(product)) == (25, 25, 10 + 25)
    assert (weights(gradient), weight_bytes(gradient), bytes_read(gradient)) == (0, 0, 10 + 50)
    assert effective_macs(gradient) == effective_macs(product) == 50


@pytest.mark.parametrize(
    ("kind", "read", "written", "sent"),
    [
        ("reduce_scatter", 96, 12, 84),
        ("all_gather", 12, 96, 84),
        ("all_reduce", 96, 96, 168),
        ("all_to_all", 96, 96, 84),
    ],
)
def test_a_collective_reads_and_writes_memory_and_sends_apart_from_that(
    kind: str, read: int, written: int, sent: int
) -> None:
    op = Collective(*PLACE, kind=kind, bytes=96, devices=8, role="fc2")
    counts = count(op)
    assert (counts.bytes_read, counts.bytes_written, counts.link_bytes) == (read, written, sent)
    assert (counts.macs, counts.weight_bytes) == (0, 0)


def test_parts_of_a_vector_that_does_not_divide_are_the_largest_kept_and_the_most_sent() -> None:
    op = Collective(*PLACE, kind="reduce_scatter", bytes=10, devices=4, role="fc2")
    assert (bytes_written(op), link_bytes(op)) == (3, 8)


@given(st.integers(1, 40), st.integers(0, 40), st.none() | st.integers(1, 90), st.booleans())
def test_effective_macs_of_attention_count_the_scores_a_query_sees(
    queries: int, past: int, window: int | None, causal: bool
) -> None:
    kv_length = past + queries
    op = Attention(
        *PLACE,
        kind="scores",
        queries=queries,
        kv_length=kv_length,
        heads=1,
        kv_heads=1,
        head_dim=1,
        causal=causal,
        window=window,
    )
    last_seen = [past + query + 1 if causal else kv_length for query in range(queries)]
    seen = sum(min(last, window or last) for last in last_seen)
    assert effective_macs(op) == seen
    assert effective_macs(op) <= macs(op) == queries * kv_length


def test_total_is_the_sum_of_all_counts() -> None:
    ops = OPS * 3
    by_hand = sum((count(op) for op in ops), OpCounts())
    assert total(ops) == by_hand
    assert total(ops).ops == len(ops)
    assert total([]) == OpCounts()


@pytest.mark.parametrize(
    ("name", "gemm_weights"),
    [
        ("llama2_7b", 6_607_077_376),
        ("llama2_13b", 12_851_609_600),
        ("llama3_1_8b", 7_504_658_432),
        ("mistral_7b", 7_110_393_856),
        ("tinyllama_1_1b", 1_034_420_224),
        ("qwen2_5_7b", 7_070_285_824),
        ("opt_6_7b", 6_648_365_056),
    ],
)
def test_gemm_weights_of_a_step_are_those_of_the_model(name: str, gemm_weights: int) -> None:
    shape = load_workload(name).shape
    linears = [*(linear for linear in shape.linears for _ in range(shape.layers)), shape.head]
    assert sum(linear.inputs * linear.outputs for linear in linears) == gemm_weights
    assert sum(weights(op) for op in decode_ops(name)) == gemm_weights


def test_llama2_7b_after_the_published_density_has_6_285e9_macs() -> None:
    published = Numerics(weights="int4", density={"q_proj": 0.7, "k_proj": 0.7})
    gemms = [op for op in decode_ops("llama2_7b", published) if isinstance(op, Gemm)]
    assert sum(map(macs, gemms)) == 6_607_077_376
    assert sum(map(effective_macs, gemms)) == pytest.approx(6.285e9, rel=1e-4)
    sparse = [op for op in gemms if op.density != 1.0]
    assert sum(map(weight_bytes, sparse)) == pytest.approx(375.8e6, rel=1e-4)


def test_a_decode_step_of_llama2_7b_has_the_closed_form_of_attention_macs() -> None:
    attention = [op for op in decode_ops("llama2_7b") if isinstance(op, Attention)]
    assert sum(map(macs, attention)) == 32 * 2 * 128 * 4096
    assert sum(map(effective_macs, attention)) == sum(map(macs, attention))


def test_grouped_queries_shrink_the_cache_and_not_the_macs() -> None:
    def cache_bytes(name: str) -> int:
        return sum(bytes_written(op) for op in decode_ops(name) if isinstance(op, KvAppend))

    def attention_macs(name: str) -> int:
        return sum(macs(op) for op in decode_ops(name) if isinstance(op, Attention))

    assert cache_bytes("llama2_7b") == 4 * cache_bytes("llama3_1_8b")
    assert attention_macs("llama2_7b") == attention_macs("llama3_1_8b")


def test_prefill_macs_are_prompt_times_weights_plus_attention() -> None:
    prompt = 64
    scenario = [("phase", "prefill"), ("prompt_tokens", str(prompt))]
    workload = load_workload("llama2_7b", scenario)
    counted = total(workload.trace)
    attention = 32 * 2 * prompt * prompt * 4096
    assert counted.macs == prompt * 6_607_077_376 + attention
    seen = 32 * 2 * (prompt * (prompt + 1) // 2) * 4096
    assert counted.effective_macs == prompt * 6_607_077_376 + seen


def test_batch_multiplies_macs_and_reads_weights_once() -> None:
    one = load_workload("tinyllama_1_1b", [("phase", "decode_step")])
    four = load_workload("tinyllama_1_1b", [("phase", "decode_step"), ("batch", "4")])
    assert isinstance(one.scenario, LlmScenario)
    single, batched = total(one.trace), total(four.trace)
    assert batched.macs == 4 * single.macs
    embedding = 3 * 2048  # one row a sequence
    assert batched.weight_bytes == single.weight_bytes + embedding
