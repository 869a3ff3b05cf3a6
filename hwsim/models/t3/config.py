"""The T3 machine as a config: every knob of the model, with its unit and its rule.

Ref: T3 (ASPLOS'24, arXiv 2401.16677); the published values are in ``arch_configs/t3/``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hwsim.config import Bytes, BytesPerSecond, Config, Femtoseconds, Share, quantity
from hwsim.memory.config import CacheConfig, DramConfig, MemoryConfig
from hwsim.models.t3.compute import ComputeConfig
from hwsim.models.t3.fused import FusedConfig
from hwsim.models.t3.tiles import TileConfig
from hwsim.noc import LinkConfig, TopologyName

__all__ = ["ArbitrationConfig", "CollectiveConfig", "FaultConfig", "Overlap", "T3Config"]

Overlap = Literal["sequential", "t3", "t3_mca", "ideal", "ideal_nmc", "shared_compute_units"]
Threshold = Annotated[int, Field(ge=0)]


class ArbitrationConfig(Config):
    """How ``t3_mca`` chooses the threshold of the memory controllers' ``compute_first`` arbiter.

    It is chosen when the first stage has run, by the share of peak bandwidth that the compute
    stream took in it: the first of ``thresholds`` whose ``intensities`` bound is above it, or the
    last. ``t3`` has round robin, and no threshold.

    Parameters
    ----------
    intensities : bounds, rising; one fewer than ``thresholds``.
    thresholds : queue entries, falling; 0 stands for no limit.
    """

    intensities: tuple[Share, ...] = (0.25, 0.5, 0.75)
    thresholds: tuple[Threshold, ...] = (0, 30, 10, 5)

    @model_validator(mode="after")
    def _one_threshold_more(self) -> Self:
        if len(self.thresholds) != len(self.intensities) + 1:
            raise ValueError(
                f"thresholds must be one more than intensities = {len(self.intensities)}, "
                f"got {len(self.thresholds)}"
            )
        return self

    @model_validator(mode="after")
    def _intensities_rise(self) -> Self:
        if list(self.intensities) != sorted(set(self.intensities)):
            raise ValueError(f"intensities must rise, got {list(self.intensities)}")
        return self

    @model_validator(mode="after")
    def _thresholds_fall(self) -> Self:
        limits = [entries or float("inf") for entries in self.thresholds]
        if limits != sorted(limits, reverse=True):
            raise ValueError(
                f"thresholds must not rise, 0 being no limit, got {list(self.thresholds)}"
            )
        return self

    def threshold(self, intensity: float) -> int:
        """Queue entries, 0 for no limit, at a share of peak bandwidth."""
        below = sum(intensity >= bound for bound in self.intensities)
        return self.thresholds[below]


class CollectiveConfig(Config):
    """Collectives that compute units run, as kernels of their own.

    Parameters
    ----------
    unit_rate : bytes that one compute unit moves in a second, each read or written.
    slice : what a device reads, sends and writes at once; ``slices_in_flight`` of them overlap.
    pipelined : whether a step starts when the slice that it needs is there, or the whole chunk.
        Left out: the slice; where memory is ideal the chunk, as in the closed form of a ring.
    """

    unit_rate: BytesPerSecond = quantity("40 GB/s")
    slice: Bytes = quantity("64 KiB")
    slices_in_flight: int = Field(16, ge=2)
    pipelined: bool | None = None


class FaultConfig(Config):
    """What sets one device apart from the others; needs ``mode = "full"``.

    Parameters
    ----------
    device : which one.
    start_delay : how much later it starts.
    link_share, compute_share : of its outgoing links' and its matrix cores' rate that is left.
    """

    device: int = Field(0, ge=0)
    start_delay: Femtoseconds = quantity("0 s")
    link_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    compute_share: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def any(self) -> bool:
        """Whether the device differs."""
        return bool(self.start_delay) or self.link_share < 1 or self.compute_share < 1


class T3Config(FusedConfig):
    """A node of equal devices joined by links.

    Parameters
    ----------
    devices : left out, the tensor-parallel degree of the workload, or 8 for a collective alone.
    overlap : which of the compared configurations it is.
    compare : another one to run as well, for the speed-up over it.
    mode : ``symmetric`` simulates one device, whose peers do the same at the same time; ``full``
        simulates them all.
    topology : of the links; of sub-layers ``ring`` or ``fully_connected``.
    stagger : whether devices start with different chunks.
    memory : of a collective alone: ``dram``, or ``ideal`` memory that takes no time.
    gemm_compute_units, collective_compute_units : of ``shared_compute_units``.
    """

    devices: Annotated[int, Field(ge=2, le=1024)] | None = None
    overlap: Overlap = "t3_mca"
    compare: Overlap | None = None
    mode: Literal["symmetric", "full"] = "symmetric"
    topology: TopologyName = "ring"
    stagger: bool = True
    memory: Literal["dram", "ideal"] = "dram"
    gemm_compute_units: int = Field(72, ge=1)
    collective_compute_units: int = Field(8, ge=1)

    compute: ComputeConfig = ComputeConfig()
    gemm: TileConfig = TileConfig()
    collective: CollectiveConfig = CollectiveConfig()
    arbitration: ArbitrationConfig = ArbitrationConfig()
    link: LinkConfig
    dram: DramConfig
    cache: CacheConfig
    fault: FaultConfig = FaultConfig()

    @model_validator(mode="after")
    def _faults_are_of_one_device(self) -> Self:
        if self.fault.any and self.mode == "symmetric":
            raise ValueError('mode must be "full" with a fault, got "symmetric"')
        return self

    @model_validator(mode="after")
    def _all_start_alike(self) -> Self:
        if not self.stagger and self.mode == "symmetric":
            raise ValueError('mode must be "full" with stagger = false, got "symmetric"')
        return self

    @model_validator(mode="after")
    def _tracker_holds_the_wavefronts(self) -> Self:
        if self.gemm.wavefronts > self.tracker.wavefronts:
            raise ValueError(
                f"gemm.wavefronts must be at most tracker.wavefronts = {self.tracker.wavefronts}, "
                f"got {self.gemm.wavefronts}"
            )
        return self

    @model_validator(mode="after")
    def _units_are_shared_out(self) -> Self:
        both = self.gemm_compute_units + self.collective_compute_units
        if both > self.compute.units and "shared_compute_units" in {self.overlap, self.compare}:
            raise ValueError(
                f"gemm_compute_units + collective_compute_units must be at most compute.units = "
                f"{self.compute.units} with overlap = shared_compute_units, got {both}"
            )
        return self

    def memory_config(self, arbiter: Literal["round_robin", "compute_first"]) -> MemoryConfig:
        """A device's memory, with that arbiter."""
        controller = self.dram.controller.model_copy(update={"arbiter": arbiter})
        dram = self.dram.model_copy(update={"controller": controller})
        return MemoryConfig.model_construct(dram=dram, cache=self.cache)
