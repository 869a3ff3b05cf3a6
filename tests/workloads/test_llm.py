from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import WorkloadError
from hwsim.workloads import (
    Attention,
    Elementwise,
    Gemm,
    KvAppend,
    LlmScenario,
    LlmShape,
    Numerics,
    Softmax,
    Step,
    Trace,
    build_trace,
    load_workload,
)

LLAMA2_7B = load_workload("llama2_7b").shape


def tiny(**changes: object) -> LlmShape:
    values = {
        "layers": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 4,
        "vocab_size": 50,
        "max_positions": 64,
    }
    return LlmShape(**(values | changes))


def only_step(trace: Trace) -> Step:
    (step,) = trace.steps()
    return step


def layer_names(step: Step, layer: int) -> list[str]:
    return [op.name.removeprefix(f"layers.{layer}.") for op in step.ops if op.layer == layer]


def test_decode_step_of_llama2_7b_has_the_published_ops_by_kind() -> None:
    step = only_step(build_trace(LLAMA2_7B, LlmScenario(phase="decode_step", kv_length=128)))
    kinds = Counter(type(op).__name__ for op in step.ops)
    assert kinds == {
        "Gemm": 225,
        "Attention": 64,
        "KvAppend": 64,
        "Norm": 65,
        "Softmax": 32,
        "Activation": 32,
        "Elementwise": 288,
        "Embedding": 1,
    }


def test_prefill_has_the_ops_of_a_decode_step_without_cache_appends() -> None:
    decode = only_step(build_trace(LLAMA2_7B, LlmScenario(phase="decode_step")))
    prefill = only_step(build_trace(LLAMA2_7B, LlmScenario(phase="prefill")))
    kept = [op.name for op in decode.ops if not isinstance(op, KvAppend)]
    assert [op.name for op in prefill.ops] == kept


def test_decode_layer_is_in_program_order() -> None:
    step = only_step(build_trace(tiny(), LlmScenario(phase="decode_step")))
    rope = ["rope_cos", "rope_sin", "rope"]
    assert layer_names(step, 1) == [
        "input_norm",
        *("q_proj", *(f"q_{part}" for part in rope)),
        *("k_proj", *(f"k_{part}" for part in rope)),
        *("v_proj", "k_append", "v_append"),
        *("scores", "softmax", "values", "o_proj", "attention_add"),
        *("ffn_norm", "gate_proj", "activation", "up_proj", "gate", "down_proj", "ffn_add"),
    ]
    assert [op.name for op in step.ops if op.layer is None] == [
        "embed_tokens",
        "final_norm",
        "lm_head",
    ]


def test_opt_has_learned_positions_a_plain_ffn_and_biases() -> None:
    opt = load_workload("opt_6_7b").shape
    step = only_step(build_trace(opt, LlmScenario(phase="decode_step")))
    names = [op.name for op in step.ops]
    assert names[:3] == ["embed_tokens", "embed_positions", "embed_add"]
    assert layer_names(step, 0)[-5:] == ["ffn_norm", "fc1", "activation", "fc2", "ffn_add"]
    assert not any("rope" in name or "gate" in name for name in names)
    biased = {op.role for op in step.ops if isinstance(op, Gemm) and op.bias}
    assert biased == {"q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"}


def test_rope_is_two_products_and_a_sum_as_wide_as_the_heads_it_turns() -> None:
    step = only_step(build_trace(tiny(), LlmScenario(phase="decode_step", batch=3)))
    ropes = [op for op in step.ops if isinstance(op, Elementwise) and op.role == "rope"]
    assert [(op.kind, op.elements) for op in ropes[:6]] == [
        ("mul", 48),
        ("mul", 48),
        ("add", 48),
        ("mul", 24),
        ("mul", 24),
        ("add", 24),
    ]


def test_generate_is_a_prefill_and_then_one_step_for_each_output_token() -> None:
    trace = build_trace(tiny(), LlmScenario(prompt_tokens=5, output_tokens=3, batch=2))
    steps = [(s.index, s.phase, s.tokens, s.kv_length) for s in trace.steps()]
    assert steps == [
        (0, "prefill", 10, 5),
        (1, "decode", 2, 6),
        (2, "decode", 2, 7),
        (3, "decode", 2, 8),
    ]


