"""What happened when: the slices and counters a simulation records for people to look at.

A track is a row of slices. What is before the first ``/`` of its name, if it has one, is the part
of the machine that it belongs to, such as a device: ``device 3/dma.read``. A slice of no length is
an instant.

Recording is one tuple appended to a list, so that a run of a million slices stays cheap. Times are
``int`` femtoseconds of the kernel. :mod:`hwsim.report.timeline_export` writes it for Perfetto.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Args", "Mark", "Sample", "Slice", "Timeline"]

Args = tuple[tuple[str, int | float | str], ...]
"""Named details of a slice: ``(("tile", 3), ("bytes", 4096))``."""

Slice = tuple[str, str, int, int, Args | None]
"""Track, name, start and end in femtoseconds, details."""

Sample = tuple[str, str, int, int | float]
"""Track, name, time in femtoseconds, value from then on."""


class Mark(NamedTuple):
    """A place in a timeline: how many slices and samples were recorded before it."""

    slices: int
    samples: int


class Timeline:
    """Slices ``[start, end)`` on named tracks, and counters that hold until their next sample.

    Two timelines are equal when they hold the same slices and samples, recorded in any order.

    Attributes
    ----------
    slices, samples
        What was recorded, in order. Read them; record through the methods.
    """

    __slots__ = ("samples", "slices")

    def __init__(self) -> None:
        self.slices: list[Slice] = []
        self.samples: list[Sample] = []

    def slice(
        self, track: str, name: str, start_fs: int, end_fs: int, args: Args | None = None
    ) -> None:
        """Record that ``track`` did ``name`` from ``start_fs`` to ``end_fs``.

        Raises
        ------
        TypeError
            A time that is not an ``int``.
        ValueError
            A slice that ends before it starts.
        """
        if type(start_fs) is not int or type(end_fs) is not int:
            raise TypeError(f"slice times must be int femtoseconds, got {start_fs!r} to {end_fs!r}")
        if end_fs < start_fs:
            raise ValueError(
                f"slice {name!r} on {track!r} must end at or after its start {start_fs} fs, "
                f"got {end_fs} fs"
            )
        self.slices.append((track, name, start_fs, end_fs, args))

    def instant(self, track: str, name: str, time_fs: int, args: Args | None = None) -> None:
        """Record that ``name`` happened on ``track`` at ``time_fs``."""
        self.slice(track, name, time_fs, time_fs, args)

    def counter(self, track: str, name: str, time_fs: int, value: int | float) -> None:
        """Record that the counter ``name`` of ``track`` is ``value`` from ``time_fs`` on.

        Raises
        ------
        TypeError
            A time that is not an ``int``.
        """
        if type(time_fs) is not int:
            raise TypeError(f"counter times must be int femtoseconds, got {time_fs!r}")
        self.samples.append((track, name, time_fs, value))

    def mark(self) -> Mark:
        """The present end, to take what follows it with :meth:`since`."""
        return Mark(len(self.slices), len(self.samples))

    def since(self, mark: Mark) -> tuple[list[Slice], list[Sample]]:
        """Copies of the slices and of the samples recorded since ``mark``."""
        return self.slices[mark.slices :], self.samples[mark.samples :]

    def extend_shifted(
        self, slices: Iterable[Slice], offset_fs: int, samples: Iterable[Sample] = ()
    ) -> None:
        """Record ``slices`` and ``samples`` again, ``offset_fs`` later, as a replay does."""
        if type(offset_fs) is not int:
            raise TypeError(f"an offset must be int femtoseconds, got {offset_fs!r}")
        self.slices += [
            (track, name, start + offset_fs, end + offset_fs, args)
            for track, name, start, end, args in slices
        ]
        self.samples += [
            (track, name, time + offset_fs, value) for track, name, time, value in samples
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeline):
            return NotImplemented
        return self._sorted() == other._sorted()

    __hash__ = None  # type: ignore[assignment]  # mutable, like a list

    def __repr__(self) -> str:
        return f"Timeline({len(self.slices)} slices, {len(self.samples)} samples)"

    def _sorted(self) -> tuple[Sequence[Slice], Sequence[Sample]]:
        return sorted(self.slices, key=_slice_key), sorted(self.samples)


def _slice_key(item: Slice) -> tuple[str, str, int, int, str]:
    track, name, start_fs, end_fs, args = item
    return track, name, start_fs, end_fs, repr(args) if args else ""
