"""Instructions are packed by the published bit map, and programs survive every round trip."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.errors import ProtocolError
from hwsim.laws.flightllm_isa import FORMATS, Field, HbmAccess, LoadMode, MiscOp, Opcode, token_mask
from hwsim.models.flightllm.isa import assemble, decode, disassemble, encode, scan, split

EVERY_OPERAND = [(opcode, field) for opcode in FORMATS for field in FORMATS[opcode].operands]
every_operand = pytest.mark.parametrize(
    ("opcode", "field"), EVERY_OPERAND, ids=lambda value: getattr(value, "name", None)
)
KNOWN = "1 (LD), 2 (ST), 3 (MM), 4 (MV), 5 (MISC), 15 (SYS)"


def refused(message: str) -> AbstractContextManager[pytest.ExceptionInfo[ProtocolError]]:
    return pytest.raises(ProtocolError, match=f"^{re.escape(message)}$")


def hexadecimal(words: NDArray[np.uint32]) -> list[str]:
    return [f"{word:08x}" for word in words.tolist()]


def random_program(
    seed: int, count: int, opcodes: list[Opcode]
) -> tuple[NDArray[np.uint8], dict[Opcode, NDArray[np.uint32]]]:
    """Instructions of random kinds, every bit random but the opcode."""
    rng = np.random.default_rng(seed)
    order = rng.choice(np.array(opcodes, np.uint8), count)
    encoded = {}
    for opcode, layout in FORMATS.items():
        rows = int((order == opcode).sum())
        words = rng.integers(0, 1 << 32, (rows, layout.words), dtype=np.uint32)
        words[:, 0] = (words[:, 0] & 0x0FFF_FFFF) | (opcode << 28)
        encoded[opcode] = words
    return order, encoded


# Bit positions, by hand from the published map


@pytest.mark.parametrize(
    ("opcode", "columns", "words"),
    [
        (Opcode.LD, {}, "10000000 0 0 0 0 0 0"),
        (Opcode.LD, {"wait": 31}, "1f800000 0 0 0 0 0 0"),
        (Opcode.LD, {"release": 31}, "107c0000 0 0 0 0 0 0"),
        (Opcode.LD, {"mode": 7}, "10038000 0 0 0 0 0 0"),
        (Opcode.LD, {"channel": 7}, "10007000 0 0 0 0 0 0"),
        (Opcode.LD, {"bank": 0xFFF}, "10000fff 0 0 0 0 0 0"),
        (Opcode.LD, {"stride_1d": 2**34 - 1}, "10000000 ffffffff 3 0 0 0 0"),
        (Opcode.LD, {"stride_2d": 2**34 - 1}, "10000000 0 fffffffc f 0 0 0"),
        (Opcode.LD, {"stride_3d": 2**34 - 1}, "10000000 0 0 fffffff0 3f 0 0"),
        (Opcode.LD, {"hbm_addr": 2**34 - 1}, "10000000 0 0 0 ffffffc0 ff 0"),
        (Opcode.LD, {"stride_1d": 2**32}, "10000000 0 1 0 0 0 0"),
        (Opcode.LD, {"stride_2d": 2**30}, "10000000 0 0 1 0 0 0"),
        (Opcode.LD, {"stride_3d": 2**28}, "10000000 0 0 0 1 0 0"),
        (Opcode.LD, {"hbm_addr": 1}, "10000000 0 0 0 40 0 0"),
        (Opcode.LD, {"hbm_addr": 2**26}, "10000000 0 0 0 0 1 0"),
        (Opcode.LD, {"loop_1d": 255}, "10000000 0 0 0 0 ff000000 0"),
        (Opcode.LD, {"loop_2d": 255}, "10000000 0 0 0 0 ff0000 0"),
        (Opcode.LD, {"loop_3d": 255}, "10000000 0 0 0 0 ff00 0"),
        (Opcode.LD, {"zero_fill": 1}, "10000000 0 0 0 0 0 2000000"),
        (Opcode.LD, {"hbm_type": 3}, "10000000 0 0 0 0 0 1800000"),
        (Opcode.LD, {"length_1d": 2**23 - 1}, "10000000 0 0 0 0 0 7fffff"),
        (Opcode.ST, {"wait": 1, "release": 1}, "20840000 0 0"),
        (Opcode.ST, {"bank": 0xFFF}, "2003ffc0 0 0"),
        (Opcode.ST, {"loop_1d": 31}, "2000003e 0 0"),
        (Opcode.ST, {"rs_col": 1}, "20000001 0 0"),
        (Opcode.ST, {"hbm_addr": 2**34 - 1}, "20000000 ffffffff 3"),
        (Opcode.ST, {"hbm_type": 3}, "20000000 0 30000000"),
        (Opcode.ST, {"channel": 7}, "20000000 0 e000000"),
        (Opcode.ST, {"length_1d": 2**23 - 1}, "20000000 0 1fffffc"),
        (Opcode.MM, {"k": 2**14 - 1}, "3003fff0 0 0 0"),
        (Opcode.MM, {"output": 1}, "30000008 0 0 0"),
        (Opcode.MM, {"bias": 1}, "30000004 0 0 0"),
        (Opcode.MM, {"relu": 1}, "30000002 0 0 0"),
        (Opcode.MM, {"sparse": 1}, "30000001 0 0 0"),
        (Opcode.MM, {"bias_addr": 0xFFF}, "30000000 ff000000 f 0"),
        (Opcode.MM, {"bias_addr": 0x100}, "30000000 0 1 0"),
        (Opcode.MM, {"meta_addr": 0xFFF}, "30000000 fff000 0 0"),
        (Opcode.MV, {"fsb_addr": 0xFFF}, "40000000 fff 0 0"),
        (Opcode.MV, {"a_addr": 0xFFF}, "40000000 0 fff0000 0"),
        (Opcode.MV, {"b_addr": 0xFFF}, "40000000 0 fff0 0"),
        (Opcode.MV, {"out_addr": 0xFFF}, "40000000 0 0 fff"),
        (Opcode.MISC, {"in_a": 0xFFF}, "5003ffc0 0 0"),
        (Opcode.MISC, {"mask": 3}, "50000030 0 0"),
        (Opcode.MISC, {"op": 15}, "5000000f 0 0"),
        (Opcode.MISC, {"in_b": 0xFFF}, "50000000 fff00000 0"),
        (Opcode.MISC, {"out": 0xFFF}, "50000000 fff00 0"),
        (Opcode.MISC, {"k": 2**14 - 1}, "50000000 0 fffc0000"),
        (Opcode.SYS, {"wait": 0b01000, "release": 0b10000}, "f4400000"),
    ],
)
def test_fields_sit_where_the_bit_map_says(
    opcode: Opcode, columns: dict[str, int], words: str
) -> None:
    encoded = encode(opcode, columns, 1)
    assert hexadecimal(encoded[0]) == [word.zfill(8) for word in words.split()]
    nonzero = {name: int(value[0]) for name, value in decode(opcode, encoded).items() if value[0]}
    assert nonzero == columns


# One kind of instruction


@every_operand
@settings(max_examples=25)
@given(data=st.data())
def test_every_field_survives_a_round_trip_and_touches_no_other(
    opcode: Opcode, field: Field, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.integers(0, 2**field.bits - 1), min_size=1, max_size=5))
    column = np.array([*values, 2**field.bits - 1, 0], np.int64)
    decoded = decode(opcode, encode(opcode, {field.name: column}, column.size))
    assert decoded.pop(field.name).tolist() == column.tolist()
    assert not any(other.any() for other in decoded.values())


@pytest.mark.parametrize("opcode", FORMATS)
@given(data=st.data())
def test_all_fields_together_survive_a_round_trip(opcode: Opcode, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 4))
    columns = {}
    for field in FORMATS[opcode].operands:
        value = st.integers(0, 2**field.bits - 1)
        drawn = data.draw(st.lists(value, min_size=count, max_size=count))
        columns[field.name] = np.array(drawn, np.int64)
    words = encode(opcode, columns, count)
    assert words.shape == (count, FORMATS[opcode].words)
    assert words.dtype == np.uint32
    decoded = decode(opcode, words)
    assert list(decoded) == [field.name for field in FORMATS[opcode].operands]
    for name, column in columns.items():
        assert decoded[name].dtype == np.int64
        assert decoded[name].tolist() == column.tolist()
    assert np.array_equal(encode(opcode, decoded, count), words)


def test_one_value_stands_for_every_instruction() -> None:
    words = encode(Opcode.MV, {"k": 128, "a_addr": np.array([1, 2, 3])}, 3)
    assert decode(Opcode.MV, words)["k"].tolist() == [128, 128, 128]
    assert decode(Opcode.MV, words)["a_addr"].tolist() == [1, 2, 3]


def test_reserved_bits_are_not_read() -> None:
    words = np.array([[0xF003_FFFF]], np.uint32)
    assert {name: column.tolist() for name, column in decode(Opcode.SYS, words).items()} == {
        "wait": [0],
        "release": [0],
    }


@every_operand
@pytest.mark.parametrize("excess", [0, 1, -1], ids=["2**bits", "far above", "negative"])
def test_a_value_out_of_range_is_named_with_its_field_rule_and_index(
    opcode: Opcode, field: Field, excess: int
) -> None:
    value = {0: 1 << field.bits, 1: 2**62, -1: -1}[excess]
    plural = "" if field.bits == 1 else "s"
    rule = f"{opcode.name}.{field.name} must fit in {field.bits} bit{plural}, got {value}"
    with refused(f"{rule} at index 2"):
        encode(opcode, {field.name: np.array([0, 1, value, -5])}, 4)
    with refused(f"{rule} at index 0"):
        encode(opcode, {field.name: value}, 4)


def test_a_value_beyond_any_machine_word_is_refused_too() -> None:
    with refused(f"LD.bank must fit in 12 bits, got {2**80} at index 0"):
        encode(Opcode.LD, {"bank": 2**80}, 1)


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with refused("ST field must be one of wait, release, bank, loop_1d, rs_col, hbm_addr, "
                 "hbm_type, channel, length_1d, got 'mode'"):  # fmt: skip
        encode(Opcode.ST, {"mode": 1}, 1)


def test_the_opcode_is_not_the_callers_to_give() -> None:
    with refused("SYS field must be one of wait, release, got 'opcode'"):
        encode(Opcode.SYS, {"opcode": 15}, 1)


def test_a_column_of_the_wrong_length_is_refused() -> None:
    with refused("MM.k must be one value or 3 values, got shape [2]"):
        encode(Opcode.MM, {"k": np.array([1, 2])}, 3)


def test_words_of_another_shape_are_not_decoded() -> None:
    with refused("LD words must have shape [n, 7], got [2, 4]"):
        decode(Opcode.LD, np.zeros((2, 4), np.uint32))
    with refused("SYS words must have shape [n, 1], got [1]"):
        decode(Opcode.SYS, np.array([0xF000_0000], np.uint32))


def test_words_of_another_opcode_are_not_decoded() -> None:
    words = encode(Opcode.MM, {"k": 1}, 3)
    words[1, 0] = 0x4000_0000
    with refused("MM.opcode must be 3, got 4 at index 1"):
        decode(Opcode.MM, words)


# The flat stream


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 200),
    st.lists(st.sampled_from(Opcode), min_size=1, unique=True),
)
@example(0, 0, [Opcode.LD])
@example(1, 3000, list(Opcode))
@example(2, 3000, [Opcode.LD])
@example(3, 3000, [Opcode.SYS])
def test_random_programs_survive_a_round_trip(seed: int, count: int, opcodes: list[Opcode]) -> None:
    order, encoded = random_program(seed, count, opcodes)
    stream = assemble(order, encoded)
    lengths = [FORMATS[Opcode(opcode)].words for opcode in order.tolist()]
    assert stream.dtype == np.uint32
    assert stream.size == sum(lengths)

    offsets, opcodes_found = scan(stream)
    assert offsets.dtype == np.int64
    assert offsets.tolist() == np.cumsum([0, *lengths])[:-1].tolist()
    assert opcodes_found.tolist() == order.tolist()

    order_again, encoded_again = split(stream)
    assert order_again.dtype == np.uint8
    assert order_again.tolist() == order.tolist()
    assert list(encoded_again) == list(FORMATS)
    for opcode, words in encoded.items():
        assert np.array_equal(encoded_again[opcode], words)
    assert np.array_equal(assemble(order_again, encoded_again), stream)


@pytest.mark.parametrize("lookalike", [0x0000_0000, 0x1000_0000, 0x2000_0000, 0xF000_0000])
@pytest.mark.parametrize("leading_syncs", range(8))
def test_operands_that_look_like_instructions_do_not_lead_the_scan_astray(
    lookalike: int, leading_syncs: int
) -> None:
    loads = np.full((2000, 7), lookalike, np.uint32)
    loads[:, 0] = 0x1000_0000
    order = np.array([Opcode.SYS] * leading_syncs + [Opcode.LD] * 2000, np.uint8)
    stream = assemble(order, {Opcode.LD: loads, Opcode.SYS: encode(Opcode.SYS, {}, leading_syncs)})
    offsets, opcodes = scan(stream)
    assert opcodes.tolist() == order.tolist()
    assert offsets.tolist() == [*range(leading_syncs), *range(leading_syncs, stream.size, 7)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 700))
def test_a_scan_agrees_with_reading_one_instruction_at_a_time(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    heads = rng.choice(np.array([1, 2, 3, 4, 5, 15], np.uint32), size)
    operands = rng.integers(0, 1 << 28, size, dtype=np.uint32)
    stream = ((heads << 28) | operands).astype(np.uint32)
    expected, at = [], 0
    while at < size:
        expected.append(at)
        at += FORMATS[Opcode(int(stream[at] >> 28))].words
    if at == size:
        assert scan(stream)[0].tolist() == expected
    else:
        last = Opcode(int(stream[expected[-1]] >> 28))
        with refused(
            f"{last.name} at word {expected[-1]} must have {FORMATS[last].words} words, "
            f"got {size - expected[-1]} before the end"
        ):
            scan(stream)


def test_the_file_of_a_program_holds_little_endian_words() -> None:
    stream = assemble(np.array([15], np.uint8), {Opcode.SYS: encode(Opcode.SYS, {"wait": 8}, 1)})
    assert stream.tobytes() == b"\x00\x00\x00\xf4"


def test_kinds_that_do_not_appear_may_be_left_out() -> None:
    order = np.array([Opcode.SYS, Opcode.MV, Opcode.SYS], np.uint8)
    encoded = {
        Opcode.SYS: encode(Opcode.SYS, {"wait": np.array([1, 2])}, 2),
        Opcode.MV: encode(Opcode.MV, {"out_addr": 5}, 1),
    }
    assert hexadecimal(assemble(order, encoded)) == [
        "f0800000", "40000000", "00000000", "00000000", "00000005", "f1000000",
    ]  # fmt: skip


def test_an_empty_program_is_an_empty_stream() -> None:
    stream = assemble(np.empty(0, np.uint8), {})
    assert stream.shape == (0,)
    assert [part.size for part in scan(stream)] == [0, 0]
    assert list(disassemble(stream)) == []


@pytest.mark.parametrize("opcode", [0, 6, 14, 16, 255])
def test_an_order_with_an_unknown_opcode_is_refused(opcode: int) -> None:
    with refused(f"order must hold opcodes {KNOWN}, got {opcode} at index 1"):
        assemble(np.array([15, opcode, 0], np.uint8), {})


@pytest.mark.parametrize("given_count", [0, 1, 3])
def test_instructions_must_be_as_many_as_order_names(given_count: int) -> None:
    with refused(f"SYS instructions must be 2, as in order, got {given_count}"):
        assemble(np.array([15, 15], np.uint8), {Opcode.SYS: encode(Opcode.SYS, {}, given_count)})


def test_instructions_must_be_of_the_kind_they_are_given_as() -> None:
    with refused("MM.opcode must be 3, got 4 at index 0"):
        assemble(np.array([3], np.uint8), {Opcode.MM: encode(Opcode.MV, {}, 1)})


@pytest.mark.parametrize("leading", [0, 1, 5000])
@pytest.mark.parametrize("opcode", [0, 6, 14])
def test_an_unknown_opcode_in_a_stream_is_named_with_its_word(leading: int, opcode: int) -> None:
    stream = np.full(3 * leading + 9, 0x2000_0000, np.uint32)
    stream[3 * leading] = opcode << 28
    with refused(f"opcode must be one of {KNOWN}, got {opcode} at word {3 * leading}"):
        scan(stream)


@pytest.mark.parametrize("present", range(1, 7))
def test_a_last_instruction_cut_short_is_named_with_its_word(present: int) -> None:
    stream = encode(Opcode.LD, {}, 2).reshape(-1)[: 7 + present]
    with refused(f"LD at word 7 must have 7 words, got {present} before the end"):
        scan(stream)
    with refused(f"LD at word 7 must have 7 words, got {present} before the end"):
        split(stream)
    with refused(f"LD at word 7 must have 7 words, got {present} before the end"):
        next(disassemble(stream))


def test_a_stream_is_flat() -> None:
    with refused("words must be a flat stream, got shape [1, 7]"):
        scan(encode(Opcode.LD, {}, 1))


# The listing


def test_the_listing_names_tokens_codes_and_nonzero_fields() -> None:
    load = {
        "wait": token_mask(Opcode.LD, [Opcode.MV]),
        "release": token_mask(Opcode.LD, [Opcode.MM, Opcode.MV]),
        "mode": LoadMode.A,
        "channel": 3,
        "bank": 64,
        "stride_1d": 256,
        "hbm_addr": 0x2_0000,
        "loop_1d": 4,
        "hbm_type": HbmAccess.SINGLE,
        "length_1d": 1024,
    }
    misc = {
        "wait": token_mask(Opcode.MISC, [Opcode.LD, Opcode.MV]),
        "op": MiscOp.SOFTMAX,
        "in_a": 5,
        "k": 8,
    }
    encoded = {
        Opcode.LD: encode(Opcode.LD, load, 1),
        Opcode.ST: encode(Opcode.ST, {"rs_col": 1, "hbm_type": HbmAccess.CROSS}, 1),
        Opcode.MM: encode(Opcode.MM, {}, 1),
        Opcode.MV: encode(Opcode.MV, {"k": 128, "output": 1, "sparse": 1, "a_addr": 16}, 1),
        Opcode.MISC: encode(Opcode.MISC, misc, 1),
        Opcode.SYS: encode(Opcode.SYS, {"wait": 8, "release": 16}, 1),
    }
    stream = assemble(np.array([1, 4, 5, 2, 3, 15], np.uint8), encoded)
    assert list(disassemble(stream)) == [
        (
            "00000000 LD   wait=MV release=MM,MV mode=A channel=3 bank=64 stride_1d=0x100 "
            "hbm_addr=0x20000 loop_1d=4 hbm_type=single length_1d=1024B"
        ),
        "00000007 MV   K=128 output=1 sparse=1 a_addr=16",
        "00000011 MISC wait=LD,MV in_a=5 op=softmax K=8",
        "00000014 ST   rs_col=1 hbm_type=cross",
        "00000017 MM",
        "00000021 SYS  wait=ST release=LD",
    ]


def test_the_listing_shows_code_zero_by_name_and_no_code_by_number() -> None:
    words = encode(Opcode.LD, {"mode": np.array([0, 6])}, 2).reshape(-1)
    assert list(disassemble(words)) == [
        "00000000 LD   mode=B hbm_type=striped",
        "00000007 LD   mode=6 hbm_type=striped",
    ]


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
def test_a_long_listing_has_a_line_for_each_instruction_in_order(count: int) -> None:
    order, encoded = random_program(7, count, list(Opcode))
    stream = assemble(order, encoded)
    lines = list(disassemble(stream))
    assert [int(line[:8]) for line in lines] == scan(stream)[0].tolist()
    assert [line[9:13].strip() for line in lines] == [Opcode(code).name for code in order.tolist()]
