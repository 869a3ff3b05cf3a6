"""What a program did, operator by operator, in times relative to its start.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from hwsim.laws.flightllm_isa import UNITS, Opcode
from hwsim.models.flightllm.core import SegmentTimes, UnitTimes

__all__ = ["BOUND_BY", "OperatorTimes", "ProgramTimes", "operator_times"]

LD, ST, MM, MV, MISC, SYS = UNITS
BOUND_BY: Mapping[Opcode, str] = {
    LD: "hbm_read",
    ST: "hbm_write",
    MM: "compute",
    MV: "compute",
    MISC: "sfu",
    SYS: "barrier",
}


@dataclass(frozen=True, slots=True)
class OperatorTimes:
    """One operator: femtoseconds from the program's start, each unit's busy time, HBM bytes.

    ``tail`` is when its MISCs ran, the operator's own window if it has none.
    """

    start_fs: int
    end_fs: int
    tail: tuple[int, int]
    busy_fs: Mapping[Opcode, int]
    bytes_read: Fraction
    bytes_written: Fraction

    @property
    def bound_by(self) -> str:
        """The unit that was busiest."""
        return BOUND_BY[max(UNITS, key=lambda unit: self.busy_fs.get(unit, 0))]

    def shifted(self, by_fs: int) -> OperatorTimes:
        """The same, later."""
        tail = (self.tail[0] + by_fs, self.tail[1] + by_fs)
        return OperatorTimes(
            self.start_fs + by_fs, self.end_fs + by_fs, tail,
            self.busy_fs, self.bytes_read, self.bytes_written,
        )  # fmt: skip


@dataclass(frozen=True)
class ProgramTimes:
    """All operators of a program, in order, and the bytes by which loads overran a buffer."""

    operators: tuple[OperatorTimes, ...]
    overrun_bytes: int

    @cached_property
    def busy_fs(self) -> Mapping[Opcode, int]:
        """Busy time of each unit."""
        return {
            unit: sum(operator.busy_fs.get(unit, 0) for operator in self.operators)
            for unit in UNITS
        }

    @cached_property
    def bound_fs(self) -> Mapping[str, int]:
        """Time until each operator's end, since the one before ended, by what bound it."""
        spent: dict[str, int] = {}
        reached = 0
        for operator in self.operators:
            gained = max(0, operator.end_fs - reached)
            spent[operator.bound_by] = spent.get(operator.bound_by, 0) + gained
            reached += gained
        return spent


def operator_times(times: SegmentTimes) -> list[OperatorTimes]:
    """Split a segment's times by operator."""
    count = len(times.units[LD].stream.hbm_bytes)
    windows = {unit: _windows(unit_times) for unit, unit_times in times.units.items()}
    return [_operator(times, windows, i) for i in range(count)]


_Windows = dict[int, tuple[int, int, int]]


def _windows(times: UnitTimes) -> _Windows:
    """First start, last end and busy time of a unit in each operator it works for."""
    if not len(times.starts):
        return {}
    operators, firsts = np.unique(times.stream.operator, return_index=True)
    lasts = np.append(firsts[1:], len(times.starts)) - 1
    busy = np.add.reduceat(times.ends - times.starts, firsts)
    rows = zip(operators, times.starts[firsts], times.ends[lasts], busy, strict=True)
    return {int(o): (int(s), int(e), int(b)) for o, s, e, b in rows}


def _operator(times: SegmentTimes, windows: Mapping[Opcode, _Windows], index: int) -> OperatorTimes:
    mine = {unit: w[index] for unit, w in windows.items() if index in w}
    start = min(w[0] for w in mine.values())
    end = max(w[1] for w in mine.values())
    tail = mine.get(MISC, (start, end, 0))
    return OperatorTimes(
        start_fs=start,
        end_fs=end,
        tail=(tail[0], tail[1]),
        busy_fs={unit: w[2] for unit, w in mine.items()},
        bytes_read=times.units[LD].stream.hbm_bytes[index],
        bytes_written=times.units[ST].stream.hbm_bytes[index],
    )
