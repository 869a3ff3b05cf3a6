"""Model shapes from the ``config.json`` of a Hugging Face model, taken as it is.

Keys that don't decide how much work a model is are ignored. The sizes of the model must be there;
other keys default to what the transformers library assumes for that type of model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from hwsim.config import RawConfig, build, read_text
from hwsim.errors import Problem, WorkloadError
from hwsim.workloads.shapes import MAX_LAYERS, MAX_SIZE, LlmShape
from hwsim.workloads.strict_json import parse_json, shown

__all__ = ["MODEL_TYPES", "from_hugging_face", "model_source", "read_model", "shape_of"]

T = TypeVar("T")

ACTIVATIONS: Final = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
}
OPT_UNUSED_POSITIONS: Final = 2
"""OPT's table of positions starts with two rows that no token of ours uses."""


def from_hugging_face(path: Path) -> LlmShape:
    """The shape of the model whose ``config.json`` is at ``path``.

    Raises
    ------
    ConfigError
        The file can't be read as text.
    WorkloadError
        It holds no JSON object, or its keys are wrong; see :func:`shape_of`.
    """
    return shape_of(read_model(path, str(path)), str(path))


def read_model(path: Path, where: str) -> Mapping[str, Any]:
    """The JSON object in a file; ``where`` is its name in messages."""
    text = read_text(path, where)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise WorkloadError(f"{where}: {error}") from None
    if not isinstance(content, dict):
        raise WorkloadError(f"{where}: must be a JSON object, got {type(content).__name__}")
    return content


def shape_of(model: Mapping[str, Any], where: str) -> LlmShape:
    """The shape that the content of a ``config.json`` describes.

    Raises
    ------
    WorkloadError
        ``model_type`` is not supported, or keys are missing or wrong: all of them, one a line, each
        with file, key, rule and value.
    """
    keys = _Keys(model, where)
    family = keys.choice("model_type", _FAMILIES)
    values = family(keys) if family else {}
    keys.report()
    return build(LlmShape, RawConfig(values, where))


def model_source(model: Mapping[str, Any]) -> str:
    """Where a model says it comes from: ``_source``, else ``_name_or_path``, else nothing."""
    found = model.get("_source") or model.get("_name_or_path")
    return found if isinstance(found, str) else ""


class _Keys:
    """Reads the keys of a model and collects what is wrong with them."""

    def __init__(self, model: Mapping[str, Any], where: str) -> None:
        self._model = model
        self._where = where
        self._problems: list[Problem] = []

    def report(self) -> None:
        """Raise :class:`WorkloadError` with all problems found, if any."""
        if self._problems:
            raise WorkloadError("\n".join(map(str, self._problems)))

    def __contains__(self, key: str) -> bool:
        return key in self._model

    def given(self, key: str) -> bool:
        """Whether that key is there and not null."""
        return self._model.get(key) is not None

    def count(self, key: str, default: int | None = None, high: int = MAX_SIZE) -> int:
        """The integer of that key, ``default`` where it is not given; 0 after noting a problem."""
        value = self._model.get(key)
        if value is None and default is not None:
            return default
        if type(value) is int and 1 <= value <= high:
            return value
        self._wrong(key, f"must be an integer from 1 to {high}")
        return 0

    def flag(self, key: str, default: bool) -> bool:
        """Whether that key is true."""
        value = self._model.get(key, default)
        if not isinstance(value, bool):
            self._wrong(key, "must be true or false")
        return bool(value)

    def choice(self, key: str, choices: Mapping[str, T], default: str = "") -> T | None:
        """What that key names among ``choices``; None after noting a problem."""
        value = self._model.get(key, default)
        if isinstance(value, str) and value in choices:
            return choices[value]
        self._wrong(key, f"must be one of {', '.join(choices)}")
        return None

    def only(self, key: str, supported: bool | int, why: str) -> None:
        """Note a problem where that key is given with another value than the one supported."""
        if self.given(key) and self._model[key] != supported:
            self._wrong(key, f"must be {str(supported).lower()} ({why})")

    def multiple(self, key: str, value: int, of: str, unit: int) -> None:
        """Note a problem where ``value`` is no multiple of ``unit``; 0 has been noted already."""
        if value and unit and value % unit:
            rule = f"must be a multiple of {of} = {unit}"
            self._problems.append(Problem(self._where, key, rule, value))

    def _wrong(self, key: str, rule: str) -> None:
        if key not in self._model:
            self._problems.append(Problem(self._where, key, f"is missing; it {rule}"))
            return
        self._problems.append(Problem(self._where, key, rule, shown(self._model[key])))


