"""The FlightLLM machine as a config: every knob of the model, with its unit and its rule.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; the published values are in ``arch_configs/flightllm/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hwsim.config import Bytes, BytesPerSecond, Config, Dollars, Hertz, Text, Watts, quantity
from hwsim.laws.flightllm_core import CoreGeometry, ceil_div
from hwsim.units import quantity_text
from hwsim.workloads import PROJECTION_ROLES

__all__ = [
    "AttentionConfig",
    "BucketsConfig",
    "BuffersConfig",
    "CoreConfig",
    "FlightLLMConfig",
    "HbmConfig",
    "LumpedConfig",
    "PowerConfig",
    "WeightsConfig",
]

CLOCK_RANGE = 10**6, 10**10
"""Hz. From the slowest FPGA emulator, whose operators of hours 64 bits of femtoseconds still hold,
to where a cycle shared by 64 cores is still a thousand femtoseconds, so that rounding is < 0.1 %.
"""
Bits = Literal[2, 3, 4, 5, 8]


class CoreConfig(Config):
    """Parallelism of one core and the work one instruction starts."""

    k_lanes: ClassVar[int] = 16
    """Elements of a block, which the instructions' K, the masks and the N:M blocks count in."""

    mm_lanes: int = Field(4096, ge=1)
    mm_rows: int = Field(128, ge=16)
    mm_columns: int = Field(16, ge=1)
    mv_lanes: int = Field(1024, ge=1)
    mv_columns: int = Field(512, ge=1)
    sfu_lanes: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("mm_rows", "mv_columns"):
            if getattr(self, name) % self.k_lanes:
                raise ValueError(
                    f"{name} must be a multiple of {self.k_lanes}, got {getattr(self, name)}"
                )
        if self.mm_columns != self.k_lanes:
            raise ValueError(
                f"mm_columns must be {self.k_lanes}, the columns of a stored block, "
                f"got {self.mm_columns}"
            )
        return self

    @model_validator(mode="after")
    def _lanes_do_a_block_of_k_in_whole_cycles(self) -> Self:
        blocks = {
            "mm_lanes": ("mm_rows x mm_columns", self.mm_rows * self.mm_columns),
            "mv_lanes": ("mv_columns", self.mv_columns),
        }
        for name, (shape, size) in blocks.items():
            macs, lanes = size * self.k_lanes, getattr(self, name)
            if macs % lanes:
                raise ValueError(
                    f"{name} must divide {shape} x {self.k_lanes} = {macs}, got {lanes}"
                )
        if self.mv_lanes > self.mm_lanes:
            raise ValueError(
                f"mv_lanes must be at most mm_lanes = {self.mm_lanes}, the multipliers of both, "
                f"got {self.mv_lanes}"
            )
        return self


class BuffersConfig(Config):
    """On-chip buffers of one core: addresses (rows), and the bytes of a row on one channel.

    ``a`` holds activations in MM and weights or KV in MV, ``b`` weights in MM and the vector in MV,
    ``output`` is the global buffer. K is cut so that ``a_tiles`` (MV) or ``b_tiles`` (MM) tiles
    fit, and of metadata, where it is loaded, ``metadata_tiles``.
    """

    a_depth: int = Field(4096, ge=64, le=4096)
    a_mm_row_bytes: Bytes = quantity("256 B")
    a_mv_row_bytes: Bytes = quantity("128 B")
    b_depth: int = Field(4096, ge=64, le=4096)
    b_mm_row_bytes: Bytes = quantity("32 B")
    b_mv_row_bytes: Bytes = quantity("16 B")
    output_depth: int = Field(512, ge=16, le=4096)
    metadata_depth: int = Field(4096, ge=16, le=4096)
    metadata_row_bytes: Bytes = quantity("16 B")
    fsb_depth: int = Field(4096, ge=16, le=4096)
    bias_depth: int = Field(4096, ge=16, le=4096)
    bias_row_bytes: Bytes = quantity("64 B")
    a_tiles: int = Field(4, ge=1)
    b_tiles: int = Field(2, ge=1)
    metadata_tiles: int = Field(2, ge=1)
    norm_bytes: Bytes = quantity("64 KiB")


class HbmConfig(Config):
    """High-bandwidth memory: the whole device, and the channels one core reads in parallel."""

    capacity: Bytes
    bandwidth: BytesPerSecond
    channels: int = Field(ge=1)
    channels_per_core: int = Field(8, ge=1, le=8)

    @property
    def channel_bandwidth(self) -> Fraction:
        """Bytes a second of one channel."""
        return self.bandwidth / self.channels


class LumpedConfig(Config):
    """The three efficiencies by which the lumped fidelity stands for all it does not simulate."""

    same_channel_efficiency: float = Field(gt=0, le=1)
    cross_channel_efficiency: float = Field(gt=0, le=1)
    parallel_efficiency: float = Field(gt=0, le=1)


class WeightsConfig(Config):
    """How weights are stored: bits, density of each kind of projection, which of them have a bias.

    ``density`` is a fraction (``0.7``), the mean of 16 x 16 blocks of N:M weights with M = 16 and N
    in 0, 2, 4, 8, 16; ``density_map`` names a user's ``.npz`` with the N of every block. ``mixed``
    bits are blocks of 3, 4 and 5 bits, ``mixed_average_bits`` on average.
    """

    bits: Literal[2, 3, 4, 5, 8, "mixed"] = 4
    mixed_average_bits: float = Field(3.5, ge=3, le=5)
    bits_by_role: dict[str, Bits] = Field(default_factory=dict)
    density: dict[str, float] = Field(default_factory=dict)
    default_density: float = Field(1.0, ge=0, le=1)
    density_map: Text | None = None
    biased: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        tables = {
            f"{name}.{role}": role
            for name in ("bits_by_role", "density")
            for role in getattr(self, name)
        }
        for key, role in (*tables.items(), *(("biased", role) for role in self.biased)):
            if role not in PROJECTION_ROLES:
                known = ", ".join(PROJECTION_ROLES)
                raise ValueError(f"{key} must name a projection among {known}, got {role!r}")
        for role, density in self.density.items():
            if not 0 <= density <= 1:
                raise ValueError(f"density.{role} must be between 0 and 1, got {density!r}")
        return self


