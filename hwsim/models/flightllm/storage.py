"""Instruction storage: program bytes for every length a machine takes, by counting alone.

Laws, tested against written programs. A decode program's size depends on the length only through
its groups of 512 columns. A prefill program's follows from its row blocks and row tiles, from the
rows of its norms, and from the attention blocks that the mask keeps.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 5 (length-adaptive compilation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import FORMATS, Opcode
from hwsim.models.flightllm.compiler import MaskedAttention, Shape, fine_blocks, round_up
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.schedule_misc import MiscRows
from hwsim.models.flightllm.schedule_mm import PrefillAttention
from hwsim.models.flightllm.tail import OPERANDS, PASSES
from hwsim.models.flightllm.tiling import Linear, mm_tiling
from hwsim.workloads import LlmScenario, LlmWorkload, Step, build_trace

__all__ = [
    "InstructionStorage",
    "attention_counts",
    "linear_counts",
    "misc_counts",
    "storage_of",
    "why_no_storage",
]

LD, ST, MM, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MM, Opcode.MISC, Opcode.SYS
Counts = Mapping[Opcode, int]
Column = NDArray[np.int64]


@dataclass(frozen=True)
class InstructionStorage:
    """Bytes of one core's programs for every prompt and context up to the machine's longest.

    With one program a bucket, and with one a length; prefill and decode.
    """

    prefill_buckets: int
    prefill_lengths: int
    decode_buckets: int
    decode_lengths: int

    @property
    def with_buckets(self) -> int:
        """Bytes with length-adaptive compilation."""
        return self.prefill_buckets + self.decode_buckets

    @property
    def one_per_length(self) -> int:
        """Bytes without it."""
        return self.prefill_lengths + self.decode_lengths


def linear_counts(cfg: FlightLLMConfig, op: Linear) -> Counts:
    """Instructions of :func:`~.schedule_mm.linear_mm`."""
    core = cfg.geometry
    blocks = ceil_div(op.rows, core.k_lanes)
    tiles = ceil_div(blocks, core.mm_rows // core.k_lanes)
    columns, k_tiles = ceil_div(op.n, core.mm_columns), len(mm_tiling(cfg, op).tiles)
    operands = sum(OPERANDS[kind] for kind in op.tail)
    weights = columns * k_tiles * tiles
    return {
        LD: op.bias + blocks * (1 + operands * columns) + weights * (3 if op.metadata else 1),
        ST: blocks * columns,
        MM: weights,
        MISC: tiles * columns * sum(len(PASSES[kind]) for kind in op.tail),
        SYS: 1,
    }


def misc_counts(op: MiscRows) -> Counts:
    """Instructions of :func:`~.schedule_misc.misc_rows`."""
    return {LD: op.rows * op.operands, MISC: op.rows, ST: op.rows, SYS: 1}


def attention_counts(
    cfg: FlightLLMConfig, op: PrefillAttention, kept: NDArray[np.bool_]
) -> Mapping[Opcode, Column]:
    """Instructions of :func:`~.schedule_mm.attention_mm` for one head, without its SYS.

    Entry n of each column is for a prompt of n + 1 blocks of 16 rows, which sees as much of
    ``kept[row blocks, column blocks]``: a block counts from the length on that has both its row and
    its column.
    """
    core, longest = cfg.geometry, len(kept)
    blocks, size = np.arange(1, longest + 1), core.mm_rows // core.k_lanes
    if op.scores:
        seen = _seen_by_tiles(kept, size)
        softmax = core.k_lanes * blocks if op.softmax else 0 * blocks
        return {LD: blocks + seen, MM: seen, MISC: softmax, ST: blocks}
    rows, columns = np.nonzero(np.diff(kept, axis=1, prepend=False) & kept)
    runs = _from(np.maximum(rows, columns), longest)
    gaps = np.flatnonzero(~kept.all(axis=1))
    zeros = _from(np.maximum(gaps, kept[gaps].argmin(axis=1)), longest)
    products = -(-blocks // size) * ceil_div(op.head_dim, core.mm_columns)
    return {LD: runs + zeros + products, MM: products, ST: blocks}


def _seen_by_tiles(kept: NDArray[np.bool_], size: int) -> Column:
    """Column blocks that some row of a tile of ``size`` sees, over the tiles of each length."""
    found = np.zeros(len(kept), np.int64)
    for first in range(0, len(kept), size):
        seen = np.logical_or.accumulate(kept[first : first + size])  # by the rows so far
        past = first + len(seen)
        found[first:past] += np.tril(seen, first).sum(axis=1)
        found += _from(np.maximum(np.flatnonzero(seen[-1]), past), len(kept))
    return found


def _from(begins: Column, longest: int) -> Column:
    """For each length, from one block on, how many of ``begins`` lie below it."""
    found: Column = np.bincount(begins[begins < longest], minlength=longest).cumsum()
    return found


def _bytes(counts: Counts) -> int:
    return sum(4 * FORMATS[unit].words * n for unit, n in counts.items())


def _byte_columns(counts: Mapping[Opcode, Column]) -> Column:
    columns = [4 * FORMATS[unit].words * column for unit, column in counts.items()]
    total: Column = np.sum(columns, axis=0, dtype=np.int64)
    return total


def why_no_storage(plan: Plan) -> str:
    """Why a length that the run may not have can't be compiled; empty if all can.

    What a program needs grows with nothing but its phase and the model's positions.
    """
    if not isinstance(plan.workload, LlmWorkload):
        return "its workload is given op by op"
    cfg = plan.config
    longest = round_up(round_up(cfg.max_tokens, cfg.buckets.decode), cfg.core.mv_columns)
    try:
        plan.compiler.program(_step(plan, phase="prefill", prompt_tokens=cfg.buckets.prefill))
        plan.compiler.program(_step(plan, phase="decode_step", kv_length=longest))
    except WorkloadError as error:
        return str(error)
    return ""


def storage_of(plan: Plan) -> InstructionStorage:
    """Storage for every length up to ``max_tokens``.

    Raises
    ------
    WorkloadError
        For a length that can't be compiled (:func:`why_no_storage`).
    """
    prefill, decode = _PrefillSizes(plan), _DecodeSizes(plan)
    config = plan.config
    longest, buckets = config.max_tokens, config.buckets
    return InstructionStorage(
        prefill_buckets=sum(prefill[n] for n in _multiples(buckets.prefill, longest)),
        prefill_lengths=sum(prefill[n] for n in range(1, longest + 1)),
        decode_buckets=sum(decode[n] for n in _multiples(buckets.decode, longest)),
        decode_lengths=sum(decode[n] for n in range(1, longest + 1)),
    )


def _multiples(size: int, longest: int) -> Iterator[int]:
    yield from range(size, ceil_div(longest, size) * size + 1, size)


def _step(plan: Plan, **scenario: int | str) -> Step:
    """A step of the workload's model and batch, of another length."""
    assert isinstance(plan.workload, LlmWorkload)
    batch = plan.workload.scenario.batch
    built = LlmScenario.model_validate({**scenario, "batch": batch})
    return next(build_trace(plan.workload.shape, built).steps())


