"""T3's memory controller arbiter: which request is admitted in which cycle, and when it leaves.

Two streams of requests come in and one goes out, to the DRAM queue. Who is admitted is the choice
of :func:`hwsim.laws.t3_arbiter.choose`, which the simulated memory takes too; here are its
arguments in hardware. *Entries* are what the queue reports, in the cycle at hand or last: those
that count, from their admission on, so that those still on their way to the queue are among them.
A stream *waits* when it offers a request and the queue has said that it fits. *Waited* is how many
cycles the request that communication offers was offered and not admitted. Settings rule from the
cycle after their transfer on; before the first ones nobody is admitted.

Law: a request admitted in cycle c is offered to the queue in cycle c + ``LATENCY``, behind at most
one other: while ``BUFFERED`` are held, nobody is admitted. Unless the queue stalls, one request can
be admitted in every cycle.

Bounds, in cycles that are *open* to a stream: fewer than ``BUFFERED`` held, entries below the
capacity, and its request fits.

- Round robin: a stream that waits is passed over in at most one open cycle.
- Compute first: communication is passed over in at most ``limit`` open cycles. Computing is passed
  over by what was forced alone, which takes at most one of any limit + 1 cycles; so, when every
  cycle is open, it waits for at most one, unless the limit is 0, which puts communication first.

Cycle 0 is the first one after reset; producers as in :mod:`hwsim.laws.pipeline`.

Ref: T3 (ASPLOS'24), section 4.5 (compute first, occupancy threshold, starvation limit). The widths,
the buffer and the cycles are assumed: it gives none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, NamedTuple

from pydantic import Field

from hwsim.config import Config
from hwsim.laws.pipeline import Producer, Ready
from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    NOBODY,
    ROUND_ROBIN,
    choose,
)

__all__ = [
    "BUFFERED",
    "LATENCY",
    "ArbiterGeometry",
    "Decision",
    "Report",
    "Settings",
    "Traffic",
    "Transfers",
    "transfers",
]

LATENCY = 1
"""Cycles from a request's admission to its offer to the queue."""
BUFFERED = 2
"""Requests held on their way to the queue: no input's ready has to look at the queue's."""


class ArbiterGeometry(Config):
    """How wide an arbiter's requests and counts are."""

    request_bits: Annotated[int, Field(ge=1, le=1024)] = 64
    """Bits of a request, which the arbiter hands on as they are."""
    entry_bits: Annotated[int, Field(ge=1, le=16)] = 8
    """Bits of the entries that the queue reports."""
    wait_bits: Annotated[int, Field(ge=1, le=16)] = 12
    """Bits of the cycles that communication has waited, which stay at the greatest."""

    @property
    def most_entries(self) -> int:
        """The greatest report; a threshold or capacity beyond it is unlimited."""
        return (1 << self.entry_bits) - 1

    @property
    def most_waited(self) -> int:
        """Where the count of cycles stays; a limit beyond it never forces."""
        return (1 << self.wait_bits) - 1


class Settings(NamedTuple):
    """What rules the choice."""

    policy: int
    threshold: int
    capacity: int
    limit: int


class Report(NamedTuple):
    """What the queue says of itself."""

    entries: int
    compute_fits: bool = True
    communication_fits: bool = True
    """Whether there is room for the request that the stream offers."""


class Decision(NamedTuple):
    """What the arbiter saw in a cycle, and whom it chose."""

    cycle: int
    compute_waits: bool
    communication_waits: bool
    entries: int
    waited: int
    settings: Settings
    choice: int
    full: bool = False
    """Whether the buffer had no room, so that nobody was chosen whoever waited."""
    compute_kept_out: bool = False
    communication_kept_out: bool = False
    """Whether the stream offered a request that did not fit."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What the four inputs offer: each item some cycles after the one before."""

    compute_gaps: Sequence[int]
    communication_gaps: Sequence[int]
    settings: Sequence[Settings]
    settings_gaps: Sequence[int]
    reports: Sequence[Report]
    report_gaps: Sequence[int]