class AttentionConfig(Config):
    """Block-sparse prefill attention: ``published``, ``causal``, or a user's ``.npz`` file."""

    mask: Text = "published"


class BucketsConfig(Config):
    """Length-adaptive compilation: lengths are rounded up to a multiple, one program each."""

    prefill: int = Field(128, ge=1)
    decode: int = Field(16, ge=1)


class PowerConfig(Config):
    """Board power as a sum of states: always on, and while a unit works."""

    static: Watts
    hbm_active: Watts
    mpe_active: Watts
    sfu_active: Watts


class FlightLLMConfig(Config):
    """A FlightLLM machine.

    The four switches are the paper's ablations; switched off, the machine does what hardware
    without the mechanism would do. ``fidelity`` is ``lumped`` (the authors' abstraction).
    """

    file_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention.mask": ("published", "causal"),
        "weights.density_map": (),
    }

    clock: Hertz
    cores: int = Field(ge=1, le=64)
    max_tokens: int = Field(ge=16, le=32768)
    fidelity: Literal["lumped"] = "lumped"
    price: Dollars | None = None

    always_on_chip_decode: bool = True
    sparse_dsp_chain: bool = True
    mixed_precision: bool = True
    length_adaptive_compilation: bool = True
    count_metadata: bool = False

    token_counter_depth: int = Field(65536, ge=1)
    core: CoreConfig = CoreConfig()
    buffers: BuffersConfig = BuffersConfig()
    hbm: HbmConfig
    lumped: LumpedConfig
    weights: WeightsConfig = WeightsConfig()
    attention: AttentionConfig = AttentionConfig()
    buckets: BucketsConfig = BucketsConfig()
    power: PowerConfig

    @model_validator(mode="after")
    def _clock_is_of_this_world(self) -> Self:
        least, most = (quantity_text(hertz, "Hz") for hertz in CLOCK_RANGE)
        if not CLOCK_RANGE[0] <= self.clock <= CLOCK_RANGE[1]:
            raise ValueError(
                f"clock must be between {least} and {most}, got {quantity_text(self.clock, 'Hz')}"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        used = self.cores * self.hbm.channels_per_core
        if used > self.hbm.channels:
            raise ValueError(
                f"hbm.channels must be at least cores x hbm.channels_per_core = {used}, "
                f"got {self.hbm.channels}"
            )
        return self

    @model_validator(mode="after")
    def _columns_are_dealt_to_channels(self) -> Self:
        dealt = self.hbm.channels_per_core * self.core.k_lanes
        if self.core.mv_columns % dealt:
            raise ValueError(
                f"core.mv_columns must be a multiple of hbm.channels_per_core x "
                f"{self.core.k_lanes} = {dealt}, got {self.core.mv_columns}"
            )
        return self

    @model_validator(mode="after")
    def _rows_divide_blocks(self) -> Self:
        core, buffers = self.core, self.buffers
        channel = core.mv_columns // self.hbm.channels_per_core * core.k_lanes
        blocks = {"a_mv_row_bytes": channel, "b_mm_row_bytes": core.k_lanes * core.mm_columns}
        for name, block in blocks.items():
            row = getattr(buffers, name)
            if not row or block % row:
                raise ValueError(
                    f"buffers.{name} must divide the {block} bytes of a block of K, got {row}"
                )
        for name in ("a_mm_row_bytes", "b_mv_row_bytes", "metadata_row_bytes", "bias_row_bytes"):
            if not getattr(buffers, name):
                raise ValueError(f"buffers.{name} must be at least 1 B, got 0")
        return self

    @model_validator(mode="after")
    def _buckets_are_within_reach(self) -> Self:
        for name in ("prefill", "decode"):
            size = getattr(self.buckets, name)
            if size > self.max_tokens:
                raise ValueError(
                    f"buckets.{name} must be at most max_tokens = {self.max_tokens}, got {size}"
                )
        return self

    @property
    def longest_program(self) -> int:
        """The longest length a prefill program is made for: the last bucket may reach beyond."""
        return ceil_div(self.max_tokens, self.buckets.prefill) * self.buckets.prefill

    @property
    def geometry(self) -> CoreGeometry:
        """The core's geometry, as the timing laws take it."""
        return CoreGeometry(
            **self.core.model_dump(),
            channels=self.hbm.channels_per_core,
            channel_bytes_per_cycle=self.buffers.a_mm_row_bytes,
        )

    @property
    def speedup(self) -> Fraction:
        """By what the lumped fidelity divides every time: cores x parallel efficiency."""
        return self.cores * Fraction(str(self.lumped.parallel_efficiency))

    def density(self, role: str) -> Fraction:
        """Mean density of the weights of that role."""
        return Fraction(str(self.weights.density.get(role, self.weights.default_density)))

    def weight_bits(self, role: str) -> Fraction:
        """Stored bits of a weight of that role: INT8 without mixed precision."""
        if not self.mixed_precision:
            return Fraction(8)
        bits = self.weights.bits_by_role.get(role, self.weights.bits)
        return Fraction(str(self.weights.mixed_average_bits if bits == "mixed" else bits))
