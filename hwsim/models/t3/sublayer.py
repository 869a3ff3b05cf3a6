"""A GEMM whose output is all-reduced, in each of the configurations that are compared.

- ``sequential``: GEMM, then reduce-scatter, then all-gather, each on the compute units.
- ``t3``, ``t3_mca``: GEMM and reduce-scatter fused, without and with the arbiter that looks after
  the GEMM; then all-gather.
- ``ideal``: GEMM and reduce-scatter at the same time as if each were alone; then all-gather.
- ``ideal_nmc``: the same with the reduce-scatter that near-memory reduction makes shorter.
- ``shared_compute_units``: the GEMM beside an all-reduce of as many bytes that does not depend on
  it, each on compute units of its own.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 3.2 (shared compute units) and 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.models.t3.config import Overlap
from hwsim.models.t3.kernels import Kernels
from hwsim.models.t3.programs import Exchange
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.tiles import GemmShape

__all__ = ["Sublayer", "run_sublayer"]


@dataclass(frozen=True)
class Sublayer:
    """When the parts of a sub-layer ended, and the kernels that were simulated.

    The GEMM starts at 0. A reduce-scatter that runs under the GEMM ends no earlier than it.
    """

    gemm_end_fs: int
    reduce_scatter_end_fs: int
    end_fs: int
    gemm: Stretch
    reduce_scatter: Stretch | None
    """None if it is part of ``gemm``."""
    all_gather: Stretch | None
    """None if it is part of ``gemm``."""

    @property
    def kernels(self) -> Sequence[Stretch]:
        """What was simulated."""
        return [k for k in (self.gemm, self.reduce_scatter, self.all_gather) if k is not None]


def run_sublayer(kernels: Kernels, overlap: Overlap, shape: GemmShape) -> Sublayer:
    """Simulate a sub-layer."""
    if overlap == "shared_compute_units":
        both, reduced = kernels.shared_units(shape)
        return Sublayer(both.gemm_fs, reduced, both.elapsed_fs, both, None, None)
    gather = kernels.collective(Exchange("all_gather", shape.output_bytes))
    if overlap in {"t3", "t3_mca"}:
        fused = kernels.fused(shape, "compute_first" if overlap == "t3_mca" else "round_robin")
        end = fused.elapsed_fs
        return Sublayer(fused.gemm_fs, end, end + gather.elapsed_fs, fused, None, gather)
    near_memory = overlap == "ideal_nmc"
    exchange = Exchange("reduce_scatter", shape.output_bytes, near_memory=near_memory)
    gemm, scatter = kernels.gemm(shape), kernels.collective(exchange)
    if overlap == "sequential":
        end = gemm.elapsed_fs + scatter.elapsed_fs
    else:
        end = max(gemm.elapsed_fs, scatter.elapsed_fs)
    return Sublayer(gemm.elapsed_fs, end, end + gather.elapsed_fs, gemm, scatter, gather)
