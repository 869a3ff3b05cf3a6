"""Exact replay: when it may, when it must not, and that nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import DeadlockError
from hwsim.sim import (
    Channel,
    Component,
    Counter,
    In,
    Kernel,
    Out,
    Process,
    Replay,
    Replayed,
    StageAccount,
    StageTimes,
    connect,
)
from hwsim.sim.timeline import Timeline


class Worker(Component[None]):
    """Takes as long for a job as its register, which stands in a channel, says.

    After a job of ``n`` the register, modulo ``modulus``, has grown by ``n``.

    Ports
    -----
    jobs : In[int]
        What to add to the register.
    done : Out[int]
        What the register was.
    """

    def __init__(self, kernel: Kernel, modulus: int = 3) -> None:
        super().__init__(kernel, "worker", None)
        self.modulus = modulus
        # ports
        self.jobs: In[int] = In(self.name, "jobs")
        self.done: Out[int] = Out(self.name, "done")
        # state
        self._register: Channel[int] = Channel(kernel, "register", 1, ("add", "add"))
        self._register.refill((0,))
        # stats
        self._stage = StageAccount(kernel)
        self.added = Counter("1")

    def processes(self) -> Iterable[Process]:
        return (self._run(),)

    def at_rest(self) -> bool:
        return self.jobs.channel.awaited

    def _run(self) -> Process:
        while True:
            job = yield self.jobs.get()
            self._stage.enter("busy")
            value = yield self._register.get()
            start = self.kernel.now
            yield self.kernel.wait(10 + value)
            self._draw(f"add {job}", start)
            self.added.add(job)
            yield self._register.put((value + job) % self.modulus)
            self._stage.enter(self.resting_state(job))
            yield self.done.put(value)

    def _draw(self, name: str, start_fs: int) -> None:
        if self.kernel.timeline is not None:
            self.kernel.timeline.slice(self.name, name, start_fs, self.kernel.now)
            self.kernel.timeline.counter(self.name, "added", self.kernel.now, 1)

    def resting_state(self, job: int) -> Any:
        """Where it waits for its next job."""
        return "starved" if job % 2 else "idle"


class RememberingWorker(Worker):
    """Takes a femtosecond longer for each of its last few jobs, as an attribute of its own says."""

    def __init__(self, kernel: Kernel, modulus: int = 3) -> None:
        super().__init__(kernel, modulus)
        self._worn = 0

    def _run(self) -> Process:
        while True:
            job = yield self.jobs.get()
            yield self.kernel.wait(10 + self._worn)
            self._worn = (self._worn + job) % self.modulus
            yield self.done.put(self._worn)

    def memory(self) -> Hashable:
        return self._worn

    def recall(self, memory: Hashable) -> None:
        assert isinstance(memory, int)
        self._worn = memory


class ForgetfulWorker(RememberingWorker):
    """Doesn't tell what it remembers."""

    memory = Component.memory
    recall = Component.recall


class RestlessWorker(Worker):
    """Never says that it is at rest."""

    at_rest = Component.at_rest


@dataclass
class Found:
    """All that a run gives, and what it cost."""

    results: Any
    now: int
    stage: StageTimes
    counters: dict[str, Any]
    timeline: Timeline | None
    events: int

    def without_cost(self) -> tuple[Any, ...]:
        return self.results, self.now, self.stage, self.counters, self.timeline


Body = Callable[["Bench"], Process]


class Bench:
    """A worker, its two ports as main holds them, and a replay."""

    def __init__(self, kind: type[Worker], *, modulus: int, replay: bool, **how: Any) -> None:
        self.kernel = Kernel(timeline=Timeline(), **how)
        self.worker = kind(self.kernel, modulus)
        self.replay = Replay(self.kernel, enabled=replay)
        self.jobs: Out[int] = Out("main", "jobs")
        self.done: In[int] = In("main", "done")
        connect(self.kernel, self.jobs, self.worker.jobs, depth=2)
        connect(self.kernel, self.worker.done, self.done, depth=2)

    def job(self, n: int) -> Process:
        """One job; gives what the register was."""
        yield self.jobs.put(n)
        return (yield self.done.get())

    def found(self, main: Process) -> Found:
        results = self.kernel.run(main)
        counters = {name: c.value for name, c in self.worker.counters().items()}
        stage = self.worker._stage.times()
        timeline = self.kernel.timeline
        return Found(results, self.kernel.now, stage, counters, timeline, self.kernel.events)