def _llama(keys: _Keys) -> dict[str, Any]:
    bias = keys.flag("attention_bias", default=False)
    return _gated(keys, max_positions=2048) | {
        "attention_bias": bias,
        "output_bias": bias,
        "mlp_bias": keys.flag("mlp_bias", default=False),
    }


def _mistral(keys: _Keys) -> dict[str, Any]:
    window = keys.count("sliding_window") if keys.given("sliding_window") else None
    return _gated(keys, max_positions=131_072, kv_heads=8) | {"sliding_window": window}


def _qwen2(keys: _Keys) -> dict[str, Any]:
    keys.only("use_sliding_window", supported=False, why="windows in some layers aren't modelled")
    return _gated(keys, max_positions=32_768) | {"attention_bias": True}


def _opt(keys: _Keys) -> dict[str, Any]:
    sizes = _sizes(keys, intermediate="ffn_dim", max_positions=2048)
    keys.only("do_layer_norm_before", supported=True, why="norms after a block aren't modelled")
    keys.only("_remove_final_layer_norm", supported=False, why="the final norm is always there")
    keys.only("layer_norm_elementwise_affine", supported=True, why="norms have parameters")
    keys.only("word_embed_proj_dim", sizes["hidden_size"], why="the width of the layers")
    bias = keys.flag("enable_bias", default=True)
    return sizes | {
        "kv_heads": sizes["heads"],
        "head_dim": _even_share(keys, sizes),
        "norm": "layer",
        "activation": keys.choice("activation_function", ACTIVATIONS, "relu"),
        "gated_ffn": False,
        "rope": False,
        "position_rows": sizes["max_positions"] + OPT_UNUSED_POSITIONS,
        "attention_bias": bias,
        "output_bias": bias,
        "mlp_bias": bias,
        "tied_embeddings": keys.flag("tie_word_embeddings", default=True),
    }


def _gated(keys: _Keys, max_positions: int, kv_heads: int | None = None) -> dict[str, Any]:
    """What LLaMA, Mistral and Qwen2 have in common.

    ``kv_heads`` is what the library assumes where the key is absent; with null, and for other
    models, every query head has a key-value head of its own.
    """
    sizes = _sizes(keys, "intermediate_size", max_positions)
    absent = kv_heads if kv_heads and "num_key_value_heads" not in keys else sizes["heads"]
    shared = keys.count("num_key_value_heads", default=absent)
    keys.multiple("num_attention_heads", sizes["heads"], "num_key_value_heads", shared)
    return sizes | {
        "kv_heads": shared,
        "head_dim": keys.count("head_dim") if keys.given("head_dim") else _even_share(keys, sizes),
        "activation": keys.choice("hidden_act", ACTIVATIONS, "silu"),
        "tied_embeddings": keys.flag("tie_word_embeddings", default=False),
    }


def _sizes(keys: _Keys, intermediate: str, max_positions: int) -> dict[str, int]:
    """The numbers every model has; 0 for those that are wrong."""
    return {
        "layers": keys.count("num_hidden_layers", high=MAX_LAYERS),
        "hidden_size": keys.count("hidden_size"),
        "intermediate_size": keys.count(intermediate),
        "heads": keys.count("num_attention_heads"),
        "vocab_size": keys.count("vocab_size"),
        "max_positions": keys.count("max_position_embeddings", default=max_positions),
    }


def _even_share(keys: _Keys, sizes: Mapping[str, int]) -> int:
    """The width of a head that takes an even share of the hidden size."""
    hidden, heads = sizes["hidden_size"], sizes["heads"]
    keys.multiple("hidden_size", hidden, "num_attention_heads", heads)
    return hidden // heads if heads else 0


_FAMILIES: Final[dict[str, Callable[[_Keys], dict[str, Any]]]] = {
    "llama": _llama,
    "mistral": _mistral,
    "opt": _opt,
    "qwen2": _qwen2,
}
MODEL_TYPES: Final = tuple(_FAMILIES)
