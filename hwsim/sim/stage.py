"""Stage accounts: where a pipeline stage's time went, adding up to elapsed time by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hwsim.sim.kernel import Kernel

__all__ = ["StageAccount", "StageState", "StageTimes"]

StageState = Literal["busy", "starved", "blocked", "idle"]
_STATES: tuple[StageState, ...] = get_args(StageState)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Femtoseconds in each state: working, waiting for input, waiting for room, without work."""

    busy: int = 0
    starved: int = 0
    blocked: int = 0
    idle: int = 0

    @property
    def total(self) -> int:
        """All time accounted for."""
        return self.busy + self.starved + self.blocked + self.idle

    def __add__(self, other: StageTimes) -> StageTimes:
        return self._combined(other, 1)

    def __sub__(self, other: StageTimes) -> StageTimes:
        return self._combined(other, -1)

    def _combined(self, other: StageTimes, sign: int) -> StageTimes:
        return StageTimes(*(getattr(self, s) + sign * getattr(other, s) for s in _STATES))


class StageAccount:
    """The running account of one stage: always in exactly one state."""

    __slots__ = ("_kernel", "_since", "_spent", "_state")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._state: StageState = "idle"
        self._since = kernel.now
        self._spent = dict.fromkeys(_STATES, 0)

    @property
    def state(self) -> StageState:
        """The present state."""
        return self._state

    def enter(self, state: StageState) -> None:
        """Leave the present state and enter ``state`` now."""
        now = self._kernel.now
        self._spent[self._state] += now - self._since
        self._since = now
        self._state = state

    def times(self) -> StageTimes:
        """The account up to now."""
        self.enter(self._state)
        return StageTimes(**self._spent)

    def replace(self, times: StageTimes, state: StageState) -> None:
        """Set account and state as of now, to what a replayed interval would have left."""
        self._spent = {each: getattr(times, each) for each in _STATES}
        self._since = self._kernel.now
        self._state = state
