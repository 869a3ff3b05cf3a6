"""FlightLLM's configurable sparse DSP chain: its geometry and its cycles.

A chain of ``length`` DSPs works on one block of ``length`` consecutive K positions a cycle. Each
DSP multiplies one weight by two activations (the packed lanes). At density n:m the weights of one
column fill ``length`` x n / m neighbouring DSPs, a *segment*, so that a beat holds m / n columns:
one at dense, two at 8:16, eight at 2:16.

Law: one beat a cycle in every mode; the sums of a beat leave ``latency`` cycles after it enters,
the same in every mode, so that a change of mode needs no drain. Latency: a cycle for the sparse
multiplexer, four to the P register of the first DSP (A and D, AD, M, P), one more for each further
DSP of the cascade and for each overflow adjust unit between runs, one for the reduction nodes.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.2; AMD UG579 (DSP48E2 registers) for the depth
of a slice. That each node's sum is held until the last node's is an assumption of ours.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.flightllm_core import chain_cycles

__all__ = ["RUN", "ChainGeometry", "Density", "beats", "latency", "segment", "skew"]

GROUP = 2
"""DSPs of one DSP group: their cascade is fixed, and a reduction node ends it."""
RUN = 8
"""DSPs that a lane of 18 bits can add up; the cascade is cut and adjusted between runs."""


class Density(Config):
    """Of every ``m`` consecutive weights of a column, the ``n`` that are kept."""

    n: Annotated[int, Field(ge=1, le=64)]
    m: Annotated[int, Field(ge=1, le=64)]

    @property
    def dense(self) -> bool:
        """Whether nothing is left out, so that no index is needed."""
        return self.n == self.m


class ChainGeometry(Config):
    """A chain and the densities it can be switched between."""

    chain_length: Annotated[int, Field(ge=4, le=64)] = 16
    """DSPs, and the K positions of a block: a power of two."""
    densities: tuple[Density, ...] = (
        Density(n=2, m=16),
        Density(n=4, m=16),
        Density(n=8, m=16),
        Density(n=16, m=16),
        Density(n=2, m=4),
    )
    """Modes, by the code that a beat carries; each must fill whole DSP groups."""

    @model_validator(mode="after")
    def _a_power_of_two(self) -> ChainGeometry:
        if self.chain_length & (self.chain_length - 1):
            raise ValueError(
                f"chain_length must be a power of two, got {self.chain_length}: the chain is made "
                f"of DSP groups of {GROUP} and spans one block"
            )
        return self

    @model_validator(mode="after")
    def _densities_differ(self) -> ChainGeometry:
        given = [f"{density.n}:{density.m}" for density in self.densities]
        if not given or len(set(given)) < len(given):
            raise ValueError(
                "densities must be at least one, and different, such as [{n=2, m=4}, {n=4, m=4}], "
                f"got {', '.join(given) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _densities_fit(self) -> ChainGeometry:
        for i, density in enumerate(self.densities):
            where, n, m = f"densities[{i}]", density.n, density.m
            if m % n:
                raise ValueError(f"{where}.n must divide m = {m}, got {n}")
            if self.chain_length & (self.chain_length - 1):
                continue  # a wrong length, which is said, is not a density's fault
            if self.chain_length % m:
                raise ValueError(
                    f"{where}.m must divide chain_length = {self.chain_length}, got {m}"
                )
            if self.chain_length * n // m % GROUP:
                raise ValueError(
                    f"{where} must fill whole DSP groups of {GROUP}, "
                    f"got {self.chain_length} x {n}/{m} = {self.chain_length * n // m} DSPs"
                )
        return self

    @property
    def nodes(self) -> int:
        """Reduction nodes: one a DSP group."""
        return self.chain_length // GROUP

    @property
    def index_bits(self) -> int:
        """Bits that name one position of the block."""
        return (self.chain_length - 1).bit_length()

    @property
    def sum_bits(self) -> int:
        """Bits of a signed sum of ``chain_length`` products of two signed bytes."""
        return 16 + self.index_bits


def segment(geometry: ChainGeometry, density: Density) -> int:
    """DSPs that one column's weights fill at ``density``."""
    return geometry.chain_length * density.n // density.m


def beats(geometry: ChainGeometry, density: Density, columns: int) -> Fraction:
    """Cycles for one block of ``columns`` columns: columns x n / m."""
    filled = Fraction(segment(geometry, density), geometry.chain_length)
    return chain_cycles(columns, 1, filled)


def skew(dsp: int) -> int:
    """Cycles by which the operands of a DSP trail those of the first of its chain."""
    return dsp + dsp // RUN


def latency(geometry: ChainGeometry) -> int:
    """Cycles from a beat's entry to its sums: 22 for a chain of 16."""
    return 6 + skew(geometry.chain_length - 1)
