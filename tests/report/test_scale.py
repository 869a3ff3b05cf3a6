"""Units on axes."""

from __future__ import annotations

import pytest

from hwsim.report.scale import axis_scale, plain, with_prefix


@pytest.mark.parametrize(
    ("label", "largest", "log", "shown", "factor"),
    [
        ("latency (s)", 0.0175, False, "latency (ms)", 1e3),
        ("latency [s]", 17.5, False, "latency (s)", 1),
        ("latency (s)", 17500, False, "latency (s)", 1),
        ("latency (s)", 0.0175, True, "latency", 1),
        ("bandwidth (B/s)", 4.6e11, False, "bandwidth (GB/s)", 1e-9),
        ("size (B)", 0.5, False, "size (B)", 1),
        ("time (cycle)", 3.9e6, False, "time (million cycles)", 1e-6),
        ("latency (ms)", 17.5, False, "latency (ms)", 1),
        ("latency (ms)", 17500, False, "latency (s)", 1e-3),
        ("latency (µs)", 1750, False, "latency (ms)", 1e-3),
        ("bandwidth (GB/s)", 0.25, False, "bandwidth (MB/s)", 1e3),
        ("storage (MB)", 590_000, True, "storage", 1),
        ("cycles", 150_000_000, False, "million cycles", 1e-6),
        ("cycles", 150_000_000, True, "cycles", 1),
        ("length (m)", 5000, False, "length (m)", 1),
        ("time (cycle)", 500, False, "time (cycles)", 1),
        ("share of the run (%)", 0.5, False, "share of the run (%)", 100),
        ("speed-up (1)", 1.6, False, "speed-up", 1),
        ("KV length (token)", 2048, False, "KV length (token)", 1),
        ("batch", 4096, False, "batch", 1),
        ("energy (J)", 0, False, "energy (J)", 1),
    ],
)
def test_a_label_names_the_unit_that_the_values_are_shown_in(
    label: str, largest: float, log: bool, shown: str, factor: float
) -> None:
    scale = axis_scale(label, [0.0, largest, float("nan")], log)

    assert (scale.label, scale.factor) == (shown, pytest.approx(factor))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (17.5, "17.5"),
        (12000, "12,000"),
        (1.5e12, "1.5e+12"),
        (1e-7, "1e-07"),
    ],
)
def test_plain_numbers(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.25e9, "B", "3.25 GB"),
        (0.0175, "s", "17.5 ms"),
        (0, "s", "0 s"),
        (1000, "s", "1,000 s"),
        (0.5, "B/s", "0.5 B/s"),
        (55100, "token/s", "55.1 k token/s"),
        (0.1, "", "0.1"),
    ],
)
def test_a_value_takes_the_prefix_that_fits_it(value: float, unit: str, text: str) -> None:
    assert with_prefix(value, unit) == text


def test_a_bar_in_megabytes_says_its_value_with_the_prefix_that_fits() -> None:
    scale = axis_scale("storage (MB)", [36.8, 590_000], log=True)

    assert [scale.full_text(value) for value in (36.8, 590_000)] == ["36.8 MB", "590 GB"]
