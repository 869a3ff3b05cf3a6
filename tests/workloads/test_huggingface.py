from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError, HwsimError, WorkloadError
from hwsim.workloads import (
    LlmShape,
    from_hugging_face,
    load_workload,
    workload_kind,
    workload_names,
)
from hwsim.workloads.huggingface import ACTIVATIONS, MODEL_TYPES, shape_of

LLAMA: dict[str, Any] = {
    "_name_or_path": "somebody/some-llama",
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0",
    "use_cache": True,
    "vocab_size": 128256,
}
OPT: dict[str, Any] = {
    "_name_or_path": "facebook/opt-6.7b",
    "_remove_final_layer_norm": False,
    "activation_function": "relu",
    "architectures": ["OPTForCausalLM"],
    "do_layer_norm_before": True,
    "dropout": 0.1,
    "ffn_dim": 16384,
    "hidden_size": 4096,
    "max_position_embeddings": 2048,
    "model_type": "opt",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "prefix": "</s>",
    "torch_dtype": "float16",
    "vocab_size": 50272,
    "word_embed_proj_dim": 4096,
}


def changed(model: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return model | changes


def without(model: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in keys}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama2_7b", 6_738_415_616),
        ("llama2_13b", 13_015_864_320),
        ("llama3_1_8b", 8_030_261_248),
        ("mistral_7b", 7_241_732_096),
        ("tinyllama_1_1b", 1_100_048_384),
        ("qwen2_5_7b", 7_615_616_512),
        ("opt_6_7b", 6_658_473_984),
    ],
)
def test_shipped_models_have_their_published_number_of_parameters(
    name: str, parameters: int
) -> None:
    assert load_workload(name).shape.parameters == parameters


def test_every_shipped_model_says_where_its_facts_come_from() -> None:
    for name in workload_names():
        if workload_kind(name) == "llm":
            assert "https://huggingface.co/" in load_workload(name).source


def test_an_unprepared_config_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA, indent=2))
    assert from_hugging_face(path) == load_workload("llama3_1_8b").shape


def test_the_shipped_opt_is_the_public_config() -> None:
    assert shape_of(OPT, "opt.json") == load_workload("opt_6_7b").shape


def test_missing_key_value_heads_are_as_many_as_heads() -> None:
    assert shape_of(without(LLAMA, "num_key_value_heads"), "x").kv_heads == 32
    assert shape_of(changed(LLAMA, num_key_value_heads=None), "x").kv_heads == 32


def test_missing_key_value_heads_of_mistral_are_eight_as_the_library_has_it() -> None:
    mistral = changed(LLAMA, model_type="mistral")
    assert shape_of(without(mistral, "num_key_value_heads"), "x").kv_heads == 8
    assert shape_of(changed(mistral, num_key_value_heads=None), "x").kv_heads == 32


def test_head_dim_is_taken_when_given_and_an_even_share_when_not() -> None:
    assert shape_of(LLAMA, "x").head_dim == 128
    assert shape_of(changed(LLAMA, head_dim=64), "x").head_dim == 64
    assert shape_of(changed(LLAMA, head_dim=64, hidden_size=4100), "x").hidden_size == 4100


def test_biases_are_those_of_the_model_type() -> None:
    def biases(model: dict[str, Any]) -> tuple[bool, bool, bool]:
        shape = shape_of(model, "x")
        return shape.attention_bias, shape.output_bias, shape.mlp_bias

    assert biases(LLAMA) == (False, False, False)
    assert biases(changed(LLAMA, attention_bias=True, mlp_bias=True)) == (True, True, True)
    assert biases(changed(LLAMA, model_type="qwen2")) == (True, False, False)
    assert biases(OPT) == (True, True, True)
    assert biases(changed(OPT, enable_bias=False)) == (False, False, False)


def test_only_mistral_has_a_sliding_window_unless_null() -> None:
    assert load_workload("mistral_7b").shape.sliding_window == 4096
    null = changed(LLAMA, model_type="mistral", sliding_window=None)
    assert shape_of(null, "x").sliding_window is None
    qwen2 = changed(LLAMA, model_type="qwen2", sliding_window=4096, use_sliding_window=False)
    assert shape_of(qwen2, "x").sliding_window is None


def test_tied_embeddings_are_counted_once() -> None:
    free, tied = (
        shape_of(changed(LLAMA, tie_word_embeddings=tie), "x").parameters for tie in (False, True)
    )
    assert free - tied == 4096 * 128256


