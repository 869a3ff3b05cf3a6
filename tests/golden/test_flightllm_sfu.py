"""The special function unit's words, against float64 and by their exact cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.golden import fp16
from hwsim.golden.flightllm_sfu import LOG2E, RMSNORM_ULP, SOFTMAX_ULP, compute, epsilon
from hwsim.golden.tables import EXP2, RECIPROCAL, RSQRT, Pieces
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import SFUGeometry

Floats = NDArray[np.float64]
Words = NDArray[np.int64]

MINUS_INFINITY = fp16.INFINITY + 0x8000
GREATEST, LEAST_NORMAL = 65504.0, 2.0**-14


def words(values: Floats | float) -> Words:
    halves = np.clip(values, -GREATEST, GREATEST).astype(np.float16)
    return np.atleast_1d(halves).view(np.uint16).astype(np.int64)


def floats(of: Words) -> Floats:
    return of.astype(np.uint16).view(np.float16).astype(np.float64)


def ulps(got: Words, exact: Floats) -> float:
    """The greatest error in units of the last place of the exact result."""
    place = np.floor(np.log2(np.maximum(np.abs(exact), LEAST_NORMAL))) - 10
    return float((np.abs(floats(got) - exact) / 2.0**place).max())


def softmax(x: Floats) -> Floats:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def rmsnorm(x: Floats, weight: Floats, constant: float) -> Floats:
    return x / np.sqrt((x**2).mean() + constant) * weight


def vectors(lanes: int, count: int) -> Iterator[tuple[Words, Words]]:
    """Random and corner vectors of any scale and up to 4096 elements, with their weights."""
    draw = np.random.default_rng(lanes)
    for i in range(count):
        beats = 4096 // lanes if i % 50 == 0 else int(draw.choice((1, 2, 3, 8, 32, 64)))
        scale = 10.0 ** draw.uniform(-5, 5)
        x = draw.normal(size=(beats, lanes)) * scale
        weights = draw.normal(size=x.shape) * 10.0 ** draw.uniform(-2, 0)
        match i % 6:
            case 1:
                x += draw.normal() * scale * 10
            case 2:
                x = np.full_like(x, x[0, 0])
            case 3:
                x = np.sort(x, axis=None).reshape(x.shape)
            case 4:
                x = np.where(draw.random(x.shape) < 0.1, draw.choice([GREATEST, -GREATEST]), x)
            case 5:
                x = draw.integers(-3, 4, size=x.shape) * 2.0**-24
        yield words(x), words(weights)


@pytest.mark.parametrize("lanes", [2, 16])
def test_softmax_is_within_its_bound_of_float64(lanes: int) -> None:
    geometry = SFUGeometry(lanes=lanes)
    worst = max(
        ulps(compute(geometry, MiscOp.SOFTMAX, x, weight), softmax(floats(x)))
        for x, weight in vectors(lanes, 200)
    )
    assert 0.5 <= worst < SOFTMAX_ULP


@pytest.mark.parametrize("constant", [1e-5, 1e-6])
@pytest.mark.parametrize("lanes", [2, 16])
def test_rmsnorm_is_within_its_bound_of_float64(lanes: int, constant: float) -> None:
    geometry = SFUGeometry(lanes=lanes, epsilon=constant)
    worst = max(
        ulps(
            compute(geometry, MiscOp.RMSNORM, x, weight),
            rmsnorm(floats(x), floats(weight), constant),
        )
        for x, weight in vectors(lanes, 200)
    )
    assert 0.5 <= worst < RMSNORM_ULP


@pytest.mark.slow
def test_the_longest_vector_is_within_the_bounds() -> None:
    draw = np.random.default_rng(0)
    shape = (2**14 - 1, 16)
    x, weight = words(draw.normal(size=shape)), words(draw.normal(size=shape))
    geometry = SFUGeometry()
    norm = rmsnorm(floats(x), floats(weight), geometry.epsilon)
    assert ulps(compute(geometry, MiscOp.SOFTMAX, x, weight), softmax(floats(x))) < SOFTMAX_ULP
    assert ulps(compute(geometry, MiscOp.RMSNORM, x, weight), norm) < RMSNORM_ULP


@pytest.mark.parametrize(
    ("table", "f", "least", "bound"),
    [
        (EXP2, lambda x: 2.0 ** (x / 2**18 + 21), 0, 2.0**-16.4),
        (RECIPROCAL, lambda x: 2.0**40 / (2**20 + x), 0, 2.0**-18),
        (RSQRT, lambda x: 2.0**30 / np.sqrt(2**20 + x), 0, 2.0**-17.6),
        (RSQRT, lambda x: 2.0**30 / np.sqrt(2 * (x + 0.0)), 1 << 20, 2.0**-17.6),
    ],
    ids=["2^f", "1 / m", "1 / sqrt m", "1 / sqrt 2 m"],
)
def test_a_table_is_within_its_error_everywhere(
    table: Pieces, f: Callable[[Words], Floats], least: int, bound: float
) -> None:
    size = min(len(table.base) << table.low_bits, 1 << 20)
    x = np.arange(least, least + size)
    assert np.abs(table(x) / f(x) - 1).max() < bound


def test_log2_e_is_rounded_to_its_bits() -> None:
    with localcontext(prec=40):
        exact = 2**21 / Decimal(2).ln()
    assert round(exact) == LOG2E


@pytest.mark.parametrize("constant", [1e-8, 1e-6, 1e-5, 0.01, 1.0, 0.9999999])
def test_epsilon_is_rounded_to_21_bits(constant: float) -> None:
    mantissa, exponent = epsilon(SFUGeometry(epsilon=constant))
    assert 1 << 20 <= mantissa < 1 << 21
    error = abs(mantissa * Fraction(2) ** exponent / Fraction(constant) - 1)
    assert error <= Fraction(1, 1 << 21)


def one_beat(operation: MiscOp, x: list[int], weight: list[int] | None = None) -> list[int]:
    a, b = np.array([x]), np.array([weight or [fp16.ONE] * len(x)])
    found: list[int] = compute(SFUGeometry(lanes=len(x)), operation, a, b)[0].tolist()
    return found


def test_equal_elements_share_a_softmax() -> None:
    assert one_beat(MiscOp.SOFTMAX, [0x7BFF] * 4) == words(np.full(4, 0.25)).tolist()


def test_a_masked_element_has_no_share() -> None:
    assert one_beat(MiscOp.SOFTMAX, [MINUS_INFINITY, 0xFBFF]) == [0, fp16.ONE]


@pytest.mark.parametrize(
    "x",
    [[MINUS_INFINITY] * 2, [fp16.INFINITY, 0], [fp16.NAN, 0], [0xFC01, 0]],
    ids=["all masked", "infinity", "NaN", "negative NaN"],
)
def test_an_undefined_softmax_is_nan_in_every_lane(x: list[int]) -> None:
    assert one_beat(MiscOp.SOFTMAX, x) == [fp16.NAN] * 2


def test_the_norm_of_zeros_is_zero_with_the_sign_of_the_product() -> None:
    found = one_beat(MiscOp.RMSNORM, [0, 0x8000, 0, 0x8000], [fp16.ONE, fp16.ONE, 0xBC00, 0xBC00])
    assert found == [0, 0x8000, 0x8000, 0]


def test_an_infinite_element_leaves_zeros_and_nan() -> None:
    found = one_beat(MiscOp.RMSNORM, [fp16.INFINITY, fp16.ONE, 0xBC00, fp16.ONE])
    assert found == [fp16.NAN, 0, 0x8000, 0]


def test_a_nan_element_spoils_the_norm_and_a_nan_weight_its_own_lane() -> None:
    assert one_beat(MiscOp.RMSNORM, [fp16.NAN, fp16.ONE]) == [fp16.NAN] * 2
    spoilt = one_beat(MiscOp.RMSNORM, [fp16.ONE] * 2, [fp16.NAN, fp16.ONE])
    assert spoilt == [fp16.NAN, fp16.ONE]


def test_an_infinite_weight_gives_what_a_product_would() -> None:
    infinite = [fp16.INFINITY, MINUS_INFINITY, fp16.INFINITY, fp16.ONE]
    found = one_beat(MiscOp.RMSNORM, [0xBC00, fp16.ONE, 0, fp16.ONE], infinite)
    assert found[:3] == [MINUS_INFINITY, MINUS_INFINITY, fp16.NAN]


@pytest.mark.parametrize("operation", [MiscOp.LAYERNORM, MiscOp.SILU])
def test_an_operation_that_the_unit_lacks_is_refused(operation: MiscOp) -> None:
    with pytest.raises(ValueError, match=r"^operation must be one the unit has, got [A-Z]+$"):
        one_beat(operation, [0, 0])
