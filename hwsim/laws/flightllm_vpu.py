"""FlightLLM's vector processing unit (VPU): its buffers, its instructions and its cycles.

A VPU is one sparse DSP chain with the share of the core's buffers that feeds it. It computes
``columns`` columns of two rows (the packed lanes). With the published geometry an MV (512 columns,
64 chains) and an MM (128 rows x 16 columns, 128 chains of two lanes) both give a chain 8 columns:
the chain does the same in both.

Law: an instruction that works through kept blocks of densities n/m issues for
columns x sum(n / m) cycles, which is :func:`chain_cycles` at their mean density: 8 K x density. The
next one follows without a bubble. An instruction that keeps no block takes one cycle, where the
published law has none. What the published law leaves out: a result's columns leave the output FIFO
one a cycle, from ``fill`` cycles after the last cycle of issue on.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3.1 and 3.2; buffer rows and instruction fields
of the authors' public artifact. The split of the core's buffers over the chains, the block table
(it holds the kept blocks where the artifact's FSB holds N of every block) and the depths are
assumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from hwsim.laws.flightllm_chain import ChainGeometry, beats, latency, segment

__all__ = [
    "SUM_BITS",
    "Clock",
    "Instruction",
    "VPUGeometry",
    "block_beats",
    "block_rows",
    "dense_code",
    "fill",
    "issue_cycles",
    "transfers",
]

SUM_BITS = 32
"""An accumulator; sums are kept modulo 2^32."""


class Instruction(NamedTuple):
    """What the fields of an MV or an MM say to one chain.

    Addresses are rows of the VPU's own buffers; they go on from the end of a buffer to its begin.
    """

    output: bool
    """Give the sums away, and the next instruction begins new ones; else keep them: a K split."""
    sparse: bool
    """Take the blocks from the table; else they are dense and at K positions 0, 1, 2, ..."""
    blocks: int
    table: int
    weights: int
    indices: int
    activations: int


class VPUGeometry(ChainGeometry):
    """A chain, what it computes at a time, and its buffers."""

    columns: Annotated[int, Field(ge=1, le=64)] = 8
    """Columns of weights, each with an accumulator for each lane."""
    weight_rows: Annotated[int, Field(ge=2, le=4096)] = 4096
    """Beats of weights: a row for every beat of the chain."""
    index_rows: Annotated[int, Field(ge=2, le=4096)] = 2048
    """Beats of sparse indices: a row for every beat that is not dense."""
    activation_blocks: Annotated[int, Field(ge=2, le=4096)] = 512
    """K blocks of activations, both lanes."""
    table_entries: Annotated[int, Field(ge=2, le=4096)] = 512
    """Kept blocks, each with its K position and its density."""
    output_columns: Annotated[int, Field(ge=2, le=4096)] = 16
    """Columns of results that wait in the output FIFO."""

    @model_validator(mode="after")
    def _blocks_are_whole_beats(self) -> VPUGeometry:
        for i, density in enumerate(self.densities):
            if beats(self, density, self.columns).denominator != 1:
                raise ValueError(
                    f"columns must be a multiple of the {density.m // density.n} columns of a beat "
                    f"of densities[{i}] = {density.n}:{density.m}, got {self.columns}"
                )
        return self

    @model_validator(mode="after")
    def _something_is_dense(self) -> VPUGeometry:
        if not any(density.dense for density in self.densities):
            codes = ", ".join(f"{d.n}:{d.m}" for d in self.densities)
            raise ValueError(f"densities must hold a dense one, n = m, got {codes}")
        return self

    @model_validator(mode="after")
    def _addresses_wrap(self) -> VPUGeometry:
        for name in ("weight_rows", "index_rows", "activation_blocks", "table_entries"):
            rows = getattr(self, name)
            if rows & (rows - 1):
                raise ValueError(f"{name} must be a power of two, got {rows}: addresses wrap")
        return self

    @model_validator(mode="after")
    def _two_blocks_fit(self) -> VPUGeometry:
        if self.weight_rows < 2 * self.columns:
            raise ValueError(
                f"weight_rows must be at least 2 x columns = {2 * self.columns}, two dense "
                f"blocks, got {self.weight_rows}"
            )
        return self

    @model_validator(mode="after")
    def _two_blocks_of_indices_fit(self) -> VPUGeometry:
        if self.index_rows < 2 * self.columns:
            raise ValueError(
                f"index_rows must be at least 2 x columns = {2 * self.columns}, got "
                f"{self.index_rows}"
            )
        return self


def dense_code(geometry: VPUGeometry) -> int:
    """The code of the dense mode."""
    return next(code for code, density in enumerate(geometry.densities) if density.dense)


def block_beats(geometry: VPUGeometry) -> list[int]:
    """For each code of density the beats, and so the cycles, of one block."""
    return [int(beats(geometry, density, geometry.columns)) for density in geometry.densities]


def block_rows(geometry: VPUGeometry) -> list[int]:
    """For each code of density the rows of weights of one block, a column a segment of the chain.

    Counted from what a row holds. That the chain works off a row a cycle is :func:`block_beats`.
    """
    columns_of = (geometry.chain_length // segment(geometry, d) for d in geometry.densities)
    return [geometry.columns // columns for columns in columns_of]


def issue_cycles(geometry: VPUGeometry, codes: Iterable[int]) -> int:
    """Cycles that an instruction keeps the chain for, given the densities of its kept blocks."""
    of = block_beats(geometry)
    return max(1, sum(of[code] for code in codes))


def fill(geometry: VPUGeometry) -> int:
    """Cycles from an instruction's last cycle of issue to the first column of its result.

    Request, buffer, operands (3), chain, column select, accumulator (2), drain, FIFO (2): 29 with
    the published geometry. The last column follows ``columns`` - 1 cycles later.
    """
    return 3 + latency(geometry) + 2 + 2


def _issued_to_summed(geometry: VPUGeometry) -> int:
    return fill(geometry) - 2


class Clock:
    """What a VPU does in each cycle, stalls included.

    All stages up to the accumulators have one clock enable. They stop while a result is complete
    and the one before it is still being drained; the drain moves a column a cycle into the FIFO
    while that has room. An instruction is taken in the last cycle of issue of the one before it,
    and issues from the cycle after.
    """

    def __init__(self, geometry: VPUGeometry) -> None:
        self._geometry = geometry
        stages = _issued_to_summed(geometry)
        self._completes: deque[bool] = deque([False] * stages, maxlen=stages)
        self.issuing = 0
        """Cycles of issue that the instruction at hand has left, with this one if it moves."""
        self._output = False
        self._draining = self._waiting = 0

    @property
    def drains(self) -> bool:
        """Whether a column goes into the FIFO in this cycle."""
        return self._draining > 0 and self._waiting < self._geometry.output_columns

    @property
    def moves(self) -> bool:
        """Whether the stages up to the accumulators move in this cycle."""
        return not self._completes[-1] or self._draining == 0 or self._last_drains

    @property
    def takes(self) -> bool:
        """Whether an instruction is taken in this cycle, if one is on offer."""
        return self.moves and self.issuing <= 1

    @property
    def emits(self) -> bool:
        """Whether a column is on offer in this cycle."""
        return self._waiting > 0

    @property
    def _last_drains(self) -> bool:
        return self._draining == 1 and self.drains

    def step(self, taken: tuple[int, bool] | None, emitted: bool) -> None:
        """End the cycle; ``taken`` is the issue cycles and ``output`` of an instruction taken."""
        drains, moves, completes = self.drains, self.moves, self._completes[-1]
        self._waiting += drains - emitted
        self._draining -= drains
        if not moves:
            return
        if completes:
            self._draining = self._geometry.columns
        self._completes.appendleft(self.issuing == 1 and self._output)
        self.issuing = max(0, self.issuing - 1)
        if taken is not None:
            self.issuing, self._output = taken


def transfers(
    geometry: VPUGeometry, work: Sequence[tuple[int, bool]]
) -> tuple[list[int], list[int]]:
    """The cycles in which instructions are taken and columns leave when nobody stalls."""
    clock, taken, left, cycle = Clock(geometry), list[int](), list[int](), 0
    due = geometry.columns * sum(output for _, output in work)
    while len(left) < due or len(taken) < len(work):
        takes = clock.takes and len(taken) < len(work)
        item = work[len(taken)] if takes else None
        if takes:
            taken.append(cycle)
        emits = clock.emits
        if emits:
            left.append(cycle)
        clock.step(item, emits)
        cycle += 1
    return taken, left
