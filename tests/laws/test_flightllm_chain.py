"""The sparse DSP chain's geometry and cycles."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hwsim.errors import ConfigError
from hwsim.laws.flightllm_chain import ChainGeometry, Density, beats, latency, segment, skew
from rtl.blocks.flightllm_csd_chain import chain_depth


def test_outputs_a_cycle_are_the_published_ones() -> None:
    chain = ChainGeometry()
    assert [chain.chain_length // segment(chain, d) for d in chain.densities] == [8, 4, 2, 1, 2]


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_a_block_takes_the_cycles_of_the_macs_that_are_kept(n: int) -> None:
    assert beats(ChainGeometry(), Density(n=n, m=16), columns=8) == Fraction(8 * n, 16)


@pytest.mark.parametrize(("length", "cycles"), [(4, 9), (8, 13), (16, 22), (32, 40), (64, 76)])
def test_the_latency_is_the_cascade_and_a_cycle_a_cut(length: int, cycles: int) -> None:
    dense = (Density(n=1, m=1),)
    assert latency(ChainGeometry(chain_length=length, densities=dense)) == cycles


@pytest.mark.parametrize("length", [4, 8, 16, 32, 64])
def test_what_is_built_is_as_deep_as_the_law_says(length: int) -> None:
    geometry = ChainGeometry(chain_length=length, densities=(Density(n=1, m=1),))
    assert chain_depth(geometry) == latency(geometry)


def test_operands_trail_by_a_cycle_a_dsp_and_one_more_a_run() -> None:
    assert [skew(dsp) for dsp in (0, 1, 7, 8, 15, 16)] == [0, 1, 7, 9, 16, 18]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"chain_length": 12, "densities": ({"n": 1, "m": 1},)},
            (
                "chain_length must be a power of two, got 12: "
                "the chain is made of DSP groups of 2 and spans one block"
            ),
        ),
        (
            {"densities": ()},
            (
                "densities must be at least one, and different, "
                "such as [{n=2, m=4}, {n=4, m=4}], got none"
            ),
        ),
        (
            {"densities": ({"n": 2, "m": 4}, {"n": 2, "m": 4})},
            (
                "densities must be at least one, and different, "
                "such as [{n=2, m=4}, {n=4, m=4}], got 2:4, 2:4"
            ),
        ),
        ({"densities": ({"n": 3, "m": 16},)}, "densities[0].n must divide m = 16, got 3"),
        (
            {"densities": ({"n": 2, "m": 32},)},
            "densities[0].m must divide chain_length = 16, got 32",
        ),
        (
            {"densities": ({"n": 1, "m": 16},)},
            "densities[0] must fill whole DSP groups of 2, got 16 x 1/16 = 1 DSPs",
        ),
    ],
)
def test_an_impossible_chain_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        ChainGeometry(**settings)
    assert str(error.value) == f"ChainGeometry: {message}"