@dataclass
class Transfers:
    """The cycle of every transfer, in order, and every cycle's decision."""

    compute: list[int] = field(default_factory=list)
    communication: list[int] = field(default_factory=list)
    settings: list[int] = field(default_factory=list)
    occupancy: list[int] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def choices(self) -> list[int]:
        """Whose the admitted requests are, in order."""
        return [d.choice for d in self.decisions if d.choice != NOBODY]


def transfers(
    geometry: ArbiterGeometry, traffic: Traffic, ready: Ready, cycles: int | None = None
) -> Transfers:
    """What happens in the first ``cycles`` cycles, or up to the last transfer.

    The last settings and the last report must then let everybody through.
    """
    arbiter = _Stepped(geometry, traffic)
    for cycle in count() if cycles is None else range(cycles):
        if cycles is None and arbiter.done:
            break
        arbiter.step(cycle, ready(cycle))
    return arbiter.seen


class _Stepped:
    """The arbiter's state, moved a cycle at a time."""

    def __init__(self, geometry: ArbiterGeometry, traffic: Traffic) -> None:
        self.seen = Transfers()
        self._most_waited = geometry.most_waited
        self._traffic = traffic
        self._compute = Producer(traffic.compute_gaps)
        self._communication = Producer(traffic.communication_gaps)
        self._settings = Producer(traffic.settings_gaps)
        self._reports = Producer(traffic.report_gaps)
        self._rule = Settings(ROUND_ROBIN, threshold=0, capacity=0, limit=0)
        self._report = Report(entries=0)
        self._held = self._waited = 0
        self._last = NOBODY

    @property
    def done(self) -> bool:
        """Whether everything that was offered has come through."""
        moved, traffic = self.seen, self._traffic
        return not self._held and (
            len(moved.compute) == len(traffic.compute_gaps)
            and len(moved.communication) == len(traffic.communication_gaps)
            and len(moved.settings) == len(traffic.settings_gaps)
            and len(moved.occupancy) == len(traffic.report_gaps)
        )

    def step(self, cycle: int, ready: bool) -> None:
        """What is reported, chosen, taken and set in ``cycle``."""
        if self._reports(cycle):
            self._report = self._traffic.reports[self._reports.taken]
            self._take(self._reports, self.seen.occupancy, cycle)
        choice = self._choose(cycle)
        if self._held and ready:
            self.seen.queue.append(cycle)
        self._held += (choice != NOBODY) - (self._held > 0 and ready)
        self._admit(choice, cycle)
        if self._settings(cycle):
            self._rule = self._traffic.settings[self._settings.taken]
            self._take(self._settings, self.seen.settings, cycle)

    def _choose(self, cycle: int) -> int:
        compute, communication = self._compute(cycle), self._communication(cycle)
        report = self._report
        decision = Decision(
            cycle=cycle,
            compute_waits=compute and report.compute_fits,
            communication_waits=communication and report.communication_fits,
            entries=report.entries,
            waited=self._waited,
            settings=self._rule,
            choice=NOBODY,
            full=self._held == BUFFERED,
            compute_kept_out=compute and not report.compute_fits,
            communication_kept_out=communication and not report.communication_fits,
        )
        choice = NOBODY if decision.full else _chosen(decision, self._last)
        self.seen.decisions.append(decision._replace(choice=choice))
        return choice

    def _admit(self, choice: int, cycle: int) -> None:
        waits = self._communication(cycle) and choice != COMMUNICATION
        self._waited = min(self._waited + 1, self._most_waited) if waits else 0
        if choice == COMPUTE:
            self._take(self._compute, self.seen.compute, cycle)
        if choice == COMMUNICATION:
            self._take(self._communication, self.seen.communication, cycle)
        if choice != NOBODY:
            self._last = choice

    def _take(self, producer: Producer, seen: list[int], cycle: int) -> None:
        producer.take(cycle)
        seen.append(cycle)


def _chosen(seen: Decision, last: int) -> int:
    rule = seen.settings
    return choose(
        rule.policy,
        seen.compute_waits,
        seen.communication_waits,
        seen.entries,
        rule.threshold,
        rule.capacity,
        last,
        seen.waited,
        rule.limit,
    )
