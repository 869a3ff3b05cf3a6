"""Exact replay: work that was simulated once from the same state is not simulated again.

At a boundary between two pieces of work, when no event is scheduled and every component is at rest,
the machine's relative state is what its channels hold and who waits at them, what its components
remember, which state each stage is in, and how far each clock is from its edge. If that state and
the work ahead have been seen before, the interval is replayed: the kernel lets the recorded time
pass in one event, adds what every account, counter and the timeline gained, and leaves the state
that was left then. Cycles, stats and timeline are those of the simulation, which a test checks with
replay off.

Pieces nest: a decode step is replayed whole, or its layers one by one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from hwsim.sim.kernel import Event, Kernel
from hwsim.sim.stage import StageAccount, StageState, StageTimes
from hwsim.sim.stats import Counter
from hwsim.sim.timeline import Sample, Slice

__all__ = ["Replay", "Replayed"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Replayed(Generic[R]):
    """What a piece of work gave: when it began, how long it took, what its process returned."""

    start_fs: int
    elapsed_fs: int
    result: R


class _State(NamedTuple):
    """The machine, relative to now: from two equal ones it goes on alike."""

    contents: tuple[Any, ...]
    """What each channel holds."""
    awaited: tuple[bool, ...]
    """Whether each channel's consumer waits at it."""
    memories: tuple[Hashable, ...]
    """What each component remembers."""
    stages: tuple[StageState, ...]
    """The state of each stage."""
    phases: tuple[int, ...]
    """How far each clock is from its edge."""


class _Books(NamedTuple):
    """Every stage account and every counter, at one moment or over an interval."""

    stages: tuple[StageTimes, ...]
    counts: tuple[Any, ...]

    def plus(self, other: _Books) -> _Books:
        return self._with(operator.add, other)

    def minus(self, other: _Books) -> _Books:
        return self._with(operator.sub, other)

    def _with(self, combine: Callable[[Any, Any], Any], other: _Books) -> _Books:
        return _Books(
            tuple(map(combine, self.stages, other.stages)),
            tuple(map(combine, self.counts, other.counts)),
        )


@dataclass(frozen=True)
class _Interval:
    """What was recorded: how long it took, what it added, what it drew, what it left."""

    start_fs: int
    elapsed_fs: int
    gained: _Books
    drawn: tuple[list[Slice], list[Sample]]
    end: _State | None
    result: Any


class Replay:
    """Runs pieces of work, each simulated once a state, or always when not ``enabled``."""

    def __init__(self, kernel: Kernel, *, enabled: bool = True) -> None:
        self._kernel = kernel
        self._enabled = enabled
        self._seen: dict[tuple[Hashable, _State], _Interval] = {}

    def run(
        self,
        work: Hashable,
        simulate: Callable[P, Generator[Event, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Generator[Event, Any, Replayed[R]]:
        """Do ``work``: by replay where that is exact, else by ``simulate(*args, **kwargs)``.

        ``work`` must name all that ``simulate`` depends on besides the machine's state, and no
        other piece of work. What ``simulate`` returns must not hold absolute times.
        """
        start = self._kernel.now
        state = self._state() if self._enabled else None
        if state is None:
            result = yield from simulate(*args, **kwargs)
            return Replayed(start, self._kernel.now - start, result)
        interval = self._seen.get((work, state))
        if interval is None:
            interval = yield from self._record(simulate(*args, **kwargs))
            if interval.end is not None and interval.end.awaited == state.awaited:
                self._seen[work, state] = interval  # every process is back where it waited
        else:
            yield from self._apply(interval)
        return Replayed(start, interval.elapsed_fs, interval.result)

    @cached_property
    def _stages(self) -> list[StageAccount]:
        return [account for c in self._kernel.components for account in c.stages().values()]

    @cached_property
    def _counters(self) -> list[Counter]:
        return [counter for c in self._kernel.components for counter in c.counters().values()]

    def _state(self) -> _State | None:
        """The machine's relative state, or None when something is under way."""
        kernel = self._kernel
        if not kernel.quiet or not all(c.at_rest() for c in kernel.components):
            return None
        contents = tuple(channel.contents() for channel in kernel.channels)
        if None in contents:
            return None
        return _State(
            contents=contents,
            awaited=tuple(channel.awaited for channel in kernel.channels),
            memories=tuple(component.memory() for component in kernel.components),
            stages=tuple(account.state for account in self._stages),
            phases=tuple(clock.phase for clock in kernel.clocks),
        )

    def _books(self) -> _Books:
        return _Books(
            tuple(account.times() for account in self._stages),
            tuple(counter.value for counter in self._counters),
        )

    def _record(self, process: Generator[Event, Any, R]) -> Generator[Event, Any, _Interval]:
        kernel, timeline = self._kernel, self._kernel.timeline
        start, before = kernel.now, self._books()
        mark = timeline.mark() if timeline is not None else None
        result = yield from process
        return _Interval(
            start_fs=start,
            elapsed_fs=kernel.now - start,
            gained=self._books().minus(before),
            drawn=timeline.since(mark) if timeline is not None and mark else ([], []),
            end=self._state(),
            result=result,
        )

    def _apply(self, interval: _Interval) -> Generator[Event, Any, None]:
        kernel = self._kernel
        assert interval.end is not None
        start, before = kernel.now, self._books()
        yield kernel.wait(interval.elapsed_fs)
        self._set(before.plus(interval.gained), interval.end)
        if kernel.timeline is not None:
            slices, samples = interval.drawn
            kernel.timeline.extend_shifted(slices, start - interval.start_fs, samples)

    def _set(self, books: _Books, state: _State) -> None:
        rows = zip(self._stages, books.stages, state.stages, strict=True)
        for account, times, stage in rows:
            account.replace(times, stage)
        for counter, value in zip(self._counters, books.counts, strict=True):
            counter.value = value
        for channel, items in zip(self._kernel.channels, state.contents, strict=True):
            channel.refill(items)
        for component, memory in zip(self._kernel.components, state.memories, strict=True):
            component.recall(memory)
