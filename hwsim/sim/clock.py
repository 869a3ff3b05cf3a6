"""Clocks whose edge n is computed from n, so that none drifts.

Edge n of a clock of f Hz lies at n x 10^15 / f femtoseconds, rounded to the nearest; the rounding never adds
up, unlike a period of 4444444 fs counted up for 225 MHz.
"""

from __future__ import annotations

from fractions import Fraction

from hwsim.sim.kernel import Event, Kernel
from hwsim.units import FS_PER_SECOND

__all__ = ["Clock"]


class Clock:
    """A clock of ``frequency_hz``; cycle n begins at edge n."""

    def __init__(self, kernel: Kernel, frequency_hz: int) -> None:
        self._kernel = kernel
        self.frequency_hz = frequency_hz

    def edge(self, cycle: int) -> int:
        """Time of edge ``cycle``, in femtoseconds, rounded half up."""
        return (2 * cycle * FS_PER_SECOND + self.frequency_hz) // (2 * self.frequency_hz)

    @property
    def cycle(self) -> int:
        """The cycle that is running: the last edge at or before now."""
        return self.cycle_at(self._kernel.now)

    def cycle_at(self, time_fs: int) -> int:
        """The cycle that runs at ``time_fs``."""
        guess = time_fs * self.frequency_hz // FS_PER_SECOND
        return guess + 1 if self.edge(guess + 1) <= time_fs else guess

    def cycles_to_fs(self, cycles: Fraction | int) -> int:
        """The length of a (possibly fractional) number of cycles, rounded half to even."""
        return round(Fraction(cycles) * FS_PER_SECOND / self.frequency_hz)

    def cycles_in(self, duration_fs: int) -> int:
        """Whole cycles needed to cover ``duration_fs``, at the femtosecond's accuracy of its edges."""
        cycles = self.cycle_at(duration_fs)
        return cycles if self.edge(cycles) == duration_fs else cycles + 1

    def wait(self, cycles: int) -> Event:
        """The edge ``cycles`` after the running cycle's own."""
        if type(cycles) is not int:
            raise TypeError(f"cycles must be an int, got {cycles!r}")
        return self._kernel.wait(self.edge(self.cycle + cycles) - self._kernel.now)
