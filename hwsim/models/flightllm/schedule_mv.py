"""Decode: how a linear layer, attention and the KV cache of one token become instructions (MV mode).

Loads run ahead of the matrix unit by as many tiles as the A buffer holds, held back by tokens. The published
schedule does not hold the KV cache's loads back.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-4; schedule of the authors' public artifact.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import Block, BlockWriter, Units
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.tail import load_metadata, write_tail
from hwsim.models.flightllm.tiling import Linear, Ring, Tile, mv_tiles

__all__ = ["DecodeAttention", "append_kv", "attention_mv", "linear_mv"]

LD, ST, MV, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MV, Opcode.MISC, Opcode.SYS


def linear_mv(cfg: FlightLLMConfig, op: Linear) -> Block:
    """``y[n] = x[k] @ w[k, n]``: the vector once, then weights in groups of 512 columns by K tiles."""
    core = cfg.geometry
    write = BlockWriter()
    write.load(LoadMode.B, HbmAccess.CROSS, op.k, "input")
    if op.bias:
        write.load(LoadMode.BIAS, HbmAccess.SINGLE, 4 * op.n, "bias")
    tiles, row_blocks, ahead = mv_tiles(cfg, op.k)
    groups = ceil_div(op.n, core.mv_columns)
    total, done, ring = groups * len(tiles), 0, Ring(cfg.buffers.a_depth)
    for group in range(groups):
        final = group == groups - 1
        for tile in tiles:
            done += 1
            bank = ring.take(row_blocks * tile.k_blocks)
            held: Units = (MV,) if done > ahead else ()
            _load_tile(write, cfg, op, group, tile, bank, held)
            release: Units = (LD,) if done + ahead <= total else ()
            if tile.last and op.tail:
                release = (*release, MISC)
            elif tile.last and final:
                release = (*release, ST)
            write.compute(
                MV, tile.k_blocks, sparse=op.sparse, last_k=tile.last, bias=op.bias, relu=op.relu,
                a=bank, b=tile.first, out=_output_row(cfg, group), wait=(LD,), release=release,
            )  # fmt: skip
        operand = core.channels * core.mv_columns // core.channels
        write_tail(
            write, op.tail, after=MV, channels=core.channels, blocks=core.mv_columns // core.k_lanes,
            operand_bytes=operand, row=_output_row(cfg, group), release=(ST,) if final else (),
        )  # fmt: skip
    write.store(
        HbmAccess.SINGLE, op.n, "output", wait=(MISC if op.tail else MV,), release=(SYS,)
    )
    write.barrier()
    return write.finish()


def _output_row(cfg: FlightLLMConfig, group: int) -> int:
    return 2 * group % cfg.buffers.output_depth


def _load_tile(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    op: Linear,
    group: int,
    tile: Tile,
    bank: int,
    held: Units,
) -> None:
    """A tile's weights from all channels, and before them its metadata when that is counted."""
    core = cfg.geometry
    per_channel = core.mv_columns // core.channels
    k_blocks = ceil_div(op.k, core.k_lanes)
    column_blocks = per_channel // core.k_lanes
    first = group * core.mv_columns // core.k_lanes * k_blocks + tile.first
    if op.metadata:
        blocks = tile.k_blocks * core.mv_columns // core.k_lanes
        load_metadata(write, blocks, op.density, first, held)
        held = ()
    write.load(
        LoadMode.A,
        HbmAccess.STRIPED,
        per_channel * core.k_lanes * tile.k_blocks,
        "weight",
        count=core.channels,
        bank=bank,
        offset=first * op.block_bytes,
        step=column_blocks * k_blocks * op.block_bytes,
        wait=held,
        release=(MV,),
    )


@dataclass(frozen=True, kw_only=True)
class DecodeAttention:
    """One of the two products of a decode step's attention.

    ``scores``: the query (``head_dim``) against ``kv_length`` cached keys; else the scores (``kv_length``)
    against the cached values (``head_dim`` columns).
    """

    scores: bool
    kv_length: int
    heads: int
    kv_heads: int
    head_dim: int
    batch: int
    softmax: bool

    @property
    def k(self) -> int:
        """Length of the dot products."""
        return self.head_dim if self.scores else self.kv_length

    @property
    def n(self) -> int:
        """Columns of a head."""
        return self.kv_length if self.scores else self.head_dim


