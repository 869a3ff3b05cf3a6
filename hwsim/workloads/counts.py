"""How many MACs and bytes an op is worth: the one place that counts, for every system.

Bytes are those at the edge of the op: each operand read once, each result written once, in their
own data types, packed (two INT4 values a byte, the last byte of an operand filled up). What a
machine moves on top (padding, re-reads, indices of sparse weights) or saves (fusion) is the
machine's and is reported by it.

Only matrix products have MACs; norms, softmax, activations and element-wise ops have none, nor
have the additions of a collective. Of a collective, the bytes read and written are those of the
vector in memory; what goes over links is counted apart.

A type of op without a case here is a ``TypeError``, never worth nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

from hwsim.workloads.ops import (
    Activation,
    Attention,
    Collective,
    Dtype,
    Elementwise,
    Embedding,
    Gemm,
    KvAppend,
    Norm,
    Op,
    Softmax,
)
from hwsim.workloads.template import TemplateOps

__all__ = [
    "DTYPE_BITS",
    "OpCounts",
    "bias_bytes",
    "bytes_read",
    "bytes_written",
    "count",
    "effective_macs",
    "link_bytes",
    "macs",
    "packed_bytes",
    "total",
    "weight_bytes",
    "weights",
]

DTYPE_BITS: Final = MappingProxyType(
    {
        "int3": 3,
        "int4": 4,
        "int5": 5,
        "int8": 8,
        "int16": 16,
        "int32": 32,
        "fp8": 8,
        "fp16": 16,
        "bf16": 16,
        "fp32": 32,
    }
)
"""Bits of one element of each data type."""


@dataclass(frozen=True, slots=True)
class OpCounts:
    """What one op, or a number of them, is worth.

    ``bytes_read`` includes ``weight_bytes``; ``link_bytes`` are in neither.
    """

    ops: int = 0
    macs: int = 0
    effective_macs: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    weight_bytes: int = 0
    link_bytes: int = 0

    def __add__(self, other: OpCounts) -> OpCounts:
        return OpCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: int) -> OpCounts:
        return OpCounts(*(getattr(self, f.name) * times for f in fields(self)))


def packed_bytes(elements: int, dtype: Dtype) -> int:
    """Bytes of ``elements`` packed elements: ``ceil(elements * bits / 8)``."""
    return -(-elements * DTYPE_BITS[dtype] // 8)


def macs(op: Op) -> int:
    """Multiply-accumulates of the dense op: nothing skipped, neither a zero nor a masked score."""
    match op:
        case Gemm():
            return op.m * op.n * op.k
        case Attention():
            return op.batch * op.heads * op.head_dim * op.queries * op.kv_length
        case KvAppend() | Softmax() | Norm() | Activation() | Elementwise() | Embedding():
            return 0
        case Collective():
            return 0
        case _:
            raise _unknown(op)


def effective_macs(op: Op) -> int:
    """Multiply-accumulates that matter: of the kept weights, and of the scores a query may see."""
    match op:
        case Gemm():
            return op.m * _kept(op)
        case Attention():
            return op.batch * op.heads * op.head_dim * _visible_scores(op)
        case KvAppend() | Softmax() | Norm() | Activation() | Elementwise() | Embedding():
            return 0
        case Collective():
            return 0
        case _:
            raise _unknown(op)


def weights(op: Op) -> int:
    """Kept weights of an op: of a Gemm ``k * n * density``, to the nearest; biases not included."""
    match op:
        case Gemm(operand="parameters"):
            return _kept(op)
        case Gemm() | Attention() | KvAppend() | Softmax():
            return 0
        case Norm() | Activation() | Elementwise() | Embedding() | Collective():
            return 0
        case _:
            raise _unknown(op)


def bias_bytes(op: Op) -> int:
    """Bytes of the bias: INT32 beside integer weights, otherwise in the type of the output."""
    match op:
        case Gemm(bias=True):
            integer = op.weight_dtype.startswith("int")
            return packed_bytes(op.n, "int32" if integer else op.output_dtype)
        case Gemm() | Attention() | KvAppend() | Softmax():
            return 0
        case Norm() | Activation() | Elementwise() | Embedding() | Collective():
            return 0
        case _:
            raise _unknown(op)


def weight_bytes(op: Op) -> int:
    """Bytes of the parameters the op reads: kept weights and bias, norm parameters, looked-up rows.

    Without the indices that a sparse format adds: those are the machine's.
    """
    match op:
        case Gemm():
            return packed_bytes(weights(op), op.weight_dtype) + bias_bytes(op)
        case Norm():
            return packed_bytes(op.width, op.dtype) * (2 if op.kind == "layer" else 1)
        case Embedding():
            return packed_bytes(op.rows * op.width, op.dtype)
        case KvAppend() | Attention() | Softmax() | Activation() | Elementwise() | Collective():
            return 0
        case _:
            raise _unknown(op)


def bytes_read(op: Op) -> int:
    """Bytes the op reads: parameters, and each operand once."""
    return weight_bytes(op) + _operand_bytes(op)


def bytes_written(op: Op) -> int:
    """Bytes of the op's result."""
    match op:
        case Gemm():
            return packed_bytes(op.m * op.n, op.output_dtype)
        case KvAppend():
            return _append_bytes(op)
        case Attention():
            result = _scores(op) if op.kind == "scores" else _query_elements(op)
            return packed_bytes(result, op.output_dtype)
        case Softmax() | Norm() | Embedding() | Activation() | Elementwise():
            return packed_bytes(_elements(op), op.dtype)
        case Collective():
            return _part_bytes(op) if op.kind == "reduce_scatter" else op.bytes
        case _:
            raise _unknown(op)


