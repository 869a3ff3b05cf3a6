"""What the compiler compiles: operators, each a few trace ops that run as one.

:func:`fuse` groups the ops of a step. With always-on-chip decode a projection carries the
miscellaneous ops that follow it (RoPE, SiLU, the residual add, the gate's multiply) and QK^T its
softmax, so that their operands never leave the chip; without it, each is an operator of its own.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 4 (always-on-chip decode); the fusions are those
that the authors' public artifact implements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.workloads import (
    Activation,
    Attention,
    Elementwise,
    Embedding,
    Gemm,
    KvAppend,
    Norm,
    Op,
    Softmax,
)

__all__ = ["Fused", "Operator", "fuse"]

Fused: TypeAlias = Literal["rope", "add", "mul", "silu"]


@dataclass(frozen=True)
class Operator:
    """One operator: its main op, the ops fused with it, and their positions in the step."""

    main: Op
    fused: tuple[Op, ...]
    positions: range

    @property
    def ops(self) -> tuple[Op, ...]:
        """The main op, then the fused ones."""
        return (self.main, *self.fused)

    @property
    def softmax(self) -> bool:
        """Whether a softmax is fused."""
        return any(isinstance(op, Softmax) for op in self.fused)

    @property
    def relu(self) -> bool:
        """Whether the matrix unit's own ReLU is used."""
        return any(isinstance(op, Activation) and op.kind == "relu" for op in self.fused)

    @property
    def tail(self) -> tuple[Fused, ...]:
        """The fused work of the special function unit, RoPE's three passes as one word."""
        kinds: list[Fused] = []
        for op in self.fused:
            if isinstance(op, Elementwise) and op.role == "rope":
                if "rope" not in kinds:
                    kinds.append("rope")
            elif isinstance(op, Elementwise):
                kinds.append(op.kind)
            elif isinstance(op, Activation) and op.kind == "silu":
                kinds.append("silu")
        return tuple(kinds)


def fuse(ops: Sequence[Op], *, on_chip: bool) -> Iterator[Operator]:
    """Group a step's ops, in order, into operators. Embeddings are the host's.

    Raises
    ------
    WorkloadError
        For an op the machine has no instruction for.
    """
    start = 0
    while start < len(ops):
        main, end = ops[start], start + 1
        while end < len(ops) and _rides(ops[end], ops[start:end], on_chip=on_chip):
            end += 1
        if not _of_the_host(main):
            _check(main)
            yield Operator(main, tuple(ops[start + 1 : end]), range(start, end))
        start = end


def _of_the_host(op: Op) -> bool:
    """Whether the host does it: the look-up of embeddings, and adding those of positions."""
    return isinstance(op, Embedding) or (isinstance(op, Elementwise) and op.role == "position")


def _rides(op: Op, operator: Sequence[Op], *, on_chip: bool) -> bool:
    """Whether ``op`` is fused with the operator before it, whose result it must be as large as."""
    match operator[0], op:
        case Gemm(m=m, n=n), Activation(kind="relu", elements=elements):
            # an output flag of the matrix unit, not an operation of the SFU
            return elements == m * n and len(operator) == 1
        case Gemm(m=m, n=n), Elementwise(elements=e) | Activation(kind="silu", elements=e):
            return on_chip and e == m * n
        case Attention(kind="scores") as main, Softmax():
            rows = main.batch * main.heads * main.queries
            return on_chip and (op.rows, op.columns) == (rows, main.kv_length)
        case _:
            return False


def _check(op: Op) -> None:
    known = (Gemm, Attention, KvAppend, Norm, Softmax, Elementwise, Activation)
    unknown = not isinstance(op, known) or (isinstance(op, Activation) and op.kind != "silu")
    if unknown:
        kind = getattr(op, "kind", "")
        what = f"{type(op).__name__} {kind}".strip()
        raise WorkloadError(
            f"op {op.index} {op.name!r}: type must be one FlightLLM has an instruction for "
            f"({', '.join(m.name.lower() for m in MiscOp)}, matrix products), got {what!r}"
        )
