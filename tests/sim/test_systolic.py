"""A whole small component: a weight-stationary systolic array, double-buffered.

Ref: H. T. Kung, "Why Systolic Architectures?", IEEE Computer 15(1), 1982.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.sim import (
    Channel,
    Clock,
    Component,
    Counter,
    In,
    Kernel,
    Out,
    Process,
    Replay,
    StageAccount,
    StageTimes,
    connect,
)
from hwsim.sim.timeline import Timeline

MHZ = 10**6
PUBLISHED = (9, 1, 1)


@dataclass(frozen=True, kw_only=True)
class SystolicConfig:
    """Geometry, and the depth of the queues around it."""

    rows: int = 4
    columns: int = 4
    queue_tiles: int = 2

    @property
    def load_cycles(self) -> int:
        """Cycles to fill a weight bank, a row a cycle."""
        return self.rows

    @property
    def skew_cycles(self) -> int:
        """Cycles by which the last output lags its input."""
        return self.rows + self.columns - 2


@dataclass(frozen=True)
class Tile:
    """Rows of activations to stream through one bank of weights."""

    m: int


class SystolicTile(Component[SystolicConfig]):
    """Runs GEMM tiles, in order, on a double-buffered weight-stationary array.

    A lone tile takes ``load + m + skew`` cycles. Equal tiles settle at one per ``max(load, m)``.

    Ports
    -----
    jobs : In[Tile]
        Tiles to run.
    done : Out[Tile]
        Each tile once its last output has left the array, in the same order.

    Stats
    -----
    rows (1): streamed so far.
    """

    def __init__(self, kernel: Kernel, clk: Clock, cfg: SystolicConfig) -> None:
        super().__init__(kernel, "array", cfg)
        self.clk = clk
        # ports
        self.jobs: In[Tile] = In(self.name, "jobs")
        self.done: Out[Tile] = Out(self.name, "done")
        # state
        self._shadow: Channel[Tile] = Channel(kernel, "shadow", 1, ("load", "stream"))
        self._skewing: Channel[tuple[Tile, int]] = Channel(
            kernel, "skewing", cfg.skew_cycles, ("stream", "drain")
        )
        # stats
        self._stage = StageAccount(kernel)
        self.rows = Counter("1")

    def processes(self) -> Iterable[Process]:
        return self._load(), self._stream(), self._drain()

    def at_rest(self) -> bool:
        return all(c.awaited for c in (self.jobs.channel, self._shadow, self._skewing))

    def _load(self) -> Process:
        while True:
            yield self._shadow.space()  # hold a bank before spending cycles filling it
            tile = yield self.jobs.get()
            yield self.clk.wait(self.cfg.load_cycles)
            yield self._shadow.put(tile)

    def _stream(self) -> Process:
        while True:
            self._stage.enter("starved")
            tile = yield self._shadow.get()
            self._stage.enter("busy")
            start = self.kernel.now
            yield self.clk.wait(tile.m)
            self.rows.add(tile.m)
            if self.kernel.timeline is not None:
                self.kernel.timeline.slice(self.name, f"m={tile.m}", start, self.kernel.now)
            self._stage.enter("blocked")
            yield self._skewing.put((tile, self.clk.cycle + self.cfg.skew_cycles))

    def _drain(self) -> Process:
        while True:
            tile, last_output = yield self._skewing.get()
            yield self.clk.until(last_output)
            yield self.done.put(tile)


class UnreservedTile(SystolicTile):
    """The same without the reservation: the next weights are loaded into a bank in use."""

    def _load(self) -> Process:
        while True:
            tile = yield self.jobs.get()
            yield self.clk.wait(self.cfg.load_cycles)
            yield self._shadow.put(tile)


class Host(Component[None]):
    """Feeds tiles; :meth:`run` collects them."""

    def __init__(self, kernel: Kernel, clk: Clock) -> None:
        super().__init__(kernel, "host", None)
        self.clk = clk
        self.orders: Channel[tuple[int, ...]] = Channel(kernel, "orders", 1, ("run", "feed"))
        self.jobs: Out[Tile] = Out(self.name, "jobs")
        self.done: In[Tile] = In(self.name, "done")

    def processes(self) -> Iterable[Process]:
        return (self._feed(),)

    def at_rest(self) -> bool:
        return self.orders.awaited

    def _feed(self) -> Process:
        while True:
            sizes: tuple[int, ...] = yield self.orders.get()
            for m in sizes:
                yield self.jobs.put(Tile(m))

    def batch(self, sizes: tuple[int, ...]) -> Process:
        """Run a batch; gives the cycles, counted from its start, at which each tile finished."""
        start, finished = self.clk.cycle, []
        yield self.orders.put(sizes)
        for m in sizes:
            tile = yield self.done.get()
            assert tile.m == m
            finished.append(self.clk.cycle - start)
        return finished

    def run(self, replay: Replay, batches: list[tuple[int, ...]]) -> Process:
        """Run batches, one at a time."""
        results = []
        for sizes in batches:
            done = yield from replay.run(sizes, self.batch, sizes)
            results.append((done.start_fs, done.elapsed_fs, done.result))
        return results


@dataclass
class Found:
    """All that a run gives, and what it cost."""

    results: list[tuple[int, int, list[int]]]
    now: int
    stage: StageTimes
    rows: Any
    timeline: Timeline
    events: int

    def without_cost(self) -> tuple[Any, ...]:
        return self.results, self.now, self.stage, self.rows, self.timeline


def simulate(
    batches: list[tuple[int, ...]],
    *,
    kind: type[SystolicTile] = SystolicTile,
    cfg: SystolicConfig | None = None,
    frequency: int = 1000 * MHZ,
    replay: bool = False,
    seed: int | None = None,
) -> Found:
    cfg = cfg or SystolicConfig()
    kernel = Kernel(shuffle_ties=seed is not None, seed=seed or 0, timeline=Timeline())
    clk = Clock(kernel, frequency)
    array, host = kind(kernel, clk, cfg), Host(kernel, clk)
    connect(kernel, host.jobs, array.jobs, depth=cfg.queue_tiles)
    connect(kernel, array.done, host.done, depth=cfg.queue_tiles)
    results = kernel.run(host.run(Replay(kernel, enabled=replay), batches))
    timeline = kernel.timeline
    assert timeline is not None
    stage = array._stage.times()
    return Found(results, kernel.now, stage, array.rows.value, timeline, kernel.events)


def finish_cycles(sizes: tuple[int, ...], **how: Any) -> list[int]:
    return simulate([sizes], **how).results[0][2]


# Laws.


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 50))
def test_a_lone_tile_takes_load_and_stream_and_skew(rows: int, columns: int, m: int) -> None:
    cfg = SystolicConfig(rows=rows, columns=columns + 1)

    assert finish_cycles((m,), cfg=cfg) == [rows + m + (rows + columns - 1)]


@given(st.integers(1, 20))
def test_equal_tiles_settle_at_the_slower_of_load_and_stream(m: int) -> None:
    finished = finish_cycles((m,) * 10)

    assert [b - a for a, b in itertools.pairwise(finished[4:])] == [max(4, m)] * 5


def test_tiles_of_9_1_1_rows_on_a_4x4_array_finish_at_cycles_19_20_24() -> None:
    assert finish_cycles(PUBLISHED) == [19, 20, 24]


def test_without_reserving_the_bank_the_third_would_finish_at_21() -> None:
    assert finish_cycles(PUBLISHED, kind=UnreservedTile) == [19, 20, 21]


# Determinism.


@pytest.mark.parametrize("seed", range(30))
def test_the_result_ignores_the_order_of_simultaneous_events(seed: int) -> None:
    batches = [PUBLISHED, (4, 4, 4, 4, 4, 4), (1,) * 12, (8, 1, 8, 1, 16, 2, 1, 1)]
    expected = simulate(batches).without_cost()

    assert simulate(batches, seed=seed).without_cost() == expected
    assert simulate(batches, seed=seed, replay=True).without_cost() == expected


def test_the_stage_account_adds_up_to_the_elapsed_time() -> None:
    found = simulate([PUBLISHED, (3, 3)], frequency=225 * MHZ)

    assert found.stage.total == found.now
    assert found.stage.busy > 0
    assert found.rows == 17


# Replay.


@pytest.mark.parametrize("frequency", [1000 * MHZ, 225 * MHZ, 1400 * MHZ, 333_333_333])
@given(batches=st.lists(st.sampled_from([PUBLISHED, (4, 4), (1,), (2, 7, 2)]), max_size=30))
def test_replay_is_exact_at_any_clock(frequency: int, batches: list[tuple[int, ...]]) -> None:
    simulated = simulate(batches, frequency=frequency)
    replayed = simulate(batches, frequency=frequency, replay=True)

    assert replayed.without_cost() == simulated.without_cost()


def test_replay_saves_events_once_each_phase_of_the_clock_has_been_seen() -> None:
    """At 1 GHz every edge is alike; at 225 MHz there are nine kinds, and 24 cycles go round three.

    A replayed batch costs one event.
    """
    batches = [PUBLISHED] * 100
    for frequency, recorded in ((1000 * MHZ, 1), (225 * MHZ, 3)):
        once = simulate([PUBLISHED], frequency=frequency).events
        again = simulate([PUBLISHED] * 2, frequency=frequency).events - once
        replayed = simulate(batches, frequency=frequency, replay=True).events

        assert replayed == once + (recorded - 1) * again + (100 - recorded)


def test_replay_that_ignored_the_phase_of_the_clock_would_be_inexact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = [PUBLISHED] * 20
    simulated = simulate(batches, frequency=225 * MHZ)
    monkeypatch.setattr(Clock, "phase", 0)
    replayed = simulate(batches, frequency=225 * MHZ, replay=True)

    assert replayed.now != simulated.now