def test_decode_step_attends_the_prompt_and_its_own_token_by_default() -> None:
    step = only_step(build_trace(tiny(), LlmScenario(phase="decode_step", prompt_tokens=9)))
    assert (step.index, step.kv_length) == (1, 10)


def test_a_decode_step_by_itself_does_the_work_of_that_step_of_a_generation() -> None:
    shape = tiny()
    generated = list(build_trace(shape, LlmScenario(prompt_tokens=7, output_tokens=2)).steps())[2]
    alone = only_step(build_trace(shape, LlmScenario(phase="decode_step", kv_length=9)))
    works, needs = generated.signature()
    assert alone.signature()[0] == works
    assert alone.signature()[1][1:] == needs[1:]


def test_projections_see_all_rows_and_attention_each_sequence() -> None:
    scenario = LlmScenario(phase="prefill", prompt_tokens=6, batch=3)
    step = only_step(build_trace(tiny(), scenario))
    assert {op.m for op in step.ops if isinstance(op, Gemm)} == {18}
    for op in step.ops:
        if isinstance(op, Attention):
            assert (op.queries, op.kv_length, op.batch, op.causal) == (6, 6, 3, True)
        if isinstance(op, Softmax):
            assert (op.rows, op.columns) == (3 * 6 * 4, 6)


def test_prefill_head_covers_every_row_of_the_prompt() -> None:
    step = only_step(build_trace(tiny(), LlmScenario(phase="prefill", prompt_tokens=6)))
    head = step.ops[-1]
    assert isinstance(head, Gemm)
    assert (head.role, head.m, head.n, head.k) == ("lm_head", 6, 50, 16)


def test_grouped_queries_narrow_keys_and_values_but_not_queries() -> None:
    step = only_step(build_trace(tiny(head_dim=6), LlmScenario(phase="decode_step")))
    widths = {op.role: (op.k, op.n) for op in step.ops if isinstance(op, Gemm)}
    assert widths["q_proj"] == (16, 24)
    assert widths["k_proj"] == widths["v_proj"] == (16, 12)
    assert widths["o_proj"] == (24, 16)


def test_a_sliding_window_caps_what_a_decode_step_attends() -> None:
    shape = tiny(sliding_window=8)
    short = only_step(build_trace(shape, LlmScenario(phase="decode_step", kv_length=8)))
    long = only_step(build_trace(shape, LlmScenario(phase="decode_step", kv_length=20)))
    assert long.signature() == short.signature()
    assert long.kv_length == 20


@pytest.mark.parametrize(("prompt", "window"), [(8, None), (9, 8)])
def test_a_sliding_window_is_named_in_a_prefill_it_bites(prompt: int, window: int | None) -> None:
    scenario = LlmScenario(phase="prefill", prompt_tokens=prompt)
    step = only_step(build_trace(tiny(sliding_window=8), scenario))
    assert {op.window for op in step.ops if isinstance(op, Attention)} == {window}


def test_dependencies_are_the_values_an_op_reads() -> None:
    trace = build_trace(tiny(layers=1), LlmScenario(prompt_tokens=4, output_tokens=1))
    prefill, decode = trace.steps()
    names = {op.index: op.name for step in (prefill, decode) for op in step.ops}
    reads = {op.name: [names[dep] for dep in op.deps] for op in decode.ops}
    layer = "layers.0."
    assert decode.ops[0].deps == (prefill.ops[-1].index,)
    assert prefill.ops[-1].name == "lm_head"
    assert reads["layers.0.scores"] == [f"{layer}q_rope", f"{layer}k_append"]
    assert reads["layers.0.values"] == [f"{layer}softmax", f"{layer}v_append"]
    assert reads["layers.0.attention_add"] == ["embed_tokens", f"{layer}o_proj"]
    assert reads["layers.0.ffn_add"] == [f"{layer}attention_add", f"{layer}down_proj"]
    assert reads["final_norm"] == [f"{layer}ffn_add"]


def test_the_first_embedding_of_a_trace_waits_for_nothing() -> None:
    for phase in ("prefill", "decode_step"):
        assert only_step(build_trace(tiny(), LlmScenario(phase=phase))).ops[0].deps == ()


