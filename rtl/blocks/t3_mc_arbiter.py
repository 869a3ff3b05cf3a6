"""T3's memory controller arbiter: two streams of requests into one, the choice by a policy.

Who is chosen: :func:`hwsim.laws.t3_arbiter.choose`. Cycles:
:func:`hwsim.laws.t3_mc_arbiter.transfers`. The ready outputs depend on both streams' valid and on
the report, but never on the queue's ready: two registers stand before the queue, and a request is
admitted while one of them is sure to be free.

Ref: T3 (ASPLOS'24), section 4.5. How it is built is ours.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.t3_arbiter import COMPUTE_FIRST
from hwsim.laws.t3_mc_arbiter import ArbiterGeometry

__all__ = ["MemoryArbiter", "admitted_layout", "report_layout", "settings_layout"]


def settings_layout(geometry: ArbiterGeometry) -> data.StructLayout:
    """What rules the choice; the greatest bit of a number alone says that it is unlimited."""
    return data.StructLayout(
        {
            "policy": unsigned(1),
            "threshold": unsigned(geometry.entry_bits + 1),
            "capacity": unsigned(geometry.entry_bits + 1),
            "limit": unsigned(geometry.wait_bits + 1),
        }
    )


def report_layout(geometry: ArbiterGeometry) -> data.StructLayout:
    """What the queue says of itself."""
    return data.StructLayout(
        {
            "entries": unsigned(geometry.entry_bits),
            "compute_fits": unsigned(1),
            "communication_fits": unsigned(1),
        }
    )


def admitted_layout(geometry: ArbiterGeometry) -> data.StructLayout:
    """One request and whose it is."""
    return data.StructLayout(
        {"request": unsigned(geometry.request_bits), "communication": unsigned(1)}
    )


class MemoryArbiter(wiring.Component):
    """The arbiter.

    Ports
    -----
    compute, communication : In[stream of request_bits]
    settings : In[stream of settings_layout]
        Always taken; they rule from the next cycle on. None: nobody is admitted.
    occupancy : In[stream of report_layout]
        Always taken; counts at once and until the next one. None: an empty queue.
    queue : Out[stream of admitted_layout]

    Attributes
    ----------
    rule : Signal
        The settings that rule.
    kept : Signal
        The last report.
    waited : Signal
        Cycles for which the request that communication offers was not admitted.
    after_compute : Signal
        Computing was admitted last.
    spare_full : Signal
        A request stands behind the one on offer to the queue.
    spare : Signal
        That request.
    """

    def __init__(self, geometry: ArbiterGeometry) -> None:
        self.geometry = geometry
        self.rule = Signal(settings_layout(geometry))
        self.kept = Signal(
            report_layout(geometry), init={"compute_fits": 1, "communication_fits": 1}
        )
        self.waited = Signal(geometry.wait_bits)
        self.after_compute = Signal()
        self.spare_full = Signal()
        self.spare = Signal(admitted_layout(geometry), reset_less=True)
        request = stream.Signature(unsigned(geometry.request_bits))
        super().__init__(
            {
                "compute": In(request),
                "communication": In(request),
                "settings": In(stream.Signature(settings_layout(geometry))),
                "occupancy": In(stream.Signature(report_layout(geometry))),
                "queue": Out(stream.Signature(admitted_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Choose, note what the next choice needs, pass on."""
        m = Module()
        report = Signal(report_layout(self.geometry))
        m.d.comb += [
            self.settings.ready.eq(1),
            self.occupancy.ready.eq(1),
            report.eq(Mux(self.occupancy.valid, self.occupancy.payload, self.kept)),
        ]
        m.d.sync += self.kept.eq(report)
        with m.If(self.settings.valid):
            m.d.sync += self.rule.eq(self.settings.payload)
        self._choose(m, report)
        takes_compute = self.compute.valid & self.compute.ready
        takes_communication = self.communication.valid & self.communication.ready
        with m.If(takes_compute | takes_communication):
            m.d.sync += self.after_compute.eq(takes_compute)
        with m.If(~self.communication.valid | takes_communication):
            m.d.sync += self.waited.eq(0)
        with m.Elif(~self.waited.all()):
            m.d.sync += self.waited.eq(self.waited + 1)
        self._pass_on(m, takes_compute, takes_communication)
        return m

    def _choose(self, m: Module, report: data.View) -> None:
        """The law, as two answers of which at most one is yes."""
        rule = self.rule
        room, forced, turn = Signal(), Signal(), Signal()
        compute, communication = Signal(), Signal()
        m.d.comb += [
            room.eq(~self.spare_full & (report.entries < rule.capacity)),
            compute.eq(self.compute.valid & report.compute_fits),
            communication.eq(self.communication.valid & report.communication_fits),
            forced.eq(communication & (self.waited >= rule.limit)),
            turn.eq(communication & (self.after_compute | ~compute)),
        ]
        with m.If(rule.policy == COMPUTE_FIRST):
            below = ~compute & (report.entries < rule.threshold)
            m.d.comb += [
                self.compute.ready.eq(room & compute & ~forced),
                self.communication.ready.eq(room & (forced | (communication & below))),
            ]
        with m.Else():
            m.d.comb += [
                self.compute.ready.eq(room & compute & ~turn),
                self.communication.ready.eq(room & turn),
            ]

    def _pass_on(self, m: Module, takes_compute: Value, takes_communication: Value) -> None:
        """What is admitted goes to the queue, past the spare register unless the queue stalls."""
        queue = self.queue
        admitted = Signal(admitted_layout(self.geometry))
        offered = Signal.like(admitted, reset_less=True)
        admits, stalled = takes_compute | takes_communication, queue.valid & ~queue.ready
        m.d.comb += [
            admitted.communication.eq(takes_communication),
            admitted.request.eq(
                Mux(takes_communication, self.communication.payload, self.compute.payload)
            ),
            queue.payload.eq(offered),
        ]
        with m.If(~stalled):
            m.d.sync += [
                queue.valid.eq(self.spare_full | admits),
                offered.eq(Mux(self.spare_full, self.spare, admitted)),
                self.spare_full.eq(0),
            ]
        with m.Elif(admits):
            m.d.sync += [self.spare_full.eq(1), self.spare.eq(admitted)]
