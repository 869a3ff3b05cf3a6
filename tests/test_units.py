"""Quantities: exact in both directions, and prefixes never mixed."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.units import (
    UNITS,
    Unit,
    example,
    format_quantity,
    parse_quantity,
    quantity_text,
)

DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
SUBUNITS = {"m": 3, "u": 6, "n": 9, "p": 12, "f": 15}

units = st.sampled_from(UNITS)
decimals = st.builds(
    lambda digits, places: Fraction(digits, 10**places),
    st.integers(0, 10**12),
    st.integers(0, 18),
)


def refusal(text: str, unit: Unit) -> str:
    with pytest.raises(ValueError, match=r"^must be an? ") as caught:
        parse_quantity(text, unit)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("225 MHz", "Hz", 225_000_000),
        ("1.4 GHz", "Hz", 1_400_000_000),
        ("460 GB/s", "B/s", 460 * 10**9),
        ("819.2 GiB/s", "B/s", Fraction(8192, 10) * 2**30),
        ("8 MiB", "B", 8 * 2**20),
        ("8 MB", "B", 8_000_000),
        ("120 ns", "s", Fraction(120, 10**9)),
        ("0.1 fs", "s", Fraction(1, 10**16)),
        ("45 W", "W", 45),
        ("1.2 pJ", "J", Fraction(12, 10**13)),
        ("8000 USD", "USD", 8000),
        ("24 Top/s", "op/s", 24 * 10**12),
        ("19.5 TFLOP/s", "FLOP/s", Fraction(195, 10) * 10**12),
        ("225MHz", "Hz", 225_000_000),
        ("  1_000 Hz ", "Hz", 1000),
        ("1.5e3 kHz", "Hz", 1_500_000),
        ("0 B", "B", 0),
        ("-0 B", "B", 0),
    ],
)
def test_a_quantity_is_read_exactly(text: str, unit: Unit, value: Fraction) -> None:
    assert parse_quantity(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit", "rule"),
    [
        ("225", "Hz", "must be a frequency with a unit, such as '225 MHz'"),
        ("460 GiB", "B/s", "must be a bandwidth such as '460 GB/s'"),
        ("460 GB/s", "B", "must be a size such as '8 MiB'"),
        ("", "s", "must be a time such as '120 ns'"),
        ("fast", "Hz", "must be a frequency such as '225 MHz'"),
        ("nan Hz", "Hz", "must be a frequency such as '225 MHz'"),
        ("inf B/s", "B/s", "must be a bandwidth such as '460 GB/s'"),
        ("1/3 s", "s", "must be a time such as '120 ns'"),
        ("1,5 GHz", "Hz", "must be a frequency such as '225 MHz'"),
        ("1 M Hz", "Hz", "must be a frequency such as '225 MHz'"),
        ("٣ Hz", "Hz", "must be a frequency such as '225 MHz'"),
        ("1" * 65 + " Hz", "Hz", "must be a frequency such as '225 MHz'"),
        ("1e999 Hz", "Hz", "must be a frequency from 1e-21 to 1e21 Hz or zero, such as '225 MHz'"),
        ("1e9999 Hz", "Hz", "must be a frequency such as '225 MHz'"),
        ("-5 GB/s", "B/s", "must be a bandwidth of zero or more, such as '460 GB/s'"),
        ("1e21 B", "B", "must be a size from 1e-21 to 1e21 B or zero, such as '8 MiB'"),
        ("1e-7 fs", "s", "must be a time from 1e-21 to 1e21 s or zero, such as '120 ns'"),
        ("1 KiHz", "Hz", "must be a frequency such as '225 MHz'"),
        ("1 kis", "s", "must be a time such as '120 ns'"),
        ("1 mB", "B", "must be a size such as '8 MiB' (for 'mB' write 'MB')"),
        ("1 MHZ", "Hz", "must be a frequency such as '225 MHz' (for 'MHZ' write 'MHz')"),
        ("1 gb/s", "B/s", "must be a bandwidth such as '460 GB/s' (for 'gb/s' write 'GB/s')"),
        ("3 µs", "s", "must be a time such as '120 ns' (for 'µs' write 'us')"),
        (
            "8 KB",
            "B",
            "must be a size such as '8 MiB' (for 'KB' write 'kB', 1000, or 'KiB', 1024)",
        ),
        (
            "8 Kb",
            "B",
            "must be a size such as '8 MiB' ('b' is a bit; sizes are in bytes, 'B')",
        ),
        (
            "100 Gbps",
            "B/s",
            "must be a bandwidth such as '460 GB/s' ('b' is a bit; sizes are in bytes, 'B')",
        ),
        (
            "100 Gb/s",
            "B/s",
            "must be a bandwidth such as '460 GB/s' ('b' is a bit; sizes are in bytes, 'B')",
        ),
    ],
)
def test_a_wrong_quantity_names_the_rule(text: str, unit: Unit, rule: str) -> None:
    assert refusal(text, unit) == rule


@pytest.mark.parametrize("unit", UNITS)
def test_the_example_of_a_unit_is_one(unit: Unit) -> None:
    assert parse_quantity(example(unit), unit) > 0
    assert example(unit) in refusal("?", unit)


@given(decimals, units)
def test_what_is_written_is_read_back_exactly(value: Fraction, unit: Unit) -> None:
    assume(value == 0 or value > Fraction(1, 10**18))
    text = quantity_text(value, unit)
    if len(text) <= 64:
        assert parse_quantity(text, unit) == value


@given(st.integers(0, 2**63 - 1))
def test_any_64_bit_size_survives_its_text(size: int) -> None:
    assert parse_quantity(quantity_text(size, "B"), "B") == size


@given(decimals, st.sampled_from(sorted(DECIMAL)), st.sampled_from(["B", "B/s"]))
def test_a_decimal_prefix_is_a_power_of_1000(value: Fraction, prefix: str, unit: Unit) -> None:
    assume(10**-12 < value * DECIMAL[prefix] < 10**21)
    text = f"{value.numerator * 10**18 // value.denominator}e-18 {prefix}{unit}"
    assert parse_quantity(text, unit) == value * DECIMAL[prefix]


@given(st.integers(1, 10**6), st.sampled_from("KMGT"), st.sampled_from(["B", "B/s"]))
def test_binary_and_decimal_prefixes_are_never_mixed(n: int, letter: str, unit: Unit) -> None:
    power = "KMGT".index(letter) + 1
    binary = parse_quantity(f"{n} {letter}i{unit}", unit)
    decimal = parse_quantity(f"{n} {letter.replace('K', 'k')}{unit}", unit)
    assert (binary, decimal) == (n * 1024**power, n * 1000**power)


@given(st.sampled_from(sorted(BINARY)), units)
def test_binary_prefixes_belong_to_bytes_only(prefix: str, unit: Unit) -> None:
    if unit in ("B", "B/s"):
        assert parse_quantity(f"1 {prefix}{unit}", unit) == BINARY[prefix]
    else:
        assert refusal(f"1 {prefix}{unit}", unit).startswith("must be a")


@given(st.integers(0, 10**9), st.sampled_from(sorted(SUBUNITS)), units)
def test_small_prefixes_belong_to_time_power_and_energy(n: int, prefix: str, unit: Unit) -> None:
    if unit in ("s", "W", "J"):
        assert parse_quantity(f"{n} {prefix}{unit}", unit) == Fraction(n, 10 ** SUBUNITS[prefix])
    else:
        assert refusal(f"{n} {prefix}{unit}", unit).startswith("must be a")


@given(units, units, st.integers(1, 999))
def test_a_unit_is_never_taken_for_another(written: Unit, wanted: Unit, n: int) -> None:
    assume(written != wanted)
    assert refusal(f"{n} {written}", wanted).startswith("must be a")


@given(st.text(max_size=80), units)
def test_any_text_is_a_quantity_or_a_value_error(text: str, unit: Unit) -> None:
    with suppress(ValueError):
        assert 0 <= parse_quantity(text, unit) < 10**21


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (225_000_000, "Hz", "225 MHz"),
        (460 * 10**9, "B/s", "460 GB/s"),
        (Fraction(8192, 10) * 2**30, "B/s", "819.2 GiB/s"),
        (8 * 2**20, "B", "8 MiB"),
        (1000, "B", "1 kB"),
        (1023, "B", "1023 B"),
        (0, "B", "0 B"),
        (Fraction(33, 10**10), "s", "3.3 ns"),
        (Fraction(1, 10**17), "s", "0.01 fs"),
        (45, "W", "45 W"),
    ],
)
def test_a_quantity_is_written_with_the_fewest_digits(
    value: Fraction, unit: Unit, text: str
) -> None:
    assert quantity_text(value, unit) == text


def test_a_value_without_exact_text_is_refused() -> None:
    rule = "must be a time with finitely many decimals, got 1/3 s"
    with pytest.raises(ValueError, match=f"^{rule}$"):
        quantity_text(Fraction(1, 3), "s")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.017506, "s", "17.5 ms"),
        (3.43e9, "B", "3.43 GB"),
        (55.12, "token/s", "55.1 token/s"),
        (123_456.7, "token/s", "123,457 token/s"),
        (3_938_850, "cycle", "3,938,850 cycle"),
        (10**18 + 1, "cycle", "1,000,000,000,000,000,001 cycle"),
        (0.65371, "1", "0.654"),
        (12, "1", "12"),
        (999.96, "B", "1 kB"),
        (0.9996, "s", "1 s"),
        (1234, "s", "1,234 s"),
        (1.5, "B", "1.5 B"),
        (0.25, "Hz", "0.25 Hz"),
        (0, "s", "0 s"),
        (-0.002, "s", "-2 ms"),
        (Fraction(460 * 10**9), "B/s", "460 GB/s"),
        (2.4e13, "op/s", "24 Top/s"),
        (1e-20, "s", "1e-05 fs"),
        (0.00002, "J", "20 uJ"),
        (8000, "USD", "8,000 USD"),
        (float("nan"), "s", "nan s"),
        (float("inf"), "B", "inf B"),
    ],
)
def test_people_read_three_digits_and_a_prefix(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


@given(st.floats(1e-15, 1e15), st.sampled_from(["s", "B", "B/s", "Hz", "J", "W", "op/s"]))
def test_what_people_read_is_within_half_a_percent(value: float, unit: Unit) -> None:
    text = format_quantity(value, unit).replace(",", "")
    assert float(parse_quantity(text, unit)) == pytest.approx(value, rel=0.0051)
