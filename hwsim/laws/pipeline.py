"""The cycle of every transfer through a pipeline that stops as a whole.

A *rigid* pipeline of ``latency`` stages has one clock enable: it moves in every cycle but those in
which its last stage holds an item that the consumer does not take. It takes a new item in each
cycle in which it moves. Blocks say their latency and their initiation interval; this law adds what
random stalls on both sides do to them, so that a bench can name the cycle of every transfer.

Cycle 0 is the first one after reset. A producer offers item i ``gaps[i]`` cycles after the cycle in
which item i - 1 was taken was over, and holds it until it is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

__all__ = ["Producer", "Ready", "rigid_pipeline"]

Ready = Callable[[int], bool]
"""Whether the consumer takes an item in a given cycle."""


class Producer:
    """The state of a producer: which item it offers in the cycle at hand."""

    def __init__(self, gaps: Sequence[int]) -> None:
        self._gaps = gaps
        self.taken = 0
        self._at = gaps[0] if gaps else 0

    def __call__(self, cycle: int) -> bool:
        """Whether an item is offered in ``cycle``."""
        return self.taken < len(self._gaps) and cycle >= self._at

    def take(self, cycle: int) -> None:
        """The item on offer is taken in ``cycle``."""
        self.taken += 1
        if self.taken < len(self._gaps):
            self._at = cycle + 1 + self._gaps[self.taken]


def rigid_pipeline(latency: int, gaps: Sequence[int], ready: Ready) -> tuple[list[int], list[int]]:
    """The cycles in which each item enters and leaves.

    Law: without stalls an item that enters in cycle c leaves in cycle c + ``latency``, and one can
    enter in every cycle.
    """
    entered: list[int] = []
    left: list[int] = []
    for cycle, enters, leaves in _steps(latency, gaps, ready):
        if enters:
            entered.append(cycle)
        if leaves:
            left.append(cycle)
    return entered, left


def _steps(latency: int, gaps: Sequence[int], ready: Ready) -> Iterator[tuple[int, bool, bool]]:
    stages: deque[bool] = deque([False] * latency, maxlen=latency)
    producer, cycle, left = Producer(gaps), 0, 0
    while left < len(gaps):
        leaves = stages[-1] and ready(cycle)
        moves = leaves or not stages[-1]
        enters = moves and producer(cycle)
        if moves:
            stages.appendleft(enters)
        if enters:
            producer.take(cycle)
        left += leaves
        yield cycle, enters, leaves
        cycle += 1
