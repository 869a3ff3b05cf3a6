"""What FlightLLM's instruction scheduler hands to each unit: the operands of its instructions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwsim.laws.flightllm_isa import FORMATS, OPCODE_BITS, UNITS, WORD_BITS, Field, Opcode

__all__ = ["dispatched", "operands"]


def operands(words: Sequence[int]) -> int:
    """The operands of one instruction, wait and release first: the first field has the low bits."""
    packed = position = 0
    for field in FORMATS[Opcode(words[0] >> WORD_BITS - OPCODE_BITS)].operands:
        packed |= _value(field, words) << position
        position += field.bits
    return packed


def dispatched(words: Iterable[int]) -> dict[Opcode, list[int]]:
    """What each unit gets of a program of 32-bit words: operands, in program order."""
    found: dict[Opcode, list[int]] = {unit: [] for unit in UNITS}
    rest = iter(words)
    for head in rest:
        unit = Opcode(head >> WORD_BITS - OPCODE_BITS)
        found[unit].append(operands([head, *(next(rest) for _ in range(FORMATS[unit].words - 1))]))
    return found


def _value(field: Field, words: Sequence[int]) -> int:
    value = position = 0
    for part in field.parts:
        value |= (words[part.word] >> part.lsb & (1 << part.bits) - 1) << position
        position += part.bits
    return value