class _DecodeSizes:
    """Size of the decode program by length: that of any length with as many groups of columns."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._group = plan.config.core.mv_columns
        self._sizes: dict[int, int] = {}

    def __getitem__(self, length: int) -> int:
        groups = ceil_div(length, self._group)
        if groups not in self._sizes:
            step = _step(self._plan, phase="decode_step", kv_length=groups * self._group)
            program = self._plan.compiler.program(step)
            self._sizes[groups] = self._plan.compiler.size_bytes(program)
        return self._sizes[groups]


class _PrefillSizes:
    """Size of the prefill program by length, by the laws above."""

    def __init__(self, plan: Plan) -> None:
        self._cfg = plan.config
        self._length = plan.config.buckets.prefill
        program = plan.compiler.program(_step(plan, phase="prefill", prompt_tokens=self._length))
        self._rows: Counter[Linear | MiscRows] = Counter()
        self._linear_bytes: dict[tuple[Linear, int], int] = {}
        blocks = ceil_div(self._cfg.longest_program, self._cfg.geometry.k_lanes)
        self._attention = np.zeros(blocks, np.int64)
        self._head_bytes: dict[Hashable, Column] = {}
        for compiled in program.operators:
            self._add(plan, compiled.shape)

    def _add(self, plan: Plan, shape: Shape) -> None:
        """Keep a shape with how often it occurs; of attention, add its bytes at each length."""
        if isinstance(shape, Linear | MiscRows):
            self._rows[shape] += 1
        elif isinstance(shape, MaskedAttention):
            whole = replace(shape.shape, tokens=self._cfg.longest_program)
            for kept in fine_blocks(self._cfg, plan.compiler.mask, shape.layer, whole):
                self._attention += shape.shape.batch * self._head(shape.shape, kept)
            self._attention += _bytes({SYS: 1})

    def _head(self, op: PrefillAttention, kept: NDArray[np.bool_]) -> Column:
        """Bytes of one head at each length, counted once a mask."""
        key = op, sha256(np.packbits(kept).tobytes()).digest()
        if key not in self._head_bytes:
            self._head_bytes[key] = _byte_columns(attention_counts(self._cfg, op, kept))
        return self._head_bytes[key]

    def __getitem__(self, length: int) -> int:
        rows = sum(self._row_bytes(shape, length) * n for shape, n in self._rows.items())
        return rows + int(self._attention[ceil_div(length, self._cfg.core.k_lanes) - 1])

    def _row_bytes(self, shape: Linear | MiscRows, length: int) -> int:
        """Of a projection, the same for all lengths of as many row blocks."""
        rows = shape.rows // self._length * length
        if isinstance(shape, MiscRows):
            return _bytes(misc_counts(replace(shape, rows=rows)))
        key = shape, ceil_div(rows, self._cfg.core.k_lanes)
        if key not in self._linear_bytes:
            self._linear_bytes[key] = _bytes(linear_counts(self._cfg, replace(shape, rows=rows)))
        return self._linear_bytes[key]
