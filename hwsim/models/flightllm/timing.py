"""Lumped fidelity: how long each decoded instruction keeps its unit busy, and what it moves.

The authors' abstraction: a transfer takes its HBM bytes over a channel rate times an efficiency, a
computation its law's cycles, and every time is divided by cores x parallel efficiency. Start-up,
decode latency and refresh are in the three efficiencies.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; the formulas of the authors' public profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError, WorkloadError
from hwsim.laws.flightllm_core import (
    SYS_CYCLES,
    misc_cycles,
    mm_cycles,
    mv_cycles,
    transfer_seconds,
    zero_fill_cycles,
)
from hwsim.laws.flightllm_isa import HbmAccess, MiscOp, Opcode
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.units import FS_PER_SECOND

__all__ = ["LumpedTiming", "by_value", "check_span"]

Column = NDArray[np.int64]
SPAN_FS = 2**63
"""What a segment's times, relative to its start, stay below."""


class LumpedTiming:
    """Durations of instructions by the lumped laws, each rounded to a femtosecond."""

    def __init__(self, cfg: FlightLLMConfig) -> None:
        self._cfg = cfg
        self._core = cfg.geometry
        self._rates = _rates(cfg)

    def cycles_to_fs(self, cycles: Fraction | int) -> int:
        """``cycles`` of the clock, shared by the cores, in femtoseconds, rounded half to even."""
        return round(Fraction(cycles) * FS_PER_SECOND / self._cfg.clock / self._cfg.speedup)

    def transfer_fs(self, buffer_bytes: int, access: HbmAccess, ratio: Fraction) -> int:
        """A transfer of ``buffer_bytes`` x ``ratio`` HBM bytes by that path."""
        if access not in self._rates:
            raise ProtocolError(f"hbm_type must be a path the machine has, got {access.name}")
        seconds = transfer_seconds(buffer_bytes, ratio, self._rates[access])
        return round(seconds * FS_PER_SECOND / self._cfg.speedup)

    def barrier_fs(self) -> int:
        """One SYS."""
        return self.cycles_to_fs(SYS_CYCLES)

    def zero_fill_fs(self, length: int) -> int:
        """Writing ``length`` bytes of zeros on chip."""
        return self.cycles_to_fs(zero_fill_cycles(self._core, length))

    def compute_fs(self, unit: Opcode, k_blocks: int, density: Fraction) -> int:
        """One MM or MV."""
        law = mm_cycles if unit is Opcode.MM else mv_cycles
        return self.cycles_to_fs(law(self._core, k_blocks, density))

    def misc_fs(self, operation: int, k_blocks: int) -> int:
        """One MISC."""
        return self.cycles_to_fs(misc_cycles(self._core, MiscOp(operation).name, k_blocks))


def _rates(cfg: FlightLLMConfig) -> Mapping[HbmAccess, Fraction]:
    channel = cfg.hbm.channel_bandwidth
    same = Fraction(str(cfg.lumped.same_channel_efficiency))
    cross = Fraction(str(cfg.lumped.cross_channel_efficiency))
    return {
        HbmAccess.STRIPED: channel * cfg.hbm.channels_per_core * same,
        HbmAccess.SINGLE: channel * same,
        HbmAccess.CROSS: channel * cross,
    }


def by_value(law: Callable[..., int], *columns: Column) -> Column:
    """``law`` of each row of the columns, evaluated once a distinct row."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, codes = np.unique(column, return_inverse=True)
        _, key = np.unique(key * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, firsts = np.unique(key, return_index=True)
    values = [law(*(int(column[i]) for column in columns)) for i in firsts]
    check_span(sum(values))
    return np.array(values, np.int64)[key]


def check_span(total_fs: float) -> None:
    """Refuse a segment whose units are busy, together, for longer than its columns can say.

    Raises
    ------
    WorkloadError
        For a total of 2**63 fs (2.56 hours) or more.
    """
    if total_fs >= SPAN_FS:
        raise WorkloadError(
            f"one operator must take less than {SPAN_FS / FS_PER_SECOND:.0f} s on the machine, "
            f"got {total_fs / FS_PER_SECOND:.3g} s (see machine.clock, machine.hbm.bandwidth)"
        )
