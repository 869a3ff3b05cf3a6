"""What each load of a segment brings: how dense, and how many HBM bytes a buffer byte.

The memory-management unit expands compressed weights on their way in, so a load's HBM bytes are its
buffer bytes times the stored bits over 8 times the density of what it fetches.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.3 (memory management unit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import LoadMode
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.memory_map import MemoryMap, Region

__all__ = ["Loads", "loaded"]

Column = NDArray[np.int64]
Fields = Mapping[str, Column]


@dataclass(frozen=True)
class Loads:
    """For each load an index into ``densities`` (-1: none) and into ``ratios`` (0: one)."""

    density: Column
    densities: list[Fraction]
    ratio: Column
    ratios: list[Fraction]

    def hbm_bytes(self, load: Fields, operator: Column, operators: int) -> tuple[Fraction, ...]:
        """Bytes that leave HBM, by operator; zero fills bring none."""
        moved = load["length_1d"] * (1 - load["zero_fill"])
        totals = np.zeros((operators, len(self.ratios)), np.int64)
        np.add.at(totals, (operator, self.ratio), moved)
        return tuple(
            sum((int(n) * r for n, r in zip(row, self.ratios, strict=True)), Fraction(0))
            for row in totals
        )


def loaded(cfg: FlightLLMConfig, memory: MemoryMap, load: Fields) -> Loads:
    """Look up every load of a segment in the memory map."""
    weights = (load["mode"] == LoadMode.A) | (load["mode"] == LoadMode.B)
    fetched = np.flatnonzero(weights & (load["zero_fill"] == 0) & (load["length_1d"] > 0))
    where = np.full(len(weights), -1, np.int64)
    where[fetched] = memory.lookup(load["hbm_addr"][fetched])
    found = Loads(
        np.full(len(where), -1, np.int64), [], np.zeros(len(where), np.int64), [Fraction(1)]
    )
    for index in np.unique(where[where >= 0]).tolist():
        region, chosen = memory.regions[index], np.flatnonzero(where == index)
        if region.block_n is None:
            _tag(found, chosen, region, region.density)
        else:
            _tag_tiles(cfg, load, chosen, region, found)
    return found


def _tag(found: Loads, chosen: Column, region: Region, density: Fraction) -> None:
    found.density[chosen] = len(found.densities)
    found.densities.append(density)
    if region.k_blocks:
        found.ratio[chosen] = len(found.ratios)
        found.ratios.append(region.bits_ratio * density)


def _tag_tiles(
    cfg: FlightLLMConfig, load: Fields, chosen: Column, region: Region, found: Loads
) -> None:
    """Tag loads of mapped weights: a tile's loads, one a channel, share its mean density."""
    core = cfg.geometry
    for channels in np.split(chosen, np.flatnonzero(load["channel"][chosen] == 0)[1:]):
        first = int(channels[0])
        blocks = int(load["length_1d"][first]) // core.k_lanes**2
        a_channel = core.mv_columns // core.channels // core.k_lanes
        columns = a_channel if load["mode"][first] == LoadMode.A else 1
        address = int(load["hbm_addr"][first])
        density = region.density_at(address, columns * len(channels), blocks // columns)
        _tag(found, channels, region, density)
