"""Sums in FP16 and BF16 against NumPy's floating point, and updates in the order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.golden import fp16
from hwsim.golden.t3_nmc import BF16, FP16, Format, add, answered
from hwsim.laws.t3_nmc import NmcGeometry, Operation, Request

Ints = NDArray[np.int64]
COUNT = 200_000
LONE = NmcGeometry(words=2, lanes=1)
FORMATS = {"fp16": FP16, "bf16": BF16}


def numpy_sum(form: Format, a: Ints, b: Ints) -> Ints:
    """FP16 as NumPy has it; BF16 by FP32, whose precision is more than twice as great, and two.

    So a sum that is rounded to FP32 first is rounded to the same BF16 as the exact one.
    """
    with np.errstate(all="ignore"):
        if form is FP16:
            total = a.astype(np.uint16).view(np.float16) + b.astype(np.uint16).view(np.float16)
            words = total.view(np.uint16).astype(np.int64)
        else:
            total = (a << 16).astype(np.uint32).view(np.float32)
            total = total + (b << 16).astype(np.uint32).view(np.float32)
            bits = total.view(np.uint32).astype(np.int64)
            words = bits + 0x7FFF + (bits >> 16 & 1) >> 16
    return np.where(np.isnan(total), form.nan, words)


def pairs(form: Format) -> list[tuple[Ints, Ints]]:
    """Any words; words that nearly cancel; words of nearby exponents; corners with corners."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(1 << 16, size=(2, COUNT))
    opposite = (a ^ 0x8000) + rng.integers(-9, 10, COUNT) & 0xFFFF
    near = a + rng.integers(-20, 20, COUNT) * (1 << form.fraction_bits - 1) & 0xFFFF
    one = 1 << form.fraction_bits
    ends = [0, 1, one - 1, one, one + 1, form.infinity - 1, form.infinity, form.nan, 0x7FFF]
    corners = np.array([word | sign for word in ends for sign in (0, 0x8000)])
    meshed = np.meshgrid(corners, corners)
    return [(a, b), (a, opposite), (a, near), (meshed[0].ravel(), meshed[1].ravel())]


@pytest.mark.parametrize("name", FORMATS)
def test_sums_are_those_of_numpy(name: str) -> None:
    form = FORMATS[name]
    for a, b in pairs(form):
        assert np.array_equal(add(form, a, b), numpy_sum(form, a, b))


def test_sums_in_fp16_are_those_of_the_special_function_unit() -> None:
    for a, b in pairs(FP16):
        assert np.array_equal(add(FP16, a, b), fp16.add(a, b))


@pytest.mark.parametrize(
    ("name", "nan", "infinity"), [("fp16", 0x7E00, 0x7C00), ("bf16", 0x7FC0, 0x7F80)]
)
def test_every_nan_that_comes_out_is_the_same(name: str, nan: int, infinity: int) -> None:
    form = FORMATS[name]
    odd = np.array([infinity + 1, infinity | 0x8000, 0xFFFF])
    assert add(form, odd, np.array([0, infinity, 1])).tolist() == [nan] * 3


def test_zeros_keep_their_sign_only_when_both_are_negative() -> None:
    zeros = np.array([0x0000, 0x8000, 0x8000, 0x3C00])
    assert add(FP16, zeros, np.array([0x8000, 0x8000, 0, 0xBC00])).tolist() == [0, 0x8000, 0, 0]


def requests(*asked: tuple[Operation, int]) -> list[Request]:
    return [Request(*each) for each in asked]


def test_each_update_rounds_so_that_the_order_of_arrival_shows() -> None:
    one, tiny = 0x3C00, 0x1000  # 1 and 2^-11, half a unit of it
    up = Operation.UPDATE_FP16
    asked = requests((Operation.STORE, 0), (up, 0), (up, 0), (Operation.READ, 0))
    for brought, due in (([one, tiny, tiny], one), ([tiny, tiny, one], one + 1)):
        assert answered(LONE, asked, np.array([*brought, 0])[:, None]).reads.tolist() == [[due]]


def test_a_store_replaces_and_each_word_is_its_own() -> None:
    asked = requests(
        (Operation.UPDATE_FP16, 1),
        (Operation.READ, 1),
        (Operation.STORE, 1),
        (Operation.READ, 0),
        (Operation.UPDATE_BF16, 1),
        (Operation.READ, 1),
    )
    brought = np.array([0x3C00, 9, 0x3F80, 9, 0x3F80, 9])[:, None]
    memory = np.array([[5], [0x3C00]])
    seen = answered(LONE, asked, brought, memory)
    assert seen.reads.tolist() == [[0x4000], [5], [0x4000]]
    assert seen.memory.tolist() == [[5], [0x4000]]
    assert memory.tolist() == [[5], [0x3C00]]


def test_without_reads_nothing_is_answered() -> None:
    seen = answered(NmcGeometry(lanes=3), requests((Operation.STORE, 0)), np.ones((1, 3), int))
    assert seen.reads.shape == (0, 3)
    assert seen.memory.sum() == 3
