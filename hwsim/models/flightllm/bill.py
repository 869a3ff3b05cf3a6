"""What an operator moves and computes, exactly, in closed form.

Shapes, densities and the mask decide it all: weights stream again for each tile of 128 rows, by
whole blocks of K and whole groups of columns; what the published program leaves out (a prompt's
last rows) or adds (whole groups of a long cache) is in the forms. The schedule plays no part in
them, so that a schedule that thins out is found out.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-5; schedule of the authors' public artifact.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hwsim.laws.flightllm_core import CoreGeometry, ceil_div
from hwsim.models.flightllm.compiler import Compiled, MaskedAttention, fine_blocks
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.memory_map import Region
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.schedule_misc import MiscColumns, MiscRows
from hwsim.models.flightllm.schedule_mv import AppendKv, DecodeAttention
from hwsim.models.flightllm.tail import OPERANDS
from hwsim.models.flightllm.tiling import Linear, index_bytes, mm_tiling, mv_tiling
from hwsim.workloads import Gemm

__all__ = ["Bill", "bill_of"]

BIAS_BYTES = 4


@dataclass(frozen=True)
class Bill:
    """HBM bytes, and MACs on padded shapes less those that skipped zeros save."""

    bytes_read: Fraction = Fraction(0)
    bytes_written: int = 0
    macs: Fraction = Fraction(0)


def bill_of(plan: Plan, compiled: Compiled) -> Bill:
    """The bill of one operator."""
    core = plan.config.geometry
    match compiled.shape:
        case Linear() as shape:
            return _projection(plan, compiled, shape)
        case DecodeAttention() as shape:
            return _decode_attention(core, shape)
        case MaskedAttention() as shape:
            return _prefill_attention(plan, shape)
        case AppendKv(width=width, kv_length=length, batch=batch):
            held = ceil_div(width * (length - 1), core.channels) * core.channels
            return Bill(Fraction(batch * held))
        case MiscRows() as shape:
            size = shape.rows * shape.width
            return Bill(Fraction(shape.operands * size), size)
        case MiscColumns() as shape:
            groups = ceil_div(shape.width, core.mv_columns)
            loaded = shape.operands * groups * core.channels * core.mv_columns
            return Bill(Fraction(loaded), shape.width)


def _projection(plan: Plan, compiled: Compiled, shape: Linear) -> Bill:
    """In MV a vector against groups of 512 columns; in MM row tiles against blocks of 16."""
    cfg, core, op = plan.config, plan.config.geometry, compiled.operator.main
    assert isinstance(op, Gemm)
    region = plan.memory.region(f"{op.name}.weight")
    columns = core.mm_columns if shape.rows else core.mv_columns
    groups, k_blocks = ceil_div(shape.n, columns), ceil_div(shape.k, core.k_lanes)
    block, row_blocks = core.k_lanes**2, ceil_div(shape.rows, core.k_lanes)
    tiles = ceil_div(shape.rows, core.mm_rows) if shape.rows else 1
    streamed = _streamed(core, region, shape, columns)
    weights = tiles * streamed * cfg.weight_bits(op.role) / 8
    inputs = row_blocks * block * k_blocks if shape.rows else shape.k
    operand = row_blocks * block if shape.rows else core.channels * columns
    operands = groups * operand * sum(OPERANDS[kind] for kind in shape.tail)
    bias = BIAS_BYTES * shape.n if shape.bias else 0
    metadata = tiles * groups * _metadata(cfg, shape, columns) if shape.metadata else 0
    written = shape.n
    if shape.rows:
        last = block if shape.last_store_bytes is None else shape.last_store_bytes
        written = groups * ((row_blocks - 1) * block + last)
    products = streamed if shape.sparse else Fraction(groups * columns * k_blocks * core.k_lanes)
    rows = core.mm_rows if shape.rows else 1
    return Bill(weights + inputs + operands + bias + metadata, written, tiles * rows * products)


def _streamed(core: CoreGeometry, region: Region, shape: Linear, columns: int) -> Fraction:
    """Weights kept of one pass over the matrix, padded to blocks of K and groups of columns.

    Padding is as dense as what it pads: of a density map, as the last group of columns.
    """
    k, n = ceil_div(shape.k, core.k_lanes), ceil_div(shape.n, core.k_lanes)
    group = columns // core.k_lanes
    if region.block_n is None:
        return k * ceil_div(n, group) * group * core.k_lanes**2 * region.density
    kept, beyond = region.block_n.sum(axis=0, dtype=np.int64), n % group
    last = int(kept[n - beyond :].sum())
    padding = Fraction(last * (group - beyond), beyond) if beyond else Fraction(0)
    return core.k_lanes * (int(kept.sum()) + padding)


def _metadata(cfg: FlightLLMConfig, shape: Linear, columns: int) -> int:
    """Indices and block counts of one group of columns, tile by tile of K."""
    tiling = mm_tiling(cfg, shape) if shape.rows else mv_tiling(cfg, shape)
    wide = columns // cfg.geometry.k_lanes
    blocks = [tile.k_blocks * wide for tile in tiling.tiles]
    return sum(index_bytes(n, shape.density) + n for n in blocks)


def _decode_attention(core: CoreGeometry, shape: DecodeAttention) -> Bill:
    """A KV head's cache once; of one longer than a group of columns, whole groups."""
    heads, groups = shape.batch * shape.heads, ceil_div(shape.n, core.mv_columns)
    blocks = min(ceil_div(shape.n, core.k_lanes), core.mv_columns // core.k_lanes)
    cache = shape.batch * shape.kv_heads * groups * blocks * core.k_lanes * shape.k
    products = core.mv_columns * core.k_lanes * ceil_div(shape.k, core.k_lanes)
    return Bill(
        Fraction(heads * shape.k + cache), heads * shape.n, Fraction(heads * groups * products)
    )


def _prefill_attention(plan: Plan, masked: MaskedAttention) -> Bill:
    """Scores: columns that some row block of a tile sees. Values: kept scores, then all of V."""
    core, shape = plan.config.geometry, masked.shape
    kept = fine_blocks(plan.config, plan.compiler.mask, masked.layer, shape)
    heads, blocks, _ = kept.shape
    block, vectors = core.k_lanes**2, shape.batch * heads * blocks * core.k_lanes * shape.head_dim
    firsts = np.arange(0, blocks, core.mm_rows // core.k_lanes)
    computed = shape.batch * int(kept.sum()) * block
    if shape.scores:
        k_blocks = ceil_div(shape.head_dim, core.k_lanes)
        products = shape.batch * int(np.logical_or.reduceat(kept, firsts, axis=1).sum())
    else:
        k_blocks = blocks
        products = shape.batch * heads * len(firsts) * ceil_div(shape.head_dim, core.mm_columns)
    weights = products * core.mm_columns * core.k_lanes * k_blocks
    read, written = (vectors, computed) if shape.scores else (computed, vectors)
    return Bill(Fraction(read + weights), written, Fraction(core.mm_rows * weights))
