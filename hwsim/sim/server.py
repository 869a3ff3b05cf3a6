"""Shared resources, granted first come, first served.

Requests of one instant are granted in the order of their keys, whatever the order of the events
that made them: who is next is chosen at the end of the instant.
"""

from __future__ import annotations

import heapq

from hwsim.sim.kernel import Event, Kernel

__all__ = ["Server", "Slots"]

Request = tuple[int, int, int, int, Event]
"""Time, key, running number, duration, and the event that tells the asker."""


class _Queue:
    """Requests that wait to be chosen from, at the end of an instant."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._waiting: list[Request] = []
        self._requests = 0
        self._choosing = False

    def _ask(self, duration_fs: int, key: int) -> Event:
        event = self._kernel.event()
        self._requests += 1
        request = (self._kernel.now, key, self._requests, duration_fs, event)
        heapq.heappush(self._waiting, request)
        self._choose_later()
        return event

    def _choose_later(self) -> None:
        if self._waiting and not self._choosing and self._has_room():
            self._choosing = True
            self._kernel.end_of_instant().callbacks.append(self._chosen)

    def _chosen(self, _: Event) -> None:
        self._choosing = False
        while self._waiting and self._has_room():
            self._grant(heapq.heappop(self._waiting))

    def _has_room(self) -> bool:
        raise NotImplementedError

    def _grant(self, request: Request) -> None:
        raise NotImplementedError


class Server(_Queue):
    """Serves one request at a time, each for as long as it says.

    Attributes
    ----------
    busy_fs : int
        Time spent serving, of what has been started.
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._serving = False
        self.busy_fs = 0

    def use(self, duration_fs: int, key: int = 0) -> Event:
        """Ask for ``duration_fs`` of service; the event happens at its end.

        Requests of one ``key`` at one instant are served in program order.
        """
        return self._ask(duration_fs, key)

    def _has_room(self) -> bool:
        return not self._serving

    def _grant(self, request: Request) -> None:
        duration, event = request[3], request[4]
        self._serving = True
        self.busy_fs += duration
        event.callbacks.append(self._served)
        self._kernel.succeed_at(event, self._kernel.now + duration)

    def _served(self, _: Event) -> None:
        self._serving = False
        self._choose_later()


class Slots(_Queue):
    """A number of equal places, each held from its grant until it is given back."""

    def __init__(self, kernel: Kernel, count: int) -> None:
        super().__init__(kernel)
        self._free = count

    def take(self, key: int = 0) -> Event:
        """Ask for a place; the event happens when there is one.

        Requests of one ``key`` at one instant are granted in program order.
        """
        return self._ask(0, key)

    def give_back(self) -> None:
        """Free a place that was granted."""
        self._free += 1
        self._choose_later()

    def _has_room(self) -> bool:
        return self._free > 0

    def _grant(self, request: Request) -> None:
        self._free -= 1
        request[4].succeed()
