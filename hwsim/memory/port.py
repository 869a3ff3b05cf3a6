"""What a device's memory is to those who use it, and the one that costs no time."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, Protocol

from hwsim.sim import Component, Counter, Event, Kernel

__all__ = ["Access", "IdealMemory", "Memory", "Region", "Stream"]


class Access(IntEnum):
    """What is done to a region; an update adds to what is there, near the memory."""

    READ = 0
    WRITE = 1
    UPDATE = 2


class Stream(IntEnum):
    """Who asks, as far as arbitration tells them apart."""

    COMPUTE = 0
    COMMUNICATION = 1


class Region(NamedTuple):
    """The bytes ``[base + i x stride, base + i x stride + row_bytes)`` for i < ``rows``."""

    base: int
    row_bytes: int
    rows: int = 1
    stride: int = 0

    @property
    def bytes(self) -> int:
        """Bytes in all rows."""
        return self.rows * self.row_bytes


class Memory(Protocol):
    """A device's memory.

    Who asks when decides what happens, the order of simultaneous events doesn't: what different
    sources ask at one instant is taken in the order of their numbers, and what one source asks in
    program order.
    """

    @property
    def bytes(self) -> Mapping[tuple[Stream, Access], Counter]:
        """Bytes asked for so far, of each stream and kind."""

    def access(
        self, region: Region, kind: Access, stream: Stream = Stream.COMPUTE, source: int = 0
    ) -> Event:
        """Ask for ``region``; the event happens when its last byte is read, or is written."""

    def flush(self) -> Event:
        """The event happens when nothing that was asked for is left to do."""


class IdealMemory(Component[None]):
    """A memory that has done everything at once.

    Stats
    -----
    bytes : dict of Counter
        Bytes of each stream and kind (B).
    """

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name, None)
        # stats
        self.bytes = {(stream, kind): Counter("B") for stream in Stream for kind in Access}

    def access(
        self, region: Region, kind: Access, stream: Stream = Stream.COMPUTE, source: int = 0
    ) -> Event:
        """Count the bytes of ``region``, whoever asks; done now."""
        del source
        self.bytes[stream, kind].add(region.bytes)
        return self.kernel.granted()

    def flush(self) -> Event:
        """Nothing is ever left to do."""
        return self.kernel.granted()
