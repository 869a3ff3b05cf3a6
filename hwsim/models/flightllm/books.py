"""The least a program must do for the ops it runs, counted from the ops and not from the program.

Padding, re-reads and operands beyond these come on top, so that these are bounds from below. A
prefill's projection is owed all rows but the last block's 15, which the published program does not
store; prefill attention is owed the blocks that the mask keeps.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 4-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwsim.errors import InvariantError
from hwsim.models.flightllm.compiler import Compiled, MaskedAttention, Program, fine_blocks
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.run import Run
from hwsim.workloads import Attention, Gemm, KvAppend, Norm, effective_macs

__all__ = ["Owed", "check_books", "owed"]

UNSTORED_ROWS = 15


@dataclass(frozen=True)
class Owed:
    """Bytes, of INT8 activations and of weights as stored, and MACs that no zero saves."""

    bytes_read: Fraction = Fraction(0)
    bytes_written: int = 0
    macs: Fraction = Fraction(0)


def check_books(run: Run, executed_macs: Fraction) -> None:
    """Compare each operator's bytes, and the whole run's MACs, with what is owed.

    Raises
    ------
    InvariantError
        Naming the op that moved less, or the MACs missing.
    """
    macs: dict[Program, Fraction] = {}
    for step in run.steps:
        if step.program in macs:  # the same program does the same again
            continue
        total = Fraction(0)
        for compiled, times in zip(step.program.operators, step.times.operators, strict=True):
            least = owed(run.plan, compiled)
            _at_least(compiled, "bytes read", times.bytes_read, least.bytes_read)
            _at_least(compiled, "bytes written", times.bytes_written, least.bytes_written)
            total += least.macs
        macs[step.program] = total
    least_macs = sum((macs[step.program] for step in run.steps), Fraction(0))
    if executed_macs < least_macs:
        raise InvariantError(
            f"executed MACs must be at least the {float(least_macs)} of the trace's kept weights "
            f"and attention, got {float(executed_macs)}"
        )


def _at_least(compiled: Compiled, what: str, got: Fraction, least: Fraction | int) -> None:
    op = compiled.operator.main
    if got < least:
        raise InvariantError(
            f"op {op.index} {op.name!r}: {what} must be at least {float(least)}, got {float(got)}"
        )


def owed(plan: Plan, compiled: Compiled) -> Owed:
    """What the operator owes to its main op; element-wise work and softmax owe nothing here."""
    match compiled.operator.main:
        case Gemm() as op:
            return _of_projection(plan, op)
        case Attention() as op:
            return _of_attention(plan, compiled, op)
        case KvAppend() as op:
            held = op.batch * (op.kv_length - op.tokens) * op.kv_heads * op.head_dim
            return Owed(bytes_read=Fraction(held if op.phase == "decode" else 0))
        case Norm() as op:
            return Owed(Fraction(op.rows * op.width), op.rows * op.width)
        case _:
            return Owed()


def _of_projection(plan: Plan, op: Gemm) -> Owed:
    kept = op.k * op.n * plan.memory.region(f"{op.name}.weight").density
    rows = op.m if op.phase == "decode" else max(0, op.m - UNSTORED_ROWS)
    stored = kept * plan.config.weight_bits(op.role) / 8
    return Owed(stored + op.m * op.k, rows * op.n, op.m * kept)


def _of_attention(plan: Plan, compiled: Compiled, op: Attention) -> Owed:
    shape = compiled.shape
    queries = op.batch * op.queries * op.heads * op.head_dim
    if isinstance(shape, MaskedAttention):
        kept = fine_blocks(plan.config, plan.compiler.mask, shape.layer, shape.shape)
        block_macs = plan.config.core.k_lanes**2 * op.head_dim * op.batch
        read = queries if op.kind == "scores" else 0
        return Owed(Fraction(read), queries - read, Fraction(int(kept.sum()) * block_macs))
    seen = min(op.kv_length, op.window or op.kv_length)
    cache, scores = op.batch * seen * op.kv_heads * op.head_dim, op.batch * op.heads * seen
    vectors = (queries, scores) if op.kind == "scores" else (scores, queries)
    return Owed(Fraction(cache + vectors[0]), vectors[1], Fraction(effective_macs(op)))
