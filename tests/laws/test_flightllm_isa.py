"""The instruction formats are those of the published table, field for field."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.laws.flightllm_isa import (
    FORMATS,
    OPCODE_BITS,
    TOKEN_BITS,
    UNITS,
    WORD_BITS,
    Format,
    HbmAccess,
    LoadMode,
    MiscOp,
    Opcode,
    token_mask,
    token_units,
)

COMPUTE = (
    "opcode4 wait5 release5 k14 output1 bias1 relu1 sparse1 "
    "bias_addr12 meta_addr12 fsb_addr12 a_addr12 b_addr12 out_addr12"
)
TABLE = {
    Opcode.LD: (
        7,
        (
            "opcode4 wait5 release5 mode3 channel3 bank12 stride_1d34 stride_2d34 stride_3d34 "
            "hbm_addr34 loop_1d8 loop_2d8 loop_3d8 zero_fill1 hbm_type2 length_1d23"
        ),
    ),
    Opcode.ST: (
        3,
        "opcode4 wait5 release5 bank12 loop_1d5 rs_col1 hbm_addr34 hbm_type2 channel3 length_1d23",
    ),
    Opcode.MM: (4, COMPUTE),
    Opcode.MV: (4, COMPUTE),
    Opcode.MISC: (3, "opcode4 wait5 release5 in_a12 mask2 op4 in_b12 out12 k14"),
    Opcode.SYS: (1, "opcode4 wait5 release5"),
}
RESERVED_BITS = {
    Opcode.LD: 6,
    Opcode.ST: 2,
    Opcode.MM: 24,
    Opcode.MV: 24,
    Opcode.MISC: 26,
    Opcode.SYS: 18,
}

every_format = pytest.mark.parametrize("layout", FORMATS.values(), ids=lambda f: f.opcode.name)


def bits_of(layout: Format, name: str) -> set[tuple[int, int]]:
    (field,) = (field for field in layout.fields if field.name == name)
    return {(part.word, bit) for part in field.parts for bit in range(part.lsb, part.msb + 1)}


def test_there_is_a_format_for_each_unit_in_token_order() -> None:
    assert tuple(FORMATS) == UNITS
    assert [unit.name for unit in UNITS] == ["LD", "ST", "MM", "MV", "MISC", "SYS"]
    assert [int(unit) for unit in UNITS] == [1, 2, 3, 4, 5, 15]
    assert all(layout.opcode is opcode for opcode, layout in FORMATS.items())


@every_format
def test_lengths_and_field_widths_are_those_of_the_published_table(layout: Format) -> None:
    words, fields = TABLE[layout.opcode]
    assert layout.words == words
    assert " ".join(f"{field.name}{field.bits}" for field in layout.fields) == fields


@every_format
def test_fields_do_not_overlap(layout: Format) -> None:
    for one, other in combinations(layout.fields, 2):
        assert not bits_of(layout, one.name) & bits_of(layout, other.name), (one, other)


@every_format
def test_fields_lie_inside_their_words(layout: Format) -> None:
    for part in (part for field in layout.fields for part in field.parts):
        assert 0 <= part.word < layout.words
        assert 0 <= part.lsb <= part.msb < WORD_BITS


@every_format
def test_parts_of_a_field_do_not_overlap(layout: Format) -> None:
    for field in layout.fields:
        assert len(bits_of(layout, field.name)) == field.bits


@every_format
def test_the_bits_without_a_field_are_as_many_as_the_bit_map_leaves(layout: Format) -> None:
    used = sum(field.bits for field in layout.fields)
    assert layout.words * WORD_BITS - used == RESERVED_BITS[layout.opcode]


@every_format
def test_every_instruction_starts_with_opcode_wait_and_release(layout: Format) -> None:
    assert [field.name for field in layout.fields[:3]] == ["opcode", "wait", "release"]
    assert [field.bits for field in layout.fields[:3]] == [OPCODE_BITS, TOKEN_BITS, TOKEN_BITS]
    assert [field.parts[0].msb for field in layout.fields[:3]] == [31, 27, 22]


@every_format
def test_operands_are_all_fields_but_the_opcode(layout: Format) -> None:
    assert layout.operands == layout.fields[1:]
    assert "opcode" not in [field.name for field in layout.operands]


def test_coded_fields_hold_all_their_codes() -> None:
    assert {mode.name: int(mode) for mode in LoadMode} == {
        "B": 0, "META": 1, "BIAS": 2, "FSB": 3, "A": 4, "GLOBAL": 5,
    }  # fmt: skip
    assert {op.name: int(op) for op in MiscOp} == {
        "ADD": 0, "MUL": 1, "SOFTMAX": 2, "LAYERNORM": 3, "RMSNORM": 4, "SILU": 5,
    }  # fmt: skip
    assert {kind.name: int(kind) for kind in HbmAccess} == {
        "STRIPED": 0, "SINGLE": 1, "CROSS": 2, "DDR": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "others", "mask"),
    [
        (Opcode.LD, [Opcode.ST], 0b10000),
        (Opcode.LD, [Opcode.SYS], 0b00001),
        (Opcode.ST, [Opcode.LD], 0b10000),
        (Opcode.MM, [Opcode.MV], 0b00100),
        (Opcode.MV, [Opcode.LD, Opcode.MISC], 0b10010),
        (Opcode.MISC, [Opcode.LD, Opcode.MV], 0b10010),
        (Opcode.SYS, [Opcode.MISC], 0b00001),
        (Opcode.SYS, [Opcode.LD, Opcode.ST, Opcode.MM, Opcode.MV, Opcode.MISC], 0b11111),
        (Opcode.SYS, [], 0),
    ],
)
def test_a_token_mask_has_one_bit_for_each_other_unit_the_first_highest(
    unit: Opcode, others: list[Opcode], mask: int
) -> None:
    assert token_mask(unit, others) == mask
    assert token_units(unit, mask) == tuple(others)


@given(st.sampled_from(UNITS), st.integers(0, 31))
def test_token_masks_and_units_are_inverse(unit: Opcode, mask: int) -> None:
    assert token_mask(unit, token_units(unit, mask)) == mask
    assert token_mask(unit, [*token_units(unit, mask)] * 2) == mask


def test_a_unit_has_no_token_for_itself() -> None:
    message = "others must be units other than MM, got MM"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        token_mask(Opcode.MM, [Opcode.LD, Opcode.MM])


@pytest.mark.parametrize("mask", [32, -1])
def test_a_mask_of_more_than_five_bits_is_refused(mask: int) -> None:
    with pytest.raises(ValueError, match=f"^mask must fit in 5 bits, got {mask}$"):
        token_units(Opcode.LD, mask)
