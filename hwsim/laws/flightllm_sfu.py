"""FlightLLM's special function unit: its geometry, and the cycle of every transfer.

A command names an operation and K, its length in blocks of 16 elements. The unit takes ``lanes``
elements a cycle: each vector once for an element-wise operation, twice for softmax and RMSNorm (one
pass gathers the sum that the other needs; the vector stays in the buffer it is read from).

Law: the beats of a command are the cycles that the simulator charges for the instruction,
:func:`~hwsim.laws.flightllm_core.misc_cycles`. They follow one another without a bubble, within a
command, between its passes and from one command to the next, whatever the operations: the result of
a beat leaves ``latency`` cycles after it, the same in every operation. A command is taken with the
last beat of the one before, one cycle before its own first beat. So a lone command, not stalled,
takes ``misc_cycles + latency`` cycles from the cycle it is taken in to that of its last result.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3 (one pass, or two). The depth is ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.flightllm_core import CoreGeometry, misc_cycles
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.pipeline import Producer, Ready

__all__ = [
    "BLOCK_LANES",
    "OPERATIONS",
    "Command",
    "SFUGeometry",
    "Traffic",
    "beats",
    "command_cycles",
    "emits",
    "latency",
    "levels",
    "two_pass",
]

BLOCK_LANES = CoreGeometry().k_lanes
"""Elements of a block, as K counts them."""
MAX_BLOCKS = (1 << 14) - 1
"""The greatest K: 14 bits of the instruction."""
OPERATIONS = (MiscOp.ADD, MiscOp.MUL, MiscOp.SOFTMAX, MiscOp.RMSNORM)

LANE_STAGES = 9
"""A beat's operands to its terms: unpack, multiply (2), shift, sign, exponential (3), select."""
GATHER_STAGES = 4
"""Besides the two trees: running maximum, distance, alignment, running sum."""
SCALAR_STAGES = 14
"""Normalise (2), reciprocal (3), mean (5), root (3), round."""
EMIT_STAGES = 7
"""Select, multiply (2), normalise (2), denormalise, round."""


class SFUGeometry(Config):
    """The width of the unit and the constant of its norm."""

    lanes: Annotated[int, Field(ge=2, le=BLOCK_LANES)] = BLOCK_LANES
    """Elements a cycle: a power of two."""
    epsilon: Annotated[float, Field(ge=1e-8, le=1.0)] = 1e-5
    """What RMSNorm adds to the mean of the squares."""

    @model_validator(mode="after")
    def _lanes_fill_a_tree(self) -> SFUGeometry:
        if self.lanes & (self.lanes - 1):
            raise ValueError(f"lanes must be a power of two, got {self.lanes}")
        return self


@dataclass(frozen=True)
class Command:
    """What one MISC instruction asks for."""

    operation: MiscOp
    blocks: int
    """K, from 1 to 16383."""


def two_pass(operation: MiscOp) -> bool:
    """Whether the vector comes twice, to gather and to emit."""
    return operation in {MiscOp.SOFTMAX, MiscOp.RMSNORM}


def levels(geometry: SFUGeometry) -> int:
    """Levels of a tree over the lanes, a cycle each."""
    return (geometry.lanes - 1).bit_length()


def beats(geometry: SFUGeometry, command: Command) -> int:
    """Beats of a command, and the cycles from one command to the next: K, or 2 K, at 16 lanes."""
    core = CoreGeometry(sfu_lanes=geometry.lanes)
    return int(misc_cycles(core, command.operation.name, command.blocks))


def emits(geometry: SFUGeometry, command: Command) -> list[bool]:
    """For each beat of a command whether a result comes of it: in the last pass."""
    every = beats(geometry, command)
    silent = every // 2 if two_pass(command.operation) else 0
    return [False] * silent + [True] * (every - silent)


def latency(geometry: SFUGeometry) -> int:
    """Cycles from a beat to its result: 34 and two trees, 42 for 16 lanes."""
    trees = 2 * levels(geometry)
    return LANE_STAGES + trees + GATHER_STAGES + SCALAR_STAGES + EMIT_STAGES


def command_cycles(geometry: SFUGeometry, command: Command) -> int:
    """Cycles from a lone command to its last result: what the simulator charges, and the drain."""
    return beats(geometry, command) + latency(geometry)


@dataclass
class Traffic:
    """The cycle of every transfer, under any stalls.

    The unit stops as a whole while a result is not taken. Between two beats that come at once there
    is no bubble; a command that comes late costs the cycles it is late. Commands that ask for more
    beats than ``gaps`` has are left unfinished.
    """

    geometry: SFUGeometry
    commands: Sequence[Command]
    command_gaps: Sequence[int]
    gaps: Sequence[int]
    """Before each beat, of all commands in a row."""
    ready: Ready
    taken: list[int] = field(default_factory=list, init=False)
    """Cycles in which the commands are taken."""
    entered: list[int] = field(default_factory=list, init=False)
    left: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        commands, operands = Producer(self.command_gaps), Producer(self.gaps)
        stages: deque[bool] = deque([False] * latency(self.geometry))
        work = self._work()
        current: list[bool] = []  # the beats of the command at work that are still to come
        cycle, results = 0, sum(sum(emits(self.geometry, c)) for c in self.commands)
        while len(self.left) < results and (operands.taken < len(self.gaps) or any(stages)):
            leaves = stages[-1] and self.ready(cycle)
            if leaves or not stages[-1]:
                stages.pop()
                enters = bool(current) and operands(cycle)
                stages.appendleft(enters and current[-1])
                if enters:
                    current.pop()
                    operands.take(cycle)
                    self.entered.append(cycle)
                if not current and commands(cycle):
                    current = next(work)
                    commands.take(cycle)
                    self.taken.append(cycle)
            if leaves:
                self.left.append(cycle)
            cycle += 1

    def _work(self) -> Iterator[list[bool]]:
        for command in self.commands:
            yield emits(self.geometry, command)[::-1]
