"""FlightLLM's core: its geometry, and the cycles each instruction keeps its unit busy.

Pure functions of integers and fractions; the SimPy model, the docs and the RTL benches take them
from here. K is counted in blocks of ``k_lanes`` (16) elements, as the instructions' K fields do.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3 and 5; the parallelism is the one of the
authors' public artifact (configuration file), the cycle formulas those of its profiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "SYS_CYCLES",
    "CoreGeometry",
    "ceil_div",
    "chain_cycles",
    "misc_cycles",
    "mm_cycles",
    "mv_cycles",
    "split_k",
    "transfer_seconds",
    "zero_fill_cycles",
]

TWO_PASS = frozenset({"SOFTMAX", "LAYERNORM", "RMSNORM"})
SYS_CYCLES = 1
"""Cycles of one SYS, the barrier at an operator's end."""


@dataclass(frozen=True, kw_only=True)
class CoreGeometry:
    """What one core computes in a cycle and what one instruction covers.

    ``mm_lanes`` and ``mv_lanes`` are MACs a cycle; an MM instruction covers ``mm_rows`` rows of
    activations and ``mm_columns`` columns of weights, an MV instruction one row and ``mv_columns``
    columns.
    """

    k_lanes: int = 16
    mm_lanes: int = 4096
    mm_rows: int = 128
    mm_columns: int = 16
    mv_lanes: int = 1024
    mv_columns: int = 512
    sfu_lanes: int = 16
    channels: int = 8
    channel_bytes_per_cycle: int = 256


def ceil_div(a: int, b: int) -> int:
    """The least integer at or above a / b, for b > 0."""
    return -(-a // b)


def chain_cycles(columns: Fraction | int, k_blocks: int, density: Fraction | int = 1) -> Fraction:
    """Cycles in which a chain of ``k_lanes`` DSPs works off ``columns`` columns of weights.

    Law: a column of a K block fills the share ``density`` of the chain, and a chain takes one beat
    a cycle: columns x K x density. The cycles of MM, of MV and of the RTL are all made of it.
    """
    return Fraction(columns) * k_blocks * density


def mm_cycles(core: CoreGeometry, k_blocks: int, density: Fraction | int = 1) -> Fraction:
    """Cycles of one MM: its MACs that are not skipped, over the MACs a cycle.

    Law: rows x columns x (16 K) x density / 4096 = 8 K x density with the published geometry.
    """
    outputs = core.mm_rows * core.mm_columns
    return chain_cycles(Fraction(outputs * core.k_lanes, core.mm_lanes), k_blocks, density)


def mv_cycles(core: CoreGeometry, k_blocks: int, density: Fraction | int = 1) -> Fraction:
    """Cycles of one MV.

    Law: (16 K) x 512 x density / 1024 = 8 K x density with the published geometry.
    """
    columns = Fraction(core.mv_columns * core.k_lanes, core.mv_lanes)
    return chain_cycles(columns, k_blocks, density)


def misc_cycles(core: CoreGeometry, operation: str, k_blocks: int) -> Fraction:
    """Cycles of one MISC over 16 K elements: one pass, or two for softmax and the norms."""
    passes = 2 if operation in TWO_PASS else 1
    return Fraction(passes * k_blocks * core.k_lanes, core.sfu_lanes)


def zero_fill_cycles(core: CoreGeometry, length_bytes: int) -> Fraction:
    """Cycles to write zeros at full width: 256 B on each of the 8 channels a cycle."""
    return Fraction(length_bytes, core.channel_bytes_per_cycle * core.channels)


def transfer_seconds(
    buffer_bytes: int, ratio: Fraction | int, bytes_per_second: Fraction
) -> Fraction:
    """Seconds of one LD or ST over a path of that rate, efficiency included.

    Law: buffer bytes x HBM bytes a buffer byte (``ratio``: stored bits / 8 x density) / rate.
    """
    return buffer_bytes * ratio / bytes_per_second


def split_k(k_blocks: int, tile_blocks: int) -> tuple[int, ...]:
    """Cut K into equal tiles of at most ``tile_blocks``, and the remainder of that division.

    Law: n = ceil(k / tile), t = floor(k / n): n tiles of t, then r = k - n t if that is not 0.
    4096 elements (256 blocks) at 128: 128, 128; 11008 (688): 6 x 114 and 4, as published. A
    remainder beyond t (many small tiles: 7 at 2) is dealt out instead: r tiles of t + 1, then
    n - r of t. So no tile is larger than the first.
    """
    tiles = ceil_div(k_blocks, tile_blocks)
    size, rest = divmod(k_blocks, tiles)
    if rest > size:
        return (size + 1,) * rest + (size,) * (tiles - rest)
    return (size,) * tiles + ((rest,) if rest else ())
