"""What is proven of ``flightllm.sfu``: its control, with operands and results left free.

Every input is free, reset too, but that a command's K is at least 1 and that an offer stands until
it is taken.
"""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Fragment, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import BLOCK_LANES, MAX_BLOCKS, SFUGeometry, latency, two_pass
from rtl.block import Proof
from rtl.blocks.flightllm_sfu import COMMAND_LAYOUT, SFU

__all__ = ["CONTROL", "SFUControl"]


class SFUControl(wiring.Component):
    """Counts every command's beats, and follows any one slot through the pipeline.

    A slot is what the pipeline takes in a cycle in which it moves: a beat, or nothing. ``pick``
    chooses the one that is followed, and the solver tries every choice.

    Ports
    -----
    command : In[COMMAND_LAYOUT]
    offered, beat, ready : In[1]
        Whether there is a command, a beat, a consumer.
    pick : In[1]
    """

    def __init__(self, geometry: SFUGeometry) -> None:
        self.geometry = geometry
        flags = dict.fromkeys(("offered", "beat", "ready", "pick"), In(1))
        super().__init__({"command": In(COMMAND_LAYOUT), **flags})
        most = MAX_BLOCKS * (BLOCK_LANES // geometry.lanes)
        self.pass_beats, self.count = Signal(range(most + 1)), Signal(range(2 * most))
        """Beats of a pass of the command at work, and those of it that were taken."""
        self.twice, self.works = Signal(), Signal()
        """Whether it has two passes; whether there is one."""
        self.age = Signal(range(latency(geometry) + 1))
        """Moves of the pipeline since the slot came; 0 when none is followed."""
        self.due, self.stalled = Signal(), Signal()
        """Whether the slot is a beat of the last pass; whether the pipeline stood meanwhile."""

    def elaborate(self, _platform: object) -> Module:
        """The unit, and what must hold of it in every cycle."""
        m = Module()
        sfu = SFU(self.geometry)
        m.submodules.sfu = Fragment.get(sfu, None)  # now, so that its registers can be named
        m.d.comb += [
            sfu.command.payload.eq(self.command),
            sfu.command.valid.eq(self.offered),
            sfu.i.valid.eq(self.beat),
            sfu.o.ready.eq(self.ready),
            Assume(self.command.blocks != 0),
        ]
        self._stands(m, self.offered, sfu.command.ready)
        self._stands(m, self.beat, sfu.i.ready)
        enters = Signal()
        m.d.comb += enters.eq(self.beat & sfu.i.ready)
        emits = self._counts(m, sfu, enters)
        self._follows(m, sfu, enters & emits)
        return m

    def _stands(self, m: Module, valid: Value, ready: Value) -> None:
        stalled = Signal()
        m.d.sync += stalled.eq(valid & ~ready)
        with m.If(stalled):
            m.d.comb += Assume(valid)

    def _counts(self, m: Module, sfu: SFU, enters: Signal) -> Value:
        """K x beats a block in each pass, then the next command; whether the beat at hand emits."""
        sequencer, passes = sfu.sequencer, self.pass_beats
        emits, last, within = Signal(), Signal(), Signal.like(self.count)
        takes = self.offered & sfu.command.ready
        m.d.comb += [
            emits.eq(~self.twice | (self.count >= passes)),
            within.eq(self.count - (passes & (self.twice & emits).replicate(len(passes)))),
            last.eq(emits & (within == passes - 1)),
            Assert(sequencer.busy == self.works, "works on a command, or on none"),
            Assert(~enters | self.works, "a beat belongs to a command"),
            Assert(~takes | ~self.works | (enters & last), "a command is taken with the last beat"),
        ]
        with m.If(self.works):
            m.d.comb += [
                Assert((passes != 0) & (within < passes), "a pass has its K"),
                Assert(sequencer.gather == ~emits, "gathers first, then emits"),
                Assert(sequencer.first == (self.count == 0), "the first beat is marked"),
                Assert(sequencer.left == passes - 1 - within, "beats left of the pass"),
                Assert(sequencer.again == passes - 1, "the second pass is as long"),
            ]
        with m.If(enters):
            m.d.sync += [self.count.eq(self.count + 1), self.works.eq(~last)]
        with m.If(takes):
            beats = self.command.blocks * (BLOCK_LANES // self.geometry.lanes)
            two = Cat(self.command.operation == code for code in MiscOp if two_pass(code)).any()
            m.d.sync += [
                self.works.eq(1),
                self.count.eq(0),
                self.pass_beats.eq(beats),
                self.twice.eq(two),
            ]
        ends = enters & last & takes & (passes == 2 * BLOCK_LANES // self.geometry.lanes)
        m.d.comb += [
            Cover(ends & ~self.twice, "a command of K = 2 in one pass, the next right behind it"),
            Cover(ends & self.twice, "a command of K = 2 in two passes, the next right behind it"),
        ]
        return emits

    def _follows(self, m: Module, sfu: SFU, emits: Value) -> None:
        """Each slot leaves ``latency`` moves after it came, as a result if it is one."""
        stages, moves = latency(self.geometry), Signal()
        m.d.comb += moves.eq(self.ready | ~sfu.o.valid)
        with m.If(moves):
            with m.If((self.age == 0) & self.pick):
                m.d.sync += [self.age.eq(1), self.due.eq(emits), self.stalled.eq(0)]
            with m.Elif(self.age == stages):
                m.d.sync += self.age.eq(0)
            with m.Elif(self.age != 0):
                m.d.sync += self.age.eq(self.age + 1)
        with m.Else():
            m.d.sync += self.stalled.eq(1)
            m.d.comb += Assert(~sfu.i.ready & ~sfu.command.ready, "takes nothing while it stands")
        m.d.comb += Assert(self.age <= stages, "leaves in time")
        for age in range(1, stages + 1):
            with m.If(self.age == age):
                m.d.comb += Assert(sfu.pipeline.emits[age] == self.due, f"is in stage {age}")
        self._empty_after_reset(m, sfu, moves)
        with m.If(self.age == stages):
            m.d.comb += [
                Assert(sfu.o.valid == self.due, "a result, if and only if it is to be one"),
                Cover(self.due & self.stalled & self.ready, "a result leaves after a stall"),
            ]

    def _empty_after_reset(self, m: Module, sfu: SFU, moves: Value) -> None:
        """What has not come since reset does not leave."""
        stages = latency(self.geometry)
        moved = Signal(range(stages + 1))
        with m.If(moves & (moved != stages)):
            m.d.sync += moved.eq(moved + 1)
        m.d.comb += Assert(moved <= stages, "counts no further")
        for stage in range(1, stages + 1):
            with m.If(moved < stage):
                m.d.comb += Assert(~sfu.pipeline.emits[stage], f"stage {stage} is empty at first")


CONTROL = Proof(
    name="control",
    harness=SFUControl,
    depth=8,
    reach=48,  # a beat passes the pipeline of 16 lanes, and stands in it once
    statement=(
        "Under any commands of K from 1 on, stalls and resets: a command takes K blocks of beats, "
        "softmax and RMSNorm as many more before them, all of which gather before the first emits; "
        "the next command is taken with the last beat; each beat that emits, and nothing else, "
        "leaves as a result, as many moves later as the law says."
    ),
)
