"""How a product is cut to fit the buffers, and where each tile lies in them.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; tile sizes of the authors' public artifact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from hwsim.laws.flightllm_core import ceil_div, split_k
from hwsim.laws.flightllm_isa import Opcode
from hwsim.models.flightllm.config import FlightLLMConfig

__all__ = [
    "Linear",
    "Need",
    "Ring",
    "RowTile",
    "Tile",
    "Tiling",
    "buffer_needs",
    "index_bytes",
    "mm_tiling",
    "mv_tiling",
    "row_tiles",
    "weight_rows",
]

BLOCK_WEIGHTS = 256
INDEX_BITS = 4
BIAS_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A projection as the schedules see it: ``y[rows, n] = x[rows, k] @ w[k, n]``.

    ``density`` is that of the stored weights, ``sparse`` whether their zeros are skipped,
    ``metadata`` whether indices and block counts are loaded; ``block_bytes`` the spacing of 16 x 16
    weight blocks in HBM. ``last_store_bytes`` is what the very last store of a row writes (the
    published program stores one row of the prompt's last block).
    """

    rows: int
    k: int
    n: int
    tail: tuple[str, ...] = ()
    bias: bool = False
    relu: bool = False
    density: Fraction = Fraction(1)
    sparse: bool = False
    metadata: bool = False
    block_bytes: int = 128
    last_store_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """One K split: ``k_blocks`` blocks from ``first``; the last of a column group is marked."""

    first: int
    k_blocks: int
    last: bool


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


class Ring:
    """Allocates runs of rows in a buffer, round and round; addresses wrap at its end."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._next = 0

    def take(self, rows: int) -> int:
        """Address of the next ``rows`` rows."""
        address = self._next
        self._next = (address + rows) % self._depth
        return address


@dataclass(frozen=True, slots=True)
class Tiling:
    """A column group's K splits, the buffer rows a block of K takes, and run-ahead in tiles."""

    tiles: tuple[Tile, ...]
    rows_per_block: int
    ahead: int


def mv_tiling(cfg: FlightLLMConfig, op: Linear) -> Tiling:
    """How a matrix-vector product is cut: its weights lie in the A buffer.

    Law: tiles of at most depth / a_tiles rows; loads run ahead by as many of the first tile as fit.
    """
    buffers = cfg.buffers
    weights = weight_rows(cfg, Opcode.MV), buffers.a_depth, buffers.a_tiles
    return _tiling(cfg, op, cfg.core.mv_columns, weights)


def mm_tiling(cfg: FlightLLMConfig, op: Linear) -> Tiling:
    """The same for a matrix product, whose weights lie in the B buffer."""
    buffers = cfg.buffers
    weights = weight_rows(cfg, Opcode.MM), buffers.b_depth, buffers.b_tiles
    return _tiling(cfg, op, cfg.core.mm_columns, weights)


@dataclass(frozen=True, slots=True)
class Need:
    """Least depth of the buffer of that config key; ``row`` is the key of a row's bytes."""

    depth: str
    rows: int
    row: str


def buffer_needs(cfg: FlightLLMConfig, op: Linear) -> Iterator[Need]:
    """What the schedule of ``op`` needs of each buffer it uses.

    Law: all of K of the operand that stays (the vector in B, a row block of activations in A), one
    block of K of the weights and of their metadata in the other, and the whole bias.
    """
    core, buffers = cfg.geometry, cfg.buffers
    if op.rows:
        stays = ceil_div(op.k, core.k_lanes) * core.k_lanes**2
        yield Need("a_depth", ceil_div(stays, buffers.a_mm_row_bytes), "a_mm_row_bytes")
        yield Need("b_depth", weight_rows(cfg, Opcode.MM), "b_mm_row_bytes")
    else:
        yield Need("a_depth", weight_rows(cfg, Opcode.MV), "a_mv_row_bytes")
        yield Need("b_depth", ceil_div(op.k, buffers.b_mv_row_bytes), "b_mv_row_bytes")
    if op.metadata:
        columns = core.mm_columns if op.rows else core.mv_columns
        (index, *_), (counts, *_) = _metadata_uses(cfg, op, columns // core.k_lanes)
        yield Need("metadata_depth", index, "metadata_row_bytes")
        yield Need("fsb_depth", counts, "")
    if op.bias:
        rows = ceil_div(BIAS_BYTES * op.n, buffers.bias_row_bytes)
        yield Need("bias_depth", rows, "bias_row_bytes")


def weight_rows(cfg: FlightLLMConfig, unit: Opcode) -> int:
    """Rows of its buffer (in MV: on each channel) that a block of K of weights takes."""
    core, buffers = cfg.geometry, cfg.buffers
    if unit is Opcode.MV:
        return core.mv_columns // core.channels * core.k_lanes // buffers.a_mv_row_bytes
    return core.k_lanes * core.mm_columns // buffers.b_mm_row_bytes


def _tiling(
    cfg: FlightLLMConfig, op: Linear, columns: int, weights: tuple[int, int, int]
) -> Tiling:
    """Cut K by the rows a block takes, the depth and the tiles in flight of each buffer it uses."""
    uses = [weights, *(_metadata_uses(cfg, op, columns // cfg.core.k_lanes) if op.metadata else ())]
    limit = min(max(1, depth // tiles // rows) for rows, depth, tiles in uses)
    tiles = tuple(_cut(ceil_div(op.k, cfg.core.k_lanes), limit))
    first = tiles[0].k_blocks
    ahead = min(max(1, depth // (rows * first)) for rows, depth, _ in uses)
    return Tiling(tiles, weights[0], ahead)


def _metadata_uses(
    cfg: FlightLLMConfig, op: Linear, column_blocks: int
) -> tuple[tuple[int, int, int], ...]:
    """Rows of the index buffer and of the block-count buffer that a block of K takes."""
    buffers = cfg.buffers
    index_rows = ceil_div(index_bytes(column_blocks, op.density), buffers.metadata_row_bytes) or 1
    return (
        (index_rows, buffers.metadata_depth, buffers.metadata_tiles),
        (column_blocks, buffers.fsb_depth, buffers.metadata_tiles),
    )


def index_bytes(blocks: int, density: Fraction) -> int:
    """Bytes of the sparse indices of ``blocks`` 16 x 16 blocks: 4 bits a kept weight."""
    return ceil(blocks * BLOCK_WEIGHTS * density * INDEX_BITS / 8)


def _cut(k_blocks: int, limit: int) -> Iterator[Tile]:
    sizes = split_k(k_blocks, limit)
    first = 0
    for i, size in enumerate(sizes):
        yield Tile(first, size, i == len(sizes) - 1)
        first += size
