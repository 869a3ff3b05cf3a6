"""Tensor-parallel layers: the sub-layers T3 names, the layer around them, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from hwsim.config import RawConfig, shipped
from hwsim.errors import HwsimError
from hwsim.workloads import (
    BACKWARD_SUBLAYERS,
    FORWARD_SUBLAYERS,
    Attention,
    Collective,
    Gemm,
    Op,
    Softmax,
    Sublayer,
    TensorParallelScenario,
    TensorParallelWorkload,
    TransformerShape,
    effective_macs,
    load_workload,
    macs,
    read_trace,
    total,
    workload_kind,
    workload_names,
    write_trace,
)

MODELS = ("gpt3", "mega_gpt2", "mt_nlg", "palm", "t_nlg")


def loaded(name: str, **keys: object) -> TensorParallelWorkload:
    workload = load_workload(name, [(key, str(value)) for key, value in keys.items()])
    assert isinstance(workload, TensorParallelWorkload)
    return workload


def gemms(ops: list[Op]) -> dict[str, Gemm]:
    return {op.role: op for op in ops if isinstance(op, Gemm)}


def message_of(name: str | Path, **keys: object) -> str:
    with pytest.raises(HwsimError) as caught:
        load_workload(str(name), [(key, str(value)) for key, value in keys.items()])
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_promised_models_are_shipped() -> None:
    names = [name for name in workload_names() if workload_kind(name) == "tensor_parallel"]
    assert tuple(names) == MODELS
    degrees = {name: loaded(name).scenario.tensor_parallel for name in MODELS}
    assert degrees == {"gpt3": 32, "mega_gpt2": 8, "mt_nlg": 32, "palm": 32, "t_nlg": 8}


@pytest.mark.parametrize("name", MODELS)
def test_every_value_of_a_shipped_model_says_where_it_comes_from(name: str) -> None:
    stated = {value.key: value.kind for value in loaded(name).parameters}
    assert stated["tensor_parallel"] == "published"
    for key in ("sequence_length", "batch"):
        assert stated[key] == "assumed"
    for key in ("hidden_size", "layers", "heads"):
        assert stated[f"model.{key}"] == ("published" if name == "gpt3" else "assumed")


@pytest.mark.parametrize(
    ("name", "billions"),
    [("mega_gpt2", 8.3), ("t_nlg", 17), ("gpt3", 175), ("mt_nlg", 530)],
)
def test_the_layers_hold_about_the_parameters_a_model_is_known_for(
    name: str, billions: float
) -> None:
    model = loaded(name).scenario.model
    weights = model.layers * (4 + 2 * model.ffn_multiple) * model.hidden_size**2
    assert weights / 1e9 == pytest.approx(billions, rel=0.015)


@pytest.mark.parametrize(
    ("name", "devices", "vector_mib", "k", "gflop"),
    [
        ("mega_gpt2", 8, 96, (384, 1536, 1152), (38.7, 154.6, 116.0)),
        ("mega_gpt2", 16, 96, (192, 768, 576), (19.3, 77.3, 58.0)),
        ("t_nlg", 8, 66.5, (532, 2128, 1596), (37.1, 148.4, 111.3)),
        ("t_nlg", 16, 66.5, (266, 1064, 798), (18.5, 74.2, 55.6)),
        ("gpt3", 32, 48, (384, 1536, 1152), (19.3, 77.3, 58.0)),
        ("palm", 32, 72, (576, 2304, 1728), (43.5, 173.9, 130.5)),
        ("mt_nlg", 32, 80, (640, 2560, 1920), (53.7, 214.7, 161.1)),
    ],
)
@pytest.mark.parametrize("scope", ["sublayer", "iteration"])
def test_sublayers_are_those_of_the_paper(
    name: str,
    devices: int,
    vector_mib: float,
    k: tuple[int, int, int],
    gflop: tuple[float, float, float],
    scope: str,
) -> None:
    ops = list(loaded(name, tensor_parallel=devices, scope=scope).trace)
    found = gemms(ops)
    roles = ("op", "fc2", "fc1_data_gradient", "ip_data_gradient")
    assert [found[role].k for role in roles] == [k[0], k[1], k[1], k[2]]
    shown = [round(2 * macs(found[role]) / 1e9, 1) for role in roles]
    assert shown == [gflop[0], gflop[1], gflop[1], gflop[2]]
    exchanged = [op for op in ops if isinstance(op, Collective)]
    assert {op.bytes for op in exchanged} == {int(vector_mib * 2**20)}
    assert {op.devices for op in exchanged} == {devices}
    assert {(found[role].m * found[role].n * 2) for role in roles} == {exchanged[0].bytes}


def test_a_sublayer_is_a_product_then_its_exchange() -> None:
    gemm, scatter, gather = loaded("t_nlg", sublayer="fc1_backward").trace
    assert isinstance(gemm, Gemm)
    assert (gemm.role, gemm.m, gemm.n, gemm.k) == ("fc1_data_gradient", 8192, 4256, 2128)
    assert (gemm.input_dtype, gemm.weight_dtype, gemm.output_dtype) == ("fp16",) * 3
    assert [op.deps for op in (gemm, scatter, gather)] == [(), (0,), (1,)]
    for op, kind in ((scatter, "reduce_scatter"), (gather, "all_gather")):
        assert isinstance(op, Collective)
        assert (op.kind, op.role, op.dtype, op.phase) == (kind, "fc1_backward", "fp16", "backward")


def test_all_sublayers_come_one_after_the_other() -> None:
    steps = list(loaded("t_nlg").trace.steps())
    assert [(step.index, step.phase, step.tokens) for step in steps] == [
        (0, "forward", 8192),
        (1, "backward", 8192),
    ]
    ops = [op for step in steps for op in step.ops]
    roles = [op.role for op in ops if isinstance(op, Collective)]
    assert roles == [name for name in get_args(Sublayer) for _ in range(2)]
    assert [op.deps for op in ops] == [(), *((index,) for index in range(len(ops) - 1))]
    alone = sum(total(loaded("t_nlg", sublayer=name).trace).macs for name in get_args(Sublayer))
    assert total(ops).macs == alone


def test_a_prompt_has_the_forward_alone() -> None:
    for scope in ("sublayer", "iteration"):
        (step,) = loaded("t_nlg", phase="prompt", scope=scope).trace.steps()
        assert (step.index, step.phase, step.kv_length) == (0, "prefill", 1024)
        training = list(loaded("t_nlg", scope=scope).trace.steps())
        assert [op.signature() for op in step.ops] == [op.signature() for op in training[0].ops]
        roles = {op.role for op in step.ops if isinstance(op, Collective)}
        assert roles == set(FORWARD_SUBLAYERS)
        assert {op.phase for op in step.ops} == {"prefill"}


FORWARD = [
    "input_norm",
    "ip",
    "scores",
    "softmax",
    "values",
    "op",
    "op_reduce_scatter",
    "op_all_gather",
    "attention_add",
    "ffn_norm",
    "fc1",
    "activation",
    "fc2",
    "fc2_reduce_scatter",
    "fc2_all_gather",
    "ffn_add",
]
BACKWARD = [
    "fc2_data_gradient",
    "fc2_weight_gradient",
    "activation_gradient",
    "fc1_data_gradient",
    "fc1_backward_reduce_scatter",
    "fc1_backward_all_gather",
    "fc1_weight_gradient",
    "ffn_norm_gradient",
    "ffn_add_gradient",
    "op_data_gradient",
    "op_weight_gradient",
    "probability_gradient",
    "value_gradient",
    "softmax_gradient",
    "query_gradient",
    "key_gradient",
    "ip_data_gradient",
    "ip_backward_reduce_scatter",
    "ip_backward_all_gather",
    "ip_weight_gradient",
    "input_norm_gradient",
    "attention_add_gradient",
]


def test_an_iteration_is_all_layers_forward_and_then_backward_from_the_last() -> None:
    forward, backward = loaded("mega_gpt2", scope="iteration").trace.steps()
    layers = range(74)
    assert [op.name for op in forward.ops] == [f"layers.{i}.{n}" for i in layers for n in FORWARD]
    names = [f"layers.{i}.{n}" for i in reversed(layers) for n in BACKWARD]
    assert [op.name for op in backward.ops] == names
    ops = [*forward.ops, *backward.ops]
    assert [op.index for op in ops] == list(range(len(ops)))
    assert all(op.name.startswith(f"layers.{op.layer}.") for op in ops)


def test_what_a_layer_leaves_enters_the_next_and_its_gradient_the_one_before() -> None:
    ops = list(loaded("mega_gpt2", scope="iteration").trace)
    needs = {op.name: {ops[dep].name for dep in op.deps} for op in ops}
    assert needs["layers.0.input_norm"] == set()
    assert needs["layers.1.input_norm"] == {"layers.0.ffn_add"}
    assert needs["layers.1.attention_add"] == {"layers.0.ffn_add", "layers.1.op_all_gather"}
    assert needs["layers.73.fc2_data_gradient"] == {"layers.73.ffn_add"}
    entering = "layers.2.attention_add_gradient"
    assert needs["layers.1.fc2_data_gradient"] == {entering}
    assert needs["layers.1.fc2_weight_gradient"] == {entering, "layers.1.activation"}
    assert needs["layers.1.ffn_add_gradient"] == {entering, "layers.1.ffn_norm_gradient"}


@pytest.mark.parametrize(
    ("name", "devices"), [("mega_gpt2", 8), ("gpt3", 32), ("mt_nlg", 32), ("t_nlg", 4)]
)
def test_an_iteration_has_72_b_s_l_h_squared_flop_shared_by_the_devices(
    name: str, devices: int
) -> None:
    """``72 B S L H^2 (1 + S / 6H) / N``: two FLOP a MAC, the backward twice the forward."""
    scenario = loaded(name).scenario
    b, s = scenario.batch, scenario.sequence_length
    layers, h = scenario.model.layers, scenario.model.hidden_size
    training = loaded(name, tensor_parallel=devices, scope="iteration").trace.totals()
    assert 2 * training.macs * devices == 72 * b * s * layers * h**2 + 12 * b * s**2 * layers * h
    keys = {"tensor_parallel": devices, "scope": "iteration", "phase": "prompt"}
    assert 3 * loaded(name, **keys).trace.totals().macs == training.macs


def test_gemms_of_an_iteration_are_the_shares_of_one_device() -> None:
    found = gemms(list(loaded("mega_gpt2", scope="iteration").trace))
    tokens, hidden, inner, part = 16384, 3072, 1536, 384
    shapes = {
        "ip": (tokens, 3 * part, hidden),
        "op": (tokens, hidden, part),
        "fc1": (tokens, inner, hidden),
        "fc2": (tokens, hidden, inner),
    }
    for role, (m, n, k) in shapes.items():
        gradient, weights = found[f"{role}_data_gradient"], found[f"{role}_weight_gradient"]
        assert (found[role].m, found[role].n, found[role].k) == (m, n, k)
        assert (gradient.m, gradient.n, gradient.k) == (m, k, n)
        assert (weights.m, weights.n, weights.k) == (k, n, m)
        assert (gradient.operand, weights.operand) == ("parameters", "activations")


def test_backward_does_twice_the_products_of_forward() -> None:
    work: Counter[tuple[str, str]] = Counter()
    for op in loaded("gpt3", scope="iteration").trace:
        work[op.phase, type(op).__name__] += macs(op)
    for kind in ("Gemm", "Attention"):
        assert work["backward", kind] == 2 * work["forward", kind]


def test_all_devices_together_do_the_work_of_the_model() -> None:
    """Of a model whose heads the devices share evenly: nothing is done twice or left out."""

    def products(devices: int) -> int:
        keys = {"tensor_parallel": devices, "scope": "iteration"}
        ops = [op for op in loaded("gpt3", **keys).trace if isinstance(op, Gemm | Attention)]
        return devices * sum(map(effective_macs, ops))

    assert products(2) == products(8) == products(32)


def test_weight_gradients_wait_for_no_exchange() -> None:
    ops = list(loaded("t_nlg", scope="iteration").trace)
    for op in ops:
        if op.name.endswith(("fc1_weight_gradient", "ip_weight_gradient")):
            assert not any(isinstance(ops[dep], Collective) for dep in op.deps)


@pytest.mark.parametrize(
    ("name", "devices", "each", "padded"),
    [("t_nlg", 8, 4, 32), ("t_nlg", 16, 2, 32), ("mega_gpt2", 16, 2, 32), ("palm", 32, 2, 64)],
)
def test_heads_that_the_devices_do_not_share_evenly_are_padded_and_noted(
    name: str, devices: int, each: int, padded: int
) -> None:
    workload = loaded(name, tensor_parallel=devices, scope="iteration")
    heads = workload.scenario.model.heads
    (note,) = workload.notes
    assert note == (
        f"{name} has {heads} heads, padded to {padded} ({each} a device) for "
        f"tensor_parallel = {devices}; its projections are not padded."
    )
    ops = list(workload.trace)
    assert {op.heads for op in ops if isinstance(op, Attention)} == {each}
    rows = {op.rows for op in ops if isinstance(op, Softmax)}
    assert rows == {each * workload.scenario.share.tokens}


def test_heads_that_the_devices_share_evenly_are_not_noted() -> None:
    for name in ("gpt3", "mt_nlg", "mega_gpt2"):
        assert loaded(name).notes == ()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_trace_goes_to_a_file_and_back(tmp_path: Path, suffix: str) -> None:
    trace = loaded("t_nlg", scope="iteration").trace
    write_trace(trace, tmp_path / f"t{suffix}")
    back = read_trace(tmp_path / f"t{suffix}")
    assert [list(step.ops) for step in back.steps()] == [list(s.ops) for s in trace.steps()]
    assert total(back) == total(trace)


def test_the_digest_is_of_the_scenario_and_not_of_the_name(tmp_path: Path) -> None:
    text = (shipped("workloads") / "tensor_parallel" / "t_nlg.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text)
    mine, shipped_one = load_workload(str(path)), loaded("t_nlg")
    assert (mine.name, mine.kind) == ("mine", "tensor_parallel")
    assert mine.sha256 == shipped_one.sha256
    path.write_text(text.replace("batch = 8", "batch = 9"))
    assert load_workload(str(path)).sha256 != shipped_one.sha256


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"tensor_parallel": 9},
            "tensor_parallel must divide model.hidden_size = 4256, got 9",
        ),
        (
            {"tensor_parallel": 1},
            "tensor_parallel must be a whole number of at least 2, got '1'",
        ),
        (
            {"sublayer": "fc1"},
            (
                "sublayer must be one of 'op', 'fc2', 'fc1_backward', 'ip_backward', 'all', "
                "got 'fc1'"
            ),
        ),
        (
            {"phase": "prompt", "sublayer": "ip_backward"},
            "sublayer must be one of 'op', 'fc2', 'all' with phase = prompt, got 'ip_backward'",
        ),
        (
            {"scope": "iteration", "sublayer": "op"},
            "sublayer must be 'all' with scope = iteration, got 'op'",
        ),
        (
            {"batch": 16385},
            (
                "batch must be at most 16384 with sequence_length = 1024 (16777216 tokens), "
                "got 16385"
            ),
        ),
        (
            {"model.heads": 27},
            "model.hidden_size must be a multiple of heads = 27, got 4256",
        ),
        (
            {"prompt_tokens": 3},
            (
                "prompt_tokens must be one of model, tensor_parallel, sequence_length, batch, "
                "scope, sublayer, phase, got 'prompt_tokens'"
            ),
        ),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(keys: dict[str, object], message: str) -> None:
    (line,) = message_of("t_nlg", **keys).splitlines()
    assert line.partition(": ")[2] == message


def test_a_file_of_ones_own_is_checked_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = 'kind = "tensor_parallel"\ntensor_parallel = 4\nbatch = 0\n[model]\nlayers = 2\n'
    path.write_text(text)
    lines = message_of(path).splitlines()
    keys = [line.removeprefix(f"{path}: ").split()[0] for line in lines]
    assert keys == ["model.hidden_size", "model.heads", "sequence_length", "batch"]


def test_shape_and_scenario_can_be_made_in_code() -> None:
    shape = TransformerShape(hidden_size=64, layers=1, heads=4, ffn_multiple=2)
    scenario = TensorParallelScenario(
        model=shape, tensor_parallel=4, sequence_length=8, batch=2, sublayer="fc2"
    )
    workload = TensorParallelWorkload("mine", scenario, RawConfig({}, "here"))
    gemm, *_ = workload.trace
    assert isinstance(gemm, Gemm)
    assert (gemm.m, gemm.n, gemm.k) == (16, 64, 32)


def test_the_sublayers_are_those_of_the_two_passes() -> None:
    assert get_args(Sublayer) == (*FORWARD_SUBLAYERS, *BACKWARD_SUBLAYERS)


def test_the_readme_lists_each_shipped_model_as_it_is() -> None:
    text = (shipped("workloads") / "README.md").read_text()
    row = r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) x (\d+) \| (\d+) \|$"
    listed = {name: tuple(map(int, rest)) for name, *rest in re.findall(row, text, re.MULTILINE)}
    found = {}
    for name in MODELS:
        given = loaded(name).scenario
        shape = (given.model.layers, given.model.hidden_size, given.model.heads)
        found[name] = (*shape, given.sequence_length, given.batch, given.tensor_parallel)
    assert listed == found
