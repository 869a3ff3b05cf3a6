"""One layer of a transformer, as one of the devices that share it has it.

The layer is cut as Megatron-LM cuts it: the input projection of attention (ip) and the first of
the feed-forward block (fc1) by columns, the output projections of both (op, fc2) by rows. A device
has its share of the heads, and norms and residual adds whole. Every product whose results are sums
over devices is followed by a reduce-scatter and an all-gather of them: op and fc2 in the forward,
the data gradients of fc1 and ip in the backward. Such a product with its exchange is a *sub-layer*.

Everything is FP16, without biases and dropout. A transposed product of the backward of attention
is the :class:`~hwsim.workloads.ops.Attention` of the same work; the backward of a norm leaves out
its row statistics and parameters.

Ref: Shoeybi et al., Megatron-LM, arXiv 1909.08053, section 3; Pati et al., T3, ASPLOS'24,
arXiv 2401.16677, section 2 (the sub-layers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from hwsim.workloads.counts import packed_bytes
from hwsim.workloads.ops import (
    Activation,
    Attention,
    Collective,
    Dtype,
    Elementwise,
    Gemm,
    Norm,
    Softmax,
)
from hwsim.workloads.sites import ANYWHERE, Site

__all__ = [
    "BACKWARD_SUBLAYERS",
    "FORWARD_SUBLAYERS",
    "GRADIENT",
    "STREAM",
    "LayerShare",
    "Projection",
    "Sublayer",
]

DTYPE: Final[Dtype] = "fp16"

STREAM: Final = "stream"
"""In the reads of a site: the residual stream as it enters the layer."""
GRADIENT: Final = "gradient"
"""In the reads of a site: the gradient of the residual stream as it leaves the layer."""

Projection = Literal["ip", "op", "fc1", "fc2"]
Sublayer = Literal["op", "fc2", "fc1_backward", "ip_backward"]
FORWARD_SUBLAYERS: Final[tuple[Sublayer, ...]] = ("op", "fc2")
BACKWARD_SUBLAYERS: Final[tuple[Sublayer, ...]] = ("fc1_backward", "ip_backward")


@dataclass(frozen=True)
class LayerShare:
    """The share of one device in a layer.

    Parameters
    ----------
    devices : that share the layer.
    hidden : width of the residual stream.
    inner : width of the feed-forward block, of all devices together.
    heads : of this device; ``head_dim`` is the width of each.
    sequence, batch : length and number of the sequences.
    """

    devices: int
    hidden: int
    inner: int
    heads: int
    head_dim: int
    sequence: int
    batch: int

    @property
    def tokens(self) -> int:
        """Rows that go through the layer."""
        return self.sequence * self.batch

    def sublayer(self, name: Sublayer, after: tuple[str, ...]) -> Iterator[Site]:
        """The product of a sub-layer and the exchange of its results."""
        if name in FORWARD_SUBLAYERS:
            product = self._forward(_projection(name), after)
        else:
            product = self._data_gradient(_projection(name), after)
        yield product
        yield from self._exchanged(name, product.name)

    def forward(self) -> Iterator[Site]:
        """The forward pass of the layer; the residual stream enters as ``STREAM``."""
        yield Site("input_norm", (STREAM,), self._norm())
        yield self._forward("ip", ("input_norm",))
        yield Site("scores", ("ip",), self._attention("scores"))
        yield Site("softmax", ("scores",), Softmax(*ANYWHERE, self._rows, self.sequence, DTYPE))
        yield Site("values", ("softmax", "ip"), self._attention("values"))
        yield from self.sublayer("op", ("values",))
        yield self._add("attention_add", (STREAM, "op_all_gather"))
        yield Site("ffn_norm", ("attention_add",), self._norm())
        yield self._forward("fc1", ("ffn_norm",))
        yield Site("activation", ("fc1",), Activation(*ANYWHERE, "gelu", self._inner, DTYPE))
        yield from self.sublayer("fc2", ("activation",))
        yield self._add("ffn_add", ("attention_add", "fc2_all_gather"))

    def backward(self) -> Iterator[Site]:
        """The backward pass, once the forward is done; its gradient enters as ``GRADIENT``."""
        yield from self._ffn_backward()
        yield self._data_gradient("op", ("ffn_add_gradient",))
        yield self._weight_gradient("op", ("ffn_add_gradient", "values"))
        yield from self._attention_backward()
        yield from self.sublayer("ip_backward", HEAD_GRADIENTS)
        yield self._weight_gradient("ip", (*HEAD_GRADIENTS, "input_norm"))
        yield self._gradient("input_norm_gradient", ("ip_backward_all_gather",), self._stream)
        yield self._add("attention_add_gradient", ("input_norm_gradient", "ffn_add_gradient"))

    def _ffn_backward(self) -> Iterator[Site]:
        yield self._data_gradient("fc2", (GRADIENT,))
        yield self._weight_gradient("fc2", (GRADIENT, "activation"))
        yield self._gradient("activation_gradient", ("fc2_data_gradient", "fc1"), self._inner)
        yield from self.sublayer("fc1_backward", ("activation_gradient",))
        yield self._weight_gradient("fc1", ("activation_gradient", "ffn_norm"))
        norm_reads = ("fc1_backward_all_gather", "attention_add")
        yield self._gradient("ffn_norm_gradient", norm_reads, self._stream)
        yield self._add("ffn_add_gradient", (GRADIENT, "ffn_norm_gradient"))

    def _attention_backward(self) -> Iterator[Site]:
        """Gradients of probabilities, values, scores, queries and keys, head by head."""
        arrived = "op_data_gradient"
        yield Site("probability_gradient", (arrived, "ip"), self._attention("scores"))
        yield Site("value_gradient", (arrived, "softmax"), self._attention("values"))
        softmax_reads = ("probability_gradient", "softmax")
        yield self._gradient("softmax_gradient", softmax_reads, self._rows * self.sequence)
        for name in ("query_gradient", "key_gradient"):
            yield Site(name, ("softmax_gradient", "ip"), self._attention("values"))

    def _exchanged(self, name: Sublayer, product: str) -> Iterator[Site]:
        """Sum up what the devices have, each a part, and give all parts to all."""
        scattered, gathered = f"{name}_reduce_scatter", f"{name}_all_gather"
        yield Site(scattered, (product,), self._collective("reduce_scatter", name))
        yield Site(gathered, (scattered,), self._collective("all_gather", name))

    @property
    def _rows(self) -> int:
        """Rows of scores."""
        return self.heads * self.tokens

    @property
    def _stream(self) -> int:
        """Elements of the residual stream."""
        return self.tokens * self.hidden

    @property
    def _inner(self) -> int:
        """Elements inside the feed-forward block."""
        return self.tokens * (self.inner // self.devices)

    def _sizes(self, projection: Projection) -> tuple[int, int]:
        """Inputs and outputs of this device's part of a projection."""
        part, inner = self.hidden // self.devices, self.inner // self.devices
        sizes: dict[Projection, tuple[int, int]] = {
            "ip": (self.hidden, 3 * part),
            "op": (part, self.hidden),
            "fc1": (self.hidden, inner),
            "fc2": (inner, self.hidden),
        }
        return sizes[projection]

    def _forward(self, projection: Projection, reads: tuple[str, ...]) -> Site:
        """``Y[tokens, outputs] = X[tokens, inputs] @ W[inputs, outputs]``."""
        inputs, outputs = self._sizes(projection)
        return _gemm(projection, reads, self.tokens, outputs, inputs)

    def _data_gradient(self, projection: Projection, reads: tuple[str, ...]) -> Site:
        """``dX[tokens, inputs] = dY[tokens, outputs] @ W.T[outputs, inputs]``."""
        inputs, outputs = self._sizes(projection)
        return _gemm(f"{projection}_data_gradient", reads, self.tokens, inputs, outputs)

    def _weight_gradient(self, projection: Projection, reads: tuple[str, ...]) -> Site:
        """``dW[inputs, outputs] = X.T[inputs, tokens] @ dY[tokens, outputs]``."""
        inputs, outputs = self._sizes(projection)
        name = f"{projection}_weight_gradient"
        return _gemm(name, reads, inputs, outputs, self.tokens, "activations")

    def _collective(
        self, kind: Literal["reduce_scatter", "all_gather"], name: Sublayer
    ) -> Collective:
        vector = packed_bytes(self._stream, DTYPE)
        return Collective(*ANYWHERE, kind, vector, self.devices, name, DTYPE)

    def _attention(self, kind: Literal["scores", "values"]) -> Attention:
        return Attention(
            *ANYWHERE,
            kind=kind,
            queries=self.sequence,
            kv_length=self.sequence,
            heads=self.heads,
            kv_heads=self.heads,
            head_dim=self.head_dim,
            batch=self.batch,
            input_dtype=DTYPE,
            kv_dtype=DTYPE,
            output_dtype=DTYPE,
        )

    def _norm(self) -> Norm:
        return Norm(*ANYWHERE, "layer", self.tokens, self.hidden, DTYPE)

    def _add(self, name: str, reads: tuple[str, ...]) -> Site:
        return Site(name, reads, Elementwise(*ANYWHERE, "add", self._stream, "residual", DTYPE))

    def _gradient(self, name: str, reads: tuple[str, ...], elements: int) -> Site:
        return Site(name, reads, Elementwise(*ANYWHERE, "mul", elements, "gradient", DTYPE))


HEAD_GRADIENTS: Final = ("query_gradient", "key_gradient", "value_gradient")
"""What the backward of attention leaves for that of the input projection."""


def _projection(sublayer: Sublayer) -> Projection:
    """The projection whose product, or whose data gradient, a sub-layer is."""
    projections: dict[Sublayer, Projection] = {
        "op": "op",
        "fc2": "fc2",
        "fc1_backward": "fc1",
        "ip_backward": "ip",
    }
    return projections[sublayer]


def _gemm(
    role: str,
    reads: tuple[str, ...],
    m: int,
    n: int,
    k: int,
    operand: Literal["parameters", "activations"] = "parameters",
) -> Site:
    work = Gemm(
        *ANYWHERE,
        m=m,
        n=n,
        k=k,
        role=role,
        input_dtype=DTYPE,
        weight_dtype=DTYPE,
        output_dtype=DTYPE,
        operand=operand,
    )
    return Site(role, reads, work)
