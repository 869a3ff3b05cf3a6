"""The kernel: time, events, the end of a run and what goes wrong before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pydantic
import pytest

from hwsim.errors import (
    ConfigError,
    DeadlockError,
    HwsimError,
    InvariantError,
    MissingToolError,
    Problem,
    ProtocolError,
    WorkloadError,
)
from hwsim.sim import Channel, Component, Counter, In, Kernel, Out, Process, connect


class Block(Component[None]):
    """A component of given processes."""

    def __init__(self, kernel: Kernel, *bodies: Callable[[], Process], name: str = "block") -> None:
        super().__init__(kernel, name, None)
        self.bodies = bodies

    def processes(self) -> list[Process]:
        return [body() for body in self.bodies]


class Relay(Component[None]):
    """Takes, works, hands on."""

    def __init__(self, kernel: Kernel, name: str, delay_fs: int) -> None:
        super().__init__(kernel, name, None)
        self.delay_fs = delay_fs
        self.into: In[int] = In(name, "into")
        self.out: Out[int] = Out(name, "out")

    def processes(self) -> list[Process]:
        return [self._run()]

    def _run(self) -> Process:
        while True:
            item = yield self.into.get()
            yield self.kernel.wait(self.delay_fs)
            yield self.out.put(item)


@pytest.mark.parametrize("delay", [1.0, 0.0, True, Fraction(1), "1"])
def test_time_is_an_int_of_femtoseconds(delay: object) -> None:
    message = f"delay must be an int of femtoseconds, got {delay!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Kernel().wait(delay)  # type: ignore[arg-type]


def test_time_does_not_go_backwards() -> None:
    with pytest.raises(ValueError, match="Negative delay -1"):
        Kernel().wait(-1)


def test_time_stays_exact_beyond_what_a_float_holds() -> None:
    kernel = Kernel()

    def main() -> Process:
        yield kernel.wait(10**20)
        yield kernel.wait(1)

    kernel.run(main())
    assert kernel.now == 10**20 + 1
    assert type(kernel.now) is int


def test_a_run_gives_what_main_returned() -> None:
    def main() -> Process:
        return 42
        yield

    assert Kernel().run(main()) == 42


def test_every_event_that_happens_is_counted_and_asking_is_none() -> None:
    """One to start a process, one a wait, one a hand-over to somebody waiting, one to end."""
    kernel = Kernel()

    def main() -> Process:
        counts = [kernel.events, kernel.events]
        for _ in range(3):
            yield kernel.wait(1)
            counts.append(kernel.events)
        yield kernel.granted("at no event's cost")
        counts.append(kernel.events)
        return counts

    assert kernel.events == 0
    assert kernel.run(main()) == [1, 1, 2, 3, 4, 4]
    assert kernel.events == 5


def order_of_ten_at_once(**how: Any) -> list[int]:
    kernel = Kernel(**how)
    order: list[int] = []

    def wake(number: int) -> Process:
        yield kernel.wait(5)
        order.append(number)

    def main() -> Process:
        yield kernel.wait(6)

    for number in range(10):
        Block(kernel, lambda number=number: wake(number))  # type: ignore[misc]
    kernel.run(main())
    return order


def test_shuffled_ties_come_in_an_order_that_the_seed_decides() -> None:
    orders = [order_of_ten_at_once(shuffle_ties=True, seed=seed) for seed in range(5)]

    assert order_of_ten_at_once() == list(range(10))
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert orders[3] == order_of_ten_at_once(shuffle_ties=True, seed=3)


def test_what_is_due_when_main_returns_still_happens() -> None:
    """Whatever the order of the events of that instant, the counter holds."""
    for seed in range(10):
        kernel = Kernel(shuffle_ties=True, seed=seed)
        counted = Counter("1")

        def count(kernel: Kernel = kernel, counted: Counter = counted) -> Process:
            yield kernel.wait(10)
            yield kernel.wait(0)
            counted.add(1)
            yield kernel.wait(1)
            counted.add(100)

        def main(kernel: Kernel = kernel) -> Process:
            yield kernel.wait(10)

        Block(kernel, count)
        kernel.run(main())
        assert (kernel.now, counted.value) == (10, 1)


# Errors.


class OddError(Exception):
    """Can't be made from its ``args``."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


def a_validation_error() -> Exception:
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("many")
    return caught.value


PROBLEMS = [
    Problem("x.toml", "clock", "must be positive", 0),
    Problem("--set", "cores", "must be at least 1", 0),
]
ERRORS = [
    ConfigError(PROBLEMS),
    WorkloadError("layers.3.q_proj: k must be a multiple of 16, got 7"),
    ProtocolError("buffer A: instruction 7 overwrites 64 bytes"),
    InvariantError("MACs do not add up"),
    MissingToolError("verilator is not installed"),
    DeadlockError("a component's own"),
    RuntimeError("a component's own"),
    KeyError("key"),
    OddError(code=3),
    a_validation_error(),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["component", "main", "component at the start"])
