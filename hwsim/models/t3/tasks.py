"""The ops of a trace as tasks for the node: sub-layers, and what lies between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwsim.errors import WorkloadError
from hwsim.models.t3.tiles import GemmShape
from hwsim.workloads import (
    Activation,
    Attention,
    Collective,
    Elementwise,
    Gemm,
    Norm,
    Op,
    Softmax,
    Trace,
)

__all__ = ["Task", "tasks_of"]

STREAMED = (Norm, Softmax, Activation, Elementwise)
"""Ops that are bound by what they read and write."""


@dataclass(frozen=True)
class Task:
    """Ops that run as one: a GEMM with its exchange, or an op alone.

    ``shape`` is of the product; None for an op that has none.
    """

    ops: tuple[Op, ...]
    shape: GemmShape | None

    @property
    def name(self) -> str:
        """Of its first op, without the layer's number."""
        return self.ops[0].name.rpartition(".")[2]

    @property
    def is_sublayer(self) -> bool:
        """Whether it is a GEMM with the reduce-scatter and the all-gather of its output."""
        return len(self.ops) == 3


def tasks_of(trace: Trace) -> Iterator[Task]:
    """The tasks of a trace in program order.

    Raises
    ------
    WorkloadError
        For an op that the node has no kernel for, or an exchange without its GEMM.
    """
    for step in trace.steps():
        ops = list(step.ops)
        while ops:
            task = _first(ops)
            yield task
            del ops[: len(task.ops)]


def _first(ops: Sequence[Op]) -> Task:
    op = ops[0]
    if isinstance(op, Gemm):
        shape = GemmShape(op.m, op.n, op.k)
        exchange = _exchange(op, ops[1:3])
        return Task((op, *exchange), shape)
    if isinstance(op, Attention):
        batch = op.heads * op.batch
        columns, k = op.kv_length, op.head_dim
        if op.kind == "values":
            columns, k = k, columns
        return Task((op,), GemmShape(op.queries, columns, k, batch))
    if isinstance(op, STREAMED):
        return Task((op,), None)
    raise WorkloadError(
        f"op {op.index} {op.name!r}: {type(op).__name__} must follow the product whose output it "
        "exchanges"
        if isinstance(op, Collective)
        else f"op {op.index} {op.name!r}: {type(op).__name__} must be an op of a transformer layer"
    )


def _exchange(gemm: Gemm, after: Sequence[Op]) -> Sequence[Op]:
    """The reduce-scatter and all-gather of a GEMM's output, if they follow it."""
    kinds = [op.kind for op in after if isinstance(op, Collective)]
    if kinds != ["reduce_scatter", "all_gather"] or gemm.index not in after[0].deps:
        return ()
    return after
