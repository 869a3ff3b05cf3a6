"""Decode: how a linear layer, attention and the KV cache of one token become instructions (MV).

Loads run ahead of the matrix unit by as many tiles as the A buffer holds, held back by tokens. The
published schedule does not hold the KV cache's loads back.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-4; schedule of the authors' public artifact.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import Block, BlockWriter, Units
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.tail import load_metadata, write_tail
from hwsim.models.flightllm.tiling import Linear, Ring, Tile, mv_tiling

__all__ = ["AppendKv", "DecodeAttention", "append_kv", "attention_mv", "linear_mv"]

LD, ST, MV, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MV, Opcode.MISC, Opcode.SYS

OUTPUT_ROWS = 2
"""Rows of the output buffer that a group of columns takes."""


def linear_mv(cfg: FlightLLMConfig, op: Linear) -> Block:
    """``y[n] = x[k] @ w[k, n]``: the vector once, then weights by groups of 512 columns and K."""
    return _LinearMv(cfg, op).block()


class _LinearMv:
    """Writes the schedule of one projection."""

    def __init__(self, cfg: FlightLLMConfig, op: Linear) -> None:
        self._cfg, self._op, self._core = cfg, op, cfg.geometry
        self._write = BlockWriter()
        self._tiling = mv_tiling(cfg, op)
        self._groups = ceil_div(op.n, self._core.mv_columns)
        self._total = self._groups * len(self._tiling.tiles)
        self._ring = Ring(cfg.buffers.a_depth)
        self._done = 0

    def block(self) -> Block:
        op, write = self._op, self._write
        write.load(LoadMode.B, HbmAccess.CROSS, op.k, "input")
        if op.bias:
            write.load(LoadMode.BIAS, HbmAccess.SINGLE, 4 * op.n, "bias")
        for group in range(self._groups):
            self._group(group)
        source = MISC if op.tail else MV
        write.store(HbmAccess.SINGLE, op.n, "output", wait=(source,), release=(SYS,))
        write.barrier()
        return write.finish()

    def _group(self, group: int) -> None:
        """One group of columns: its K tiles, then what rides on it."""
        core, final = self._core, group == self._groups - 1
        for tile in self._tiling.tiles:
            self._tile(group, tile)
        write_tail(
            self._write,
            self._op.tail,
            after=MV,
            channels=core.channels,
            blocks=core.mv_columns // core.k_lanes,
            operand_bytes=core.mv_columns,
            row=_output_row(self._cfg, group),
            release=(ST,) if final else (),
        )

    def _tile(self, group: int, tile: Tile) -> None:
        op = self._op
        self._done += 1
        bank = self._ring.take(self._tiling.rows_per_block * tile.k_blocks)
        self._load(group, tile, bank, (MV,) if self._done > self._tiling.ahead else ())
        self._write.compute(
            MV,
            tile.k_blocks,
            sparse=op.sparse,
            last_k=tile.last,
            bias=op.bias,
            relu=op.relu,
            a=bank,
            b=tile.first,
            out=_output_row(self._cfg, group),
            wait=(LD,),
            release=self._released(group, tile),
        )

    def _released(self, group: int, tile: Tile) -> Units:
        """A later tile's loads, and what takes the group's output."""
        loads: Units = (LD,) if self._done + self._tiling.ahead <= self._total else ()
        if not tile.last:
            return loads
        if self._op.tail:
            return (*loads, MISC)
        return (*loads, ST) if group == self._groups - 1 else loads

    def _load(self, group: int, tile: Tile, bank: int, held: Units) -> None:
        """A tile's weights from all channels, after its metadata where that is counted."""
        core, op = self._core, self._op
        per_channel, k_blocks = core.mv_columns // core.channels, ceil_div(op.k, core.k_lanes)
        first = group * (core.mv_columns // core.k_lanes) * k_blocks + tile.first
        if op.metadata:
            blocks = tile.k_blocks * core.mv_columns // core.k_lanes
            load_metadata(self._write, blocks, op.density, first=first, wait=held)
            held = ()
        self._write.load(
            LoadMode.A,
            HbmAccess.STRIPED,
            per_channel * core.k_lanes * tile.k_blocks,
            "weight",
            count=core.channels,
            bank=bank,
            offset=first * op.block_bytes,
            step=per_channel // core.k_lanes * k_blocks * op.block_bytes,
            wait=held,
            release=(MV,),
        )


def _output_row(cfg: FlightLLMConfig, group: int) -> int:
    return OUTPUT_ROWS * group % cfg.buffers.output_depth


@dataclass(frozen=True, kw_only=True)
class DecodeAttention:
    """One of the two products of a decode step's attention.

    ``scores``: the query (``head_dim``) against ``kv_length`` cached keys; else the scores
    (``kv_length``) against the cached values (``head_dim`` columns).
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
    """Attention of one position: a KV head's cache streams once, for all heads that share it."""
    return _AttentionMv(cfg, op).block()


class _AttentionMv:
    """Writes the schedule of one of the two products."""

    def __init__(self, cfg: FlightLLMConfig, op: DecodeAttention) -> None:
        self._cfg, self._op, self._core = cfg, op, cfg.geometry
        self._write = BlockWriter()
        self._ring = Ring(cfg.buffers.a_depth)
        self._groups = ceil_div(op.n, self._core.mv_columns)
        self._heads = op.batch * op.heads

    def block(self) -> Block:
        op, write = self._op, self._write
        write.load(LoadMode.B, HbmAccess.CROSS, self._heads * op.k, "input")
        sharing = op.heads // op.kv_heads
        for kv_head in range(op.batch * op.kv_heads):
            heads = range(kv_head * sharing, (kv_head + 1) * sharing)
            for group in range(self._groups):
                bank = self._load(kv_head, group)
                for head in heads:
                    self._head(head, bank, first=head == heads[0], last=group == self._groups - 1)
        source = MISC if op.softmax else MV
        write.store(HbmAccess.SINGLE, self._heads * op.n, "output", wait=(source,), release=(SYS,))
        write.barrier()
        return write.finish()

    def _head(self, head: int, bank: int, *, first: bool, last: bool) -> None:
        """One head's product with the loaded columns, and after the last of them its softmax."""
        op, lanes, buffers = self._op, self._core.k_lanes, self._cfg.buffers
        k_blocks, row = ceil_div(op.k, lanes), _output_row(self._cfg, head)
        final: Units = (ST,) if last and head == self._heads - 1 else ()
        softmax = last and op.softmax
        self._write.compute(
            MV,
            k_blocks,
            a=bank,
            b=head * k_blocks % buffers.b_depth,
            out=row,
            wait=(LD,) if first else (),
            release=(MISC,) if softmax else final,
        )
        if softmax:
            blocks = ceil_div(op.n, lanes)
            self._write.misc(MiscOp.SOFTMAX, blocks, a=row, wait=(MV,), release=final)

    def _load(self, kv_head: int, group: int) -> int:
        """A KV head's columns of a group, blocks of 16 dealt to the channels in turn.

        A context beyond one group loads whole groups, as the published program does.
        """
        core, op = self._core, self._op
        in_head, in_group = ceil_div(op.n, core.k_lanes), core.mv_columns // core.k_lanes
        blocks, block_bytes = min(in_head, in_group), core.k_lanes * op.k
        channel_bytes = ceil_div(blocks, core.channels) * block_bytes
        bank = self._ring.take(ceil_div(channel_bytes, self._cfg.buffers.a_mv_row_bytes))
        start = (kv_head * in_head + group * in_group) * block_bytes
        fuller, rest = blocks // core.channels + 1, blocks % core.channels
        if rest:
            self._deal(rest, fuller, bank, start)
        self._deal(core.channels - rest, fuller - 1, bank, start + rest * block_bytes, (MV,))
        return bank

    def _deal(self, channels: int, blocks: int, bank: int, start: int, release: Units = ()) -> None:
        """``blocks`` blocks of columns from each of ``channels`` channels."""
        block_bytes = self._core.k_lanes * self._op.k
        self._write.load(
            LoadMode.A,
            HbmAccess.STRIPED,
            blocks * block_bytes,
            "cache",
            count=channels,
            bank=bank,
            offset=start,
            step=block_bytes,
            release=release,
        )


@dataclass(frozen=True, kw_only=True)
class AppendKv:
    """Growing the cache of keys or of values; ``width`` is KV heads x head size."""

    width: int
    kv_length: int
    batch: int


def append_kv(cfg: FlightLLMConfig, op: AppendKv) -> Block:
    """Grow the cache: the published program loads what is there and stores nothing.

    The new row was stored by the projection's own ST; this operator's ST has no bytes and waits for
    nothing, so its barrier does not wait for the loads.
    """
    channels = cfg.geometry.channels
    write = BlockWriter()
    held = ceil_div(op.width * (op.kv_length - 1), channels)
    for sequence in range(op.batch):
        start = sequence * channels * held
        write.load(
            LoadMode.GLOBAL,
            HbmAccess.STRIPED,
            held,
            "cache",
            count=channels,
            offset=start,
            step=held,
        )
    write.store(HbmAccess.STRIPED, 0, "cache", release=(SYS,))
    write.barrier()
    return write.finish()
