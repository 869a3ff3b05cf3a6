"""FlightLLM programs as 32-bit words: packing, unpacking, and listing for a reader.

A program is a flat array of words: instructions of 1 to 7 words, one after the other, in program
order. Its file holds little-endian words, which ``assemble(...).tobytes()`` gives. Whole columns of
field values are packed at once, so that programs of millions of instructions stay quick.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, and the authors' public artifact (instruction generator);
the fields are those of :mod:`hwsim.laws.flightllm_isa`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError
from hwsim.laws.flightllm_isa import (
    FORMATS,
    OPCODE_BITS,
    WORD_BITS,
    Field,
    HbmAccess,
    LoadMode,
    MiscOp,
    Opcode,
    token_units,
)

__all__ = ["assemble", "decode", "disassemble", "encode", "scan", "split"]

Words = NDArray[np.uint32]
Column = NDArray[np.int64]

_WORD = np.dtype("<u4")
_OPCODE_LSB = WORD_BITS - OPCODE_BITS
_LENGTHS = np.zeros(256, np.int64)
for _layout in FORMATS.values():
    _LENGTHS[_layout.opcode] = _layout.words


# One kind of instruction -----------------------------------------------------------------------


def encode(opcode: Opcode, columns: Mapping[str, int | Column], count: int) -> Words:
    """Pack ``count`` instructions of one kind into ``[count, words]``.

    ``columns`` gives a field's value for each instruction, or one value for all. The opcode is
    added; fields without a column are 0.

    Raises
    ------
    ProtocolError
        For a name that is no operand of ``opcode``, a column of another length than ``count``, and
        a value that does not fit its field.
    """
    layout = FORMATS[opcode]
    fields = {field.name: field for field in layout.operands}
    words = np.zeros((count, layout.words), _WORD)
    words[:, 0] = opcode << _OPCODE_LSB
    for name, column in columns.items():
        if name not in fields:
            known = ", ".join(fields)
            raise ProtocolError(f"{opcode.name} field must be one of {known}, got {name!r}")
        _insert(words, fields[name], _checked(opcode, fields[name], column, count))
    return words


def _checked(opcode: Opcode, field: Field, column: int | Column, count: int) -> Column:
    """The column as an array, shaped ``()`` or ``[count]``, every value within the field."""
    values = np.asarray(column)
    name = f"{opcode.name}.{field.name}"
    if values.shape not in ((), (count,)):
        shape = list(values.shape)
        raise ProtocolError(f"{name} must be one value or {count} values, got shape {shape}")
    misfits = np.flatnonzero(values >> field.bits)
    if misfits.size:
        index = int(misfits[0])
        rule = f"must fit in {field.bits} bit{'s' * (field.bits > 1)}"
        raise ProtocolError(f"{name} {rule}, got {int(values.flat[index])} at index {index}")
    return values.astype(np.int64, copy=False)


def _insert(words: Words, field: Field, values: Column) -> None:
    """Or each part of the field into its word of every instruction."""
    below = 0
    for part in field.parts:
        piece = (values >> below) & ((1 << part.bits) - 1)
        words[:, part.word] |= (piece << part.lsb).astype(_WORD)
        below += part.bits


def decode(opcode: Opcode, words: Words) -> dict[str, Column]:
    """The operands of ``words[n, words]``, all of one kind: the inverse of :func:`encode`.

    Raises
    ------
    ProtocolError
        If the words are not instructions of ``opcode``.
    """
    _check_kind(opcode, words)
    return {field.name: _extract(words, field) for field in FORMATS[opcode].operands}


def _extract(words: Words, field: Field) -> Column:
    """The value of one field in every instruction."""
    values = np.zeros(len(words), np.int64)
    below = 0
    for part in field.parts:
        piece = (words[:, part.word] >> part.lsb) & ((1 << part.bits) - 1)
        values |= piece.astype(np.int64) << below
        below += part.bits
    return values


def _check_kind(opcode: Opcode, words: Words) -> None:
    """Refuse words that are not ``[n, words]`` instructions of ``opcode``."""
    length = FORMATS[opcode].words
    if words.ndim != 2 or words.shape[1] != length:
        shape = list(words.shape)
        raise ProtocolError(f"{opcode.name} words must have shape [n, {length}], got {shape}")
    strangers = np.flatnonzero(_opcodes(words[:, 0]) != opcode)
    if strangers.size:
        index = int(strangers[0])
        got = int(_opcodes(words[index, 0]))
        raise ProtocolError(f"{opcode.name}.opcode must be {opcode}, got {got} at index {index}")


def _opcodes(heads: Words) -> NDArray[np.uint8]:
    """The top four bits of each word."""
    return (heads >> _OPCODE_LSB).astype(np.uint8)


# The flat stream -------------------------------------------------------------------------------


def assemble(order: NDArray[np.uint8], encoded: Mapping[Opcode, Words]) -> Words:
    """Merge the instructions of each kind into one flat stream, in program order.

    ``order`` holds the opcode of each instruction; ``encoded`` the instructions of each kind, in
    the order in which that kind appears.

    Raises
    ------
    ProtocolError
        For an unknown opcode in ``order``, and for words of the wrong kind or number.
    """
    lengths = _LENGTHS[order]
    if not lengths.all():
        index = int(np.argmin(lengths))
        raise ProtocolError(
            f"order must hold opcodes {_known_opcodes()}, got {int(order[index])} at index {index}"
        )
    ends = np.cumsum(lengths)
    stream = np.empty(int(lengths.sum()), _WORD)
    for opcode, layout in FORMATS.items():
        words = encoded.get(opcode, np.empty((0, layout.words), _WORD))
        _check_kind(opcode, words)
        _scatter(stream, opcode, (ends - lengths)[order == opcode], words)
    return stream


def _scatter(stream: Words, opcode: Opcode, offsets: Column, words: Words) -> None:
    """Write each instruction of one kind at its offset."""
    if len(words) != offsets.size:
        raise ProtocolError(
            f"{opcode.name} instructions must be {offsets.size}, as in order, got {len(words)}"
        )
    for word in range(words.shape[1]):
        stream[offsets + word] = words[:, word]


def split(words: Words) -> tuple[NDArray[np.uint8], dict[Opcode, Words]]:
    """Sort a flat stream by kind: the inverse of :func:`assemble`.

    Returns the opcodes in program order, and the instructions ``[n, words]`` of every kind, with
    n = 0 for a kind that does not appear.

    Raises
    ------
    ProtocolError
        As :func:`scan` does.
    """
    offsets, order = scan(words)
    return order, {opcode: _gather(words, opcode, offsets[order == opcode]) for opcode in FORMATS}


def _gather(words: Words, opcode: Opcode, offsets: Column) -> Words:
    """The instructions of one kind that begin at ``offsets``."""
    found = np.empty((offsets.size, FORMATS[opcode].words), _WORD)
    for word in range(found.shape[1]):
        found[:, word] = words[offsets + word]
    return found


def scan(words: Words) -> tuple[Column, NDArray[np.uint8]]:
    """Where each instruction of a flat stream begins, in words, and its opcode.

    Raises
    ------
    ProtocolError
        At the first unknown opcode, or when the last instruction is cut short.
    """
    if words.ndim != 1:
        raise ProtocolError(f"words must be a flat stream, got shape {list(words.shape)}")
    starts, end = _starts(_LENGTHS.astype(np.uint8)[_opcodes(words)])
    offsets = np.flatnonzero(starts).astype(np.int64, copy=False)
    opcodes = _opcodes(words[offsets])
    _check_stream(offsets, opcodes, end, words.size)
    return offsets, opcodes


def _check_stream(offsets: Column, opcodes: NDArray[np.uint8], end: int, size: int) -> None:
    unknown = np.flatnonzero(_LENGTHS[opcodes] == 0)
    if unknown.size:
        first = int(unknown[0])
        raise ProtocolError(
            f"opcode must be one of {_known_opcodes()}, "
            f"got {int(opcodes[first])} at word {int(offsets[first])}"
        )
    if end > size:
        last = Opcode(int(opcodes[-1]))
        start = int(offsets[-1])
        raise ProtocolError(
            f"{last.name} at word {start} must have {FORMATS[last].words} words, "
            f"got {size - start} before the end"
        )


def _known_opcodes() -> str:
    return ", ".join(f"{opcode} ({opcode.name})" for opcode in FORMATS)


# Each instruction's length says where the next begins, so a stream is read from the front. To read
# it fast, it is cut into lanes walked side by side, each from a guess: that an instruction begins
# at its first word. A wrong guess soon falls in step with the true path. Where it does not, the
# lane is walked again one instruction at a time, so the result never depends on the guesses.


def _starts(lengths: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], int]:
    """Which words begin an instruction, and the offset at which the last one ends.

    ``lengths`` has what each word would span as a first word; an unknown opcode (0) spans one.
    """
    spans = np.maximum(lengths, 1)
    lane_words = max(isqrt(spans.size), 8 * int(_LENGTHS.max()))
    begins = np.arange(0, spans.size, lane_words)
    ends = np.minimum(begins + lane_words, spans.size)
    starts, exits = _walk_lanes(spans, begins, ends)
    return starts, _join_lanes(starts, spans, begins, ends, exits)


def _walk_lanes(
    spans: NDArray[np.uint8], begins: Column, ends: Column
) -> tuple[NDArray[np.bool_], Column]:
    """Walk all lanes at once, each from its first word, to its first offset past the lane."""
    starts = np.zeros(spans.size, np.bool_)
    exits = np.empty_like(begins)
    lanes, at, limits = np.arange(begins.size), begins, ends
    while lanes.size:
        starts[at] = True
        at = at + spans[at]
        inside = at < limits
        if not inside.all():
            exits[lanes[~inside]] = at[~inside]
            lanes, at, limits = lanes[inside], at[inside], limits[inside]
    return starts, exits


def _join_lanes(
    starts: NDArray[np.bool_],
    spans: NDArray[np.uint8],
    begins: Column,
    ends: Column,
    exits: Column,
) -> int:
    """Correct the head of each lane from where the lane before really ends; the final end."""
    marks, steps = starts.data, spans.data
    entry = 0
    for begin, end, leave in zip(begins.tolist(), ends.tolist(), exits.tolist(), strict=True):
        at, path = entry, []
        while at < end and not marks[at]:
            path.append(at)
            at += steps[at]
        starts[begin : min(at, end)] = False
        starts[path] = True
        entry = leave if at < end else at
    return entry


# The listing -----------------------------------------------------------------------------------

_LISTING_BLOCK = 4096


def _texts(codes: type[IntEnum]) -> dict[int, str]:
    """What a reader sees for each code: ``A``, but ``softmax``."""
    return {int(code): code.name if len(code.name) == 1 else code.name.lower() for code in codes}


_CODED = {"mode": _texts(LoadMode), "op": _texts(MiscOp), "hbm_type": _texts(HbmAccess)}


def disassemble(words: Words) -> Iterator[str]:
    """One line for each instruction: word offset, mnemonic, tokens, then its nonzero fields.

    Coded fields (``mode``, ``op``, ``hbm_type``) are always there, by name. ``K`` counts blocks of
    16 elements. Off-chip addresses and strides (hexadecimal) and lengths (``B``) are in bytes,
    which is assumed: the public material gives their widths only::

        00000007 LD   wait=MV release=MM mode=A hbm_addr=0x2000 hbm_type=single length_1d=1024B

    Raises
    ------
    ProtocolError
        As :func:`scan` does, before the first line.
    """
    offsets, _ = scan(words)
    for first in range(0, offsets.size, _LISTING_BLOCK):
        begin = int(offsets[first])
        after = first + _LISTING_BLOCK
        end = int(offsets[after]) if after < offsets.size else words.size
        texts = _listing(words[begin:end])
        for offset, text in zip(offsets[first:after].tolist(), texts, strict=True):
            yield f"{offset:08d} {text}"


def _listing(words: Words) -> Iterator[str]:
    """The lines of a short stream, without their offsets."""
    order, kinds = split(words)
    lines = {opcode: _lines(opcode, kinds[opcode]) for opcode in FORMATS}
    return (next(lines[Opcode(opcode)]) for opcode in order.tolist())


def _lines(opcode: Opcode, words: Words) -> Iterator[str]:
    """The lines of instructions of one kind."""
    columns = decode(opcode, words)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        shown = (_shown(opcode, name, value) for name, value in zip(columns, row, strict=True))
        yield " ".join([f"{opcode.name:<4}", *filter(None, shown)]).rstrip()


def _shown(opcode: Opcode, name: str, value: int) -> str:
    """``name=value`` for a reader, or nothing for a field of no account."""
    if name in _CODED:
        return f"{name}={_CODED[name].get(value, value)}"
    if not value:
        return ""
    if name in ("wait", "release"):
        return f"{name}={','.join(unit.name for unit in token_units(opcode, value))}"
    if name == "hbm_addr" or name.startswith("stride"):
        return f"{name}={value:#x}"
    if name == "length_1d":
        return f"{name}={value}B"
    return f"{'K' if name == 'k' else name}={value}"
