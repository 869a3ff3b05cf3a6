"""The Tracker: counts the updates of each output tile and tells when a tile has all of them.

A set of the Tracker serves one workgroup, whose index gives the set; it holds a count for each of
the workgroup's wavefront tiles. Every update of an element counts, whether from the device's own
wavefront or from a peer; a tile triggers when its count reaches its threshold. Counting costs an
access no time: it is looked up once the access is in the memory controller's queue.

What becomes of an update whose set serves another workgroup is configured: with ``step_aside`` it
waits and lets others pass, with ``stall`` all that follow in its stream wait behind it as in a
queue, with ``error`` the run ends. A set is given to workgroups ``in_order``, or to whoever comes
first.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 4.2.1. What a full Tracker does is not published.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hwsim.errors import InvariantError, ProtocolError
from hwsim.laws.t3_tracker import TrackerGeometry, TrackerTable, set_index
from hwsim.sim import Component, Event, Kernel

__all__ = ["Tracker", "TrackerConfig"]


class TrackerConfig(TrackerTable):
    """Size of the Tracker, and what it does when it is full.

    Parameters
    ----------
    on_full, allocation : see the module.
    """

    on_full: Literal["step_aside", "stall", "error"] = "step_aside"
    allocation: Literal["in_order", "first_come"] = "in_order"

    @property
    def size_bytes(self) -> int:
        """Bytes of all entries."""
        return TrackerGeometry(entries=self.entries, wavefronts=self.wavefronts).size_bytes


@dataclass
class _Set:
    """One set: whom it serves, what its tiles still need, and who is to be served."""

    to_come: deque[int] = field(default_factory=deque)
    owner: int | None = None
    left: list[int] = field(default_factory=list)
    asking: dict[int, list[Event]] = field(default_factory=dict)
    choosing: bool = False


class Tracker(Component[TrackerConfig]):
    """Counts the updates of wavefront tiles.

    Parameters
    ----------
    groups : indices of the workgroups to track, in the order in which they run.
    thresholds : the updates that each wavefront tile of a workgroup needs.

    Attributes
    ----------
    in_use, entries_peak : sets in use, now and at most.
    waited : updates that found their set serving another workgroup.
    triggers : tiles that got all their updates.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        cfg: TrackerConfig,
        groups: Sequence[int],
        thresholds: Callable[[int], Sequence[int]],
    ) -> None:
        super().__init__(kernel, name, cfg)
        self._thresholds = thresholds
        # state
        self._sets = [_Set() for _ in range(cfg.entries)]
        for group in groups:
            self._set_of(group).to_come.append(group)
        self.in_use = 0
        # stats
        self.entries_peak = 0
        self.waited = 0
        self.triggers = 0

    def _set_of(self, group: int) -> _Set:
        return self._sets[set_index(group, self.cfg.entries)]

    def admit(self, group: int) -> Event:
        """The event happens once a set serves ``group``.

        Raises
        ------
        ProtocolError
            When another workgroup has the set and the config calls that an error.
        """
        found = self._set_of(group)
        if found.owner == group:
            return self.kernel.granted()
        if found.owner is not None:
            self._note_full(group, found.owner)
        event = self.kernel.event()
        found.asking.setdefault(group, []).append(event)
        self._choose_later(found)
        return event

    def _note_full(self, group: int, owner: int) -> None:
        self.waited += 1
        if self.cfg.on_full == "error":
            raise ProtocolError(
                f"{self.name}: workgroup {group} needs the set that serves workgroup {owner}; "
                f"tracker.entries must be more than {self.cfg.entries}"
            )

    def _choose_later(self, found: _Set) -> None:
        """Give a free set away at the end of the instant, when all who ask now have asked."""
        if found.owner is None and found.asking and not found.choosing:
            found.choosing = True
            self.kernel.end_of_instant().callbacks.append(lambda _: self._choose(found))

    def _choose(self, found: _Set) -> None:
        found.choosing = False
        in_order = self.cfg.allocation == "in_order"
        group = found.to_come[0] if in_order else min(found.asking)
        if group not in found.asking:
            return
        found.to_come.remove(group)
        found.owner, found.left = group, list(self._thresholds(group))
        self.in_use += 1
        self.entries_peak = max(self.entries_peak, self.in_use)
        for event in found.asking.pop(group):
            event.succeed()

    def count(self, group: int, wavefront: int, updates: int) -> bool:
        """Count updates of a tile; whether it now has all of them.

        Raises
        ------
        InvariantError
            When the tile has more updates than its threshold, or its workgroup no set.
        """
        found = self._set_of(group)
        if found.owner != group:
            raise InvariantError(f"{self.name}: workgroup {group} must have a set to be counted")
        found.left[wavefront] -= updates
        if found.left[wavefront] < 0:
            raise InvariantError(
                f"{self.name}: tile {wavefront} of workgroup {group} must have no more updates "
                f"than its threshold, got {-found.left[wavefront]} more"
            )
        triggered = found.left[wavefront] == 0
        self.triggers += triggered
        if not any(found.left):
            found.owner = None
            self.in_use -= 1
            self._choose_later(found)
        return triggered

    def waiting(self) -> list[str]:
        """Who waits for a set, in words."""
        return [
            f"{self.name}: workgroup {min(found.asking)} waits for the set of workgroup "
            f"{found.owner if found.owner is not None else found.to_come[0]}"
            for found in self._sets
            if found.asking
        ]
