"""The event kernel: SimPy with time as an integer number of femtoseconds.

A :class:`Kernel` owns the event queue, the clocks, the components and the channels between them.
Order among simultaneous events is unspecified; ``shuffle_ties`` draws it at random, which must
change no result.

Ref: SimPy 4 (process-based discrete-event simulation).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import simpy
from simpy.core import EmptySchedule
from simpy.events import NORMAL, Event

from hwsim.errors import DeadlockError, InvariantError

if TYPE_CHECKING:
    from hwsim.sim.channel import Channel
    from hwsim.sim.clock import Clock
    from hwsim.sim.component import Component
    from hwsim.sim.timeline import Timeline

__all__ = ["Event", "Granted", "Kernel", "Process"]

Process: TypeAlias = Generator[Event, Any, Any]


LAST: Any = NORMAL + 1
"""Rank of what comes after all else of its instant. SimPy's own ranks are URGENT and NORMAL."""


class Granted(Event):
    """An event that has already happened: who yields it goes on at once, at no event's cost."""

    def __init__(self, env: simpy.Environment, value: object = None) -> None:
        self.env = env
        self.callbacks = None  # type: ignore[assignment]  # SimPy's own mark of a processed event
        self._ok = True
        self._value = value


class _Environment(simpy.Environment):
    """SimPy's environment, in whole femtoseconds, counting the events that happen."""

    _now: int

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.happened = 0

    def step(self) -> None:
        """Let the next event happen.

        What a process raised is raised as itself. SimPy's own method raises a copy made from
        ``args``, which errors of other constructors don't survive.
        """
        if not self._queue:
            raise EmptySchedule
        entry: Any = heapq.heappop(self._queue)
        self._now, _, _, event = entry
        self.happened += 1
        callbacks, event.callbacks = event.callbacks, None
        for callback in callbacks:
            callback(event)
        if not event.ok and not event.defused:
            raise event.value

    def settle(self) -> None:
        """Let everything happen that is due now."""
        while self.peek() == self._now:
            self.step()


class _ShuffledEnvironment(_Environment):
    """The same, with a random order among events of one instant."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def schedule(self, event: Event, priority: Any = NORMAL, delay: Any = 0) -> None:
        """Queue ``event`` with a random rank among those of its instant."""
        rank = (self._random.random(), next(self._eid))
        entry: Any = (self._now + delay, priority, rank, event)
        heapq.heappush(self._queue, entry)


class Kernel:
    """Time, events, and the register of what takes part in a simulation.

    Parameters
    ----------
    shuffle_ties : bool
        Draw the order of simultaneous events at random, from ``seed``.
    timeline : Timeline or None
        Where components record what they do; None records nothing.
    """

    def __init__(
        self, *, shuffle_ties: bool = False, seed: int = 0, timeline: Timeline | None = None
    ) -> None:
        self._env = _ShuffledEnvironment(seed) if shuffle_ties else _Environment()
        self._granted = Granted(self._env)
        self.timeline = timeline
        self.clocks: list[Clock] = []
        self.components: list[Component[Any]] = []
        self.channels: list[Channel[Any]] = []

    @property
    def now(self) -> int:
        """The current time in femtoseconds."""
        return self._env._now

    @property
    def events(self) -> int:
        """Events that have happened so far: what the simulation cost, not what it found."""
        return self._env.happened

    @property
    def quiet(self) -> bool:
        """Whether no event is scheduled: only the process asking is awake."""
        return not self._env._queue

    def wait(self, delay_fs: int) -> Event:
        """An event ``delay_fs`` femtoseconds from now. Anything but an ``int`` is a TypeError."""
        if type(delay_fs) is not int:
            raise TypeError(f"delay must be an int of femtoseconds, got {delay_fs!r}")
        return self._env.timeout(delay_fs)

    def event(self) -> Event:
        """An event that somebody will trigger."""
        return Event(self._env)

    def succeed_at(self, event: Event, time_fs: int, value: object = None) -> None:
        """Let ``event``, which nobody else triggers, happen at ``time_fs``, now or later.

        Raises
        ------
        ValueError
            For a time that has passed.
        """
        if time_fs < self.now:
            raise ValueError(f"time_fs must be at least {self.now}, got {time_fs}")
        event._ok = True
        event._value = value
        self._env.schedule(event, NORMAL, time_fs - self.now)

    def end_of_instant(self) -> Event:
        """An event now, after all else that is due now: when simultaneous requests are all in.

        Who chooses among requests waits for it, so that the choice does not depend on their order.
        """
        event = Event(self._env)
        event._ok, event._value = True, None
        self._env.schedule(event, LAST)
        return event

    def start(self, process: Process) -> Event:
        """Start a process; the event happens when it returns, with what it returned."""
        return self._env.process(process)

    def granted(self, value: object = None) -> Event:
        """An event that has happened already, with that value."""
        return self._granted if value is None else Granted(self._env, value)

    def run(self, main: Process) -> Any:
        """Start every component, run until ``main`` returns, and give what it returned.

        What else is due at that instant still happens, so that the end does not depend on the
        order of simultaneous events. An exception in any process ends the run as itself.

        Raises
        ------
        DeadlockError
            When nothing is left to happen and ``main`` has not returned; names who waits on which
            port.
        InvariantError
            When a channel does not hold at the end as many items as at the start: start tokens, or
            none.
        """
        at_start = [channel.in_flight for channel in self.channels]
        for component in self.components:
            for process in component.processes():
                self._env.process(process)
        done = self._env.process(main)
        try:
            while not done.processed:
                self._env.step()
        except EmptySchedule:
            raise DeadlockError(self._deadlock_report()) from None
        self._env.settle()
        self._check_nothing_in_flight(at_start)
        return done.value

    def _deadlock_report(self) -> str:
        waits = [line for channel in self.channels for line in channel.waiting()]
        waits += [line for component in self.components for line in component.waiting()]
        at = f"deadlock at {self.now} fs: nothing is left to happen, and the work is not done"
        return "\n".join([at, *(f"  {line}" for line in waits)])

    def _check_nothing_in_flight(self, at_start: Sequence[int]) -> None:
        left = [
            f"  {channel.name}: {channel.in_flight} items, {before} at the start"
            for channel, before in zip(self.channels, at_start, strict=True)
            if channel.in_flight != before
        ]
        if left:
            at = f"work is left in flight at {self.now} fs, when the run ends"
            raise InvariantError("\n".join([at, *left]))
