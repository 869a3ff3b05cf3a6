"""What one kernel, or two fused, did from start to end on one device, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.memory import Access, Stream
from hwsim.sim.timeline import Timeline

__all__ = ["Stretch", "Traffic"]

Traffic = Mapping[tuple[Stream, Access], int]
"""Bytes of memory by who asked and for what."""


@dataclass(frozen=True)
class Stretch:
    """A simulated kernel, of the first device.

    Parameters
    ----------
    name : what ran.
    elapsed_fs : until the last device had done all that it had to.
    gemm_fs : of it, until the last workgroup's stores; 0 without a GEMM.
    traffic : bytes read and written in memory.
    link_bytes : sent to peers.
    matrix_fs, link_fs : for which matrix cores were busy, one with another, and the busiest link.
    tracker_entries : most that were in use at once.
    tracker_waits : updates that had to wait for one.
    queued : entries that the memory controllers hold, of all channels together, on average.
    threshold, intensity : that the arbiter was given, None for none, and by which it was chosen.
    moved : bytes of each stream and kind in equal intervals of ``interval_fs``.
    devices : when each device's GEMM ended, and all that it had to do; of two fused.
    """

    name: str
    elapsed_fs: int
    traffic: Traffic
    gemm_fs: int = 0
    link_bytes: int = 0
    matrix_fs: int = 0
    link_fs: int = 0
    tracker_entries: int = 0
    tracker_waits: int = 0
    queued: float = 0.0
    threshold: int | None = None
    intensity: float = 0.0
    interval_fs: int = 0
    moved: Mapping[tuple[Stream, Access], tuple[int, ...]] = field(default_factory=dict)
    devices: tuple[tuple[int, int], ...] = ()
    timeline: Timeline | None = None

    def read(self, stream: Stream | None = None) -> int:
        """Bytes read, by one stream or by all."""
        return self._total((Access.READ,), stream)

    def written(self, stream: Stream | None = None) -> int:
        """Bytes written or updated, by one stream or by all."""
        return self._total((Access.WRITE, Access.UPDATE), stream)

    def _total(self, kinds: tuple[Access, ...], stream: Stream | None) -> int:
        return sum(
            count
            for (of, kind), count in self.traffic.items()
            if kind in kinds and stream in (None, of)
        )
