"""Clocks whose edge n is computed from n, so that none drifts.

Edge n of a clock of f Hz lies at n x 10^15 / f femtoseconds, rounded to the nearest; the rounding
never adds up, unlike a period of 4444444 fs counted up for 225 MHz.
"""

from __future__ import annotations

from hwsim.sim.kernel import Event, Kernel
from hwsim.units import FS_PER_SECOND

__all__ = ["Clock"]


class Clock:
    """A clock of ``frequency_hz`` that has run since time 0; cycle n begins at edge n.

    Raises
    ------
    TypeError
        For a frequency that is not an ``int``.
    ValueError
        For a frequency that is not positive, or beyond 10^15 Hz, where edges would coincide.
    """

    def __init__(self, kernel: Kernel, frequency_hz: int) -> None:
        if type(frequency_hz) is not int:
            raise TypeError(f"frequency_hz must be an int, got {frequency_hz!r}")
        if not 0 < frequency_hz <= FS_PER_SECOND:
            raise ValueError(f"frequency_hz must be between 1 and 10**15, got {frequency_hz!r}")
        self._kernel = kernel
        self.frequency_hz = frequency_hz
        kernel.clocks.append(self)

    def edge(self, cycle: int) -> int:
        """Time of edge ``cycle``, in femtoseconds, rounded half up."""
        return (2 * cycle * FS_PER_SECOND + self.frequency_hz) // (2 * self.frequency_hz)

    @property
    def cycle(self) -> int:
        """The cycle that is running: the last edge at or before now."""
        return self.cycle_at(self._kernel.now)

    @property
    def phase(self) -> int:
        """How far now is into the clock's unrounded cycle, in cycles x 10^-15.

        Future edges are as far from two moments of the same phase. At 225 MHz the edges take nine
        phases in turn.
        """
        return self._kernel.now * self.frequency_hz % FS_PER_SECOND

    def cycle_at(self, time_fs: int) -> int:
        """The cycle that runs at ``time_fs``."""
        guess = time_fs * self.frequency_hz // FS_PER_SECOND
        return guess + 1 if self.edge(guess + 1) <= time_fs else guess

    def cycles_in(self, duration_fs: int) -> int:
        """Cycles until the first edge at or after ``duration_fs``, counted from edge 0."""
        cycles = self.cycle_at(duration_fs)
        return cycles if self.edge(cycles) == duration_fs else cycles + 1

    def wait(self, cycles: int) -> Event:
        """``cycles`` after the next edge, which is now on an edge.

        What happens between two edges, such as an item from another clock's domain, is seen at the
        later one. Anything but an ``int`` is a TypeError, a negative one a ValueError.
        """
        if type(cycles) is not int:
            raise TypeError(f"cycles must be an int, got {cycles!r}")
        if cycles < 0:
            raise ValueError(f"cycles must not be negative, got {cycles}")
        return self.until(self.cycles_in(self._kernel.now) + cycles)

    def until(self, cycle: int) -> Event:
        """Edge ``cycle``, or now when it has passed."""
        left_fs = self.edge(cycle) - self._kernel.now
        return self._kernel.wait(left_fs) if left_fs > 0 else self._kernel.granted()
