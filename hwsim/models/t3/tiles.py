"""How a GEMM's output is cut: macro-tiles, workgroups in order, and the chunks of a collective.

``output[m, n] = A[m, k] @ B[k, n]``; all three are stored with their m or n side contiguous, as
BLAS has a column-major product with A as it is and B transposed. A workgroup computes one
macro-tile and each of its wavefronts one wavefront tile. Workgroups go through the grid of tiles in
groups of tile rows, column by column within a group, so that what is resident together shares its
operands; a chunk is a run of that order.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 2.5 (stages) and 4.1 (staggering, figure 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field

from hwsim.config import Config
from hwsim.errors import WorkloadError
from hwsim.memory import Region

__all__ = ["GemmShape", "TileConfig", "Tiling", "Workgroup"]

ELEMENT_BYTES = 2
"""FP16."""
BURST_BYTES, SECTOR_BYTES, PAGE_BYTES = 32, 64, 4096


class TileConfig(Config):
    """The macro-tile of a workgroup, and the order of the workgroups.

    Parameters
    ----------
    rows, columns : of the macro-tile.
    k_step : elements of k that are loaded and multiplied at once.
    wavefronts : of a workgroup; each computes as square a part of the tile as there is.
    group_rows : at most so many tile rows form a group.
    prefetch_steps : k steps whose operands are on their way while one is multiplied.
    """

    rows: int = Field(128, ge=16, le=1024, multiple_of=16)
    columns: int = Field(128, ge=16, le=1024, multiple_of=16)
    k_step: int = Field(32, ge=1, le=1024)
    wavefronts: int = Field(4, ge=1, le=16)
    group_rows: int = Field(8, ge=1)
    prefetch_steps: int = Field(1, ge=0, le=64)


@dataclass(frozen=True)
class GemmShape:
    """``output[m, n] = A[m, k] @ B[k, n]`` of one device, ``batch`` times with other operands."""

    m: int
    n: int
    k: int
    batch: int = 1

    @property
    def output_bytes(self) -> int:
        """Bytes of all outputs."""
        return self.batch * self.m * self.n * ELEMENT_BYTES

    @property
    def macs(self) -> int:
        """Multiplications, each with an addition."""
        return self.batch * self.m * self.n * self.k


@dataclass(frozen=True)
class Workgroup:
    """One macro-tile: its place in the order, and what of which output it covers."""

    index: int
    batch: int
    row: int
    column: int
    rows: int
    columns: int

    @property
    def output_bytes(self) -> int:
        """Bytes that it stores."""
        return self.rows * self.columns * ELEMENT_BYTES


@dataclass(frozen=True)
class Tiling:
    """The workgroups of a GEMM in order, cut into ``chunks`` runs.

    Addresses are the device's own: every A from 0 on, then every B, then every output, each on a
    boundary of 4 KiB. What lies side by side is padded to whole sectors of 64 bytes.
    """

    shape: GemmShape
    config: TileConfig
    chunks: int

    @cached_property
    def workgroups(self) -> tuple[Workgroup, ...]:
        """Every workgroup, in order."""
        return tuple(self._workgroup(i) for i in range(self.shape.batch * self._tiles))

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Where each chunk begins in the order, and the end of the last."""
        count = len(self.workgroups)
        return tuple(i * count // self.chunks for i in range(self.chunks + 1))

    @property
    def _tiles(self) -> int:
        """Macro-tiles of one output."""
        return self.tile_rows * self.tile_columns

    @property
    def tile_rows(self) -> int:
        """Macro-tiles along m."""
        return -(-self.shape.m // self.config.rows)

    @property
    def tile_columns(self) -> int:
        """Macro-tiles along n."""
        return -(-self.shape.n // self.config.columns)

    @property
    def group_rows(self) -> int:
        """Tile rows of a group: the most, up to the config's, that make all chunks alike.

        Where none does, the config's: then chunks differ in shape or in ragged edges.
        """
        most = min(self.config.group_rows, self.tile_rows)
        return next((rows for rows in range(most, 0, -1) if self._alike(rows)), most)

    @property
    def even(self) -> bool:
        """Whether every chunk has the same tiles, so that devices that start apart do the same."""
        return self._alike(self.group_rows)

    def _alike(self, group: int) -> bool:
        """Whether groups of so many tile rows cut the chunks into equal rectangles."""
        count = self._tiles
        if self.tile_rows % group or count % self.chunks or self.shape.m % self.config.rows:
            return False
        chunk, whole = count // self.chunks, group * self.tile_columns
        if chunk % whole == 0:
            return True
        return not (whole % chunk or chunk % group or self.shape.n % self.config.columns)

    def _workgroup(self, index: int) -> Workgroup:
        whole = self.group_rows * self.tile_columns
        batch, tile = divmod(index, self._tiles)
        group, within = divmod(tile, whole)
        rows = min(self.group_rows, self.tile_rows - group * self.group_rows)
        column, row = divmod(within, rows)
        row = (group * self.group_rows + row) * self.config.rows
        column *= self.config.columns
        return Workgroup(
            index,
            batch,
            row,
            column,
            min(self.config.rows, self.shape.m - row),
            min(self.config.columns, self.shape.n - column),
        )

    def check_even(self) -> None:
        """Raise :class:`WorkloadError` if devices that start at different chunks differ."""
        if not self.even:
            raise WorkloadError(
                f"the {self.tile_rows} x {self.tile_columns} tiles of the output must fall into "
                f"{self.chunks} equal chunks for machine.mode = symmetric, use machine.mode = full"
            )

    def chunk_of(self, index: int) -> int:
        """The chunk that a workgroup lies in."""
        return next(i for i in range(self.chunks) if index < self.bounds[i + 1])

    def chunk_bytes(self, chunk: int) -> int:
        """Bytes of a chunk of the output."""
        first, end = self.bounds[chunk], self.bounds[chunk + 1]
        return sum(group.output_bytes for group in self.workgroups[first:end])

    # addresses

    @cached_property
    def _m_bytes(self) -> int:
        """From one k to the next in A, and from one n to the next in the output."""
        return _whole(self.shape.m * ELEMENT_BYTES, SECTOR_BYTES)

    @cached_property
    def _n_bytes(self) -> int:
        """From one k to the next in B."""
        return _whole(self.shape.n * ELEMENT_BYTES, SECTOR_BYTES)

    @cached_property
    def _sizes(self) -> tuple[int, int, int]:
        """Bytes of one A, one B and one output."""
        sizes = (self._m_bytes * self.shape.k, self._n_bytes * self.shape.k)
        output = self._m_bytes * self.shape.n
        return (
            _whole(sizes[0], PAGE_BYTES),
            _whole(sizes[1], PAGE_BYTES),
            _whole(output, PAGE_BYTES),
        )

    @cached_property
    def _b_base(self) -> int:
        return self.shape.batch * self._sizes[0]

    @cached_property
    def output_base(self) -> int:
        """Address of the first output."""
        return self._b_base + self.shape.batch * self._sizes[1]

    @cached_property
    def end(self) -> int:
        """The first address after the last output."""
        return self.output_base + self.shape.batch * self._sizes[2]

    @property
    def k_steps(self) -> int:
        """Steps of a workgroup's main loop."""
        return -(-self.shape.k // self.config.k_step)

    def depth_of(self, step: int) -> int:
        """Elements of k in a step; fewer in the last."""
        return min(self.config.k_step, self.shape.k - step * self.config.k_step)

    def operand_regions(self, group: Workgroup, step: int) -> tuple[Region, Region]:
        """What a workgroup loads of A and of B in a step."""
        k, depth = step * self.config.k_step, self.depth_of(step)
        a = group.batch * self._sizes[0] + k * self._m_bytes + group.row * ELEMENT_BYTES
        b = group.batch * self._sizes[1] + k * self._n_bytes + group.column * ELEMENT_BYTES
        return (
            Region(a, _row(group.rows), depth, self._m_bytes),
            Region(self._b_base + b, _row(group.columns), depth, self._n_bytes),
        )

    def wavefront_regions(self, index: int) -> tuple[Region, ...]:
        """What each wavefront of a workgroup stores: as square a part as divides the tile."""
        return self._wavefronts[index]

    @cached_property
    def _wavefronts(self) -> tuple[tuple[Region, ...], ...]:
        return tuple(tuple(self._stores(group)) for group in self.workgroups)

    def _stores(self, group: Workgroup) -> Iterator[Region]:
        across, down = self._wavefront_grid
        rows, columns = self.config.rows // down, self.config.columns // across
        base = self.output_base + group.batch * self._sizes[2]
        for row in range(0, group.rows, rows):
            for column in range(0, group.columns, columns):
                height, width = min(rows, group.rows - row), min(columns, group.columns - column)
                start = (group.column + column) * self._m_bytes + (group.row + row) * ELEMENT_BYTES
                yield Region(base + start, _row(height), width, self._m_bytes)

    @cached_property
    def _wavefront_grid(self) -> tuple[int, int]:
        """Wavefronts along n and along m."""
        count = self.config.wavefronts
        down = max(d for d in range(1, int(count**0.5) + 1) if count % d == 0)
        return count // down, down


def _row(elements: int) -> int:
    return _whole(elements * ELEMENT_BYTES, BURST_BYTES)


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit
