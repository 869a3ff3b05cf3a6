"""What is proven of ``t3.mc_arbiter``: who is admitted, how long others wait, that none is lost.

Every input is free, reset too, but for what a stream promises: that an offer stands until it is
taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from hwsim.laws.t3_arbiter import COMPUTE_FIRST
from hwsim.laws.t3_mc_arbiter import BUFFERED, ArbiterGeometry
from rtl.blocks.t3_mc_arbiter import (
    MemoryArbiter,
    admitted_layout,
    report_layout,
    settings_layout,
)

__all__ = ["Admission", "Passage"]


class _Harness(wiring.Component):
    """The arbiter with its ports, and what its environment promises."""

    def __init__(self, geometry: ArbiterGeometry, **more: wiring.Member) -> None:
        self.geometry = geometry
        self.dut = MemoryArbiter(geometry)
        super().__init__({**dict(self.dut.signature.members), **more})

    def _around(self) -> Module:
        m = Module()
        m.submodules.dut = self.dut
        for name in self.dut.signature.members:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.dut, name))
        for name in ("compute", "communication"):
            _stands(m, getattr(self, name), Assume, name)
        return m

    def admits(self, port: stream.Interface) -> Value:
        """Whether a request is taken from a stream in this cycle."""
        return port.valid & port.ready

    def inside(self, m: Module) -> Signal:
        """The requests admitted and not yet taken by the queue, counted at the ports."""
        inside = Signal(range(BUFFERED + 1))
        admits = self.admits(self.compute) | self.admits(self.communication)
        m.d.sync += inside.eq(inside + admits - self.admits(self.queue))
        m.d.comb += [
            Assert(
                inside == self.queue.valid + self.dut.spare_full, "inside: none lost, none made"
            ),
            Assert(self.queue.valid | ~self.dut.spare_full, "the spare is filled last"),
        ]
        return inside


def _stands(m: Module, port: stream.Interface, says: type, name: str) -> None:
    """What is offered and not taken is offered again."""
    stalled, before = Signal(), Signal.like(Value.cast(port.payload))
    m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(port.payload)]
    with m.If(stalled):
        m.d.comb += says(port.valid & (Value.cast(port.payload) == before), f"{name} stands")


class Admission(_Harness):
    """Counts how often each stream is passed over, from what is seen at the ports."""

    def elaborate(self, _platform: object) -> Module:
        """Settings and report as they were sent; what is open by them; who is admitted."""
        m = self._around()
        rule, report = self._rule(m), self._report(m)
        room = Signal()
        m.d.comb += room.eq((self.inside(m) < BUFFERED) & (report.entries < rule.capacity))
        first = rule.policy == COMPUTE_FIRST
        compute = self._stream(m, "compute", room & report.compute_fits)
        communication = self._stream(m, "communication", room & report.communication_fits)
        self._somebody(m, rule, report, compute, communication)
        self._communication_waits(m, rule, first, communication)
        self._computing_waits(m, rule, first, compute, communication)
        self._turns(m, first, compute, communication)
        return m

    def _rule(self, m: Module) -> data.View:
        rule = Signal(settings_layout(self.geometry))
        with m.If(self.settings.valid):
            m.d.sync += rule.eq(self.settings.payload)
        m.d.comb += [
            Assert(self.settings.ready, "settings are taken"),
            Assert(Value.cast(self.dut.rule) == Value.cast(rule), "settings rule"),
        ]
        return rule

    def _report(self, m: Module) -> data.View:
        fits = {"compute_fits": 1, "communication_fits": 1}
        last = Signal(report_layout(self.geometry), init=fits)
        report = Signal.like(last)
        with m.If(self.occupancy.valid):
            m.d.sync += last.eq(self.occupancy.payload)
        m.d.comb += [
            report.eq(Mux(self.occupancy.valid, self.occupancy.payload, last)),
            Assert(self.occupancy.ready, "reports are taken"),
            Assert(Value.cast(self.dut.kept) == Value.cast(last), "the last report is kept"),
        ]
        return report

    def _stream(self, m: Module, name: str, is_open: Value) -> _Seen:
        """What a stream does in this cycle; it is admitted only where it waits."""
        port: stream.Interface = getattr(self, name)
        seen = _Seen(*(Signal(name=f"{name}_{what}") for what in ("open", "waits", "admitted")))
        m.d.comb += [
            seen.open.eq(is_open),
            seen.waits.eq(seen.open & port.valid),
            seen.admitted.eq(self.admits(port)),
            Assert(~port.ready | seen.waits, f"{name}: admitted where it waits"),
        ]
        return seen

    def _somebody(
        self, m: Module, rule: data.View, report: data.View, compute: _Seen, other: _Seen
    ) -> None:
        """One at most; and one at least, but for what the threshold holds back."""
        both, waits = compute.admitted & other.admitted, compute.waits | other.waits
        held_back = Signal()
        m.d.comb += [
            held_back.eq(
                (rule.policy == COMPUTE_FIRST)
                & ~compute.waits
                & (report.entries >= rule.threshold)
                & (self.dut.waited < rule.limit)
            ),
            Assert(~both, "one a cycle at most"),
            Assert(~waits | compute.admitted | other.admitted | held_back, "nobody waits in vain"),
            Assert(~(other.admitted & held_back), "the threshold holds communication back"),
            Cover(other.waits & held_back, "communication is held back"),
        ]

    def _communication_waits(self, m: Module, rule: data.View, first: Value, seen: _Seen) -> None:
        """Passed over in at most ``limit`` open cycles, while the settings stay."""
        passed, steady = Signal.like(self.dut.waited), Signal()
        m.d.comb += [
            Assert(passed <= self.dut.waited, "waited: no less than passed over"),
            Assert(
                ~(steady & first) | (passed <= rule.limit),
                "communication is passed over in at most limit open cycles",
            ),
            Cover(steady & first & (passed == 2) & (rule.limit == 2) & seen.admitted, "forced"),
        ]
        with m.If(~self.communication.valid | seen.admitted):
            m.d.sync += [passed.eq(0), steady.eq(~self.settings.valid)]
        with m.Else():
            with m.If(seen.open & ~passed.all()):
                m.d.sync += passed.eq(passed + 1)
            with m.If(self.settings.valid):
                m.d.sync += steady.eq(0)

    def _computing_waits(
        self, m: Module, rule: data.View, first: Value, compute: _Seen, other: _Seen
    ) -> None:
        """Passed over by one in limit + 1 cycles; by one in a row, while all cycles are open."""
        since = Signal.like(self.dut.waited, init=-1)
        passed, unbroken = Signal(), Signal()
        with m.If(other.admitted):
            m.d.sync += since.eq(0)
        with m.Elif(~since.all()):
            m.d.sync += since.eq(since + 1)
        over = Signal()
        m.d.comb += [
            over.eq(compute.waits & other.admitted),
            Assert(self.dut.waited <= since, "waited: since the last admission at most"),
            Assert(
                ~(first & over) | (since >= rule.limit),
                "one of limit + 1 cycles at most passes computing over",
            ),
            Assert(
                ~(first & unbroken & (rule.limit != 0) & passed & over),
                "computing waits for one open cycle at most",
            ),
            Assert(~(unbroken & passed) | (since == 0), "passed over just now"),
            Cover(first & unbroken & passed & compute.admitted, "computing after one"),
        ]
        with m.If(~self.compute.valid | compute.admitted):
            m.d.sync += [passed.eq(0), unbroken.eq(1)]
        with m.Else():
            m.d.sync += [passed.eq(passed | over), unbroken.eq(unbroken & compute.open)]

    def _turns(self, m: Module, first: Value, compute: _Seen, other: _Seen) -> None:
        """Round robin passes neither over twice in a row, in cycles that are open to it."""
        for name, mine, its, after in (
            ("computing", compute, other, 0),
            ("communication", other, compute, 1),
        ):
            passed, over = Signal(name=f"{name}_passed"), Signal(name=f"{name}_passed_now")
            m.d.comb += [
                over.eq(mine.waits & its.admitted),
                Assert(first | ~(passed & over), f"round robin: {name} is not passed over twice"),
                Assert(~passed | (self.dut.after_compute == after), f"{name} is next"),
                Cover(~first & passed & mine.admitted, f"round robin: {name} after another"),
            ]
            with m.If(mine.admitted):
                m.d.sync += passed.eq(0)
            with m.Elif(over):
                m.d.sync += passed.eq(1)


@dataclass(frozen=True)
class _Seen:
    """A stream in the cycle at hand."""

    open: Signal
    """A request of it can be admitted."""
    waits: Signal
    admitted: Signal


class Passage(_Harness):
    """Follows one request, chosen by a free input, from its admission to the queue.

    Ports
    -----
    follow : In
        From now on follow what is admitted now.
    """

    def __init__(self, geometry: ArbiterGeometry) -> None:
        super().__init__(geometry, follow=In(1))

    def elaborate(self, _platform: object) -> Module:
        """It is behind those that were inside, until the queue takes it as it was."""
        m = self._around()
        _stands(m, self.queue, Assert, "queue")
        inside, leaves = self.inside(m), self.admits(self.queue)
        communication = self.admits(self.communication)
        followed, ahead = Signal(), Signal(range(BUFFERED))
        due = Signal(admitted_layout(self.geometry))
        with m.If(followed):
            here = Mux(ahead == 0, self.queue.payload, self.dut.spare)
            m.d.comb += [
                Assert(ahead < inside, "it is inside"),
                Assert(Value.cast(here) == Value.cast(due), "it is as it was, in its place"),
                Cover(leaves & (ahead == 1), "one before it leaves"),
            ]
            m.d.sync += [ahead.eq(ahead - leaves), followed.eq(~leaves | (ahead != 0))]
            with m.If(leaves & (ahead == 0)):
                m.d.sync += ahead.eq(0)
        with m.Elif(self.follow & (communication | self.admits(self.compute))):
            m.d.sync += [
                followed.eq(1),
                ahead.eq(inside - leaves),
                due.communication.eq(communication),
                due.request.eq(
                    Mux(communication, self.communication.payload, self.compute.payload)
                ),
            ]
        m.d.comb += Cover(followed & leaves & (inside == BUFFERED), "taken from a full buffer")
        return m