def test_numerics_set_types_and_density_of_the_ops() -> None:
    numerics = Numerics(weights="int4", activations="fp16", kv_cache="fp8", density={"q_proj": 0.7})
    step = only_step(build_trace(tiny(), LlmScenario(phase="decode_step"), numerics))
    gemms = {op.role: op for op in step.ops if isinstance(op, Gemm)}
    assert (gemms["q_proj"].density, gemms["k_proj"].density) == (0.7, 1.0)
    assert gemms["q_proj"].weight_dtype == "int4"
    assert gemms["q_proj"].input_dtype == gemms["q_proj"].output_dtype == "fp16"
    assert {op.kv_dtype for op in step.ops if isinstance(op, Attention | KvAppend)} == {"fp8"}


def test_a_trace_is_lazy_however_long_it_is() -> None:
    trace = build_trace(LLAMA2_7B, LlmScenario(prompt_tokens=2**31, output_tokens=2**17))
    first, second = islice(trace.steps(), 2)
    assert (first.tokens, second.kv_length) == (2**31, 2**31 + 1)


def test_a_trace_gives_equal_steps_each_time() -> None:
    trace = build_trace(tiny(), LlmScenario(prompt_tokens=3, output_tokens=2))
    assert list(trace.steps()) == list(trace.steps())
    assert [op.index for op in trace] == list(range(len(list(trace))))


def test_steps_of_equal_work_have_equal_signatures_only() -> None:
    trace = build_trace(tiny(sliding_window=4), LlmScenario(prompt_tokens=2, output_tokens=4))
    _, third, fourth, fifth, sixth = (step.signature() for step in trace.steps())
    assert third != fourth
    assert fourth == fifth == sixth
    assert hash(fourth) == hash(fifth)


def test_signature_is_the_same_whether_ops_were_made_or_not() -> None:
    (step,) = build_trace(tiny(), LlmScenario(phase="decode_step")).steps()
    made = Step(step.index, step.phase, step.tokens, step.kv_length, tuple(step.ops))
    assert made == step
    assert made.signature() == step.signature()


def test_digest_depends_on_model_scenario_and_numerics_alone() -> None:
    scenario = LlmScenario(prompt_tokens=3)
    trace = build_trace(tiny(), scenario, name="one")
    assert trace.sha256() == build_trace(tiny(), scenario, name="another").sha256()
    others = {
        build_trace(tiny(layers=3), scenario).sha256(),
        build_trace(tiny(), LlmScenario(prompt_tokens=4)).sha256(),
        build_trace(tiny(), scenario, Numerics(weights="int4")).sha256(),
    }
    assert len(others | {trace.sha256()}) == 4


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (
            {"prompt_tokens": 60, "output_tokens": 5},
            "net: prompt_tokens + output_tokens must be at most 64, its learned positions, got 65",
        ),
        (
            {"phase": "prefill", "prompt_tokens": 65},
            "net: prompt_tokens must be at most 64, its learned positions, got 65",
        ),
        (
            {"phase": "decode_step", "kv_length": 65},
            "net: kv_length must be at most 64, its learned positions, got 65",
        ),
    ],
)
def test_a_scenario_beyond_learned_positions_is_refused(
    scenario: dict[str, object], message: str
) -> None:
    shape = tiny(rope=False, position_rows=66)
    with pytest.raises(WorkloadError) as caught:
        build_trace(shape, LlmScenario(**scenario), name="net")
    assert str(caught.value) == message


shapes = st.builds(
    lambda sharing, kv_heads, half, **rest: tiny(
        heads=sharing * kv_heads, kv_heads=kv_heads, head_dim=2 * half, **rest
    ),
    sharing=st.integers(1, 4),
    kv_heads=st.integers(1, 4),
    half=st.integers(1, 8),
    layers=st.integers(1, 4),
    gated_ffn=st.booleans(),
    attention_bias=st.booleans(),
    sliding_window=st.none() | st.integers(1, 12),
)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_every_built_trace_keeps_the_rules_of_traces(
    shape: LlmShape, prompt: int, output: int, batch: int
) -> None:
    scenario = LlmScenario(prompt_tokens=prompt, output_tokens=output, batch=batch)
    build_trace(shape, scenario).check()