def run(
    main: Body, kind: type[Worker] = Worker, *, modulus: int = 3, replay: bool = True, **how: Any
) -> Found:
    bench = Bench(kind, modulus=modulus, replay=replay, **how)
    return bench.found(main(bench))


def jobs(sizes: list[int], gap_fs: int = 0) -> Body:
    """Each job a piece of work."""

    def main(bench: Bench) -> Process:
        done = []
        for n in sizes:
            piece: Replayed[int] = yield from bench.replay.run(n, bench.job, n)
            done.append((piece.start_fs, piece.elapsed_fs, piece.result))
            if gap_fs:
                yield bench.kernel.wait(gap_fs)
        return done

    return main


JOBS = st.lists(st.integers(0, 3), max_size=30)


# It is exact.


@pytest.mark.parametrize("kind", [Worker, RememberingWorker, RestlessWorker])
@given(sizes=JOBS, modulus=st.integers(1, 4), gap_fs=st.integers(0, 3))
def test_replay_equals_simulation(
    kind: type[Worker], sizes: list[int], modulus: int, gap_fs: int
) -> None:
    main = jobs(sizes, gap_fs)
    simulated = run(main, kind, modulus=modulus, replay=False)

    assert run(main, kind, modulus=modulus).without_cost() == simulated.without_cost()


@given(sizes=JOBS, seed=st.integers(0, 10))
def test_replay_equals_simulation_under_shuffled_ties(sizes: list[int], seed: int) -> None:
    shuffled = run(jobs(sizes), shuffle_ties=True, seed=seed)

    assert shuffled.without_cost() == run(jobs(sizes), replay=False).without_cost()


def test_replay_makes_the_accounts_counters_and_timeline_of_what_it_skips() -> None:
    """Ten jobs of 6 leave the register as it was: 10 fs each, one simulated."""
    found = run(jobs([6] * 10))

    assert found.results == [(10 * i, 10, 0) for i in range(10)]
    assert found.now == 100
    assert found.stage == StageTimes(busy=100)
    assert found.counters == {"added": 60}
    assert found.timeline is not None
    assert found.timeline.slices == [
        ("worker", "add 6", 10 * i, 10 * i + 10, None) for i in range(10)
    ]
    assert found.timeline.samples == [("worker", "added", 10 * i + 10, 1) for i in range(10)]


def test_a_replayed_piece_costs_one_event() -> None:
    one, ten = run(jobs([6])).events, run(jobs([6] * 10)).events

    assert ten - one == 9
    assert run(jobs([6] * 10), replay=False).events - one == 9 * 3


def test_replay_switched_off_simulates_everything() -> None:
    bench = Bench(Worker, modulus=3, replay=False)
    simulated = 0

    def job() -> Process:
        nonlocal simulated
        simulated += 1
        return (yield from bench.job(3))

    def main() -> Process:
        for _ in range(5):
            yield from bench.replay.run("job", job)

    bench.found(main())
    assert simulated == 5


# It nests.


def steps(shape: list[list[int]]) -> Body:
    """Each step a piece of work made of jobs, each a piece of work."""

    def step(bench: Bench, sizes: list[int]) -> Process:
        start, ends = bench.kernel.now, []
        for n in sizes:
            piece: Replayed[int] = yield from bench.replay.run(n, bench.job, n)
            ends.append((piece.start_fs - start, piece.result))
        return ends

    def main(bench: Bench) -> Process:
        done = []
        for sizes in shape:
            piece = yield from bench.replay.run(("step", *sizes), step, bench, sizes)
            done.append((piece.start_fs, piece.elapsed_fs, piece.result))
        return done

    return main


