"""What is proven of ``flightllm.csd_chain``: its control, with the multipliers' results left free.

Each DSP48E2 is a black box here: its P can be anything in every cycle. What it is told is proven.
"""

from __future__ import annotations

from amaranth.hdl import Assert, Cover, Fragment, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.laws.flightllm_chain import RUN, ChainGeometry, latency, segment, skew
from rtl.block import Proof
from rtl.blocks.flightllm_csd_chain import CSDChain, beat_layout
from rtl.primitives.dsp48e2 import Z

__all__ = ["CONTROL", "ChainControl"]

OPMODE_AT = 3
"""Cycles after a beat's entry in which the first DSP must be told what to add its product to."""


class ChainControl(wiring.Component):
    """Follows any one slot through the chain, full or empty, under any densities and stalls.

    A slot is what the chain takes in a cycle in which it moves: a beat, or nothing. ``pick``
    chooses the one that is followed, and the solver tries every choice.

    Ports
    -----
    payload : In[beat_layout]
    valid : In[1]
    ready : In[1]
    pick : In[1]
    """

    def __init__(self, geometry: ChainGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "payload": In(beat_layout(geometry)),
                "valid": In(1),
                "ready": In(1),
                "pick": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The chain, and what must hold of it in every cycle."""
        m = Module()
        chain = CSDChain(self.geometry)
        m.submodules.chain = Fragment.get(chain, None)  # now, so that its registers can be named
        m.d.comb += [
            chain.i.payload.eq(self.payload),
            chain.i.valid.eq(self.valid),
            chain.o.ready.eq(self.ready),
        ]
        self._moves_as_a_whole(m, chain)
        self._empty_after_reset(m, chain)
        slot = self._follow(m, chain)
        self._arrives(m, chain, slot)
        self._told(m, chain, slot)
        self._reached(m, chain, slot)
        return m

    def _moves_as_a_whole(self, m: Module, chain: CSDChain) -> None:
        m.d.comb += Assert(
            chain.i.ready == (self.ready | ~chain.o.valid), "takes a beat whenever it moves"
        )
        waits = Signal()
        m.d.sync += waits.eq(chain.o.valid & ~self.ready)
        with m.If(waits):
            m.d.comb += Assert(chain.o.valid, "keeps a beat that is not taken")

    def _empty_after_reset(self, m: Module, chain: CSDChain) -> None:
        """What has not come since reset does not leave."""
        stages = latency(self.geometry)
        moved = Signal(range(stages + 1))
        with m.If(chain.i.ready & (moved != stages)):
            m.d.sync += moved.eq(moved + 1)
        m.d.comb += Assert(moved <= stages, "counts no further")
        for n in range(stages):
            with m.If(moved <= n):
                m.d.comb += Assert(~chain.valid[n], f"stage {n} is empty after reset")

    def _follow(self, m: Module, chain: CSDChain) -> _Slot:
        slot = _Slot(self.geometry)
        with m.If(chain.i.ready):
            with m.If((slot.age == 0) & self.pick):
                m.d.sync += [
                    slot.age.eq(1),
                    slot.full.eq(self.valid),
                    slot.density.eq(self.payload.density),
                    slot.stalled.eq(0),
                ]
            with m.Elif(slot.age == latency(self.geometry)):
                m.d.sync += slot.age.eq(0)
            with m.Elif(slot.age != 0):
                m.d.sync += slot.age.eq(slot.age + 1)
        with m.Elif(slot.age != 0):
            m.d.sync += slot.stalled.eq(1)
        with m.If(slot.age == 1):
            m.d.sync += slot.changed.eq(self.payload.density != slot.density)
        return slot

    def _arrives(self, m: Module, chain: CSDChain, slot: _Slot) -> None:
        """Each slot leaves ``latency`` moves after it came, as full as it was.

        So no beat is lost, made or overtaken.
        """
        stages = latency(self.geometry)
        m.d.comb += Assert(slot.age <= stages, "leaves in time")
        for age in range(1, stages + 1):
            with m.If(slot.age == age):
                m.d.comb += Assert(chain.valid[age - 1] == slot.full, f"is in stage {age - 1}")
                if age < stages:
                    m.d.comb += Assert(
                        chain.path.density[age] == slot.density, f"has its density at age {age}"
                    )
        with m.If(slot.age == stages):
            m.d.comb += Assert(chain.o.valid == slot.full, "leaves as full as it came")

    def _told(self, m: Module, chain: CSDChain, slot: _Slot) -> None:
        """What each DSP adds this slot's product to, as the slot's own density has it."""
        for dsp, z in enumerate(chain.path.z):
            for code, mode in enumerate(self.geometry.densities):
                with m.If((slot.age == OPMODE_AT + skew(dsp)) & (slot.density == code)):
                    m.d.comb += Assert(
                        z == _due(dsp, segment(self.geometry, mode)),
                        f"DSP {dsp} at {mode.n}:{mode.m}",
                    )

    def _reached(self, m: Module, chain: CSDChain, slot: _Slot) -> None:
        """That none of this holds for want of traffic."""
        with m.If((slot.age == latency(self.geometry)) & slot.full & chain.i.ready):
            for code, mode in enumerate(self.geometry.densities):
                m.d.comb += Cover(slot.density == code, f"a beat of {mode.n}:{mode.m} leaves")
            m.d.comb += [
                Cover(slot.stalled, "a beat leaves after a stall"),
                Cover(slot.changed, "a beat leaves, the next one of another density"),
                Cover(slot.changed & slot.stalled, "a change of density and a stall"),
            ]


class _Slot:
    """What is known of the slot that is followed."""

    def __init__(self, geometry: ChainGeometry) -> None:
        self.age = Signal(range(latency(geometry) + 1))
        """Moves of the chain since it came; 0 when none is followed."""
        self.full = Signal()
        self.density = Signal.like(Value.cast(Signal(beat_layout(geometry)).density))
        self.stalled = Signal()
        self.changed = Signal()


def _due(dsp: int, length: int) -> Z:
    """Nothing at the head of a segment, C at the head of a run within one, else the cascade."""
    if dsp % length == 0:
        return Z.ZERO
    return Z.C if dsp % RUN == 0 else Z.PCIN


CONTROL = Proof(
    name="control",
    harness=ChainControl,
    depth=44,  # a beat passes the longest chain of the sweep, and the one after it
    statement=(
        "Under any densities, stalls and resets: what enters leaves, as many moves later as the "
        "law says, none lost, made or overtaken; and each DSP adds a beat's product to nothing at "
        "the head of each segment of the beat's own density, to C at the head of a run that "
        "continues a segment, to the cascade elsewhere."
    ),
)
