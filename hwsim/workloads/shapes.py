"""The shape of a decoder-only language model: everything that decides how much work it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from hwsim.config import Config

__all__ = ["MAX_LAYERS", "MAX_SIZE", "Linear", "LlmShape", "Size"]

MAX_LAYERS: Final = 10_000
MAX_SIZE: Final = 2**24
"""Largest width, vocabulary or number of positions: above any model, below most slips."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]


@dataclass(frozen=True, slots=True)
class Linear:
    """A projection: ``weight[inputs, outputs]`` and, if so, ``bias[outputs]``."""

    role: str
    inputs: int
    outputs: int
    bias: bool

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


class LlmShape(Config):
    """A stack of equal decoder layers, each attention and then a feed-forward block, norms first.

    Parameters
    ----------
    layers, hidden_size, vocab_size : of the whole model.
    intermediate_size : width inside the feed-forward block.
    heads, kv_heads, head_dim : of attention; ``heads // kv_heads`` query heads share a KV head.
    max_positions : positions the model was made for.
    sliding_window : positions a token attends to, itself included; None for all before it.
    norm, activation : their kinds; ``gated_ffn`` multiplies by a second, activated projection.
    rope : rotary position embedding of queries and keys; otherwise a table of ``position_rows``.
    attention_bias : bias on q, k and v; ``output_bias`` on o; ``mlp_bias`` in the FFN block.
    tied_embeddings : the head uses the weights of the token embedding.
    """

    layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    hidden_size: Size
    intermediate_size: Size
    heads: Size
    kv_heads: Size
    head_dim: Size
    vocab_size: Size
    max_positions: Size
    sliding_window: Size | None = None
    norm: Literal["rms", "layer"] = "rms"
    activation: Literal["silu", "relu", "gelu"] = "silu"
    gated_ffn: bool = True
    rope: bool = True
    position_rows: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    tied_embeddings: bool = False

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> LlmShape:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads = {self.kv_heads}, got {self.heads}"
            )
        return self

    @model_validator(mode="after")
    def _rope_turns_pairs(self) -> LlmShape:
        if self.rope and self.head_dim % 2:
            raise ValueError(f"head_dim must be even for rope, got {self.head_dim}")
        return self

    @model_validator(mode="after")
    def _positions_have_rows(self) -> LlmShape:
        if self.rope and self.position_rows:
            raise ValueError(f"position_rows must be 0 with rope, got {self.position_rows}")
        if not self.rope and self.position_rows < self.max_positions:
            least = f"max_positions = {self.max_positions}"
            raise ValueError(f"position_rows must be at least {least}, got {self.position_rows}")
        return self

    @property
    def q_width(self) -> int:
        """Elements of a token's queries."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of a token's keys, and of its values."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The projections of one layer, in program order."""
        hidden, inner, wide = self.hidden_size, self.intermediate_size, self.mlp_bias
        attention = (
            Linear("q_proj", hidden, self.q_width, self.attention_bias),
            Linear("k_proj", hidden, self.kv_width, self.attention_bias),
            Linear("v_proj", hidden, self.kv_width, self.attention_bias),
            Linear("o_proj", self.q_width, hidden, self.output_bias),
        )
        if not self.gated_ffn:
            ffn: tuple[Linear, ...] = (
                Linear("fc1", hidden, inner, wide),
                Linear("fc2", inner, hidden, wide),
            )
        else:
            ffn = (
                Linear("gate_proj", hidden, inner, wide),
                Linear("up_proj", hidden, inner, wide),
                Linear("down_proj", inner, hidden, wide),
            )
        return (*attention, *ffn)

    @property
    def head(self) -> Linear:
        """The projection to the vocabulary."""
        return Linear("lm_head", self.hidden_size, self.vocab_size, bias=False)

    @property
    def parameters(self) -> int:
        """All parameters: embeddings, layers, norms and, unless tied, the head."""
        norm = self.hidden_size * (2 if self.norm == "layer" else 1)
        layer = sum(linear.parameters for linear in self.linears) + 2 * norm
        embeddings = (self.vocab_size + self.position_rows) * self.hidden_size
        head = 0 if self.tied_embeddings else self.head.parameters
        return embeddings + self.layers * layer + norm + head
