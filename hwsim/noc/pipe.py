"""A pipe: whatever moves bytes one after the other at a fixed rate.

Law: bytes that come while others are on their way start when those end, else when they come; they
take ``bytes / rate``. Starts and ends are exact fractions of a femtosecond, and each is rounded by
itself, to the nearest, half up: a pipe that never runs dry does not drift.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from hwsim.sim import Event, Kernel, StageAccount
from hwsim.units import FS_PER_SECOND

__all__ = ["Key", "Pipe"]

Key: TypeAlias = tuple[int, ...]
"""What orders the requests of one instant."""

Begun: TypeAlias = Callable[[int, int], None]
"""Told when a request is begun, with its start and its end in femtoseconds."""

_Request: TypeAlias = tuple[int, Key, int, int, int, Event, Begun | None]


class Pipe:
    """Serves first come, first served; requests of one instant in the order of their keys.

    Parameters
    ----------
    rate : Fraction
        Bytes a second, above zero.

    Attributes
    ----------
    stage : StageAccount
        Busy while bytes are on their way, else idle.
    """

    def __init__(self, kernel: Kernel, rate: Fraction) -> None:
        self._kernel = kernel
        # Exact times are kept in ticks, so many a femtosecond that a byte takes a whole number.
        self._ticks_per_fs = rate.numerator
        self._ticks_per_byte = FS_PER_SECOND * rate.denominator
        self._free = 0
        self._requests: list[_Request] = []
        self._number = 0
        self._serving = False
        self._choosing = False
        self.stage = StageAccount(kernel)

    @property
    def backlog(self) -> int:
        """By how many ticks the last request ends after now: what replay must know at rest."""
        return max(0, self._free - self._kernel.now * self._ticks_per_fs)

    @backlog.setter
    def backlog(self, ticks: int) -> None:
        self._free = self._kernel.now * self._ticks_per_fs + ticks

    def use(
        self, amount_bytes: int, key: Key = (), *, last_fs: int = 0, begun: Begun | None = None
    ) -> Event:
        """Move ``amount_bytes``; the event happens when the last has left the pipe.

        Requests of one key at one instant are served in program order.

        Parameters
        ----------
        last_fs : when the last byte is there to be moved, at the earliest.
        begun : called once the first byte moves.

        Raises
        ------
        ValueError
            For less than a byte.
        """
        if amount_bytes < 1:
            raise ValueError(f"amount_bytes must be at least 1, got {amount_bytes!r}")
        event = self._kernel.event()
        self._number += 1
        request = (self._kernel.now, key, self._number, amount_bytes, last_fs, event, begun)
        heapq.heappush(self._requests, request)
        self._choose_when_all_are_in()
        return event

    def _choose_when_all_are_in(self) -> None:
        if not (self._serving or self._choosing):
            self._choosing = True
            self._kernel.end_of_instant().callbacks.append(self._choose)

    def _choose(self, _: Event) -> None:
        self._choosing = False
        self._begin(heapq.heappop(self._requests))

    def _begin(self, request: _Request) -> None:
        came_fs, _, _, amount, last_fs, event, begun = request
        start = max(self._free, came_fs * self._ticks_per_fs)
        end = max(start + amount * self._ticks_per_byte, last_fs * self._ticks_per_fs)
        self._free = end
        self._serving = True
        self.stage.enter("busy")
        event.callbacks.append(self._ended)
        end_fs = self._rounded(end)
        self._kernel.succeed_at(event, end_fs)
        if begun is not None:
            begun(self._rounded(start), end_fs)

    def _rounded(self, ticks: int) -> int:
        return (2 * ticks + self._ticks_per_fs) // (2 * self._ticks_per_fs)

    def _ended(self, _: Event) -> None:
        self._serving = False
        if not self._requests:
            self.stage.enter("idle")
        elif self._requests[0][0] < self._kernel.now:
            self._begin(heapq.heappop(self._requests))  # nothing that comes now goes before it
        else:
            self._choose_when_all_are_in()
