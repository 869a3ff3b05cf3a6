"""What a memory is made of: DRAM devices, their timing, the controller, the last-level cache.

Timing is in cycles of the DRAM's command clock and named as JEDEC names it: ``nRCD`` is cycles,
``tRCD`` would be time.

Ref: JEDEC JESD235 (HBM), JESD79-4 (DDR4).
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from hwsim.config import (
    Bytes,
    Config,
    Femtoseconds,
    Hertz,
    PositiveInt,
    Text,
    quantity,
    read_toml,
)

__all__ = [
    "AddressMapping",
    "CacheConfig",
    "ControllerConfig",
    "DramConfig",
    "DramTiming",
    "MemoryConfig",
    "specification_names",
]

SPECIFICATIONS: Final = Path(__file__).parent / "specifications"
MOST_CYCLES: Final = 1_000_000
MOST_BANKS: Final = 4096

Cycles = Annotated[int, Field(ge=0, le=MOST_CYCLES)]
Entries = Annotated[int, Field(ge=1, le=65536)]


def specification_names() -> tuple[str, ...]:
    """The DRAM specifications that come with hwsim."""
    return tuple(sorted(path.stem for path in SPECIFICATIONS.glob("*.toml")))


class DramTiming(Config):
    """The timing rules of a channel, in cycles from command to command; 0 takes a rule out.

    ``nBL`` is how long a burst holds the data bus. ``_L`` rules hold within a bank group, ``_S``
    ones across groups. ``nRTW`` runs from a read to a write command, ``nWTR`` from the end of
    write data to a read command, ``nWR`` from there to a precharge. ``nREFI`` of 0 is no refresh.
    """

    nBL: Annotated[int, Field(ge=1, le=MOST_CYCLES)]
    nCL: Cycles
    nCWL: Cycles
    nRCD: Cycles
    nRP: Cycles
    nRAS: Cycles
    nRC: Cycles
    nCCD_S: Cycles
    nCCD_L: Cycles
    nRRD_S: Cycles
    nRRD_L: Cycles
    nFAW: Cycles
    nRTP: Cycles
    nWR: Cycles
    nWTR_S: Cycles
    nWTR_L: Cycles
    nRTW: Cycles
    nRFC: Cycles
    nREFI: Cycles

    @model_validator(mode="after")
    def _refreshes_end_before_the_next(self) -> DramTiming:
        busy = self.nRFC + self.nRP + self.nRCD + self.nRAS
        if self.nREFI and self.nREFI <= busy:
            raise ValueError(
                f"nREFI must be 0 or above nRFC + nRP + nRCD + nRAS = {busy}, got {self.nREFI}"
            )
        return self


Place = Literal["row", "bank", "bank_group", "column", "channel"]


class AddressMapping(Config):
    """Which bits of an address choose what.

    Parameters
    ----------
    order : the fields, most significant first. Below the last come the columns of one interleave.
    interleave : bytes that stay together in one row of one bank.
    hashed : the channel is the number that its bits and all above them make, modulo a polynomial
        over GF(2), and the bank is XORed with the row, so that strides of a power of two spread.
    """

    fields: ClassVar[tuple[Place, ...]] = ("row", "bank", "bank_group", "column", "channel")

    order: Text
    interleave: Bytes
    hashed: bool

    @property
    def places(self) -> tuple[str, ...]:
        """The fields of ``order``."""
        return tuple(self.order.split())

    @model_validator(mode="after")
    def _each_field_once(self) -> AddressMapping:
        if sorted(self.places) != sorted(self.fields):
            names = ", ".join(self.fields)
            raise ValueError(f"order must name each of {names} once, got {self.order!r}")
        return self


class ControllerConfig(Config):
    """The memory controller of each channel.

    Parameters
    ----------
    queue_entries : bursts that wait for their commands; of reads, when writes have their own queue.
    separate_write_queue : whether writes and updates wait in a queue of their own.
    write_queue_entries : the size of that queue.
    write_drain_entries : writes that make the channel turn from reads to writes. It also does when
        no read waits, and when writes have waited for ``write_wait_cycles``. After each turn it
        does at least as many as waited for it, and it turns back to reads as soon as any wait.
    write_prepare_entries : writes from which on rows are opened for them ahead of the turn, in
        banks that no read waits for. Rows for reads are always opened ahead.
    arbiter : who is admitted to the queue, one burst a cycle: the streams in turn, or computing
        first, and communication when computing doesn't ask and the queue holds less than
        ``threshold_entries``, or when it has waited for ``starvation_cycles``.
    threshold_entries : as above; ``"unlimited"`` is no threshold.
    threshold_counts : what counts as held: reads alone, or all.
    request_latency : from a request to the controller.
    return_latency : from the end of the data back to who asked.
    """

    queue_entries: Entries = 64
    separate_write_queue: bool = True
    write_queue_entries: Entries = 64
    write_drain_entries: Entries = 32
    write_prepare_entries: Entries = 24
    write_wait_cycles: PositiveInt = 2000
    arbiter: Literal["round_robin", "compute_first"] = "round_robin"
    threshold_entries: Entries | Literal["unlimited"] = "unlimited"
    threshold_counts: Literal["reads", "all"] = "reads"
    starvation_cycles: PositiveInt = 500
    request_latency: Femtoseconds = quantity("100 ns")
    return_latency: Femtoseconds = quantity("60 ns")

    @model_validator(mode="after")
    def _drains_before_it_is_full(self) -> ControllerConfig:
        most = self.write_queue_entries if self.separate_write_queue else self.queue_entries
        name = "write_queue_entries" if self.separate_write_queue else "queue_entries"
        if self.write_drain_entries > most:
            raise ValueError(
                f"write_drain_entries must be at most {name} = {most}, "
                f"got {self.write_drain_entries}"
            )
        return self


class DramConfig(Config):
    """DRAM channels and their controllers.

    ``specification`` names a set of values that comes with hwsim (``hbm2``, ``hbm2e``,
    ``ddr4_2400``); what is given beside it replaces single values of it.
    """

    specification: Text | None = None
    clock: Hertz
    channels: PositiveInt
    bank_groups: PositiveInt
    banks_per_group: PositiveInt
    rows: PositiveInt
    row_bytes: Bytes
    burst_bytes: Bytes
    dual_command_bus: bool
    update_ccd_multiple: Annotated[int, Field(ge=1, le=1024)]
    timing: DramTiming
    mapping: AddressMapping
    controller: ControllerConfig = ControllerConfig()

    @model_validator(mode="before")
    @classmethod
    def _specified(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("specification"), str):
            return values
        name = values["specification"]
        if name not in specification_names():
            known = ", ".join(specification_names())
            raise ValueError(f"specification must be one of {known}, got {name!r}")
        return _over(read_toml(SPECIFICATIONS / f"{name}.toml").data, values)

    @property
    def banks(self) -> int:
        """Banks of a channel."""
        return self.bank_groups * self.banks_per_group

    @property
    def capacity_bytes(self) -> int:
        """Bytes in all channels."""
        return self.channels * self.banks * self.rows * self.row_bytes

    @property
    def peak_bytes_per_second(self) -> Fraction:
        """What the data buses move when they never rest."""
        per_burst = max(self.timing.nBL, self.timing.nCCD_S)
        return Fraction(self.channels * self.burst_bytes * self.clock, per_burst)

    @model_validator(mode="after")
    def _powers_of_two(self) -> DramConfig:
        for name in ("channels", "bank_groups", "banks_per_group", "rows"):
            _check_power_of_two(name, getattr(self, name))
        for name in ("row_bytes", "burst_bytes"):
            _check_power_of_two(name, getattr(self, name))
        _check_power_of_two("mapping.interleave", self.mapping.interleave)
        return self

    @model_validator(mode="after")
    def _interleaves_within_a_row(self) -> DramConfig:
        if not self.burst_bytes <= self.mapping.interleave <= self.row_bytes:
            raise ValueError(
                f"mapping.interleave must be from burst_bytes to row_bytes = {self.burst_bytes} to "
                f"{self.row_bytes} bytes, got {self.mapping.interleave}"
            )
        return self

    @model_validator(mode="after")
    def _banks_that_can_be_counted(self) -> DramConfig:
        if self.channels * self.banks > MOST_BANKS:
            raise ValueError(
                f"channels x bank_groups x banks_per_group must be at most {MOST_BANKS}, "
                f"got {self.channels * self.banks}"
            )
        if self.capacity_bytes > 2**50:
            raise ValueError(f"capacity must be at most 1 PiB, got {self.capacity_bytes} bytes")
        return self


class CacheConfig(Config):
    """The last-level cache: set-associative, sectored, exact LRU, write-back.

    Parameters
    ----------
    capacity : bytes of data.
    line, sector : bytes of a line, which has a tag, and of a sector, which is fetched by itself.
    ways : lines of a set.
    hashed : the set is the line's number modulo a polynomial over GF(2), so that strides of a power
        of two spread; if not, modulo the number of sets.
    hit_latency : from a request to its data.
    """

    capacity: Bytes
    line: Bytes = quantity("128 B")
    sector: Bytes = quantity("32 B")
    ways: PositiveInt = 16
    hashed: bool = True
    hit_latency: Femtoseconds = quantity("120 ns")

    @property
    def sets(self) -> int:
        """Lines of one way."""
        return self.capacity // (self.line * self.ways)

    @property
    def sectors(self) -> int:
        """Sectors of a line."""
        return self.line // self.sector

    @model_validator(mode="after")
    def _whole_lines(self) -> CacheConfig:
        _check_power_of_two("line", self.line)
        _check_power_of_two("sector", self.sector)
        if not self.sector <= self.line <= 32 * self.sector:
            raise ValueError(
                f"line must be from 1 to 32 sectors of {self.sector} bytes, got {self.line}"
            )
        return self

    @model_validator(mode="after")
    def _whole_sets(self) -> CacheConfig:
        step = self.line * self.ways
        sets, rest = divmod(self.capacity, step)
        if rest or sets == 0 or sets & (sets - 1):
            raise ValueError(
                f"capacity must be line x ways = {step} bytes times a power of two, "
                f"got {self.capacity}"
            )
        return self


class MemoryConfig(Config):
    """A device's memory: DRAM, and a last-level cache in front of it, or none."""

    dram: DramConfig
    cache: CacheConfig | None = None

    @model_validator(mode="after")
    def _sectors_are_whole_bursts(self) -> MemoryConfig:
        cache, burst = self.cache, self.dram.burst_bytes
        if cache is not None and cache.sector % burst:
            raise ValueError(
                f"cache.sector must be a multiple of dram.burst_bytes = {burst} bytes, "
                f"got {cache.sector}"
            )
        return self

    @property
    def longest_epoch_fs(self) -> int:
        """How late requests can be looked at with nothing of what they do in the past already."""
        cache, controller = self.cache, self.dram.controller
        latencies = [controller.request_latency] + ([cache.hit_latency] if cache else [])
        return min(latencies)

    @model_validator(mode="after")
    def _latencies_of_a_cycle_at_least(self) -> MemoryConfig:
        cycle = math.ceil(Fraction(10**15, self.dram.clock))
        if self.longest_epoch_fs < 2 * cycle:
            raise ValueError(
                f"controller.request_latency and cache.hit_latency must be at least two cycles, "
                f"{2 * cycle} fs, got {self.longest_epoch_fs} fs"
            )
        return self


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``own`` put over it, table by table."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged


def _check_power_of_two(name: str, value: int) -> None:
    if value < 1 or value & (value - 1):
        raise ValueError(f"{name} must be a power of two, got {value}")
