"""How a product is cut to fit the buffers, and where each tile lies in them.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; tile sizes of the authors' public artifact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hwsim.laws.flightllm_core import ceil_div, split_k
from hwsim.models.flightllm.config import FlightLLMConfig

__all__ = ["Linear", "Ring", "RowTile", "Tile", "mm_tiles", "mv_tiles", "row_tiles"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A projection as the schedules see it: ``y[rows, n] = x[rows, k] @ w[k, n]``.

    ``density`` is the mean density the metadata is sized by, 1 when the weights are dense;
    ``block_bytes`` the spacing of 16 x 16 weight blocks in HBM. ``last_store_bytes`` is what the
    very last store of a row writes (the published program stores one row of the prompt's last
    block).
    """

    rows: int
    k: int
    n: int
    tail: tuple[str, ...] = ()
    bias: bool = False
    relu: bool = False
    density: Fraction = Fraction(1)
    metadata: bool = False
    block_bytes: int = 128
    last_store_bytes: int | None = None

    @property
    def sparse(self) -> bool:
        """Whether zeros are skipped."""
        return self.density < 1


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
    """Allocates runs of rows in a buffer, round and round, never across its end."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._next = 0

    def take(self, rows: int) -> int:
        """Address of the next ``rows`` rows."""
        address = 0 if self._next + rows > self._depth else self._next
        self._next = address + min(rows, self._depth)
        return address


def _cut(k_blocks: int, rows_per_block: int, depth: int, tiles: int) -> Iterator[Tile]:
    limit = max(1, depth // tiles // rows_per_block)
    sizes = split_k(k_blocks, limit)
    first = 0
    for i, size in enumerate(sizes):
        yield Tile(first, size, i == len(sizes) - 1)
        first += size


def mv_tiles(cfg: FlightLLMConfig, k: int) -> tuple[tuple[Tile, ...], int, int]:
    """K splits of a matrix-vector product, rows of A that a K block takes, run-ahead in tiles.

    Law: tiles of at most depth / a_tiles rows; loads run ahead by as many of the first tile as fit.
    """
    core, buffers = cfg.geometry, cfg.buffers
    row_blocks = core.mv_columns // core.channels * core.k_lanes // buffers.a_mv_row_bytes
    tiles = tuple(_cut(ceil_div(k, core.k_lanes), row_blocks, buffers.a_depth, buffers.a_tiles))
    return tiles, row_blocks, max(1, buffers.a_depth // (row_blocks * tiles[0].k_blocks))


def mm_tiles(cfg: FlightLLMConfig, k: int) -> tuple[tuple[Tile, ...], int, int]:
    """The same for a matrix product, whose weights lie in the B buffer."""
    core, buffers = cfg.geometry, cfg.buffers
    row_blocks = core.k_lanes * core.mm_columns // buffers.b_mm_row_bytes
    tiles = tuple(_cut(ceil_div(k, core.k_lanes), row_blocks, buffers.b_depth, buffers.b_tiles))
    return tiles, row_blocks, max(1, buffers.b_depth // (row_blocks * tiles[0].k_blocks))
