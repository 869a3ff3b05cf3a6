"""A shared resource that serves one request at a time, first come, first served.

Requests of one instant are served in the order of their keys, whatever the order of the events
that made them: the server chooses at the end of the instant.
"""

from __future__ import annotations

import heapq

from hwsim.sim.kernel import Event, Kernel

__all__ = ["Server"]


class Server:
    """Serves requests of known duration.

    Attributes
    ----------
    busy_fs : int
        Time spent serving, of what has been started.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._waiting: list[tuple[int, int, int, int, Event]] = []
        self._requests = 0
        self._serving = False
        self._choosing = False
        self.busy_fs = 0

    def use(self, duration_fs: int, key: int = 0) -> Event:
        """Ask for ``duration_fs`` of service; the event happens at its end.

        Requests of one ``key`` at one instant are served in program order.
        """
        event = self._kernel.event()
        self._requests += 1
        request = (self._kernel.now, key, self._requests, duration_fs, event)
        heapq.heappush(self._waiting, request)
        self._choose_later()
        return event

    def _choose_later(self) -> None:
        if not (self._serving or self._choosing):
            self._choosing = True
            self._kernel.end_of_instant().callbacks.append(self._choose)

    def _choose(self, _: Event) -> None:
        self._choosing = False
        *_, duration, event = heapq.heappop(self._waiting)
        self._serving = True
        self.busy_fs += duration
        event.callbacks.append(self._served)
        self._kernel.succeed_at(event, self._kernel.now + duration)

    def _served(self, _: Event) -> None:
        self._serving = False
        if self._waiting:
            self._choose_later()
