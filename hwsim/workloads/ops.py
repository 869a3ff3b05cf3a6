"""The typed ops a workload is made of: what has to be computed, not how or when.

An op states shapes, data types, sparsity and which earlier ops it needs. What it costs in MACs and
bytes is counted in one place, :mod:`hwsim.workloads.counts`; how it runs is each system's mapping.

The annotations of the fields are also the rules that :mod:`hwsim.workloads.records` checks when a
trace is read: one table, no hand-written reader per op.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

__all__ = [
    "MAX_COUNT",
    "OP_TYPES",
    "Activation",
    "Attention",
    "Between",
    "Collective",
    "Count",
    "Density",
    "Devices",
    "Dtype",
    "Elementwise",
    "Embedding",
    "Gemm",
    "Index",
    "KvAppend",
    "Norm",
    "Op",
    "Phase",
    "Softmax",
]

MAX_COUNT: Final = 2**62
"""Largest count a trace may hold: its columns are signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class Between:
    """Annotation of a number field: the closed range its value must lie in."""

    low: int
    high: int

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the range; NaN does not."""
        return self.low <= value <= self.high


Count = Annotated[int, Between(1, MAX_COUNT)]
"""How many there are: at least one."""
Index = Annotated[int, Between(0, MAX_COUNT)]
"""Position of an op, a step or a layer, from 0."""
Density = Annotated[float, Between(0, 1)]
"""Share of the weights that are kept, 1.0 when dense."""
Devices = Annotated[int, Between(2, MAX_COUNT)]
"""How many devices work together: with one there is nothing to exchange."""
Phase = Literal["prefill", "decode", "forward", "backward", "update"]
"""Prefill and decode of inference; forward, backward and weight update of a training step."""
Dtype = Literal[
    "int3", "int4", "int5", "int8", "int16", "int32", "fp8", "fp16", "bf16", "fp32"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """What all ops have in common.

    Parameters
    ----------
    index : position in the trace; ops are numbered 0, 1, 2, ... in program order.
    name : where the op stands in the model, such as ``layers.3.q_proj``.
    phase, step : those of its step.
    layer : number of the layer, None outside of the layers.
    deps : indices of the ops whose results this one needs, all smaller than ``index``.
    """

    index: Index
    name: str
    phase: Phase
    step: Index
    layer: Index | None
    deps: tuple[Index, ...]

    def signature(self) -> tuple[Any, ...]:
        """The type and the work alone: equal for two ops that cost the same on any machine.

        Leaves out index, name, phase, step, layer and deps. Hashable.
        """
        kind = type(self).__name__
        return (kind, *_work_of(kind)(self))


@dataclass(frozen=True, slots=True)
class Gemm(Op):
    """Matrix product with weights: ``output[m, n] = input[m, k] @ weight[k, n] (+ bias[n])``.

    ``density`` is the share of the weights that are kept; ``role`` says which projection of the
    model this is. ``operand`` says what ``weight`` is: parameters, or activations too, as in the
    gradient of the weights.
    """

    m: Count
    n: Count
    k: Count
    role: str
    bias: bool = False
    density: Density = 1.0
    input_dtype: Dtype = "int8"
    weight_dtype: Dtype = "int8"
    output_dtype: Dtype = "int8"
    operand: Literal["parameters", "activations"] = "parameters"


@dataclass(frozen=True, slots=True)
class KvAppend(Op):
    """Append ``tokens`` new keys or values a sequence to the cache.

    ``kv_length`` is the length of the cache afterwards.
    """

    role: Literal["k", "v"]
    tokens: Count
    kv_length: Count
    kv_heads: Count
    head_dim: Count
    batch: Count = 1
    kv_dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Attention(Op):
    """One of the two products of attention, for every head of every sequence of the batch.

    ``scores`` is ``q[queries, head_dim] @ k[kv_length, head_dim].T``, ``values`` is
    ``p[queries, kv_length] @ v[kv_length, head_dim]``. ``heads // kv_heads`` query heads share a
    key-value head. With ``causal``, the queries are the last positions of the ``kv_length`` and
    none sees a later one. ``window`` limits each query to the last ``window`` positions it could
    see; None when it sees them all.
    """

    kind: Literal["scores", "values"]
    queries: Count
    kv_length: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    batch: Count = 1
    causal: bool = True
    window: Count | None = None
    input_dtype: Dtype = "int8"
    kv_dtype: Dtype = "int8"
    output_dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """Softmax over each of ``rows`` rows of ``columns`` scores."""

    rows: Count
    columns: Count
    dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Norm(Op):
    """RMS norm (one parameter a column) or layer norm (scale and shift) of ``rows`` rows."""

    kind: Literal["rms", "layer"]
    rows: Count
    width: Count
    dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Activation(Op):
    """Non-linear function of each element."""

    kind: Literal["silu", "relu", "gelu"]
    elements: Count
    dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Elementwise(Op):
    """Sum or product of two operands of ``elements`` elements each.

    The role ``gradient`` is the backward of a norm, a softmax or an activation: the gradient that
    comes in, and what the forward op kept.
    """

    kind: Literal["add", "mul"]
    elements: Count
    role: Literal["rope", "residual", "gate", "position", "gradient"]
    dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Embedding(Op):
    """Look up ``rows`` rows of ``width`` in a table by token or by position."""

    rows: Count
    width: Count
    role: Literal["token", "position"] = "token"
    dtype: Dtype = "int8"


@dataclass(frozen=True, slots=True)
class Collective(Op):
    """An exchange in which every one of ``devices`` devices takes part; the op is one device's.

    ``bytes`` is the whole vector: what each device gives to a ``reduce_scatter`` and keeps its part
    of, what each has after an ``all_gather`` of the parts, both for an ``all_reduce``, and what
    each gives and gets, a part to and from every device, in an ``all_to_all``. ``dtype`` is that of
    the elements, which reducing adds. ``role`` says what the vector is in the model.
    """

    kind: Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all"]
    bytes: Count
    devices: Devices
    role: str
    dtype: Dtype = "fp16"


OP_TYPES: Final[dict[str, type[Op]]] = {
    op.__name__: op
    for op in (
        Gemm,
        KvAppend,
        Attention,
        Softmax,
        Norm,
        Activation,
        Elementwise,
        Embedding,
        Collective,
    )
}
"""Every type of op a trace may hold, by the name it has in files."""


@functools.cache
def _work_of(kind: str) -> Callable[[Op], tuple[Any, ...]]:
    """Reads the fields a type of op adds to :class:`Op`, in order."""
    common = {field.name for field in fields(Op)}
    own = [field.name for field in fields(OP_TYPES[kind]) if field.name not in common]
    return attrgetter(*own)