def attention_mv(cfg: FlightLLMConfig, op: DecodeAttention) -> Block:
    """Attention of one position: each KV head's cache streams once, for all query heads that share it."""
    core = cfg.geometry
    write = BlockWriter()
    heads = op.batch * op.heads
    write.load(LoadMode.B, HbmAccess.CROSS, heads * op.k, "input")
    sharing, ring = op.heads // op.kv_heads, Ring(cfg.buffers.a_depth)
    groups = ceil_div(op.n, core.mv_columns)
    for kv_head in range(op.batch * op.kv_heads):
        for group in range(groups):
            last = group == groups - 1
            bank = _load_cache(write, cfg, op, kv_head, group, ring)
            for i in range(sharing):
                head = kv_head * sharing + i
                final = last and head == heads - 1
                release: Units = ()
                if last and op.softmax:
                    release = (MISC,)
                elif final:
                    release = (ST,)
                k_blocks = ceil_div(op.k, core.k_lanes)
                write.compute(
                    MV, k_blocks, a=bank, b=head * k_blocks % cfg.buffers.b_depth,
                    out=_output_row(cfg, head), wait=(LD,) if i == 0 else (), release=release,
                )  # fmt: skip
                if last and op.softmax:
                    blocks = ceil_div(op.n, core.k_lanes)
                    write.misc(
                        MiscOp.SOFTMAX, blocks, a=_output_row(cfg, head),
                        wait=(MV,), release=(ST,) if final else (),
                    )  # fmt: skip
    write.store(
        HbmAccess.SINGLE, heads * op.n, "output", wait=(MISC if op.softmax else MV,), release=(SYS,)
    )
    write.barrier()
    return write.finish()


def _load_cache(
    write: BlockWriter,
    cfg: FlightLLMConfig,
    op: DecodeAttention,
    kv_head: int,
    group: int,
    ring: Ring,
) -> int:
    """Load one KV head's columns of a group: blocks of 16 columns dealt to the channels in turn.

    A prompt beyond one group loads whole groups, as the published program does.
    """
    core = cfg.geometry
    blocks = min(ceil_div(op.n, core.k_lanes), core.mv_columns // core.k_lanes)
    block_bytes = core.k_lanes * op.k
    bank = ring.take(ceil_div(ceil_div(blocks, core.channels) * block_bytes, cfg.buffers.a_mv_row_bytes))
    head_blocks = ceil_div(op.n, core.k_lanes)
    start = (kv_head * head_blocks + group * core.mv_columns // core.k_lanes) * block_bytes
    full, rest = divmod(blocks, core.channels)
    if rest:
        write.load(
            LoadMode.A, HbmAccess.STRIPED, (full + 1) * block_bytes, "cache",
            count=rest, bank=bank, offset=start, step=block_bytes,
        )  # fmt: skip
    write.load(
        LoadMode.A, HbmAccess.STRIPED, full * block_bytes, "cache", count=core.channels - rest,
        bank=bank, offset=start + rest * block_bytes, step=block_bytes, release=(MV,),
    )  # fmt: skip
    return bank


def append_kv(cfg: FlightLLMConfig, width: int, kv_length: int, batch: int) -> Block:
    """Grow the cache to ``kv_length``: the published program loads what is there and stores nothing.

    ``width`` is KV heads x head size. The new row was stored by the projection's own ST; this operator's ST
    has no bytes and waits for nothing, so its barrier does not wait for the loads.
    """
    core = cfg.geometry
    write = BlockWriter()
    for _ in range(batch):
        write.load(
            LoadMode.GLOBAL, HbmAccess.STRIPED, ceil_div(width * (kv_length - 1), core.channels),
            "cache", count=core.channels,
        )  # fmt: skip
    write.store(HbmAccess.STRIPED, 0, "cache", release=(SYS,))
    write.barrier()
    return write.finish()
