"""What lies in the A and B buffers as a program goes on, read off its addresses in program order.

Two things follow. The *density* of the weights a sparse MM or MV finds in its buffer, which a load left there.
And a *guard* for every load: the last computation that still reads the rows the load overwrites; a load that
starts before its guard has finished overruns the buffer.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3 (buffers of the MPE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import LoadMode, Opcode
from hwsim.models.flightllm.config import FlightLLMConfig

__all__ = ["BufferUse", "buffer_use"]

Column = NDArray[np.int64]
Fields = Mapping[str, Column]
A, B = int(LoadMode.A), int(LoadMode.B)


@dataclass(frozen=True)
class BufferUse:
    """For each computation, the index of the density of its weights; for each load, its guard and its excess.

    ``guard`` is the ordinal of a computation of the segment, -1 where a load overwrites nothing live;
    ``excess_bytes`` is what does not fit the buffer at all.
    """

    density: Column
    guard: Column
    excess_bytes: Column


class _Buffer:
    """Rows of one buffer: who last reads each, and which density lies there."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.reader = np.full(depth, -1, np.int64)
        self.density = [-1] * depth

    def fill(self, bank: int, rows: int, density: int) -> int:
        """Overwrite rows; gives the last reader they had."""
        self.density[bank] = density
        return int(self.reader[bank : bank + rows].max(initial=-1))

    def read(self, bank: int, rows: int, ordinal: int) -> None:
        """A computation reads rows."""
        self.reader[bank : bank + rows] = ordinal


def buffer_use(
    cfg: FlightLLMConfig,
    unit: Opcode,
    load: Fields,
    load_at: Column,
    load_density: Column,
    compute: Fields,
    compute_at: Column,
) -> BufferUse:
    """Walk the loads into A and B and the computations of ``unit`` in program order.

    ``load_at`` and ``compute_at`` are positions in the program; ``load_density`` an index for each load.
    """
    buffers = {A: _Buffer(cfg.buffers.a_depth), B: _Buffer(cfg.buffers.b_depth)}
    starts, ends = _ranges(load, load_at)
    rows, excess = _rows(cfg, unit, load)
    weights, operand = (A, B) if unit is Opcode.MV else (B, A)
    weight_rows, operand_rows = _read_rows(cfg, unit)
    field = {A: compute["a_addr"].tolist(), B: compute["b_addr"].tolist()}
    k, found = compute["k"].tolist(), [-1] * len(compute_at)
    guard = np.full(len(load_at), -1, np.int64)
    mode, bank = load["mode"].tolist(), load["bank"].tolist()
    row_list, density_list = rows.tolist(), load_density.tolist()
    events = np.concatenate((load_at[starts], compute_at))
    for event in np.argsort(events, kind="stable").tolist():
        if event < len(starts):
            first = int(starts[event])
            if mode[first] in buffers:
                size = row_list[first]
                last = buffers[mode[first]].fill(bank[first], size, density_list[first])
                guard[first : ends[event]] = last
        else:
            i = event - len(starts)
            found[i] = buffers[weights].density[field[weights][i]]
            buffers[weights].read(field[weights][i], weight_rows * k[i], i)
            buffers[operand].read(field[operand][i], operand_rows * k[i], i)
    return BufferUse(np.array(found, np.int64), guard, excess)


def _ranges(load: Fields, load_at: Column) -> tuple[Column, Column]:
    """First and past-the-last index of each run of loads that fill the same rows of all channels."""
    if not len(load_at):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    same = np.diff(load_at) == 1
    for name in ("mode", "bank", "length_1d", "wait"):
        same &= np.diff(load[name]) == 0 if name != "wait" else load["wait"][1:] == 0
    starts = np.concatenate(([0], np.flatnonzero(~same) + 1))
    return starts, np.append(starts[1:], len(load_at))


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


def _read_rows(cfg: FlightLLMConfig, unit: Opcode) -> tuple[int, int]:
    """Rows a K block takes of the buffer that holds weights, and of the one that holds the other operand."""
    core, b = cfg.geometry, cfg.buffers
    if unit is Opcode.MV:
        return core.mv_columns // core.channels * core.k_lanes // b.a_mv_row_bytes, 1
    return core.k_lanes * core.mm_columns // b.b_mm_row_bytes, 1
