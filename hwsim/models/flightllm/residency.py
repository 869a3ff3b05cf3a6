"""What lies in the A and B buffers as a program goes on, read off its addresses in program order.

Two things follow. The *density* of the weights a sparse MM or MV finds in its buffer, which a load
left there. And a *guard* for every load: the last computation that still reads the rows the load
overwrites; a load that starts before its guard has finished overruns the buffer.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3 (buffers of the MPE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import LoadMode, Opcode
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.tiling import weight_rows

__all__ = ["BufferUse", "Placed", "buffer_use"]

Column = NDArray[np.int64]
Fields = Mapping[str, Column]
A, B = int(LoadMode.A), int(LoadMode.B)


@dataclass(frozen=True)
class BufferUse:
    """The density index of each computation's weights; the guard and the excess of each load.

    ``guard`` is the ordinal of a computation of the segment, -1 where a load overwrites nothing
    live; ``excess_bytes`` is what does not fit the buffer at all.
    """

    density: Column
    guard: Column
    excess_bytes: Column


class _Buffer:
    """Rows of one buffer, which wrap: who last reads each, and which density begins there."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.reader = np.full(depth, -1, np.int64)
        self.density = [-1] * depth

    def fill(self, bank: int, rows: int, density: int) -> int:
        """Overwrite rows; gives the last reader they had."""
        self.density[bank] = density
        past = bank + rows - self.depth
        last = int(self.reader[bank : bank + rows].max(initial=-1))
        return max(last, int(self.reader[:past].max())) if past > 0 else last

    def read(self, bank: int, rows: int, ordinal: int) -> None:
        """A computation reads rows."""
        self.reader[bank : bank + rows] = ordinal
        past = bank + rows - self.depth
        if past > 0:
            self.reader[:past] = ordinal


class Placed(NamedTuple):
    """Instructions of one unit: their fields, and their positions in the program."""

    fields: Fields
    at: Column


def buffer_use(
    cfg: FlightLLMConfig, unit: Opcode, load: Placed, compute: Placed, density: Column
) -> BufferUse:
    """Walk the loads and the computations of ``unit`` in program order.

    ``density`` is an index for each load, which the computations that find its data take on.
    """
    starts, ends = _ranges(load)
    rows, excess = _rows(cfg, unit, load.fields)
    walk = _Walk(cfg, unit, load.fields, compute.fields, rows, density)
    guard = np.full(len(load.at), -1, np.int64)
    events = np.argsort(np.concatenate((load.at[starts], compute.at)), kind="stable")
    first, past = starts.tolist(), ends.tolist()
    for event in events.tolist():
        if event < len(first):
            guard[first[event] : past[event]] = walk.load(first[event])
        else:
            walk.compute(event - len(first))
    return BufferUse(np.array(walk.found, np.int64), guard, excess)


class _Walk:
    """The buffers as the program goes on; columns as lists, for speed."""

    def __init__(
        self,
        cfg: FlightLLMConfig,
        unit: Opcode,
        load: Fields,
        compute: Fields,
        *sizes: Column,
    ) -> None:
        self._buffers = {A: _Buffer(cfg.buffers.a_depth), B: _Buffer(cfg.buffers.b_depth)}
        self._mode, self._bank = load["mode"].tolist(), load["bank"].tolist()
        self._rows, self._density = (column.tolist() for column in sizes)
        weights, operand = (A, B) if unit is Opcode.MV else (B, A)
        address = {A: compute["a_addr"].tolist(), B: compute["b_addr"].tolist()}
        self._weights, self._weight_at = self._buffers[weights], address[weights]
        self._operand, self._operand_at = self._buffers[operand], address[operand]
        self._k = compute["k"].tolist()
        self._rows_per_block = weight_rows(cfg, unit)
        self.found: list[int] = []

    def load(self, i: int) -> int:
        """A load overwrites rows; gives its guard."""
        buffer = self._buffers.get(self._mode[i])
        return buffer.fill(self._bank[i], self._rows[i], self._density[i]) if buffer else -1

    def compute(self, i: int) -> None:
        """A computation reads its weights and its other operand, one row a block of K."""
        at, k = self._weight_at[i], self._k[i]
        self.found.append(self._weights.density[at])
        self._weights.read(at, self._rows_per_block * k, i)
        self._operand.read(self._operand_at[i], k, i)


def _ranges(load: Placed) -> tuple[Column, Column]:
    """First and past-the-last index of each run of loads that fill the same rows everywhere."""
    if not len(load.at):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    same = (np.diff(load.at) == 1) & (load.fields["wait"][1:] == 0)
    for name in ("mode", "bank", "length_1d"):
        same &= np.diff(load.fields[name]) == 0
    starts = np.concatenate(([0], np.flatnonzero(~same) + 1))
    return starts, np.append(starts[1:], len(load.at))


def _rows(cfg: FlightLLMConfig, unit: Opcode, load: Fields) -> tuple[Column, Column]:
    """Buffer rows each load fills, and the bytes beyond the buffer's end."""
    b = cfg.buffers
    mv = unit is Opcode.MV
    row_bytes = {A: b.a_mv_row_bytes if mv else b.a_mm_row_bytes}
    row_bytes[B] = b.b_mv_row_bytes if mv else b.b_mm_row_bytes
    rows = np.zeros(len(load["mode"]), np.int64)
    excess = np.zeros_like(rows)
    for mode, depth in ((A, b.a_depth), (B, b.b_depth)):
        chosen = load["mode"] == mode
        needed = -(-load["length_1d"][chosen] // row_bytes[mode])
        rows[chosen] = np.minimum(needed, depth)
        excess[chosen] = np.maximum(needed - depth, 0) * row_bytes[mode]
    return rows, excess
