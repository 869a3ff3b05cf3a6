"""FlightLLM's instruction words: the fields of each instruction and the coding of its tokens.

Data only. :mod:`hwsim.models.flightllm.isa` packs and unpacks whole programs with it, and an RTL
decoder slices its words by it.

Every instruction starts with a 4-bit opcode and two 5-bit token masks, ``wait`` and ``release``:
one bit for each *other* unit, the most significant first, in the order of :data:`UNITS`. Bits that
no field covers are reserved: written as 0, never read.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; the bit map is that of the authors' public artifact
(instruction generator). The coding of :class:`HbmAccess` is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

__all__ = [
    "FORMATS",
    "OPCODE_BITS",
    "TOKEN_BITS",
    "UNITS",
    "WORD_BITS",
    "Field",
    "Format",
    "HbmAccess",
    "LoadMode",
    "MiscOp",
    "Opcode",
    "Part",
    "token_mask",
    "token_units",
]

WORD_BITS = 32
OPCODE_BITS = 4


class Opcode(IntEnum):
    """The class of an instruction, which is also the unit that runs it."""

    LD = 1
    ST = 2
    MM = 3
    MV = 4
    MISC = 5
    SYS = 15


class LoadMode(IntEnum):
    """``LD.mode``: the on-chip buffer a load fills. Only ``B`` may use the 2-D and 3-D loops."""

    B = 0
    META = 1
    BIAS = 2
    FSB = 3
    A = 4
    GLOBAL = 5


class MiscOp(IntEnum):
    """``MISC.op``: what the special function unit computes, in place."""

    ADD = 0
    MUL = 1
    SOFTMAX = 2
    LAYERNORM = 3
    RMSNORM = 4
    SILU = 5


class HbmAccess(IntEnum):
    """``hbm_type`` of LD and ST: the off-chip path of a transfer.

    The public material names the 2-bit field but not its values: this coding is assumed.
    """

    STRIPED = 0
    """All channels of the core's group, at same-channel efficiency."""
    SINGLE = 1
    """One channel of the core's group, at same-channel efficiency."""
    CROSS = 2
    """One channel, reached across the crossbar."""
    DDR = 3
    """The DDR memory."""


UNITS: tuple[Opcode, ...] = tuple(Opcode)
"""The units in token order: LD, ST, MM, MV, MISC, SYS."""

TOKEN_BITS = len(UNITS) - 1


def _others(unit: Opcode) -> tuple[Opcode, ...]:
    """The units a mask of ``unit`` can name, the one of its least significant bit first."""
    return tuple(other for other in reversed(UNITS) if other is not unit)


def token_mask(unit: Opcode, others: Iterable[Opcode]) -> int:
    """The ``wait`` or ``release`` mask by which an instruction of ``unit`` names ``others``.

    Raises
    ------
    ValueError
        If ``others`` holds ``unit`` itself: a unit has no token for itself.
    """
    named = set(others)
    if unit in named:
        raise ValueError(f"others must be units other than {unit.name}, got {unit.name}")
    return sum(1 << bit for bit, other in enumerate(_others(unit)) if other in named)


def token_units(unit: Opcode, mask: int) -> tuple[Opcode, ...]:
    """The units that ``mask`` names in an instruction of ``unit``, in the order of ``UNITS``.

    Raises
    ------
    ValueError
        If ``mask`` does not fit in ``TOKEN_BITS`` bits.
    """
    if mask >> TOKEN_BITS:
        raise ValueError(f"mask must fit in {TOKEN_BITS} bits, got {mask}")
    return tuple(other for bit, other in enumerate(_others(unit)) if mask >> bit & 1)[::-1]


@dataclass(frozen=True, slots=True)
class Part:
    """Bits ``msb`` down to ``lsb`` of one 32-bit word of an instruction."""

    word: int
    msb: int
    lsb: int

    @property
    def bits(self) -> int:
        """Width of the part."""
        return self.msb - self.lsb + 1


@dataclass(frozen=True, slots=True)
class Field:
    """An unsigned field of an instruction. The first-listed part holds its low bits."""

    name: str
    parts: tuple[Part, ...]

    @property
    def bits(self) -> int:
        """Width of the field: the sum of its parts."""
        return sum(part.bits for part in self.parts)


@dataclass(frozen=True, slots=True)
class Format:
    """The layout of one instruction: its length in 32-bit words and its fields."""

    opcode: Opcode
    words: int
    fields: tuple[Field, ...]

    @property
    def operands(self) -> tuple[Field, ...]:
        """Every field but the opcode, which comes first."""
        return self.fields[1:]


def _field(name: str, *parts: tuple[int, int, int]) -> Field:
    return Field(name, tuple(Part(*part) for part in parts))


def _format(opcode: Opcode, words: int, *operands: Field) -> Format:
    return Format(opcode, words, (*_HEAD, *operands))


_HEAD = (_field("opcode", (0, 31, 28)), _field("wait", (0, 27, 23)), _field("release", (0, 22, 18)))

_COMPUTE = (
    _field("k", (0, 17, 4)),
    _field("output", (0, 3, 3)),
    _field("bias", (0, 2, 2)),
    _field("relu", (0, 1, 1)),
    _field("sparse", (0, 0, 0)),
    _field("bias_addr", (1, 31, 24), (2, 3, 0)),
    _field("meta_addr", (1, 23, 12)),
    _field("fsb_addr", (1, 11, 0)),
    _field("a_addr", (2, 27, 16)),
    _field("b_addr", (2, 15, 4)),
    _field("out_addr", (3, 11, 0)),
)

_LD = _format(
    Opcode.LD,
    7,
    _field("mode", (0, 17, 15)),
    _field("channel", (0, 14, 12)),
    _field("bank", (0, 11, 0)),
    _field("stride_1d", (1, 31, 0), (2, 1, 0)),
    _field("stride_2d", (2, 31, 2), (3, 3, 0)),
    _field("stride_3d", (3, 31, 4), (4, 5, 0)),
    _field("hbm_addr", (4, 31, 6), (5, 7, 0)),
    _field("loop_1d", (5, 31, 24)),
    _field("loop_2d", (5, 23, 16)),
    _field("loop_3d", (5, 15, 8)),
    _field("zero_fill", (6, 25, 25)),
    _field("hbm_type", (6, 24, 23)),
    _field("length_1d", (6, 22, 0)),
)

_ST = _format(
    Opcode.ST,
    3,
    _field("bank", (0, 17, 6)),
    _field("loop_1d", (0, 5, 1)),
    _field("rs_col", (0, 0, 0)),
    _field("hbm_addr", (1, 31, 0), (2, 1, 0)),
    _field("hbm_type", (2, 29, 28)),
    _field("channel", (2, 27, 25)),
    _field("length_1d", (2, 24, 2)),
)

_MM = _format(Opcode.MM, 4, *_COMPUTE)

_MV = _format(Opcode.MV, 4, *_COMPUTE)

_MISC = _format(
    Opcode.MISC,
    3,
    _field("in_a", (0, 17, 6)),
    _field("mask", (0, 5, 4)),
    _field("op", (0, 3, 0)),
    _field("in_b", (1, 31, 20)),
    _field("out", (1, 19, 8)),
    _field("k", (2, 31, 18)),
)

_SYS = _format(Opcode.SYS, 1)

FORMATS: Mapping[Opcode, Format] = MappingProxyType(
    {layout.opcode: layout for layout in (_LD, _ST, _MM, _MV, _MISC, _SYS)}
)
"""The format of each instruction, in the order of ``UNITS``."""
