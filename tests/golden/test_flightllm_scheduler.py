"""What each unit gets is what the compiler's own decoder reads in the program."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.golden.flightllm_scheduler import dispatched, operands
from hwsim.laws.flightllm_isa import FORMATS, UNITS, WORD_BITS, Opcode
from hwsim.models.flightllm import isa


@st.composite
def programs(draw: st.DrawFn) -> list[int]:
    words: list[int] = []
    for unit in draw(st.lists(st.sampled_from(UNITS), max_size=20)):
        length = FORMATS[unit].words
        raw = draw(st.integers(0, (1 << WORD_BITS * length) - 1))
        some = [raw >> WORD_BITS * i & 0xFFFF_FFFF for i in range(length)]
        words += [some[0] & 0x0FFF_FFFF | int(unit) << 28, *some[1:]]
    return words


@given(words=programs())
def test_operands_are_those_that_the_model_decodes(words: list[int]) -> None:
    _, kinds = isa.split(np.array(words, np.uint32))
    found = dispatched(words)
    for unit, encoded in kinds.items():
        columns = isa.decode(unit, encoded)
        packed = [0] * len(encoded)
        position = 0
        for field in FORMATS[unit].operands:
            for i, value in enumerate(columns[field.name].tolist()):
                packed[i] |= value << position
            position += field.bits
        assert found[unit] == packed


def test_wait_and_release_come_first() -> None:
    assert operands([int(Opcode.SYS) << 28 | 0b10110 << 23 | 0b00101 << 18]) == 0b00101_10110


def test_reserved_bits_are_never_read() -> None:
    for unit, layout in FORMATS.items():
        ones = [int(unit) << 28 | (1 << 28) - 1] + [(1 << 32) - 1] * (layout.words - 1)
        assert operands(ones) == (1 << sum(field.bits for field in layout.operands)) - 1