def link_bytes(op: Op) -> int:
    """Bytes a device sends over its links when nothing goes twice.

    In a reduce-scatter, an all-gather and an all-to-all it sends every part of the vector but one;
    where the parts are not equal, the one it keeps is the smallest. An all-reduce is the first two.
    """
    match op:
        case Collective():
            sent = op.bytes - op.bytes // op.devices
            return 2 * sent if op.kind == "all_reduce" else sent
        case Gemm() | KvAppend() | Attention() | Softmax():
            return 0
        case Norm() | Activation() | Elementwise() | Embedding():
            return 0
        case _:
            raise _unknown(op)


def count(op: Op) -> OpCounts:
    """All counts of one op."""
    return OpCounts(
        ops=1,
        macs=macs(op),
        effective_macs=effective_macs(op),
        bytes_read=bytes_read(op),
        bytes_written=bytes_written(op),
        weight_bytes=weight_bytes(op),
        link_bytes=link_bytes(op),
    )


def total(ops: Iterable[Op]) -> OpCounts:
    """Counts of all the ops together; equal work is counted once and multiplied."""
    works = ops.works() if isinstance(ops, TemplateOps) else _works(ops)
    return sum((count(op) * times for op, times in works), OpCounts())


def _works(ops: Iterable[Op]) -> Iterable[tuple[Op, int]]:
    """One op of each piece of work, and how many ops do it."""
    times: Counter[tuple[object, ...]] = Counter()
    sample: dict[tuple[object, ...], Op] = {}
    for op in ops:
        work = op.signature()
        times[work] += 1
        sample[work] = op
    return [(sample[work], number) for work, number in times.items()]


def _operand_bytes(op: Op) -> int:
    """Bytes of the operands that are not parameters."""
    match op:
        case Gemm():
            second = 0 if op.operand == "parameters" else packed_bytes(_kept(op), op.weight_dtype)
            return packed_bytes(op.m * op.k, op.input_dtype) + second
        case KvAppend():
            return _append_bytes(op)
        case Attention():
            first = _query_elements(op) if op.kind == "scores" else _scores(op)
            return packed_bytes(first, op.input_dtype) + _cache_bytes(op)
        case Softmax() | Norm() | Activation():
            return packed_bytes(_elements(op), op.dtype)
        case Elementwise():
            return 2 * packed_bytes(_elements(op), op.dtype)
        case Embedding():  # its rows are parameters
            return 0
        case Collective():
            return _part_bytes(op) if op.kind == "all_gather" else op.bytes
        case _:
            raise _unknown(op)


def _unknown(op: Op) -> TypeError:
    return TypeError(f"op {op.name} must be of a known type, got {type(op).__name__}")


def _elements(op: Softmax | Norm | Embedding | Activation | Elementwise) -> int:
    """Elements of the result, and of each operand."""
    match op:
        case Softmax():
            return op.rows * op.columns
        case Norm() | Embedding():
            return op.rows * op.width
        case Activation() | Elementwise():
            return op.elements


def _kept(op: Gemm) -> int:
    """Kept elements of the second operand: ``k * n * density``, to the nearest."""
    dense = op.k * op.n
    return dense if op.density == 1.0 else round(dense * op.density)


def _part_bytes(op: Collective) -> int:
    """Bytes of a device's part of the vector; of the largest, where they are not equal."""
    return -(-op.bytes // op.devices)


def _append_bytes(op: KvAppend) -> int:
    return packed_bytes(op.batch * op.tokens * op.kv_heads * op.head_dim, op.kv_dtype)


def _cache_bytes(op: Attention) -> int:
    """Bytes of the keys, or of the values, attended to."""
    return packed_bytes(op.batch * op.kv_length * op.kv_heads * op.head_dim, op.kv_dtype)


def _query_elements(op: Attention) -> int:
    """Elements of all queries, which is also that of all attention results."""
    return op.batch * op.queries * op.heads * op.head_dim


def _scores(op: Attention) -> int:
    return op.batch * op.heads * op.queries * op.kv_length


def _visible_scores(op: Attention) -> int:
    """Scores of one head of one sequence that the causal mask and the window leave.

    The queries stand at the last ``queries`` of ``kv_length`` positions; the one at position ``p``
    (from 1) sees ``min(p, window)`` of them, or ``min(kv_length, window)`` when not causal.
    """
    window = op.kv_length if op.window is None else min(op.window, op.kv_length)
    if not op.causal:
        return op.queries * window

    def up_to(position: int) -> int:
        ramp = min(position, window)
        return ramp * (ramp + 1) // 2 + (position - ramp) * window

    return up_to(op.kv_length) - up_to(op.kv_length - op.queries)
