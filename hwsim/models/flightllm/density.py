"""A user's density map: the N of every 16 x 16 block of N:M sparse weights (M = 16).

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.2 (N constant in a block, different between
blocks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.npz import read_npz
from hwsim.workloads import Gemm, Op

__all__ = ["ALLOWED_N", "DensityMaps"]

ALLOWED_N = (0, 2, 4, 8, 16)
Blocks = NDArray[np.uint8]


class DensityMaps:
    """Maps by op name (``layers.3.q_proj``) or by role (``q_proj``, for every layer)."""

    def __init__(self, arrays: Mapping[str, Blocks], source: str = "density map") -> None:
        self._arrays = dict(arrays)
        self._source = source
        for name, blocks in self._arrays.items():
            self._check(name, blocks)
        self._means = {name: self.mean(blocks) for name, blocks in self._arrays.items()}

    @classmethod
    def load(cls, path: str | None) -> DensityMaps:
        """Read an ``.npz`` of integer arrays [k blocks, column blocks]; none gives no maps.

        Raises
        ------
        WorkloadError
            For a file that is no such archive, or holds nothing, or an N that is none of 0, 2, 4,
            8, 16.
        """
        if path is None:
            return cls({})
        arrays = read_npz(path, "weights.density_map")
        if not arrays:
            raise WorkloadError(f"{path}: weights.density_map must hold at least one array")
        return cls(arrays, path)

    def check_names(self, ops: Iterable[Op]) -> None:
        """Refuse an array that is named after none of the projections of ``ops``."""
        names = {op.name: op.role for op in ops if isinstance(op, Gemm)}
        roles = dict.fromkeys(names.values())
        unknown = [name for name in self._arrays if name not in {*roles, *names}]
        if unknown:
            raise WorkloadError(
                f"{self._source}: arrays must be named after a role ({', '.join(roles)}) or a "
                f"projection (such as {next(iter(names), 'lm_head')}), got {', '.join(unknown)}"
            )

    def blocks(self, name: str, role: str, k_blocks: int, columns: int) -> Blocks | None:
        """The map of one projection [k_blocks, columns], None where the user gave none."""
        found = self._arrays.get(name, self._arrays.get(role))
        if found is not None and found.shape != (k_blocks, columns):
            raise WorkloadError(
                f"{self._source}: {name} must have shape [{k_blocks}, {columns}] "
                f"(16 x 16 blocks), got {list(found.shape)}"
            )
        return found

    @property
    def means(self) -> Mapping[str, Fraction]:
        """Mean density of each map, by op name or by role."""
        return self._means

    @staticmethod
    def mean(blocks: Blocks) -> Fraction:
        """Mean density of a map."""
        return Fraction(int(blocks.sum(dtype=np.int64)), 16 * blocks.size)

    def _check(self, name: str, blocks: Blocks) -> None:
        if blocks.ndim != 2 or blocks.dtype.kind not in "iu" or not blocks.size:
            shape = f"{blocks.dtype} {list(blocks.shape)}"
            raise WorkloadError(
                f"{self._source}: {name} must be a two-dimensional integer array, got {shape}"
            )
        strangers = np.setdiff1d(blocks, ALLOWED_N)
        if strangers.size:
            raise WorkloadError(
                f"{self._source}: {name} must hold N among {ALLOWED_N}, got {int(strangers[0])}"
            )
