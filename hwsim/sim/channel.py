"""Ports and the bounded channels that join them.

A channel joins one ``Out`` to one ``In``: first in, first out, of a fixed depth, back-pressured.
With one producer and one consumer a channel each, what a run computes does not depend on the order
of simultaneous events (a Kahn process network with bounded buffers); a shared resource is a
component that arbitrates.

Ref: G. Kahn, "The semantics of a simple language for parallel programming", IFIP 1974.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from hwsim.errors import ProtocolError
from hwsim.sim.kernel import Event, Kernel

__all__ = ["Channel", "In", "Out", "connect"]

T = TypeVar("T")


class Channel(Generic[T]):
    """A FIFO of at most ``depth`` items between one producer and one consumer.

    Made by :func:`connect` between components, and directly between two stages of one.
    ``ends`` are the names of producer and consumer.
    """

    def __init__(self, kernel: Kernel, name: str, depth: int, ends: tuple[str, str]) -> None:
        if depth < 1:
            raise ProtocolError(f"channel {name}: depth must be at least 1, got {depth}")
        self._kernel = kernel
        self.name = name
        self.depth = depth
        self._ends = ends
        self._items: deque[T] = deque()
        self._getter: Event | None = None
        self._putter: tuple[Event, tuple[T, ...]] | None = None
        kernel.channels.append(self)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def awaited(self) -> bool:
        """Whether the consumer stands waiting at the empty channel."""
        return self._getter is not None

    @property
    def in_flight(self) -> int:
        """Items between producer and consumer: held here, or offered until there is room."""
        return len(self._items) + (len(self._putter[1]) if self._putter is not None else 0)

    def put(self, item: T) -> Event:
        """Hand over ``item``; the event happens when there is room for it."""
        if self._getter is not None:
            getter, self._getter = self._getter, None
            getter.succeed(item)
            return self._kernel.granted()
        if len(self._items) < self.depth:
            self._items.append(item)
            return self._kernel.granted()
        return self._wait_for_room((item,))

    def space(self) -> Event:
        """The event happens when there is room for an item, which then stays the producer's."""
        if len(self._items) < self.depth:
            return self._kernel.granted()
        return self._wait_for_room(())

    def get(self) -> Event:
        """Take the oldest item; the event's value is the item."""
        if self._items:
            item = self._items.popleft()
            self._admit()
            return self._kernel.granted(item)
        if self._getter is not None:
            raise ProtocolError(f"channel {self.name}: two consumers wait; split by a component")
        self._getter = self._kernel.event()
        return self._getter

    def _wait_for_room(self, offered: tuple[T, ...]) -> Event:
        if self._putter is not None:
            raise ProtocolError(f"channel {self.name}: two producers wait; join by a component")
        event = self._kernel.event()
        self._putter = (event, offered)
        return event

    def _admit(self) -> None:
        if self._putter is not None:
            (event, offered), self._putter = self._putter, None
            self._items.extend(offered)
            event.succeed()

    def contents(self) -> Hashable:
        """What is in the channel, as a comparable value; None when somebody waits to put."""
        return None if self._putter is not None else tuple(self._items)

    def refill(self, contents: tuple[T, ...]) -> None:
        """Make the channel hold ``contents``: start tokens, or what a replayed interval left.

        Raises
        ------
        ProtocolError
            For more than ``depth`` items, or while somebody waits for what would be there.
        """
        if len(contents) > self.depth:
            held = f"must hold at most {self.depth} items, got {len(contents)}"
            raise ProtocolError(f"channel {self.name}: {held}")
        if self._putter is not None or (contents and self.awaited):
            raise ProtocolError(f"channel {self.name}: must not be refilled while somebody waits")
        self._items = deque(contents)

    def waiting(self) -> Iterator[str]:
        """A sentence for each end that waits here."""
        source, sink = self._ends
        if self._getter is not None:
            yield f"{sink} waits to get from {source} ({self.name} is empty)"
        if self._putter is not None:
            yield f"{source} waits to put to {sink} ({self.name} is full: {self.depth} items)"


class _Port(Generic[T]):
    """One end of a channel, owned by a component."""

    def __init__(self, owner: str, name: str) -> None:
        self.path = f"{owner}.{name}"
        self._channel: Channel[T] | None = None

    @property
    def channel(self) -> Channel[T]:
        """The channel this port is connected to."""
        if self._channel is None:
            raise ProtocolError(f"port {self.path} is not connected")
        return self._channel

    def bind(self, channel: Channel[T]) -> None:
        """Attach the port to its channel, once."""
        if self._channel is not None:
            raise ProtocolError(f"port {self.path} is connected twice")
        self._channel = channel


class In(_Port[T]):
    """The consuming end."""

    def get(self) -> Event:
        """Take the oldest item; the event's value is the item."""
        return self.channel.get()


class Out(_Port[T]):
    """The producing end."""

    def put(self, item: T) -> Event:
        """Hand over ``item``; the event happens when there is room for it."""
        return self.channel.put(item)

    def space(self) -> Event:
        """The event happens when there is room for an item, which then stays the producer's."""
        return self.channel.space()


def connect(kernel: Kernel, source: Out[T], sink: In[T], depth: int) -> Channel[T]:
    """Join two ports by a channel of ``depth`` items."""
    name = f"{source.path} -> {sink.path}"
    channel: Channel[T] = Channel(kernel, name, depth, (source.path, sink.path))
    source.bind(channel)
    sink.bind(channel)
    return channel