@given(
    shape=st.lists(st.sampled_from([[1, 2], [3], [1], [2, 2, 2], []]), max_size=20),
    modulus=st.integers(1, 3),
)
def test_nested_replay_equals_simulation(shape: list[list[int]], modulus: int) -> None:
    simulated = run(steps(shape), modulus=modulus, replay=False)

    assert run(steps(shape), modulus=modulus).without_cost() == simulated.without_cost()


def test_a_step_of_replayed_parts_is_replayed_whole() -> None:
    """The first step simulates one job and replays four; each later step is one event."""
    one, ten = run(steps([[6] * 5])).events, run(steps([[6] * 5] * 10)).events

    assert one == run(jobs([6])).events + 4
    assert ten - one == 9


# It looks at all of the state.


def simulations(sizes: list[int], kind: type[Worker] = Worker, modulus: int = 3) -> int:
    """How many of the jobs were simulated."""
    bench = Bench(kind, modulus=modulus, replay=True)
    simulated = []

    def job(n: int) -> Process:
        simulated.append(n)
        return (yield from bench.job(n))

    def main() -> Process:
        for n in sizes:
            yield from bench.replay.run(n, job, n)

    bench.found(main())
    return len(simulated)


def test_equal_work_from_equal_state_is_simulated_once() -> None:
    assert simulations([6] * 10) == 1


def test_work_is_not_replayed_when_a_stage_rests_in_another_state() -> None:
    """After a job of 3 the stage is starved, not idle as at the start."""
    assert simulations([3] * 10) == 2
    assert simulations([3, 3, 6, 3, 3]) == 3


def test_other_work_is_not_replayed() -> None:
    assert simulations([6, 12, 6, 12]) == 2


def test_work_is_not_replayed_when_a_channel_holds_something_else() -> None:
    """The register goes 0, 1, 2, 0 and so on; with the first resting state that makes four."""
    assert simulations([1] * 12) == 4


def test_replay_that_ignored_what_channels_hold_would_be_inexact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated = run(jobs([1] * 12), replay=False)
    assert run(jobs([1] * 12)).without_cost() == simulated.without_cost()

    refill = Channel.refill
    monkeypatch.setattr(Channel, "contents", lambda _: ())
    monkeypatch.setattr(Channel, "refill", lambda c, items: refill(c, items) if items else None)
    assert run(jobs([1] * 12)).now != simulated.now


def test_work_is_not_replayed_when_a_component_remembers_something_else() -> None:
    assert simulations([1] * 12, RememberingWorker) == 3
    assert simulations([3] * 12, RememberingWorker) == 1


def test_replay_that_ignored_memory_would_be_inexact() -> None:
    simulated = run(jobs([1] * 12), ForgetfulWorker, replay=False)

    assert run(jobs([1] * 12), RememberingWorker).now == simulated.now
    assert run(jobs([1] * 12), ForgetfulWorker).now != simulated.now


def test_work_is_not_replayed_when_a_component_is_not_at_rest() -> None:
    assert simulations([6] * 10, RestlessWorker) == 10


def test_work_is_not_replayed_while_something_is_under_way() -> None:
    """A piece that ends before the machine does is not repeated from the next one's start."""
    bench = Bench(Worker, modulus=3, replay=True)
    simulated = []

    def hand_in() -> Process:
        simulated.append(bench.kernel.now)
        yield bench.jobs.put(6)

    def main() -> Process:
        for _ in range(4):
            yield from bench.replay.run("hand in", hand_in)
        for _ in range(4):
            yield bench.done.get()

    assert bench.found(main()).now == 40
    assert len(simulated) == 4


