"""T3's op-and-store near a bank: what a request can ask, and the cycle of every transfer.

A *word* is what a column access moves: ``lanes`` numbers of 16 bits. A request reads a word, stores
one, or updates one: adds its numbers to those that are there, lane by lane. What is read comes out
in the order asked; stores and updates answer nothing.

Law: one request a cycle. A read's word is offered ``READ_CYCLES`` after the request, and a read
waits behind the one before it, which holds up all that follow, as long as the consumer does not
take that. A store or an update is done ``WRITE_CYCLES`` later: a request that needs the word it
writes, a read or an update, enters no sooner. So updates of one word enter every ``WRITE_CYCLES``
cycles, those of ``WRITE_CYCLES`` words in turn every cycle, and stores every cycle, wherever to.

A reset whose first cycle is n leaves the words as they are and drops what it finds under way: reads
that have not left, and stores and updates that entered after cycle n - ``WRITE_CYCLES``.

The simulated memory spaces updates of one bank by its column delay times ``update_ccd_multiple``.

Cycle 0 is the first one after reset; producers as in :mod:`hwsim.laws.pipeline`.

Ref: T3 (ASPLOS'24), section 4.3 (updates near the banks of HBM). The pipeline is assumed: it gives
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.laws.pipeline import Ready

__all__ = [
    "LANE_BITS",
    "READ_CYCLES",
    "WRITE_CYCLES",
    "NmcGeometry",
    "Operation",
    "Request",
    "Transfers",
    "transfers",
]

LANE_BITS = 16
READ_CYCLES = 2
"""From a read's entry to the offer of its word."""
WRITE_CYCLES = 4
"""From the entry of a store or an update to that of the next request that can need its word."""


class Operation(IntEnum):
    """What a request asks for; a number's value is its code."""

    READ = 0
    STORE = 1
    UPDATE_FP16 = 2
    UPDATE_BF16 = 3


class NmcGeometry(Config):
    """How much a bank's memory holds, and how many numbers it moves at once."""

    words: Annotated[int, Field(ge=2, le=65536)] = 64
    """Words that the bank holds."""
    lanes: Annotated[int, Field(ge=1, le=64)] = 16
    """Numbers in a word: 16 of 16 bits are a burst of 32 bytes."""

    @model_validator(mode="after")
    def _a_power_of_two(self) -> NmcGeometry:
        if self.words & (self.words - 1):
            raise ValueError(f"words must be a power of two, got {self.words}")
        return self

    @property
    def address_bits(self) -> int:
        """Bits of a word's address."""
        return (self.words - 1).bit_length()

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return self.lanes * LANE_BITS


class Request(NamedTuple):
    """What a request asks for, but for its numbers."""

    operation: Operation
    address: int

    @property
    def needs_the_word(self) -> bool:
        """Whether what the word holds makes a difference."""
        return self.operation is not Operation.STORE


@dataclass
class Transfers:
    """The cycle of every transfer, in order."""

    requests: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)


def transfers(requests: Sequence[Request], gaps: Sequence[int], ready: Ready) -> Transfers:
    """When each request enters and each word that was read leaves."""
    seen = Transfers()
    written: dict[int, int] = {}
    looked_up = 0
    for request, gap in zip(requests, gaps, strict=True):
        offered = seen.requests[-1] + 1 if seen.requests else 0
        entered = max(offered + gap, looked_up)
        if request.needs_the_word and request.address in written:
            entered = max(entered, written[request.address] + WRITE_CYCLES)
        seen.requests.append(entered)
        looked_up = entered + READ_CYCLES - 1
        if request.operation is Operation.READ:
            looked_up = max([looked_up, *seen.reads[-1:]])
            seen.reads.append(_taken(looked_up + 1, ready))
        else:
            written[request.address] = entered
    return seen


def _taken(cycle: int, ready: Ready) -> int:
    """The first cycle from ``cycle`` on in which the consumer is ready."""
    while not ready(cycle):
        cycle += 1
    return cycle
