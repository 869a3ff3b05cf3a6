"""Where tensors lie in HBM, and what the memory-management unit knows of them.

An instruction names an HBM address only; how many bytes leave the memory for the bytes a load
writes into a buffer follows from the region the address lies in: weights are stored in few bits and
without their zeros. Weight blocks are addressed as if dense; the capacity they take is counted
without zeros.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.3 (memory management unit); the address layout
is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError, WorkloadError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.tiling import index_bytes
from hwsim.workloads import Attention, Gemm, KvAppend, Op

__all__ = ["MemoryMap", "Region", "block_bytes", "cache_name", "key_cache", "value_cache"]

ALIGN = 4096
BLOCK_WEIGHTS = 256
ADDRESS_BITS = 34


def block_bytes(cfg: FlightLLMConfig, role: str) -> int:
    """Spacing of 16 x 16 weight blocks in HBM: their bytes at the role's bits, zeros included."""
    return ceil(BLOCK_WEIGHTS * cfg.weight_bits(role) / 8)


def cache_name(op: Attention | KvAppend) -> str:
    """The region of the KV cache that an op reads or grows."""
    keys = op.kind == "scores" if isinstance(op, Attention) else op.role == "k"
    return key_cache(op.layer) if keys else value_cache(op.layer)


def key_cache(layer: int | None) -> str:
    """The region of a layer's keys."""
    return f"layers.{layer}.key_cache"


def value_cache(layer: int | None) -> str:
    """The region of a layer's values."""
    return f"layers.{layer}.value_cache"


@dataclass(frozen=True)
class Region:
    """A tensor's place, from ``base`` on, and the HBM bytes per buffer byte of a load there."""

    name: str
    base: int
    size: int
    stored: Fraction
    """Bytes of capacity taken."""
    bits_ratio: Fraction = Fraction(1)
    density: Fraction = Fraction(1)
    block_n: NDArray[np.uint8] | None = None
    """N of every block [k blocks, column blocks] of a user's density map."""
    k_blocks: int = 0
    block_bytes: int = 0

    @property
    def stored_as(self) -> str:
        """Bits and densities in one comparable text."""
        blocks = "" if self.block_n is None else sha256(self.block_n.tobytes()).hexdigest()
        return f"{self.bits_ratio} {self.density} {blocks}".strip()

    def density_at(self, address: int, columns: int, k_blocks: int) -> Fraction:
        """Mean density of the ``columns`` x ``k_blocks`` blocks that a load from there fetches."""
        if self.block_n is None:
            return self.density
        column, first = divmod((address - self.base) // self.block_bytes, self.k_blocks)
        part = self.block_n[first : first + k_blocks, column : column + columns]
        return Fraction(int(part.sum()), 16 * part.size) if part.size else Fraction(1)


class MemoryMap:
    """All regions of a workload, in the order of a step's ops, and scratch space after them."""

    def __init__(
        self, cfg: FlightLLMConfig, ops: tuple[Op, ...], kv_positions: int, maps: DensityMaps
    ) -> None:
        self.regions: list[Region] = []
        self._by_name: dict[str, Region] = {}
        self._end = 0
        for op in ops:
            if isinstance(op, Gemm):
                self._add(_weights(cfg, op, self._end, maps))
                if op.role in cfg.weights.biased or op.bias:
                    self._add(_plain(f"{op.name}.bias", self._end, 4 * op.n))
            elif isinstance(op, Attention):
                self._add(_cache(cfg, op, self._end, kv_positions))
        self._starts = np.array([region.base for region in self.regions], np.int64)
        self._stops = np.array([region.base + region.size for region in self.regions], np.int64)
        if self._end >> ADDRESS_BITS:
            raise WorkloadError(
                f"model must fit the instructions' {ADDRESS_BITS}-bit HBM addresses, "
                f"got {self._end} bytes of address space"
            )

    def _add(self, region: Region) -> None:
        self.regions.append(region)
        self._by_name[region.name] = region
        self._end = region.base + ceil_div(region.size, ALIGN) * ALIGN

    def region(self, name: str) -> Region:
        """The region of a weight tensor."""
        return self._by_name[name]

    def base(self, name: str) -> int:
        """Address of a tensor; what has no region of its own lies in scratch space."""
        region = self._by_name.get(name)
        return region.base if region else self._end

    @property
    def stored_bytes(self) -> Fraction:
        """HBM capacity that weights, biases and KV cache take."""
        return sum((region.stored for region in self.regions), Fraction(0))

    def lookup(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index into :attr:`regions` of each address, -1 for scratch space.

        Raises
        ------
        ProtocolError
            For an address between a tensor's end and the next tensor.
        """
        index = np.searchsorted(self._starts, addresses, side="right").astype(np.int64) - 1
        if not self.regions:
            return index
        astray = np.flatnonzero((addresses >= self._stops[index]) & (addresses < self._end))
        if astray.size:
            first = int(astray[0])
            name = self.regions[int(index[first])].name
            raise ProtocolError(
                f"hbm_addr must lie in a tensor, got {int(addresses[first])} beyond {name}"
            )
        index[addresses >= self._end] = -1
        return index


def _weights(cfg: FlightLLMConfig, op: Gemm, base: int, maps: DensityMaps) -> Region:
    spacing = block_bytes(cfg, op.role)
    k_blocks, columns = ceil_div(op.k, 16), ceil_div(op.n, 16)
    block_n = maps.blocks(op.name, op.role, k_blocks, columns)
    density = Fraction(str(op.density)) if block_n is None else maps.mean(block_n)
    bits = cfg.weight_bits(op.role) / 8
    group = cfg.core.mv_columns // cfg.core.k_lanes  # the last group's loads are padded
    return Region(
        name=f"{op.name}.weight",
        base=base,
        size=k_blocks * ceil_div(columns, group) * group * spacing,
        stored=op.k * op.n * bits * density + _metadata_bytes(cfg, k_blocks * columns, density),
        bits_ratio=bits,
        density=density,
        block_n=block_n,
        k_blocks=k_blocks,
        block_bytes=spacing,
    )


def _metadata_bytes(cfg: FlightLLMConfig, blocks: int, density: Fraction) -> int:
    """Indices and block counts (a byte each) of sparse weights, where they are counted."""
    counted = cfg.count_metadata and density < 1
    return index_bytes(blocks, density) + blocks if counted else 0


def _cache(cfg: FlightLLMConfig, op: Attention, base: int, positions: int) -> Region:
    """Room for whole blocks of a head, buckets and groups of columns, as programs address them.

    What is stored is counted exactly.
    """
    lanes, sizes = cfg.core.k_lanes, (cfg.buckets.prefill, cfg.buckets.decode)
    heads = op.kv_heads * op.batch
    bucket = max(ceil_div(positions, size) * size for size in sizes)
    group = cfg.core.mv_columns
    size = heads * ceil_div(op.head_dim, lanes) * lanes * ceil_div(bucket, group) * group
    stored = Fraction(heads * op.head_dim * positions)
    return Region(name=cache_name(op), base=base, size=size, stored=stored)


def _plain(name: str, base: int, size: int) -> Region:
    return Region(name=name, base=base, size=size, stored=Fraction(size))