def test_an_exception_in_a_process_surfaces_as_itself(error: BaseException, where: str) -> None:
    kernel = Kernel()
    text = str(error)

    def fail() -> Process:
        yield kernel.wait(0 if where.endswith("start") else 3)
        raise error

    def wait_for_ever() -> Process:
        yield kernel.event()

    Block(kernel, wait_for_ever if where == "main" else fail)
    with pytest.raises(type(error)) as caught:
        kernel.run(fail() if where == "main" else wait_for_ever())
    assert caught.value is error
    assert str(caught.value) == text
    assert "fail" in [entry.name for entry in caught.traceback]


def test_a_config_error_keeps_its_problems_through_the_kernel() -> None:
    def main() -> Process:
        raise ConfigError(PROBLEMS)
        yield

    with pytest.raises(HwsimError) as caught:
        Kernel().run(main())
    assert isinstance(caught.value, ConfigError)
    assert caught.value.problems == tuple(PROBLEMS)
    assert str(caught.value) == (
        "x.toml: clock must be positive, got 0\n--set: cores must be at least 1, got 0"
    )


def test_a_runtime_error_of_the_last_thing_to_happen_is_no_deadlock() -> None:
    """The queue is empty and main has not returned: as in a deadlock, but it is none."""
    kernel = Kernel()

    def fail() -> Process:
        yield kernel.wait(1)
        raise RuntimeError("No scheduled events left")

    def main() -> Process:
        yield kernel.event()

    Block(kernel, fail)
    with pytest.raises(RuntimeError, match=r"^No scheduled events left$"):
        kernel.run(main())


def test_yielding_what_is_no_event_is_an_error_of_the_process() -> None:
    def main() -> Process:
        yield 3  # type: ignore[misc]

    with pytest.raises(RuntimeError, match='Invalid yield value "3"'):
        Kernel().run(main())


# Deadlock.


@pytest.mark.parametrize("seed", range(5))
def test_a_deadlock_names_who_waits_on_which_port(seed: int) -> None:
    """Main puts four items and reads none back: both relays end up full, and so does main."""
    kernel = Kernel(shuffle_ties=True, seed=seed)
    one, other = Relay(kernel, "dma", 7), Relay(kernel, "mac", 5)
    into: Out[int] = Out("host", "tiles")
    back: In[int] = In("host", "sums")
    connect(kernel, into, one.into, depth=1)
    connect(kernel, one.out, other.into, depth=1)
    connect(kernel, other.out, back, depth=2)

    def main() -> Process:
        for n in range(8):
            yield into.put(n)

    with pytest.raises(DeadlockError) as caught:
        kernel.run(main())
    assert str(caught.value) == (
        "deadlock at 35 fs: nothing is left to happen, and the work is not done\n"
        "  host.tiles waits to put to dma.into (host.tiles -> dma.into is full: 1 items)\n"
        "  dma.out waits to put to mac.into (dma.out -> mac.into is full: 1 items)\n"
        "  mac.out waits to put to host.sums (mac.out -> host.sums is full: 2 items)"
    )


def test_a_run_that_stops_early_names_what_it_waits_for() -> None:
    kernel = Kernel()
    relay = Relay(kernel, "mac", 5)
    into: Out[int] = Out("host", "tiles")
    back: In[int] = In("host", "sums")
    connect(kernel, into, relay.into, depth=1)
    connect(kernel, relay.out, back, depth=1)

    def main() -> Process:
        yield into.put(1)
        yield back.get()
        yield back.get()

    with pytest.raises(DeadlockError) as caught:
        kernel.run(main())
    assert str(caught.value) == (
        "deadlock at 5 fs: nothing is left to happen, and the work is not done\n"
        "  mac.into waits to get from host.tiles (host.tiles -> mac.into is empty)\n"
        "  host.sums waits to get from mac.out (mac.out -> host.sums is empty)"
    )


# Nothing in flight at the end.


def test_work_left_in_flight_is_an_error_that_names_the_channel() -> None:
    kernel = Kernel()
    full: Channel[str] = Channel(kernel, "a -> b", 1, ("a", "b"))
    tokens: Channel[int] = Channel(kernel, "b -> a", 2, ("b", "a"))
    kept: Channel[int] = Channel(kernel, "c -> d", 2, ("c", "d"))
    tokens.refill((1,))
    kept.refill((1,))

    def main() -> Process:
        yield tokens.get()
        yield full.put("tile")
        yield kernel.wait(9)

    with pytest.raises(InvariantError) as caught:
        kernel.run(main())
    assert str(caught.value) == (
        "work is left in flight at 9 fs, when the run ends\n"
        "  a -> b: 1 items, 0 at the start\n"
        "  b -> a: 0 items, 1 at the start"
    )


def test_a_producer_still_waiting_at_the_end_is_work_in_flight() -> None:
    kernel = Kernel()
    full: Channel[int] = Channel(kernel, "a -> b", 1, ("a", "b"))

    def produce() -> Process:
        yield full.put(1)
        yield full.put(2)

    def main() -> Process:
        yield kernel.wait(1)

    Block(kernel, produce)
    with pytest.raises(InvariantError, match="a -> b: 2 items, 0 at the start"):
        kernel.run(main())
