"""FlightLLM's dequantiser: how weights of few bits lie in a stream, and when each block leaves.

A *block* is ``block_weights`` weights of one width, packed without gaps: as many *words* of
``block_weights`` bits as a weight has bits. Blocks follow each other without gaps too, so that they
straddle the beats of the input wherever a beat is not a whole number of blocks. A *run* announces
blocks of one width.

Law: a beat's words can be used one cycle after the beat is taken, and so can a run; a block is
released in the first cycle in which its last word and its run are there and the block before has
left the first of two registers, or leaves it; it goes through both, a cycle each, waiting for the
block before, and is offered by the second. A beat is taken
when the words held leave a slot free for it; the buffer is the smallest that makes no bubble. A run
is taken while fewer than two wait or are in work. So, when nothing stalls and no beat is narrower
than a block, block k leaves in cycle ``LATENCY`` + k, whatever the widths.

Cycle 0 is the first one after reset; producers as in :mod:`hwsim.laws.pipeline`.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868 (mixed precision: weights of few bits are expanded to INT8
by the memory management unit). The packing, the buffer and the cycles are assumed: it gives none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.pipeline import Ready

__all__ = ["LATENCY", "SHIFT_BITS", "DequantGeometry", "Run", "Transfers", "transfers"]

LATENCY = 3
"""Cycles from a beat's entry to the first block that it completes."""
REGISTERS = 2
"""Of those cycles, the ones up to the second register."""
RUNS_HELD = 2
"""The run in work and the one after it."""
SHIFT_BITS = 3


class DequantGeometry(Config):
    """A dequantiser and the widths it can be switched between."""

    beat_bits: Annotated[int, Field(ge=8, le=1024)] = 128
    """Bits of the packed stream that arrive at once."""
    block_weights: Annotated[int, Field(ge=1, le=64)] = 16
    """Weights that leave at once: a power of two that divides ``beat_bits``."""
    widths: tuple[Annotated[int, Field(ge=2, le=8)], ...] = (2, 3, 4, 5, 8)
    """Bits a weight, by the code that a run carries; codes beyond the last mean the last."""
    run_blocks: Annotated[int, Field(ge=1, le=65536)] = 4096
    """Blocks that one run can announce."""
    scale_bits: Annotated[int, Field(ge=1, le=32)] = 16
    """Bits of the group scale, which is passed on as it is."""

    @model_validator(mode="after")
    def _a_power_of_two(self) -> DequantGeometry:
        if self.block_weights & (self.block_weights - 1):
            raise ValueError(f"block_weights must be a power of two, got {self.block_weights}")
        return self

    @model_validator(mode="after")
    def _whole_words(self) -> DequantGeometry:
        if self.beat_bits % self.block_weights:
            raise ValueError(
                f"beat_bits must be a multiple of block_weights = {self.block_weights}, "
                f"got {self.beat_bits}"
            )
        return self

    @model_validator(mode="after")
    def _widths_differ(self) -> DequantGeometry:
        if not self.widths or len(set(self.widths)) < len(self.widths):
            raise ValueError(f"widths must be at least one, and different, got {list(self.widths)}")
        return self

    @property
    def beat_words(self) -> int:
        """Words of a beat."""
        return self.beat_bits // self.block_weights

    @property
    def slots(self) -> int:
        """Beats that are held: for all but one word of the widest block, to complete it, one more.

        The last one is what lets the input be ready without a look at the output.
        """
        return -(-(max(self.widths) - 1) // self.beat_words) + 2

    @property
    def capacity_words(self) -> int:
        """Words that are held."""
        return self.slots * self.beat_words

    @property
    def code_bits(self) -> int:
        """Bits of a run's width code."""
        return max(1, (len(self.widths) - 1).bit_length())

    @property
    def count_bits(self) -> int:
        """Bits of a run's number of blocks, which is sent less one."""
        return max(1, (self.run_blocks - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the control stream says of the blocks to come."""

    width: int
    """Bits a weight."""
    blocks: int
    shift: int = 0
    """Power of two of the group scale that is applied: the weights are shifted left by it."""
    scale: int = 0
    """The rest of the group scale, passed on."""


@dataclass
class Transfers:
    """The cycle of every transfer, in order, as far as each stream gets."""

    beats: list[int] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)


def transfers(
    geometry: DequantGeometry,
    runs: Sequence[Run],
    beat_gaps: Sequence[int],
    run_gaps: Sequence[int],
    ready: Ready,
) -> Transfers:
    """When each beat and run is taken and each block leaves."""
    law = _Recurrence(geometry, runs, beat_gaps, run_gaps)
    law.take()
    for number, run in enumerate(runs):
        for _ in range(run.blocks):
            if not law.complete(number, run.width):
                return law.seen
            law.release(number, run.width, ready)
            law.take()
        law.finished.append(law.released[-1])
        law.take()
    return law.seen


class _Recurrence:
    """Each cycle is the latest of those of the earlier transfers that it waits for."""

    def __init__(
        self,
        geometry: DequantGeometry,
        runs: Sequence[Run],
        beat_gaps: Sequence[int],
        run_gaps: Sequence[int],
    ) -> None:
        self.seen = Transfers()
        self.released: list[int] = []
        self.finished: list[int] = []
        """Cycle of each run's last release."""
        self._expanded = self._left = 0
        """Cycles in which the last block went from the first to the second register, and left."""
        self._ends: list[int] = []
        """Words up to the end of each released block."""
        self._geometry, self._runs = geometry, runs
        self._beat_gaps, self._run_gaps = beat_gaps, run_gaps

    def take(self) -> None:
        """Take the beats and runs for which the blocks released so far leave room."""
        beats, taken = self.seen.beats, self.seen.runs
        while len(beats) < len(self._beat_gaps) and (room := self._room()) is not None:
            beats.append(max(room, _offered(beats, self._beat_gaps)))
        while len(taken) < min(len(self._runs), len(self.finished) + RUNS_HELD):
            done = len(taken) - RUNS_HELD
            free = self.finished[done] + 1 if done >= 0 else 0
            taken.append(max(free, _offered(taken, self._run_gaps)))

    def _room(self) -> int | None:
        """The first cycle in which the next beat fits, if it's known yet."""
        words = (len(self.seen.beats) + 1) * self._geometry.beat_words
        gone = words - self._geometry.capacity_words
        if gone <= 0:
            return 0
        block = bisect_left(self._ends, gone)
        return self.released[block] + 1 if block < len(self.released) else None

    def complete(self, run: int, width: int) -> bool:
        """Whether the next block's words and its run ever arrive."""
        return run < len(self.seen.runs) and self._last_beat(width) < len(self.seen.beats)

    def _last_beat(self, width: int) -> int:
        end = (self._ends[-1] if self._ends else 0) + width
        return (end - 1) // self._geometry.beat_words

    def release(self, run: int, width: int, ready: Ready) -> None:
        """Release the next block and let the consumer take it."""
        arrived = max(self.seen.beats[self._last_beat(width)], self.seen.runs[run]) + 1
        released = max(arrived, self._expanded)
        self._expanded = max(released + 1, self._left)
        cycle = self._expanded + LATENCY - REGISTERS
        while not ready(cycle):
            cycle += 1
        self._left = cycle
        self._ends.append((self._ends[-1] if self._ends else 0) + width)
        self.released.append(released)
        self.seen.blocks.append(cycle)


def _offered(taken: Sequence[int], gaps: Sequence[int]) -> int:
    """The cycle from which the next item is on offer."""
    return (taken[-1] + 1 if taken else 0) + gaps[len(taken)]
