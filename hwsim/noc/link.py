"""A link: one direction of a wire, with a bandwidth and a latency.

Law: a message sent over an idle link at t has departed at ``t + bytes / bandwidth`` and arrived
``latency`` later. Messages follow one another without a gap, in the order in which they were sent.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, cast

from hwsim.config import BytesPerSecond, Config, Femtoseconds, Quantity, quantity
from hwsim.noc.pipe import Key, Pipe
from hwsim.sim import Component, Counter, Event, Kernel

__all__ = ["Forwarding", "Hop", "Link", "LinkConfig", "Passage", "PositiveBytes"]

PositiveBytes = Annotated[int, Quantity("B", positive=True)]
"""Size of at least a byte."""

Forwarding: TypeAlias = Literal["store_and_forward", "cut_through"]


class LinkConfig(Config):
    """What a link is, in each direction.

    A message over several links travels in packets of ``packet_bytes``, the last one shorter. At
    the far end a packet is sent on once it is there (``store_and_forward``), or once its head is
    (``cut_through``).
    """

    bandwidth: BytesPerSecond
    latency: Femtoseconds
    packet_bytes: PositiveBytes = quantity("4 KiB")
    forwarding: Forwarding = "store_and_forward"


@dataclass(slots=True)
class Passage:
    """What is on its way: the events of its leaving and its coming."""

    departed: Event
    """The last byte is on the wire; the sender's buffer is free."""
    arrived: Event
    """The last byte is at the far end."""


@dataclass(slots=True)
class Hop(Passage):
    """A passage over one link of several."""

    ready: Event
    """As much has arrived as the far end needs to send it on."""
    arrives_fs: int = 0
    """When the last byte arrives, known once ``ready``."""


class Link(Component[LinkConfig]):
    """One direction of a wire. First come, first served; simultaneous ones by their keys.

    Stats
    -----
    bytes (B), messages (1): sent so far.
    stage : busy while bytes are put on the wire, else idle.
    """

    def __init__(self, kernel: Kernel, name: str, cfg: LinkConfig) -> None:
        super().__init__(kernel, name, cfg)
        # state
        self._pipe = Pipe(kernel, cfg.bandwidth)
        # stats
        self.stage = self._pipe.stage
        self.bytes = Counter("B")
        self.messages = Counter("1")

    def memory(self) -> Hashable:
        """By how much of a femtosecond the last byte departs after now."""
        return self._pipe.backlog

    def recall(self, memory: Hashable) -> None:
        """Take on what a replayed interval left."""
        self._pipe.backlog = cast(int, memory)

    def send(self, message_bytes: int, key: int = 0) -> Passage:
        """Send a message; ``key`` names the sender among those who send at one instant."""
        return self.carry(message_bytes, (key,))

    def carry(self, packet_bytes: int, key: Key, last_fs: int = 0) -> Hop:
        """Send a packet, whose last byte is here to be sent at ``last_fs``, now or later."""
        arrived = self.kernel.event()
        cuts_through = self.cfg.forwarding == "cut_through"
        head = self.kernel.event() if cuts_through else arrived

        def begun(start_fs: int, end_fs: int) -> None:
            hop.arrives_fs = end_fs + self.cfg.latency
            self.kernel.succeed_at(arrived, hop.arrives_fs)
            if cuts_through:
                self.kernel.succeed_at(head, start_fs + self.cfg.latency)
            if self.kernel.timeline is not None:
                args = (("bytes", packet_bytes),)
                self.kernel.timeline.slice(self.name, "send", start_fs, end_fs, args)

        self.bytes.add(packet_bytes)
        self.messages.add(1)
        departed = self._pipe.use(packet_bytes, key, last_fs=last_fs, begun=begun)
        hop = Hop(departed, arrived, head)
        return hop