TYPES = ", ".join(MODEL_TYPES)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (without(LLAMA, "model_type"), f"model_type is missing; it must be one of {TYPES}"),
        (changed(LLAMA, model_type="gpt2"), f"model_type must be one of {TYPES}, got 'gpt2'"),
        (changed(LLAMA, model_type=["llama"]), f"model_type must be one of {TYPES}, got ['llama']"),
        (
            without(LLAMA, "hidden_size"),
            "hidden_size is missing; it must be an integer from 1 to 16777216",
        ),
        (
            changed(LLAMA, num_hidden_layers=0),
            "num_hidden_layers must be an integer from 1 to 10000, got 0",
        ),
        (
            changed(LLAMA, vocab_size=-1),
            "vocab_size must be an integer from 1 to 16777216, got -1",
        ),
        (
            changed(LLAMA, intermediate_size=11008.0),
            "intermediate_size must be an integer from 1 to 16777216, got 11008.0",
        ),
        (
            changed(LLAMA, hidden_size=10**30),
            f"hidden_size must be an integer from 1 to 16777216, got {10**30}",
        ),
        (
            changed(LLAMA, hidden_size="4096"),
            "hidden_size must be an integer from 1 to 16777216, got '4096'",
        ),
        (
            changed(LLAMA, hidden_size=None),
            "hidden_size must be an integer from 1 to 16777216, got null",
        ),
        (
            changed(LLAMA, num_attention_heads=True),
            "num_attention_heads must be an integer from 1 to 16777216, got True",
        ),
        (
            changed(LLAMA, hidden_size=4097),
            "hidden_size must be a multiple of num_attention_heads = 32, got 4097",
        ),
        (
            changed(LLAMA, num_key_value_heads=7),
            "num_attention_heads must be a multiple of num_key_value_heads = 7, got 32",
        ),
        (changed(LLAMA, hidden_size=4128), "head_dim must be even for rope, got 129"),
        (
            changed(LLAMA, tie_word_embeddings="no"),
            "tie_word_embeddings must be true or false, got 'no'",
        ),
        (
            changed(LLAMA, hidden_act="mish"),
            f"hidden_act must be one of {', '.join(ACTIVATIONS)}, got 'mish'",
        ),
        (
            changed(LLAMA, model_type="qwen2", use_sliding_window=True),
            "use_sliding_window must be false (windows in some layers aren't modelled), got True",
        ),
        (
            changed(OPT, do_layer_norm_before=False),
            "do_layer_norm_before must be true (norms after a block aren't modelled), got False",
        ),
        (
            changed(OPT, word_embed_proj_dim=512),
            "word_embed_proj_dim must be 4096 (the width of the layers), got 512",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_rule_and_value(model: dict[str, Any], message: str) -> None:
    with pytest.raises(HwsimError) as caught:
        shape_of(model, "m/config.json")
    assert str(caught.value) == f"m/config.json: {message}"
    assert caught.value.exit_code == 2


def test_all_wrong_keys_come_at_once() -> None:
    with pytest.raises(WorkloadError) as caught:
        shape_of({"model_type": "opt", "hidden_size": 0}, "x.json")
    keys = [line.split()[1] for line in str(caught.value).splitlines()]
    assert keys == [
        "num_hidden_layers",
        "hidden_size",
        "ffn_dim",
        "num_attention_heads",
        "vocab_size",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be valid JSON: it ends too early at column 1"),
        (b"not json", "must be valid JSON: expecting value at column 1"),
        (b'{"model_type": "llama",', "must be valid JSON: it ends too early at column 24"),
        (b'{"a": 1,\n"b": }', "must be valid JSON: expecting value at line 2, column 6"),
        (b"[1, 2]", "must be a JSON object, got list"),
        (b'{"vocab_size": NaN}', "must hold finite numbers only, not NaN"),
        (b'{"vocab_size": -Infinity}', "must hold finite numbers only, not -Infinity"),
        (b'{"a": 1, "a": 2}', "must give each key only once, 'a' is given again"),
        (b"[" * 100_000, "must be nested less deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "must hold no number of thousands of digits"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(WorkloadError) as caught:
        from_hugging_face(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_binary_file_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "weights.json"
    binary.write_bytes(bytes(range(256)))
    for path in (binary, tmp_path, tmp_path / "none.json"):
        with pytest.raises(ConfigError) as caught:
            from_hugging_face(path)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(str(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(LLAMA | OPT)), JSON), st.sampled_from([LLAMA, OPT]))
def test_any_values_give_a_shape_or_one_error(
    values: dict[str, Any], model: dict[str, Any]
) -> None:
    found: object
    try:
        found = shape_of(model | values, "x")
    except HwsimError as error:
        found = str(error)
    told = isinstance(found, str) and all(line.startswith("x: ") for line in found.splitlines())
    assert told or isinstance(found, LlmShape)