def test_work_is_not_replayed_while_an_event_is_scheduled() -> None:
    """A timer that nobody waits for yet, and that no component tells of."""
    kernel = Kernel()
    ticks: Channel[None] = Channel(kernel, "ticks", 1, ("timer", "main"))
    replay = Replay(kernel)

    class Timer(Component[None]):
        def processes(self) -> Iterable[Process]:
            return (self._run(),)

        def at_rest(self) -> bool:
            return True

        def _run(self) -> Process:
            for period_fs in (10, 20, 30):
                yield kernel.wait(period_fs)
                yield ticks.put(None)

    def tick() -> Process:
        yield ticks.get()
        yield kernel.wait(1)

    def main() -> Process:
        ends = []
        for _ in range(3):
            yield from replay.run("tick", tick)
            ends.append(kernel.now)
        return ends

    Timer(kernel, "timer", None)
    assert kernel.run(main()) == [11, 31, 61]


def test_work_is_not_replayed_while_a_producer_waits_for_room() -> None:
    """Between two pieces the source's next item is in no channel: it waits beside a full one."""
    kernel = Kernel()
    channel: Channel[int] = Channel(kernel, "a -> b", 1, ("a", "b"))
    replay = Replay(kernel)
    simulated = []

    class Source(Component[None]):
        def processes(self) -> Iterable[Process]:
            return (self._run(),)

        def at_rest(self) -> bool:
            return True

        def _run(self) -> Process:
            for n in range(5):
                yield channel.put(n)

    def take() -> Process:
        simulated.append((yield channel.get()))
        yield kernel.wait(1)

    def main() -> Process:
        yield kernel.wait(1)
        for _ in range(5):
            yield from replay.run("take", take)

    Source(kernel, "source", None)
    kernel.run(main())
    assert simulated == [0, 1, 2, 3, 4]


class PingPong(Component[None]):
    """Serves its two ports in turn; says that it is at rest at either."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "pingpong", None)
        self.ping: In[int] = In(self.name, "ping")
        self.pong: In[int] = In(self.name, "pong")
        self.done: Out[int] = Out(self.name, "done")

    def processes(self) -> Iterable[Process]:
        return (self._run(),)

    def at_rest(self) -> bool:
        return self.ping.channel.awaited or self.pong.channel.awaited

    def _run(self) -> Process:
        while True:
            for port in (self.ping, self.pong):
                yield self.kernel.wait((yield port.get()))
                yield self.done.put(0)


@pytest.mark.parametrize("replay", [True, False])
def test_a_piece_that_leaves_a_process_waiting_elsewhere_is_not_replayed(replay: bool) -> None:
    """A process can't be moved: after a replayed ping it would still wait for a ping."""
    kernel = Kernel()
    component = PingPong(kernel)
    ports = {"ping": Out[int]("main", "ping"), "pong": Out[int]("main", "pong")}
    done: In[int] = In("main", "done")
    for name, port in ports.items():
        connect(kernel, port, getattr(component, name), depth=1)
    connect(kernel, component.done, done, depth=1)
    books = Replay(kernel, enabled=replay)

    def serve(name: str, delay_fs: int) -> Process:
        yield ports[name].put(delay_fs)
        yield done.get()

    def both() -> Process:
        yield from serve("ping", 1)
        yield from serve("pong", 1)

    def main() -> Process:
        for name, delay_fs in [("ping", 1), ("pong", 2), ("ping", 1), ("pong", 5)]:
            yield from books.run((name, delay_fs), serve, name, delay_fs)
        for _ in range(10):
            yield from books.run("both", both)

    kernel.run(main())
    assert kernel.now == 1 + 2 + 1 + 5 + 10 * 2
    assert (kernel.events < 40) == replay


def test_a_deadlock_in_the_work_is_a_deadlock_of_the_run() -> None:
    bench = Bench(Worker, modulus=3, replay=True)

    def take_two() -> Process:
        yield from bench.job(3)
        yield bench.done.get()

    def main() -> Process:
        yield from bench.replay.run("two", take_two)

    with pytest.raises(DeadlockError, match=r"main\.done waits to get from worker\.done"):
        bench.found(main())
