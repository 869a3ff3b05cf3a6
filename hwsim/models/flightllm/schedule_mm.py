"""Prefill and batched decode: how layers over many rows become instructions (MM mode).

Rows are cut into tiles of 128 (8 blocks of 16, one a channel); weights stream again for each row tile, cut into
blocks of 16 columns. Attention skips the blocks that the mask leaves out.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-4; schedule of the authors' public artifact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import Block, BlockWriter, Units
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.tail import load_metadata, write_tail
from hwsim.models.flightllm.tiling import Linear, Ring, Tile, mm_tiles

__all__ = ["PrefillAttention", "attention_mm", "linear_mm", "row_tiles"]

LD, ST, MM, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MM, Opcode.MISC, Opcode.SYS


@dataclass(frozen=True, slots=True)
class RowTile:
    """``blocks`` row blocks of 16 from block ``first``; the last tile is marked."""

    first: int
    blocks: int
    last: bool


def row_tiles(cfg: FlightLLMConfig, rows: int) -> Iterator[RowTile]:
    """Cut ``rows`` into tiles of at most 8 blocks of 16."""
    core = cfg.geometry
    total, size = ceil_div(rows, core.k_lanes), core.mm_rows // core.k_lanes
    for first in range(0, total, size):
        yield RowTile(first, min(size, total - first), first + size >= total)


def linear_mm(cfg: FlightLLMConfig, op: Linear) -> Block:
    """``y[rows, n] = x[rows, k] @ w[k, n]``, row tile by row tile."""
    write = BlockWriter()
    if op.bias:
        write.load(LoadMode.BIAS, HbmAccess.SINGLE, 4 * op.n, "bias")
    for tile in row_tiles(cfg, op.rows):
        _linear_rows(write, cfg, op, tile)
    write.barrier()
    return write.finish()


def _linear_rows(write: BlockWriter, cfg: FlightLLMConfig, op: Linear, rows: RowTile) -> None:
    core = cfg.geometry
    k_blocks = ceil_div(op.k, core.k_lanes)
    block = core.k_lanes * core.k_lanes
    write.load(
        LoadMode.A, HbmAccess.STRIPED, block * k_blocks, "input", count=rows.blocks,
        offset=rows.first * block * k_blocks, step=block * k_blocks, wait=(MM,) if rows.first else (),
    )  # fmt: skip
    tiles, row_blocks, ahead = mm_tiles(cfg, op.k)
    columns = ceil_div(op.n, core.mm_columns)
    total, done, ring = columns * len(tiles), 0, Ring(cfg.buffers.b_depth)
    source = MISC if op.tail else ST
    for column in range(columns):
        out = column % cfg.buffers.output_depth
        frees: Units = (MM,) if column + cfg.buffers.output_depth < columns else ()
        for tile in tiles:
            done += 1
            bank = ring.take(row_blocks * tile.k_blocks)
            held: Units = (MM,) if done > ahead else ()
            _load_weights(write, cfg, op, column, tile, bank, held)
            more = done + ahead <= total or (done == total and not rows.last)
            release: Units = (*((LD,) if more else ()), *((source,) if tile.last else ()))
            room: Units = (source,) if not tile.first and column >= cfg.buffers.output_depth else ()
            write.compute(
                MM, tile.k_blocks, sparse=op.sparse, last_k=tile.last, bias=op.bias, relu=op.relu,
                a=tile.first, b=bank, out=out, wait=(LD, *room), release=release,
            )  # fmt: skip
        write_tail(
            write, op.tail, after=MM, channels=rows.blocks, blocks=rows.blocks,
            operand_bytes=block, row=out, release=(ST, *frees),
        )  # fmt: skip
        final = rows.last and column == columns - 1
        ends: Units = (*(() if op.tail else frees), *((SYS,) if final else ()))
        _store_column(write, op, rows, column, block, out, ends)


def _load_weights(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    op: Linear,
    column: int,
    tile: Tile,
    bank: int,
    held: Units,
) -> None:
    core = cfg.geometry
    first = column * ceil_div(op.k, core.k_lanes) + tile.first
    if op.metadata:
        load_metadata(write, tile.k_blocks, op.density, first, held)
        held = ()
    write.load(
        LoadMode.B, HbmAccess.CROSS, core.k_lanes * core.mm_columns * tile.k_blocks, "weight",
        bank=bank, offset=first * op.block_bytes, wait=held, release=(MM,),
    )  # fmt: skip


def _store_column(
    write: BlockWriter,
    op: Linear,
    rows: RowTile,
    column: int,
    block: int,
    out: int,
    ends: Units,
) -> None:
    """Store one block of columns, a row block a channel; the prompt's very last block may be shorter."""
    wait: Units = (MISC if op.tail else MM,)
    offset = (column * ceil_div(op.rows, 16) + rows.first) * block
    full = rows.blocks
    short = op.last_store_bytes if rows.last else None
    if short is not None:
        full -= 1
    if full:
        write.store(
            HbmAccess.STRIPED, block, "output", count=full, bank=out, offset=offset, step=block,
            wait=wait, release=ends if short is None else (),
        )  # fmt: skip
    if short is not None:
        write.store(
            HbmAccess.STRIPED, short, "output", bank=out, offset=offset + full * block,
            wait=() if full else wait, release=ends,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PrefillAttention:
    """One of the two products of a prompt's attention over ``tokens`` positions."""

    scores: bool
    tokens: int
    heads: int
    kv_heads: int
    head_dim: int
    batch: int
    softmax: bool


def attention_mm(
    cfg: FlightLLMConfig, op: PrefillAttention, kept: NDArray[np.bool_]
) -> Block:
    """Attention over a prompt: ``kept[heads, row blocks, column blocks]`` of 16 x 16 says what is computed."""
    write = BlockWriter()
    tiles = list(row_tiles(cfg, op.tokens))
    for sequence in range(op.batch):
        for head in range(op.heads):
            for tile in tiles:
                final = tile.last and head == op.heads - 1 and sequence == op.batch - 1
                rows = kept[head, tile.first : tile.first + tile.blocks]
                if op.scores:
                    _scores_tile(write, cfg, op, tile, rows, final)
                else:
                    _values_tile(write, cfg, op, tile, rows, final)
    write.barrier()
    return write.finish()


def _scores_tile(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    op: PrefillAttention,
    tile: RowTile,
    rows: NDArray[np.bool_],
    final: bool,
) -> None:
    """Q K^T of one row tile: column blocks that some row sees, then the softmax of each row block."""
    core = cfg.geometry
    k_blocks = ceil_div(op.head_dim, core.k_lanes)
    write.load(
        LoadMode.A, HbmAccess.STRIPED, core.k_lanes * op.head_dim, "input", count=tile.blocks,
        step=core.k_lanes * op.head_dim, wait=(MM,) if tile.first else (),
    )  # fmt: skip
    seen = [int(i) for i in np.flatnonzero(rows.any(axis=0))]
    _products(write, cfg, seen, k_blocks, tile, MISC if op.softmax else ST)
    for i, row in enumerate(rows):
        blocks = int(row.sum())
        ends: Units = (SYS,) if final and i == tile.blocks - 1 else ()
        if op.softmax:
            write.misc(
                MiscOp.SOFTMAX, blocks, count=core.k_lanes, wait=(MM,) if i == 0 else (), release=(ST,)
            )
        wait: Units = (MISC,) if op.softmax else (MM,) if i == 0 else ()
        write.store(
            HbmAccess.STRIPED, core.k_lanes**2 * blocks, "output", wait=wait, release=ends
        )


def _values_tile(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    op: PrefillAttention,
    tile: RowTile,
    rows: NDArray[np.bool_],
    final: bool,
) -> None:
    """S V of one row tile: the kept runs of each row block of S, zeros elsewhere, then all columns of V."""
    core = cfg.geometry
    waits: list[Units] = [(MM,)] if tile.first else []
    block = core.k_lanes**2
    for row in rows:
        missing = len(row) - int(row.sum())
        if missing:
            write.zero_fill(block * missing, wait=waits.pop() if waits else ())
        for start, stop in _runs(row):
            write.load(
                LoadMode.A, HbmAccess.STRIPED, block * (stop - start), "input", bank=start,
                offset=start * block, wait=waits.pop() if waits else (),
            )  # fmt: skip
    columns = list(range(ceil_div(op.head_dim, core.mm_columns)))
    _products(write, cfg, columns, len(rows[0]), tile, ST)
    for i in range(tile.blocks):
        ends: Units = (SYS,) if final and i == tile.blocks - 1 else ()
        write.store(
            HbmAccess.STRIPED, core.k_lanes * op.head_dim, "output",
            wait=(MM,) if i == 0 else (), release=ends,
        )  # fmt: skip


def _products(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    columns: list[int],
    k_blocks: int,
    tile: RowTile,
    then: Opcode,
) -> None:
    """One load and one MM a column block, loads running ahead by what the B buffer holds."""
    core, buffers = cfg.geometry, cfg.buffers
    bytes_ = core.k_lanes * core.mm_columns * k_blocks
    size = ceil_div(bytes_, buffers.b_mm_row_bytes)
    ahead, total, ring = max(1, buffers.b_depth // size), len(columns), Ring(buffers.b_depth)
    for done, column in enumerate(columns, 1):
        bank = ring.take(size)
        write.load(
            LoadMode.B, HbmAccess.CROSS, bytes_, "cache", bank=bank, offset=column * bytes_,
            wait=(MM,) if done > ahead else (), release=(MM,),
        )  # fmt: skip
        more = done + ahead <= total or (done == total and not tile.last)
        release: Units = (*((LD,) if more else ()), *((then,) if done == total else ()))
        write.compute(
            MM, k_blocks, b=bank, out=column % buffers.output_depth, wait=(LD,), release=release
        )


def _runs(row: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and past-the-last index of each run of kept blocks."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(stop)
