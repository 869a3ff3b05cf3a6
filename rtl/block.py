"""What a block is to the flow: its parameters, its hardware, its bench, its faults, its proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from amaranth.lib import wiring

from hwsim.config import Config

__all__ = [
    "LEAVING",
    "MID_STREAM",
    "TAIL_CYCLES",
    "Block",
    "Case",
    "Mode",
    "Mutant",
    "Offer",
    "Proof",
]


MID_STREAM = "reset in mid-stream"
"""The bin of a case after one that was cut with something accepted and results owed."""
LEAVING = "reset with results leaving"
"""The bin of a case after one that was cut with results come out, and more owed."""
TAIL_CYCLES = 96
"""More than the latency of any block, so that a result too many comes out."""


@dataclass(frozen=True)
class Offer:
    """What a bench sends into a stream: item i comes ``gaps[i]`` cycles after the one before."""

    payloads: Sequence[int]
    """Of a stream without payload: zeros."""
    gaps: Sequence[int]
    follows: str = ""
    """An output stream whose consumer answers here: item i comes, at the earliest once the one
    before was taken, ``gaps[i]`` cycles (at least 1) after the i-th transfer on that stream."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run from reset: what goes in, when the consumers are ready, and what must be seen.

    ``expected`` gives, for each stream in both directions, the cycle and the payload of every
    transfer. Cycle 0 is the first one after reset. A case that is not cut goes on for
    ``TAIL_CYCLES`` after its own, in which nothing may be transferred, or on offer, any more.
    """

    name: str
    inputs: Mapping[str, Offer]
    ready: Mapping[str, Sequence[bool]]
    """A pattern for each output stream, repeated for as long as the case lasts."""
    expected: Mapping[str, Sequence[tuple[int, int]]]
    cycles: int
    """Cycles up to the last transfer, or to the reset that cuts the case."""
    outputs: int = 0
    """Values that the expected output transfers carry."""
    levels: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """For each output beside the streams, the values that it has, each from its cycle on."""
    cut: bool = False
    """Whether the next reset comes without waiting for the last transfer; a whole case follows, so
    that what outlives the reset is seen."""
    owed: int = 0
    """Transfers of results that a case that is cut still owes, for what it accepted."""
    covers: frozenset[str] = frozenset()
    """Bins of functional coverage that the stimulus reaches; of a case that is cut they do not
    count, for not all of it is sent."""

    @property
    def length(self) -> int:
        """Cycles until the next reset."""
        return self.cycles if self.cut else self.cycles + TAIL_CYCLES


@dataclass(frozen=True)
class Mutant:
    """A deliberate fault: one passage of a source file of ours, replaced."""

    name: str
    source: str
    """Module that holds the passage."""
    old: str
    new: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Parameters at which the fault shows, if not at the default ones."""


@dataclass(frozen=True)
class Mode:
    """Timing of one mode of a block, from its law."""

    name: str
    latency_cycles: int
    initiation_interval: str
    """Cycles from one input to the next, as the docs say it: "1", "8 / 16 a column"."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Assertions on a block, to be proven by bounded model checking and k-induction."""

    name: str
    harness: Callable[[Any], wiring.Component]
    depth: int
    """Cycles from reset that are checked, and the k of the induction."""
    reach: int = 0
    """Cycles within which every cover is reached, if more than ``depth``."""
    statement: str
    """What is proven, in a sentence."""
    bounded: bool = False
    """Whether it is claimed for those cycles only, and induction not tried."""
    at: Callable[[Any], Config] = lambda config: config
    """The parameters that it is made at: those asked for, or the nearest that a solver can take."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One synthesisable block and everything that the flow does with it."""

    name: str
    """``system.block``, as on the command line."""
    title: str
    parameters: type[Config]
    component: Callable[[Any], wiring.Component]
    modes: Callable[[Any], Sequence[Mode]]
    cases: Callable[[Any, Random], Iterator[Case]]
    bins: Callable[[Any], frozenset[str]]
    """Functional coverage that the cases together must reach, besides what every stream and every
    reset must go through."""
    exempt: Callable[[Any], Mapping[str, str]] = field(default=lambda _config: {})
    """Of the bins that every stream has, those that can't be reached, and why not."""
    diagram: Sequence[Sequence[str]] = ()
    """Its parts for a picture: columns from inputs to outputs, each feeding the next."""
    sweep: Sequence[Mapping[str, str]] = field(default=({},))
    """Parameter sets to verify, as ``--set`` texts; the first is the default set."""
    mutants: Sequence[Mutant] = ()
    proofs: Sequence[Proof] = ()
    models: Sequence[Path] = ()
    """Simulation models of the primitives it instantiates."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """What each port means, by ``PORT`` or ``STREAM``, and each field, by ``STREAM.FIELD``."""
    codes: Callable[[Any], Mapping[str, Mapping[str, int]]] = field(default=lambda _config: {})
    """The values that a field can have and what each means, by ``STREAM.FIELD``."""
