"""A run's books: what its ops owe, what its shapes come to, and what the machine did.

The machine must have moved and computed exactly the :mod:`bill <hwsim.models.flightllm.bill>` of
each operator's shape, and a bill can't be below what the trace's ops owe. That is a bound, since
padding, re-reads and operands come on top. A prefill's projection is owed all rows but the last
block's 15, which the published program does not store; prefill attention is owed the blocks that
the mask keeps.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 4-5.
"""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

from hwsim.errors import InvariantError
from hwsim.models.flightllm.bill import Bill, bill_of
from hwsim.models.flightllm.compiler import Compiled, MaskedAttention, Program, fine_blocks
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.run import Run
from hwsim.workloads import (
    Activation,
    Attention,
    Elementwise,
    Gemm,
    KvAppend,
    Norm,
    Softmax,
    effective_macs,
)

__all__ = ["check_books", "owed"]

UNSTORED_ROWS = 15
"""Rows of the last block of 16 that a prefill's projection does not store; see above."""


def check_books(run: Run, executed_macs: Fraction) -> None:
    """Compare each operator's bytes, and the whole run's MACs, with its bill.

    Raises
    ------
    InvariantError
        Naming the op that moved something else or whose bill is less than it owes, or the MACs.
    """
    macs: dict[Program, Fraction] = {}
    for step in run.steps:
        if step.program in macs:  # the same program does the same again
            continue
        total = Fraction(0)
        for compiled, times in zip(step.program.operators, step.times.operators, strict=True):
            bill = bill_of(run.plan, compiled)
            _check_bill(compiled, bill, owed(run.plan, compiled))
            _exactly(compiled, "bytes read", times.bytes_read, bill.bytes_read)
            _exactly(compiled, "bytes written", times.bytes_written, bill.bytes_written)
            total += bill.macs
        macs[step.program] = total
    billed = sum((macs[step.program] for step in run.steps), Fraction(0))
    if executed_macs != billed:
        raise InvariantError(
            f"executed MACs must be exactly the {float(billed)} of the run's shapes, "
            f"got {float(executed_macs)}"
        )


def _check_bill(compiled: Compiled, bill: Bill, least: Bill) -> None:
    """A shape too small for its op has a bill too small."""
    for field in fields(Bill):
        got, needed = getattr(bill, field.name), getattr(least, field.name)
        if got < needed:
            what = f"{field.name.replace('_', ' ')} by its shape"
            raise InvariantError(
                f"{_named(compiled)}: {what} must be at least {float(needed)}, got {float(got)}"
            )


def _exactly(compiled: Compiled, what: str, got: Fraction, billed: Fraction | int) -> None:
    if got != billed:
        raise InvariantError(
            f"{_named(compiled)}: {what} must be exactly {float(billed)}, got {float(got)}"
        )


def _named(compiled: Compiled) -> str:
    op = compiled.operator.main
    return f"op {op.index} {op.name!r}"


def owed(plan: Plan, compiled: Compiled) -> Bill:
    """The least bill of an operator, by its main op; what is fused with it owes nothing here.

    Bytes are of INT8 activations and of weights as stored; MACs are those that no zero saves.
    """
    match compiled.operator.main:
        case Gemm() as op:
            return _of_projection(plan, op)
        case Attention() as op:
            return _of_attention(plan, compiled, op)
        case KvAppend() as op:
            held = op.batch * (op.kv_length - op.tokens) * op.kv_heads * op.head_dim
            return Bill(bytes_read=Fraction(held if op.phase == "decode" else 0))
        case Norm() as op:
            return Bill(Fraction(op.rows * op.width), op.rows * op.width)
        case Softmax() as op:
            return Bill(Fraction(op.rows * op.columns), op.rows * op.columns)
        case Elementwise() as op:
            return Bill(Fraction(2 * op.elements), op.elements)
        case Activation() as op:
            return Bill(Fraction(op.elements), op.elements)
        case _:
            return Bill()


def _of_projection(plan: Plan, op: Gemm) -> Bill:
    kept = op.k * op.n * plan.memory.region(f"{op.name}.weight").density
    rows = op.m if op.phase == "decode" else max(0, op.m - UNSTORED_ROWS)
    stored = kept * plan.config.weight_bits(op.role) / 8
    return Bill(stored + op.m * op.k, rows * op.n, op.m * kept)


def _of_attention(plan: Plan, compiled: Compiled, op: Attention) -> Bill:
    shape = compiled.shape
    queries = op.batch * op.queries * op.heads * op.head_dim
    if isinstance(shape, MaskedAttention):
        kept = fine_blocks(plan.config, plan.compiler.mask, shape.layer, shape.shape)
        block_macs = plan.config.core.k_lanes**2 * op.head_dim * op.batch
        read = queries if op.kind == "scores" else 0
        return Bill(Fraction(read), queries - read, Fraction(int(kept.sum()) * block_macs))
    seen = min(op.kv_length, op.window or op.kv_length)
    cache, scores = op.batch * seen * op.kv_heads * op.head_dim, op.batch * op.heads * seen
    vectors = (queries, scores) if op.kind == "scores" else (scores, queries)
    return Bill(Fraction(cache + vectors[0]), vectors[1], Fraction(effective_macs(op)))
