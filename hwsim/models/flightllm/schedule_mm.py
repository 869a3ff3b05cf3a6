"""Prefill and batched decode: how layers over many rows become instructions (MM).

Rows are cut into tiles of 128 (8 blocks of 16, one a channel); weights stream again for each row
tile, cut into blocks of 16 columns. Attention skips the blocks that the mask leaves out.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-4; schedule of the authors' public artifact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import Block, BlockWriter, Units
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.tail import load_metadata, write_tail
from hwsim.models.flightllm.tiling import Linear, Ring, RowTile, Tile, mm_tiling, row_tiles

__all__ = ["PrefillAttention", "attention_mm", "linear_mm"]

LD, ST, MM, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MM, Opcode.MISC, Opcode.SYS
Mask = NDArray[np.bool_]


def linear_mm(cfg: FlightLLMConfig, op: Linear) -> Block:
    """``y[rows, n] = x[rows, k] @ w[k, n]``, row tile by row tile."""
    return _LinearMm(cfg, op).block()


class _LinearMm:
    """Writes the schedule of one projection."""

    def __init__(self, cfg: FlightLLMConfig, op: Linear) -> None:
        self._cfg, self._op, self._core = cfg, op, cfg.geometry
        self._write = BlockWriter()
        self._tiling = mm_tiling(cfg, op)
        self._columns = ceil_div(op.n, self._core.mm_columns)
        self._total = self._columns * len(self._tiling.tiles)
        self._k_blocks = ceil_div(op.k, self._core.k_lanes)
        self._block_bytes = self._core.k_lanes**2
        self._source = MISC if op.tail else ST
        self._ring = Ring(cfg.buffers.b_depth)
        self._done = 0

    def block(self) -> Block:
        op, write = self._op, self._write
        if op.bias:
            write.load(LoadMode.BIAS, HbmAccess.SINGLE, 4 * op.n, "bias")
        for rows in row_tiles(self._cfg, op.rows):
            self._row_tile(rows)
        write.barrier()
        return write.finish()

    def _row_tile(self, rows: RowTile) -> None:
        """The activations of the tile, then every column against them."""
        size = self._block_bytes * self._k_blocks
        self._write.load(
            LoadMode.A,
            HbmAccess.STRIPED,
            size,
            "input",
            count=rows.blocks,
            offset=rows.first * size,
            step=size,
            wait=(MM,) if rows.first else (),
        )
        self._done, self._ring = 0, Ring(self._cfg.buffers.b_depth)
        for column in range(self._columns):
            self._column(rows, column)

    def _column(self, rows: RowTile, column: int) -> None:
        """One block of 16 columns: its K tiles, what rides on it, its stores."""
        out = column % self._cfg.buffers.output_depth
        room_for_later = column + self._cfg.buffers.output_depth < self._columns
        frees: Units = (MM,) if room_for_later else ()
        for tile in self._tiling.tiles:
            self._tile(rows, column, tile, out)
        write_tail(
            self._write,
            self._op.tail,
            after=MM,
            channels=rows.blocks,
            blocks=rows.blocks,
            operand_bytes=self._block_bytes,
            row=out,
            release=(ST, *frees),
        )
        final = rows.last and column == self._columns - 1
        freed_by_store: Units = () if self._op.tail else frees
        self._store(rows, column, out, (*freed_by_store, *((SYS,) if final else ())))

    def _tile(self, rows: RowTile, column: int, tile: Tile, out: int) -> None:
        op = self._op
        self._done += 1
        bank = self._ring.take(self._tiling.rows_per_block * tile.k_blocks)
        self._load(column, tile, bank, (MM,) if self._done > self._tiling.ahead else ())
        last = self._done == self._total
        more = self._done + self._tiling.ahead <= self._total or (last and not rows.last)
        reuses_row = not tile.first and column >= self._cfg.buffers.output_depth
        self._write.compute(
            MM,
            tile.k_blocks,
            sparse=op.sparse,
            last_k=tile.last,
            bias=op.bias,
            relu=op.relu,
            a=tile.first,
            b=bank,
            out=out,
            wait=(LD, self._source) if reuses_row else (LD,),
            release=(*((LD,) if more else ()), *((self._source,) if tile.last else ())),
        )

    def _load(self, column: int, tile: Tile, bank: int, held: Units) -> None:
        op, core = self._op, self._core
        first = column * self._k_blocks + tile.first
        if op.metadata:
            load_metadata(self._write, tile.k_blocks, op.density, first=first, wait=held)
            held = ()
        self._write.load(
            LoadMode.B,
            HbmAccess.CROSS,
            core.k_lanes * core.mm_columns * tile.k_blocks,
            "weight",
            bank=bank,
            offset=first * op.block_bytes,
            wait=held,
            release=(MM,),
        )

    def _store(self, rows: RowTile, column: int, out: int, ends: Units) -> None:
        """A row block a channel; the last one of all may be shorter."""
        op, block = self._op, self._block_bytes
        wait: Units = (MISC if op.tail else MM,)
        offset = (column * ceil_div(op.rows, self._core.k_lanes) + rows.first) * block
        short = op.last_store_bytes if rows.last else None
        full = rows.blocks - (short is not None)
        if full:
            self._write.store(
                HbmAccess.STRIPED,
                block,
                "output",
                count=full,
                bank=out,
                offset=offset,
                step=block,
                wait=wait,
                release=ends if short is None else (),
            )
        if short is not None:
            self._write.store(
                HbmAccess.STRIPED,
                short,
                "output",
                bank=out,
                offset=offset + full * block,
                wait=() if full else wait,
                release=ends,
            )


@dataclass(frozen=True, kw_only=True)
class PrefillAttention:
    """One of the two products of a prompt's attention over ``tokens`` positions.

    ``window`` limits a position to that many before it, itself included; None to all.
    """

    scores: bool
    tokens: int
    heads: int
    kv_heads: int
    head_dim: int
    batch: int
    softmax: bool
    window: int | None = None


def attention_mm(cfg: FlightLLMConfig, op: PrefillAttention, kept: Mask) -> Block:
    """Attention over a prompt.

    ``kept[heads, row blocks, column blocks]`` says which 16 x 16 blocks are computed.
    """
    return _AttentionMm(cfg, op).block(kept)


class _AttentionMm:
    """Writes the schedule of one of the two products, head by head and row tile by row tile."""

    def __init__(self, cfg: FlightLLMConfig, op: PrefillAttention) -> None:
        self._cfg, self._op, self._core = cfg, op, cfg.geometry
        self._write = BlockWriter()
        self._block_bytes = self._core.k_lanes**2
        self._row_bytes = self._core.k_lanes * op.head_dim

    def block(self, kept: Mask) -> Block:
        op, tiles = self._op, list(row_tiles(self._cfg, self._op.tokens))
        write_tile = self._scores_tile if op.scores else self._values_tile
        last = op.batch * op.heads - 1
        for head in range(op.batch * op.heads):
            mask = kept[head % op.heads]
            for tile in tiles:
                rows = mask[tile.first : tile.first + tile.blocks]
                write_tile(tile, rows, final=tile.last and head == last)
        self._write.barrier()
        return self._write.finish()

    def _scores_tile(self, tile: RowTile, rows: Mask, *, final: bool) -> None:
        """Column blocks that some row sees, then the softmax of each row block."""
        op, write, size = self._op, self._write, self._row_bytes
        held: Units = (MM,) if tile.first else ()
        write.load(
            LoadMode.A,
            HbmAccess.STRIPED,
            size,
            "input",
            count=tile.blocks,
            offset=tile.first * size,
            step=size,
            wait=held,
        )
        seen = np.flatnonzero(rows.any(axis=0)).tolist()
        self._products(tile, seen, ceil_div(op.head_dim, self._core.k_lanes))
        for i, blocks in enumerate(rows.sum(axis=1).tolist()):
            once: Units = (MM,) if i == 0 else ()
            if op.softmax:
                count = self._core.k_lanes
                write.misc(MiscOp.SOFTMAX, blocks, count=count, wait=once, release=(ST,))
            self._store(
                self._block_bytes * blocks,
                wait=(MISC,) if op.softmax else once,
                final=final and i == tile.blocks - 1,
            )

    def _values_tile(self, tile: RowTile, rows: Mask, *, final: bool) -> None:
        """The kept runs of each row block of S, zeros elsewhere, then all columns of V."""
        held: list[Units] = [(MM,)] if tile.first else []
        for row in rows:
            self._load_scores(row, held)
        columns = list(range(ceil_div(self._op.head_dim, self._core.mm_columns)))
        self._products(tile, columns, rows.shape[1])
        for i in range(tile.blocks):
            once: Units = (MM,) if i == 0 else ()
            self._store(self._row_bytes, wait=once, final=final and i == tile.blocks - 1)

    def _load_scores(self, row: Mask, held: list[Units]) -> None:
        """One row block of S into A; ``held`` is taken by the first load of the tile."""
        block = self._block_bytes
        missing = len(row) - int(row.sum())
        if missing:
            self._write.zero_fill(block * missing, wait=held.pop() if held else ())
        for start, stop in _runs(row):
            self._write.load(
                LoadMode.A,
                HbmAccess.STRIPED,
                block * (stop - start),
                "input",
                bank=start,
                offset=start * block,
                wait=held.pop() if held else (),
            )

    def _store(self, length: int, *, wait: Units, final: bool) -> None:
        release: Units = (SYS,) if final else ()
        self._write.store(HbmAccess.STRIPED, length, "output", wait=wait, release=release)

    def _products(self, tile: RowTile, columns: Sequence[int], k_blocks: int) -> None:
        """One load and one MM a column block, loads running ahead by what the B buffer holds."""
        core, buffers = self._core, self._cfg.buffers
        length = core.k_lanes * core.mm_columns * k_blocks
        size = ceil_div(length, buffers.b_mm_row_bytes)
        ahead, total, ring = max(1, buffers.b_depth // size), len(columns), Ring(buffers.b_depth)
        then = MISC if self._op.softmax else ST
        for done, column in enumerate(columns, 1):
            bank, last = ring.take(size), done == total
            self._write.load(
                LoadMode.B,
                HbmAccess.CROSS,
                length,
                "cache",
                bank=bank,
                offset=column * length,
                wait=(MM,) if done > ahead else (),
                release=(MM,),
            )
            more = done + ahead <= total or (last and not tile.last)
            self._write.compute(
                MM,
                k_blocks,
                b=bank,
                out=column % buffers.output_depth,
                wait=(LD,),
                release=(*((LD,) if more else ()), *((then,) if last else ())),
            )


def _runs(row: Mask) -> Iterator[tuple[int, int]]:
    """First and past-the-last index of each run of kept blocks."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
