"""Instruction decode: a segment's words become each unit's bursts.

A *burst* is a run of instructions of one unit with no token taken or given inside: nothing can
happen between them, so the unit runs it as one event. Durations are those of the timing law, summed
exactly.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1 (instruction scheduler).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode, token_units
from hwsim.models.flightllm import isa
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.loads import Loads, loaded
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.models.flightllm.residency import BufferUse, Placed, buffer_use
from hwsim.models.flightllm.timing import LumpedTiming, by_value, check_span

__all__ = ["Burst", "Decoder", "Stream"]

Column = NDArray[np.int64]
Fields = dict[str, Column]
LD, ST, MM, MV, MISC, SYS = tuple(Opcode)


class Burst(NamedTuple):
    """What a unit does as one: take tokens, be busy, give tokens."""

    waits: tuple[Opcode, ...]
    duration_fs: int
    releases: tuple[Opcode, ...]


@dataclass(frozen=True)
class Stream:
    """One unit's work in a segment.

    Columns have a row a burst: ``operator`` (ordinal in the segment), ``label`` (what to call it in
    a timeline: load mode, K or MISC operation), ``first`` (its first instruction), ``buffer_bytes``
    loaded into A or B, ``guard`` (a computation's ordinal in its unit, see :mod:`.residency`),
    ``excess_bytes``, ``suspect`` and ``suspect_mode`` (place in the program and mode of its first
    load that has either). ``begins`` is the ordinal of a burst's first instruction in its unit;
    ``hbm_bytes`` has an entry an operator. Of units other than LD, what concerns loads is empty.
    """

    unit: Opcode
    bursts: list[Burst]
    operator: Column
    label: Column
    first: Column
    begins: Column
    instructions: int
    hbm_bytes: tuple[Fraction, ...]
    macs: Fraction
    buffer_bytes: Column
    guard: Column
    excess_bytes: Column
    suspect: Column
    suspect_mode: Column


@dataclass(frozen=True)
class _Unit:
    """One unit's instructions, decoded: fields, place in the program, operator, time."""

    fields: Fields
    at: Column
    operator: Column
    durations: Column


class Decoder:
    """Decodes segments for one machine and one placement of tensors."""

    def __init__(self, cfg: FlightLLMConfig, memory: MemoryMap, timing: LumpedTiming) -> None:
        self._cfg = cfg
        self._memory = memory
        self._timing = timing

    def streams(self, words: NDArray[np.uint32]) -> dict[Opcode, Stream]:
        """The work of each unit in a segment of whole operators.

        Raises
        ------
        ProtocolError
            For loops that a load's mode doesn't have, and for MM and MV in one segment.
        """
        order, encoded = isa.split(words)
        fields = {unit: isa.decode(unit, encoded[unit]) for unit in Opcode}
        _unroll_loops(fields)
        _check_operations(fields[MISC])
        at = {unit: np.flatnonzero(order == unit) for unit in Opcode}
        ordinal = np.cumsum(order == SYS) - (order == SYS)
        matrix = _matrix_unit(at)
        loads = loaded(self._cfg, self._memory, fields[LD])
        placed = {unit: Placed(fields[unit], at[unit]) for unit in (LD, matrix)}
        use = buffer_use(self._cfg, matrix, placed[LD], placed[matrix], loads.density)
        times = {
            LD: self._load_times(fields[LD], loads),
            ST: self._store_times(fields[ST]),
            MISC: by_value(self._timing.misc_fs, fields[MISC]["op"], fields[MISC]["k"]),
            SYS: np.full(len(at[SYS]), self._timing.barrier_fs(), np.int64),
            matrix: self._matrix_times(matrix, fields[matrix], use, loads),
        }
        check_span(sum(float(column.sum(dtype=np.float64)) for column in times.values()))
        operators = len(at[SYS])
        moved = {
            LD: loads.hbm_bytes(fields[LD], ordinal[at[LD]], operators),
            ST: _stored(fields[ST], ordinal[at[ST]], operators),
        }
        nothing = (Fraction(0),) * operators
        macs = self._macs(matrix, fields[matrix], use, loads)
        streams = {}
        for each in Opcode:
            idle = np.zeros(0, np.int64)
            unit = _Unit(fields[each], at[each], ordinal[at[each]], times.get(each, idle))
            done = macs if each is matrix else Fraction(0)
            streams[each] = _stream(each, unit, use, moved.get(each, nothing), done)
        return streams

    def _load_times(self, load: Fields, loads: Loads) -> Column:
        timing, ratios = self._timing, loads.ratios

        def law(length: int, access: int, zero_fill: int, ratio: int) -> int:
            if zero_fill:
                return timing.zero_fill_fs(length)
            return timing.transfer_fs(length, HbmAccess(access), ratios[ratio])

        return by_value(law, load["length_1d"], load["hbm_type"], load["zero_fill"], loads.ratio)

    def _store_times(self, store: Fields) -> Column:
        def law(length: int, access: int) -> int:
            return self._timing.transfer_fs(length, HbmAccess(access), Fraction(1))

        return by_value(law, store["length_1d"], store["hbm_type"])

    def _matrix_times(self, unit: Opcode, found: Fields, use: BufferUse, loads: Loads) -> Column:
        """A sparse instruction takes the density of the weights that lie in its buffer."""

        def law(k: int, sparse: int, tag: int) -> int:
            density = loads.densities[tag] if sparse and tag >= 0 else Fraction(1)
            return self._timing.compute_fs(unit, k, density)

        return by_value(law, found["k"], found["sparse"], use.density)

    def _macs(self, unit: Opcode, found: Fields, use: BufferUse, loads: Loads) -> Fraction:
        """MACs the unit does, padding included, zeros left out where it skips them."""
        core = self._cfg.geometry
        shape = core.mm_rows * core.mm_columns if unit is MM else core.mv_columns
        k = found["k"] * (shape * core.k_lanes)
        tags = np.where(found["sparse"] == 1, use.density, -1)
        total = Fraction(int(k[tags < 0].sum()))
        for tag in np.unique(tags[tags >= 0]).tolist():
            total += int(k[tags == tag].sum()) * loads.densities[tag]
        return total


def _matrix_unit(at: Mapping[Opcode, Column]) -> Opcode:
    """The one of MM and MV that the segment uses: they lay out the buffers differently."""
    if len(at[MM]) and len(at[MV]):
        raise ProtocolError("a segment must use one of MM and MV, got both")
    return MM if len(at[MM]) else MV


def _stored(store: Fields, operator: Column, operators: int) -> tuple[Fraction, ...]:
    """Bytes stored, by operator."""
    totals = np.zeros(operators, np.int64)
    np.add.at(totals, operator, store["length_1d"])
    return tuple(Fraction(n) for n in totals.tolist())


def _check_operations(misc: Fields) -> None:
    strangers = np.flatnonzero(misc["op"] > max(MiscOp))
    if strangers.size:
        index = int(strangers[0])
        raise ProtocolError(
            f"MISC {index}: op must be at most {int(max(MiscOp))}, got {int(misc['op'][index])}"
        )


def _unroll_loops(fields: dict[Opcode, Fields]) -> None:
    """Make ``length_1d`` the whole of a transfer: segments times loops; 0 loops are one."""
    load, store = fields[LD], fields[ST]
    deep = (load["loop_2d"] > 1) | (load["loop_3d"] > 1)
    strangers = np.flatnonzero(deep & (load["mode"] != LoadMode.B))
    if strangers.size:
        index = int(strangers[0])
        mode = LoadMode(int(load["mode"][index])).name
        raise ProtocolError(f"LD {index}: mode must be B with 2-D or 3-D loops, got {mode}")
    for name in ("loop_1d", "loop_2d", "loop_3d"):
        load["length_1d"] = load["length_1d"] * np.maximum(load[name], 1)
    store["length_1d"] = store["length_1d"] * np.maximum(store["loop_1d"], 1)


def _stream(
    unit: Opcode,
    decoded: _Unit,
    use: BufferUse,
    hbm_bytes: tuple[Fraction, ...],
    macs: Fraction,
) -> Stream:
    """Merge instructions with no token between them into bursts."""
    fields, n = decoded.fields, len(decoded.at)
    begins = np.ones(n, bool)
    begins[1:] = (
        (fields["wait"][1:] != 0) | (fields["release"][:-1] != 0) | (np.diff(decoded.operator) != 0)
    )
    starts = np.flatnonzero(begins)
    lasts = np.append(starts[1:], n)[: len(starts)] - 1
    durations = np.add.reduceat(decoded.durations, starts) if n else decoded.durations
    waits = [_units(unit, m) for m in fields["wait"][starts].tolist()]
    releases = [_units(unit, m) for m in fields["release"][lasts].tolist()]
    empty = np.zeros(0, np.int64)
    into = {LD: "mode", MM: "k", MV: "k", MISC: "op"}.get(unit)
    loads = unit is LD and n > 0
    suspects = _suspects(use, starts) if loads else empty
    on_chip = np.isin(fields["mode"], (LoadMode.A, LoadMode.B)) if unit is LD else empty
    return Stream(
        unit=unit,
        bursts=[Burst(*b) for b in zip(waits, durations.tolist(), releases, strict=True)],
        operator=decoded.operator[starts],
        label=fields[into][starts] if into else np.zeros(len(starts), np.int64),
        first=decoded.at[starts],
        begins=starts,
        instructions=n,
        hbm_bytes=hbm_bytes,
        macs=macs,
        buffer_bytes=np.add.reduceat(fields["length_1d"] * on_chip, starts) if loads else empty,
        guard=np.maximum.reduceat(use.guard, starts) if loads else empty,
        excess_bytes=np.add.reduceat(use.excess_bytes, starts) if loads else empty,
        suspect=decoded.at[suspects] if loads else empty,
        suspect_mode=fields["mode"][suspects] if loads else empty,
    )


def _suspects(use: BufferUse, starts: Column) -> Column:
    """The first load of each burst with a guard or an excess; the burst's own first if none."""
    found = np.flatnonzero((use.guard >= 0) | (use.excess_bytes > 0))
    place = np.searchsorted(found, starts)
    first = np.append(found, len(use.guard))[place]
    stops = np.append(starts[1:], len(use.guard))
    return np.where(first < stops, first, starts)


_UNITS = {(unit, mask): token_units(unit, mask) for unit in Opcode for mask in range(32)}


def _units(unit: Opcode, mask: int) -> tuple[Opcode, ...]:
    return _UNITS[unit, mask]
