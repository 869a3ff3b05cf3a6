"""Channels and ports: in order, bounded, back-pressured, one producer and one consumer."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ProtocolError
from hwsim.sim import Channel, Component, Event, In, Kernel, Out, Process, connect

Body = Callable[[], Process]


class Stage(Component[None]):
    """A component of given processes."""

    def __init__(self, kernel: Kernel, *bodies: Body) -> None:
        super().__init__(kernel, "stage", None)
        self.bodies = bodies

    def processes(self) -> list[Process]:
        return [body() for body in self.bodies]


def channel_of(kernel: Kernel, depth: int) -> Channel[int]:
    return Channel(kernel, "a -> b", depth, ("a", "b"))


@given(
    depth=st.integers(1, 4),
    make=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    use=st.integers(0, 5),
    seed=st.integers(0, 3),
)
def test_items_leave_in_the_order_they_came_and_never_more_than_the_depth_are_held(
    depth: int, make: list[int], use: int, seed: int
) -> None:
    kernel = Kernel(shuffle_ties=True, seed=seed)
    channel = channel_of(kernel, depth)

    def produce() -> Process:
        for number, delay in enumerate(make):
            yield kernel.wait(delay)
            yield channel.put(number)
            assert len(channel) <= depth

    def consume() -> Process:
        taken = []
        for _ in make:
            taken.append((yield channel.get()))
            yield kernel.wait(use)
        return taken

    Stage(kernel, produce)
    assert kernel.run(consume()) == list(range(len(make)))


def test_a_producer_is_held_back_by_a_full_channel() -> None:
    """Two items fit; the third waits for the first to be taken, at 100; and so on."""
    kernel = Kernel()
    channel = channel_of(kernel, 2)
    granted: list[int] = []

    def produce() -> Process:
        for number in range(4):
            yield channel.put(number)
            granted.append(kernel.now)

    def consume() -> Process:
        for _ in range(4):
            yield kernel.wait(100)
            yield channel.get()

    Stage(kernel, produce)
    kernel.run(consume())
    assert granted == [0, 0, 100, 200]


def test_a_consumer_is_held_back_by_an_empty_channel() -> None:
    kernel = Kernel()
    channel = channel_of(kernel, 2)

    def produce() -> Process:
        for number in range(3):
            yield kernel.wait(100)
            yield channel.put(number)

    def consume() -> Process:
        seen = []
        for _ in range(3):
            item = yield channel.get()
            seen.append((item, kernel.now))
        return seen

    Stage(kernel, produce)
    assert kernel.run(consume()) == [(0, 100), (1, 200), (2, 300)]


def test_an_item_put_while_the_consumer_waits_is_in_its_hands_and_takes_no_room() -> None:
    kernel = Kernel()
    channel = channel_of(kernel, 1)

    def consume() -> Process:
        first = yield channel.get()
        return [first, (yield channel.get())]

    def produce() -> Process:
        yield kernel.wait(5)
        assert channel.awaited is True
        assert channel.put(7) is kernel.granted()
        assert not channel.awaited
        assert len(channel) == 0
        assert channel.put(8) is kernel.granted()
        assert len(channel) == 1

    Stage(kernel, produce)
    assert kernel.run(consume()) == [7, 8]


def test_none_is_an_item_like_any_other() -> None:
    kernel = Kernel()
    tokens: Channel[None] = Channel(kernel, "tokens", 4, ("a", "b"))

    def main() -> Process:
        for _ in range(3):
            yield tokens.put(None)
        for _ in range(3):
            assert (yield tokens.get()) is None
        return len(tokens)

    assert kernel.run(main()) == 0


def test_space_is_granted_when_an_item_would_fit_and_keeps_it_for_the_producer() -> None:
    kernel = Kernel()
    channel = channel_of(kernel, 1)
    granted: list[int] = []

    def produce() -> Process:
        for number in range(3):
            yield channel.space()
            granted.append(kernel.now)
            yield kernel.wait(10)
            yield channel.put(number)

    def consume() -> Process:
        yield kernel.wait(100)
        for _ in range(3):
            yield channel.get()
            yield kernel.wait(50)

    Stage(kernel, produce)
    kernel.run(consume())
    assert granted == [0, 100, 150]


def wait_twice(wait: Callable[[Channel[int]], Event], *, full: bool) -> None:
    kernel = Kernel()
    channel = channel_of(kernel, 1)

    def one() -> Process:
        yield wait(channel)

    def main() -> Process:
        if full:
            yield channel.put(0)
        yield kernel.wait(100)

    Stage(kernel, lambda: _after(kernel, one()), lambda: _after(kernel, one()))
    kernel.run(main())


def _after(kernel: Kernel, process: Process) -> Generator[Event, Any, None]:
    yield kernel.wait(1)
    yield from process


@pytest.mark.parametrize("wait", [lambda c: c.put(1), lambda c: c.space()], ids=["put", "space"])
def test_two_producers_are_refused(wait: Callable[[Channel[int]], Event]) -> None:
    message = "channel a -> b: two producers wait; join by a component"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        wait_twice(wait, full=True)


def test_two_consumers_are_refused() -> None:
    message = "channel a -> b: two consumers wait; split by a component"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        wait_twice(lambda channel: channel.get(), full=False)


def test_a_depth_is_at_least_one() -> None:
    message = "channel a -> b: depth must be at least 1, got 0"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        channel_of(Kernel(), 0)


def test_an_unconnected_port_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"^port mac\.tiles is not connected$"):
        In[int]("mac", "tiles").get()


def test_a_port_is_connected_once() -> None:
    kernel = Kernel()
    out, one, other = Out[int]("mac", "sums"), In[int]("a", "sums"), In[int]("b", "sums")
    connect(kernel, out, one, depth=1)

    with pytest.raises(ProtocolError, match=r"^port mac\.sums is connected twice$"):
        connect(kernel, out, other, depth=1)


def test_ports_hand_over_through_their_channel() -> None:
    kernel = Kernel()
    out, into = Out[int]("a", "out"), In[int]("b", "into")
    channel = connect(kernel, out, into, depth=3)

    def main() -> Process:
        yield out.space()
        yield out.put(1)
        return (yield into.get())

    assert channel.name == "a.out -> b.into"
    assert kernel.run(main()) == 1


def test_a_channel_is_refilled_with_start_tokens() -> None:
    kernel = Kernel()
    channel = channel_of(kernel, 2)
    channel.refill((1, 2))

    assert channel.contents() == (1, 2)
    message = "channel a -> b: must hold at most 2 items, got 3"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        channel.refill((1, 2, 3))


def test_a_channel_is_not_refilled_under_somebody_who_waits() -> None:
    message = re.escape("channel a -> b: must not be refilled while somebody waits")
    empty, full = channel_of(Kernel(), 1), channel_of(Kernel(), 1)
    empty.get()
    full.put(1)
    full.put(2)

    assert full.contents() is None
    empty.refill(())
    with pytest.raises(ProtocolError, match=f"^{message}$"):
        empty.refill((1,))
    with pytest.raises(ProtocolError, match=f"^{message}$"):
        full.refill(())
