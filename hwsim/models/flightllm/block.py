"""Instructions of one operator, written group by group and encoded at once.

A *group* is a run of equal instructions of one unit (the loads of one tile from the eight channels,
say): it waits on its first instruction and releases on its last. Addresses are relative to named
*slots* (the layer's weight, its KV cache ...), so that one block serves every layer;
:meth:`Block.encode` binds them.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; the schedule is that of the authors' public artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import FORMATS, HbmAccess, LoadMode, MiscOp, Opcode, token_mask
from hwsim.models.flightllm import isa

__all__ = ["Block", "BlockWriter", "Units"]

Column = NDArray[np.int64]
Units = tuple[Opcode, ...]

_COLUMNS: Mapping[Opcode, tuple[str, ...]] = {
    Opcode.LD: ("mode", "hbm_type", "bank", "length_1d", "zero_fill"),
    Opcode.ST: ("hbm_type", "bank", "length_1d"),
    Opcode.MM: ("k", "output", "bias", "relu", "sparse", "a_addr", "b_addr", "out_addr"),
    Opcode.MV: ("k", "output", "bias", "relu", "sparse", "a_addr", "b_addr", "out_addr"),
    Opcode.MISC: ("op", "k", "in_a", "in_b", "out", "mask"),
    Opcode.SYS: (),
}
_MOVES = (Opcode.LD, Opcode.ST)
_CHANNEL_BITS = 7


@cache
def _mask(unit: Opcode, others: Units) -> int:
    return token_mask(unit, others)


@dataclass(frozen=True)
class Block:
    """The instructions of one operator, independent of where its tensors lie.

    ``groups[unit]`` is an ``int64`` table [groups, columns]: count, wait, release, then the fields
    of ``_COLUMNS``, and for LD and ST slot, offset and offset step. ``order`` lists (unit, count)
    in program order.
    """

    slots: tuple[str, ...]
    groups: Mapping[Opcode, Column]
    order: NDArray[np.uint8]
    order_counts: Column

    def counts(self) -> dict[Opcode, int]:
        """Instructions of each kind."""
        return {unit: int(table[:, 0].sum()) for unit, table in self.groups.items()}

    def size_bytes(self) -> int:
        """Bytes of the encoded block."""
        return sum(4 * FORMATS[unit].words * n for unit, n in self.counts().items())

    def encode(self, bases: Mapping[str, int]) -> NDArray[np.uint32]:
        """The instruction words, with each slot at its HBM address in ``bases``."""
        encoded = {
            unit: isa.encode(unit, self._fields(unit, table, bases), int(table[:, 0].sum()))
            for unit, table in self.groups.items()
        }
        return isa.assemble(np.repeat(self.order, self.order_counts), encoded)

    def _fields(self, unit: Opcode, table: Column, bases: Mapping[str, int]) -> dict[str, Column]:
        counts: Column = table[:, 0]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        columns = enumerate(_COLUMNS[unit], 3)
        fields: dict[str, Column] = {name: np.repeat(table[:, i], counts) for i, name in columns}
        fields["wait"] = np.repeat(table[:, 1], counts) * (within == 0)
        last = within == np.repeat(counts, counts) - 1
        fields["release"] = np.repeat(table[:, 2], counts) * last
        if unit in _MOVES:
            base = np.array([bases[name] for name in self.slots], np.int64)
            start: Column = base[table[:, -3]] + table[:, -2]
            fields["hbm_addr"] = np.repeat(start, counts) + within * np.repeat(table[:, -1], counts)
            fields["channel"] = within & _CHANNEL_BITS
            fields["loop_1d"] = np.ones_like(within)
        return fields


@dataclass
class BlockWriter:
    """Writes a :class:`Block`; each method appends one group."""

    _slots: dict[str, int] = field(default_factory=dict)
    _rows: dict[Opcode, list[tuple[int, ...]]] = field(
        default_factory=lambda: {unit: [] for unit in Opcode}
    )
    _order: list[tuple[int, int]] = field(default_factory=list)

    def load(
        self,
        mode: LoadMode,
        access: HbmAccess,
        length: int,
        slot: str,
        *,
        count: int = 1,
        bank: int = 0,
        offset: int = 0,
        step: int = 0,
        wait: Units = (),
        release: Units = (),
    ) -> None:
        """``count`` LDs of ``length`` bytes each, ``step`` bytes apart in HBM."""
        place = (self._slot(slot), offset, step)
        fields = (int(mode), int(access), bank, length, 0, *place)
        self._append(Opcode.LD, count, wait, release, fields)

    def zero_fill(self, length: int, *, bank: int = 0, wait: Units = ()) -> None:
        """One LD that writes ``length`` bytes of zeros to the A buffer."""
        fields = (int(LoadMode.A), int(HbmAccess.STRIPED), bank, length, 1, self._slot(""), 0, 0)
        self._append(Opcode.LD, 1, wait, (), fields)

    def store(
        self,
        access: HbmAccess,
        length: int,
        slot: str,
        *,
        count: int = 1,
        bank: int = 0,
        offset: int = 0,
        step: int = 0,
        wait: Units = (),
        release: Units = (),
    ) -> None:
        """``count`` STs of ``length`` bytes each."""
        place = (self._slot(slot), offset, step)
        self._append(Opcode.ST, count, wait, release, (int(access), bank, length, *place))

    def compute(
        self,
        unit: Opcode,
        k: int,
        *,
        sparse: bool = False,
        last_k: bool = True,
        bias: bool = False,
        relu: bool = False,
        a: int = 0,
        b: int = 0,
        out: int = 0,
        wait: Units = (),
        release: Units = (),
    ) -> None:
        """One MM or MV over ``k`` blocks of K; only the last K split writes its output."""
        fields = (
            k,
            int(last_k),
            int(bias and last_k),
            int(relu and last_k),
            int(sparse),
            a,
            b,
            out,
        )
        self._append(unit, 1, wait, release, fields)

    def misc(
        self,
        op: MiscOp,
        k: int,
        *,
        count: int = 1,
        a: int = 0,
        b: int = 0,
        wait: Units = (),
        release: Units = (),
    ) -> None:
        """``count`` MISCs over ``k`` blocks each, in place."""
        self._append(Opcode.MISC, count, wait, release, (int(op), k, a, b, a, 0))

    def barrier(self) -> None:
        """The SYS that ends an operator: after its last ST, before the next operator's first LD."""
        self._append(Opcode.SYS, 1, (Opcode.ST,), (Opcode.LD,), ())

    def finish(self) -> Block:
        """The block, with its first load waiting for the barrier before it."""
        first = self._rows[Opcode.LD][0]
        after = _mask(Opcode.LD, (Opcode.SYS,))
        self._rows[Opcode.LD][0] = (first[0], first[1] | after, *first[2:])
        order = np.array(self._order, np.int64).reshape(-1, 2)
        return Block(
            slots=tuple(self._slots),
            groups={unit: np.array(rows, np.int64) for unit, rows in self._rows.items() if rows},
            order=order[:, 0].astype(np.uint8),
            order_counts=order[:, 1],
        )

    def _slot(self, name: str) -> int:
        return self._slots.setdefault(name, len(self._slots))

    def _append(
        self, unit: Opcode, count: int, wait: Units, release: Units, fields: tuple[int, ...]
    ) -> None:
        self._rows[unit].append((count, _mask(unit, wait), _mask(unit, release), *fields))
        self._order.append((unit, count))
