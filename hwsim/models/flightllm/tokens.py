"""How deep the token counters must be for a program to finish.

Units are sequential, and take and give tokens in program order, so that whether they all finish
depends on the depth of the counters alone and not on any time. Hence a game without a clock: move
each unit on until it is stuck, until none moves.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1; G. Kahn, "The Semantics of a Simple Language
for Parallel Programming", IFIP 1974.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from hwsim.laws.flightllm_isa import Opcode
from hwsim.laws.flightllm_scheduler import START_TOKEN
from hwsim.models.flightllm.decoder import Stream

__all__ = ["least_depth"]

Streams = Mapping[Opcode, Stream]
Edge = tuple[Opcode, Opcode]


def least_depth(streams: Streams) -> int | None:
    """The least depth of all counters with which a segment finishes; None if none is enough."""
    most = 1 + sum(len(burst.releases) for stream in streams.values() for burst in stream.bursts)
    if not _finishes(streams, most):
        return None
    least = 1
    while least < most:
        depth = (least + most) // 2
        least, most = (least, depth) if _finishes(streams, depth) else (depth + 1, most)
    return least


def _finishes(streams: Streams, depth: int) -> bool:
    tokens: Counter[Edge] = Counter([START_TOKEN])
    units = {unit: _Unit(unit, stream) for unit, stream in streams.items()}
    moved = True
    while moved:
        moved = any(unit.advance(tokens, depth) for unit in units.values())
    return all(unit.done for unit in units.values())


class _Unit:
    """A unit's place in its takings (-1) and givings (+1)."""

    def __init__(self, unit: Opcode, stream: Stream) -> None:
        self._steps = list(_steps(unit, stream))
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._steps)

    def advance(self, tokens: Counter[Edge], depth: int) -> bool:
        """Go on until stuck; says whether it moved."""
        start = self._at
        while not self.done:
            edge, change = self._steps[self._at]
            if not 0 <= tokens[edge] + change <= depth:
                break
            tokens[edge] += change
            self._at += 1
        return self._at > start


def _steps(unit: Opcode, stream: Stream) -> Iterator[tuple[Edge, int]]:
    for burst in stream.bursts:
        yield from (((other, unit), -1) for other in burst.waits)
        yield from (((unit, other), 1) for other in burst.releases)
