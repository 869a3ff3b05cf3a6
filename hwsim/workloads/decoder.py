"""The ops of a decoder-only model, block by block, in program order.

A block is a list of sites that name each other, or :data:`STREAM`; where they stand in a trace is
:mod:`hwsim.workloads.llm`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from hwsim.workloads.ops import (
    Activation,
    Attention,
    Elementwise,
    Embedding,
    Gemm,
    KvAppend,
    Norm,
    Phase,
    Softmax,
)
from hwsim.workloads.scenario import Numerics, ProjectionRole
from hwsim.workloads.shapes import Linear, LlmShape
from hwsim.workloads.sites import ANYWHERE, Site

__all__ = ["STREAM", "DecoderPass"]

STREAM: Final = "stream"
"""What a site reads that takes the residual stream as it enters the block."""


@dataclass(frozen=True)
class DecoderPass:
    """One pass through the model; ``queries`` new tokens of each of ``batch`` sequences.

    ``context`` counts the positions of a sequence, the new ones included. The last site of the
    embedding block and of a layer is the residual stream that the next block reads.
    """

    shape: LlmShape
    numerics: Numerics
    phase: Phase
    batch: int
    queries: int
    context: int

    @property
    def rows(self) -> int:
        """Tokens in this pass, of all sequences."""
        return self.batch * self.queries

    def embedding(self) -> Iterator[Site]:
        """Look up the tokens and, without rotary embedding, their positions."""
        yield self._embedding("embed_tokens", "token", after=(STREAM,))
        if not self.shape.rope:
            yield self._embedding("embed_positions", "position", after=())
            added = ("embed_tokens", "embed_positions")
            yield Site("embed_add", added, self._elementwise("add", self._hidden, "position"))

    def layer(self) -> Iterator[Site]:
        """One decoder layer: attention, then the feed-forward block."""
        yield from self._projected()
        yield from self._attended()
        yield from self._gated_ffn() if self.shape.gated_ffn else self._plain_ffn()

    def head(self) -> Iterator[Site]:
        """From the last residual stream to the logits."""
        yield Site("final_norm", (STREAM,), self._norm())
        yield Site("lm_head", ("final_norm",), self._gemm("lm_head"))

    def _projected(self) -> Iterator[Site]:
        """Queries, keys and values, with positions applied and the cache extended."""
        yield Site("input_norm", (STREAM,), self._norm())
        yield from self._with_positions("q", self.shape.heads)
        yield from self._with_positions("k", self.shape.kv_heads)
        yield Site("v_proj", ("input_norm",), self._gemm("v_proj"))
        if self.phase == "decode":
            yield Site("k_append", (self._positioned("k"),), self._append("k"))
            yield Site("v_append", ("v_proj",), self._append("v"))

    def _with_positions(self, which: Literal["q", "k"], heads: int) -> Iterator[Site]:
        """A projection and its rotary embedding, ``x * cos + rotated(x) * sin``."""
        projection: ProjectionRole = "q_proj" if which == "q" else "k_proj"
        yield Site(projection, ("input_norm",), self._gemm(projection))
        if not self.shape.rope:
            return
        elements = self.rows * heads * self.shape.head_dim
        cos, sin = f"{which}_rope_cos", f"{which}_rope_sin"
        yield Site(cos, (projection,), self._elementwise("mul", elements, "rope"))
        yield Site(sin, (projection,), self._elementwise("mul", elements, "rope"))
        yield Site(f"{which}_rope", (cos, sin), self._elementwise("add", elements, "rope"))

    def _positioned(self, which: Literal["q", "k"]) -> str:
        return f"{which}_rope" if self.shape.rope else f"{which}_proj"

    def _attended(self) -> Iterator[Site]:
        """Attention of each query over keys and values, and the way back to the stream."""
        decode = self.phase == "decode"
        keys = "k_append" if decode else self._positioned("k")
        values = "v_append" if decode else "v_proj"
        yield Site("scores", (self._positioned("q"), keys), self._attention("scores"))
        yield Site("softmax", ("scores",), self._softmax())
        yield Site("values", ("softmax", values), self._attention("values"))
        yield Site("o_proj", ("values",), self._gemm("o_proj"))
        yield self._residual("attention_add", (STREAM, "o_proj"))

    def _gated_ffn(self) -> Iterator[Site]:
        yield Site("ffn_norm", ("attention_add",), self._norm())
        yield Site("gate_proj", ("ffn_norm",), self._gemm("gate_proj"))
        yield Site("activation", ("gate_proj",), self._activation())
        yield Site("up_proj", ("ffn_norm",), self._gemm("up_proj"))
        inner = self.rows * self.shape.intermediate_size
        yield Site("gate", ("activation", "up_proj"), self._elementwise("mul", inner, "gate"))
        yield Site("down_proj", ("gate",), self._gemm("down_proj"))
        yield self._residual("ffn_add", ("attention_add", "down_proj"))

    def _plain_ffn(self) -> Iterator[Site]:
        yield Site("ffn_norm", ("attention_add",), self._norm())
        yield Site("fc1", ("ffn_norm",), self._gemm("fc1"))
        yield Site("activation", ("fc1",), self._activation())
        yield Site("fc2", ("activation",), self._gemm("fc2"))
        yield self._residual("ffn_add", ("attention_add", "fc2"))

    @property
    def _hidden(self) -> int:
        """Elements of the residual stream."""
        return self.rows * self.shape.hidden_size

    @property
    def _attendable(self) -> int:
        """Positions in the cache that a decode step attends, or all of the prompt."""
        window = self.shape.sliding_window
        decode_window = window if self.phase == "decode" else None
        return min(self.context, decode_window or self.context)

    @cached_property
    def _linears(self) -> dict[str, Linear]:
        return {linear.role: linear for linear in (*self.shape.linears, self.shape.head)}

    def _gemm(self, role: ProjectionRole) -> Gemm:
        linear = self._linears[role]
        return Gemm(
            *ANYWHERE,
            m=self.rows,
            n=linear.outputs,
            k=linear.inputs,
            role=role,
            bias=linear.bias,
            density=self.numerics.density.get(role, 1.0),
            input_dtype=self.numerics.activations,
            weight_dtype=self.numerics.weights,
            output_dtype=self.numerics.activations,
        )

    def _append(self, role: Literal["k", "v"]) -> KvAppend:
        return KvAppend(
            *ANYWHERE,
            role=role,
            tokens=self.queries,
            kv_length=self._attendable,
            kv_heads=self.shape.kv_heads,
            head_dim=self.shape.head_dim,
            batch=self.batch,
            kv_dtype=self.numerics.kv_cache,
        )

    def _attention(self, kind: Literal["scores", "values"]) -> Attention:
        window = self.shape.sliding_window
        return Attention(
            *ANYWHERE,
            kind=kind,
            queries=self.queries,
            kv_length=self._attendable,
            heads=self.shape.heads,
            kv_heads=self.shape.kv_heads,
            head_dim=self.shape.head_dim,
            batch=self.batch,
            causal=True,
            window=window if window is not None and window < self._attendable else None,
            input_dtype=self.numerics.activations,
            kv_dtype=self.numerics.kv_cache,
            output_dtype=self.numerics.activations,
        )

    def _softmax(self) -> Softmax:
        rows = self.rows * self.shape.heads
        return Softmax(*ANYWHERE, rows, self._attendable, self.numerics.activations)

    def _norm(self) -> Norm:
        shape = self.shape
        return Norm(*ANYWHERE, shape.norm, self.rows, shape.hidden_size, self.numerics.activations)

    def _activation(self) -> Activation:
        elements = self.rows * self.shape.intermediate_size
        return Activation(*ANYWHERE, self.shape.activation, elements, self.numerics.activations)

    def _elementwise(
        self,
        kind: Literal["add", "mul"],
        elements: int,
        role: Literal["rope", "residual", "gate", "position"],
    ) -> Elementwise:
        return Elementwise(*ANYWHERE, kind, elements, role, self.numerics.activations)

    def _residual(self, name: str, reads: tuple[str, ...]) -> Site:
        return Site(name, reads, self._elementwise("add", self._hidden, "residual"))

    def _embedding(
        self, name: str, role: Literal["token", "position"], after: tuple[str, ...]
    ) -> Site:
        work = Embedding(
            *ANYWHERE, self.rows, self.shape.hidden_size, role, self.numerics.activations
        )
        return Site(name, after, work)
