"""Exact replay: work that was simulated once from the same state is not simulated again.

At a boundary between two pieces of work, when no event is scheduled and every component is at rest, the
machine's relative state is what its channels hold and what its components remember. If that state and the
work ahead have been seen before, the interval is replayed: the kernel lets the recorded time pass in one
event, adds what every account, counter and the timeline gained, and leaves the state that was left then.
Cycles, stats and timeline are those of the simulation, which a test checks with replay off.

Pieces nest: a decode step is replayed whole, or its layers one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from hwsim.sim.component import Component
from hwsim.sim.kernel import Event, Kernel
from hwsim.sim.stage import StageAccount, StageTimes
from hwsim.sim.stats import Counter
from hwsim.sim.timeline import Sample, Slice

__all__ = ["Replay", "Replayed"]

R = TypeVar("R")
Machine: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...]]
"""What every channel holds, and what every component remembers."""


@dataclass(frozen=True)
class Replayed(Generic[R]):
    """What a piece of work gave: when it began, how long it took, and what its process returned."""

    start_fs: int
    elapsed_fs: int
    result: R


@dataclass(frozen=True)
class _Interval:
    start_fs: int
    elapsed_fs: int
    stages: tuple[StageTimes, ...]
    counts: tuple[Any, ...]
    drawn: tuple[list[Slice], list[Sample]]
    end_state: Machine | None
    result: Any


class Replay:
    """Runs pieces of work, each simulated at most once a state (or always, when ``enabled`` is false)."""

    def __init__(self, kernel: Kernel, *, enabled: bool = True) -> None:
        self._kernel = kernel
        self._enabled = enabled
        self._seen: dict[tuple[Hashable, Machine], _Interval] = {}
        self._stages: list[StageAccount] = []
        self._counters: list[Counter] = []

    def run(
        self, work: Hashable, simulate: Callable[[], Generator[Event, Any, R]]
    ) -> Generator[Event, Any, Replayed[R]]:
        """Do ``work``: by replay where that is exact, else by ``simulate()``.

        ``work`` must name all that ``simulate`` depends on besides the machine's state. What ``simulate``
        returns must not hold absolute times.
        """
        start = self._kernel.now
        state = self._state() if self._enabled else None
        if state is None:
            result = yield from simulate()
            return Replayed(start, self._kernel.now - start, result)
        interval = self._seen.get((work, state))
        if interval is None:
            interval = yield from self._record(simulate)
            if interval.end_state is not None:
                self._seen[work, state] = interval
        else:
            yield from self._apply(interval)
        return Replayed(start, interval.elapsed_fs, interval.result)

    def _state(self) -> Machine | None:
        """The machine's relative state, or None when something is under way."""
        kernel = self._kernel
        if not kernel.quiet or not all(c.at_rest() for c in kernel.components):
            return None
        contents = tuple(channel.contents() for channel in kernel.channels)
        if None in contents:
            return None
        return (contents, tuple(component.memory() for component in kernel.components))

    def _watch(self) -> tuple[tuple[StageTimes, ...], tuple[Any, ...]]:
        if not self._stages:
            components: list[Component[Any]] = self._kernel.components
            self._stages = [s for c in components for s in c.stages().values()]
            self._counters = [s for c in components for s in c.counters().values()]
        return tuple(s.times() for s in self._stages), tuple(c.value for c in self._counters)

    def _record(
        self, simulate: Callable[[], Generator[Event, Any, R]]
    ) -> Generator[Event, Any, _Interval]:
        kernel = self._kernel
        start, (stages, counts) = kernel.now, self._watch()
        timeline = kernel.timeline
        mark = timeline.mark() if timeline else None
        result = yield from simulate()
        stages_after, counts_after = self._watch()
        return _Interval(
            start_fs=start,
            elapsed_fs=kernel.now - start,
            stages=tuple(b - a for a, b in zip(stages, stages_after, strict=True)),
            counts=tuple(b - a for a, b in zip(counts, counts_after, strict=True)),
            drawn=timeline.since(mark) if timeline and mark else ([], []),
            end_state=self._state(),
            result=result,
        )

    def _apply(self, interval: _Interval) -> Generator[Event, Any, None]:
        kernel = self._kernel
        start, (stages, counts) = kernel.now, self._watch()
        yield kernel.wait(interval.elapsed_fs)
        for account, before, gained in zip(self._stages, stages, interval.stages, strict=True):
            account.replace(before + gained)
        for counter, value, gain in zip(self._counters, counts, interval.counts, strict=True):
            counter.value = value + gain
        if kernel.timeline:
            slices, samples = interval.drawn
            kernel.timeline.extend_shifted(slices, start - interval.start_fs, samples)
        if interval.end_state is not None:
            self._restore(*interval.end_state)

    def _restore(self, contents: tuple[Any, ...], memories: tuple[Any, ...]) -> None:
        for channel, items in zip(self._kernel.channels, contents, strict=True):
            channel.refill(items)
        for component, memory in zip(self._kernel.components, memories, strict=True):
            component.recall(memory)
