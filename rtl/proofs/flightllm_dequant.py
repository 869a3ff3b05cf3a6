"""What is proven of ``flightllm.dequant``: no word and no block is lost, made or put out of order.

The harness follows one word of the packed stream and one run, each chosen by a free input, from
their entry to the cycle in which they are used up. Every input is free, reset too, but for what a
stream promises: that an offer stands until it is taken.
"""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.flightllm_dequant import DequantGeometry
from rtl.blocks.flightllm_dequant import Dequant, block_layout, run_layout

__all__ = ["NothingLost"]


class NothingLost(wiring.Component):
    """The dequantiser under free inputs, with its assertions.

    Ports
    -----
    beats, runs, blocks : as the dequantiser's
    follow : In
        From now on follow word ``place`` of the beat, and the run, that is taken now.
    """

    def __init__(self, geometry: DequantGeometry) -> None:
        self.geometry = geometry
        self.dut = Dequant(geometry)
        super().__init__(
            {
                "beats": In(stream.Signature(unsigned(geometry.beat_bits))),
                "runs": In(stream.Signature(run_layout(geometry))),
                "blocks": Out(stream.Signature(block_layout(geometry))),
                "follow": In(1),
                "place": In(range(geometry.beat_words)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The dequantiser, and what is asked of it."""
        m = Module()
        m.submodules.dut = dut = self.dut
        for name in ("beats", "runs", "blocks"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(dut, name))
        self._offers_stand(m, self.beats, Assume)
        self._offers_stand(m, self.runs, Assume)
        self._offers_stand(m, self.blocks, Assert)
        need = self._need(m)
        self._words_are_kept(m, need)
        self._runs_are_counted(m)
        self._blocks_are_counted(m)
        return m

    def _offers_stand(self, m: Module, port: stream.Interface, says: type) -> None:
        """What is offered and not taken is offered again."""
        stalled, before = Signal(), Signal.like(Value.cast(port.payload))
        m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(port.payload)]
        with m.If(stalled):
            m.d.comb += says(port.valid & (Value.cast(port.payload) == before))

    def _need(self, m: Module) -> Signal:
        """Words of the block at hand."""
        need, code = Signal(range(max(self.geometry.widths) + 1)), self.dut.queue.run.code
        m.d.comb += need.eq(self.geometry.widths[-1])
        for i, width in enumerate(self.geometry.widths):
            with m.If(code == i):
                m.d.comb += need.eq(width)
        return need

    def _words_are_kept(self, m: Module, need: Signal) -> None:
        """Each word comes out at its turn, unchanged; the buffer never over- or underflows."""
        gearbox, places = self.dut.gearbox, self.geometry.capacity_words
        beat, level = self.geometry.beat_words, gearbox.level
        takes = self.beats.valid & self.beats.ready
        followed, ahead = Signal(), Signal(range(places))
        word = Signal(self.geometry.block_weights)
        kept, turn = Signal.like(word), Signal.like(word)
        place, newest = Signal(range(places)), Signal(range(places))
        m.d.comb += [
            place.eq(self._wrapped(gearbox.oldest + ahead)),
            newest.eq(self._wrapped(gearbox.oldest + level)),
            kept.eq(gearbox.ring[place]),
            turn.eq(gearbox.block[ahead]),
            Assert(level <= places),
            Assert(gearbox.oldest < places),
            Assert(newest == gearbox.slot * beat),
            Assert(gearbox.slot < self.geometry.slots),
        ]
        with m.If(gearbox.remove):
            m.d.comb += [Assert(level >= need), Cover((level == need) & takes)]
        with m.If(followed):
            m.d.comb += [Assert(ahead < level), Assert(kept == word)]
            with m.If(gearbox.remove):
                m.d.sync += ahead.eq(ahead - need)
                with m.If(ahead < need):
                    m.d.comb += [Assert(turn == word), Cover(ahead == need - 1)]
                    m.d.sync += followed.eq(0)
        with m.Elif(takes & self.follow & (self.place < beat)):
            m.d.sync += [
                followed.eq(1),
                ahead.eq(level - Mux(gearbox.remove, need, 0) + self.place),
                word.eq(self.beats.payload.word_select(self.place, len(word))),
            ]
        m.d.comb += Cover(level == places)

    def _wrapped(self, place: Value) -> Value:
        """A place of the ring, counted beyond its end."""
        places = self.geometry.capacity_words
        return Mux(place >= places, place - places, place)

    def _runs_are_counted(self, m: Module) -> None:
        """Each run makes its number of blocks, with its own scale, before the run after it."""
        queue = self.dut.queue
        takes = self.runs.valid & self.runs.ready
        followed, waits = Signal(), Signal()
        run, left = Signal(run_layout(self.geometry)), Signal(self.geometry.count_bits)
        ends = queue.step & queue.last
        m.d.comb += Assert(queue.active | ~queue.waiting)
        with m.If(queue.step):
            m.d.comb += Assert(queue.active)
        with m.If(followed & waits):
            m.d.comb += [
                Assert(queue.waiting),
                Assert(Value.cast(queue.after) == Value.cast(run)),
                Assert(run.blocks == left),
            ]
            with m.If(ends):
                m.d.sync += waits.eq(0)
        with m.Elif(followed):
            same = [queue.run[name] == run[name] for name in ("code", "shift", "scale")]
            m.d.comb += [Assert(queue.active), Assert(queue.run.blocks == left)]
            m.d.comb += [Assert(equal) for equal in same]
            with m.If(queue.step):
                m.d.comb += [Assert(queue.last == (left == 0)), Cover(queue.last & queue.waiting)]
                m.d.sync += left.eq(left - 1)
                with m.If(left == 0):
                    m.d.sync += followed.eq(0)
        with m.Elif(takes & self.follow):
            m.d.sync += [
                followed.eq(1),
                waits.eq(queue.active & ~ends),
                run.eq(self.runs.payload),
                left.eq(self.runs.payload.blocks),
            ]

    def _blocks_are_counted(self, m: Module) -> None:
        """Each block that is released is offered, once."""
        inside = Signal(range(4))
        taken = self.blocks.valid & self.blocks.ready
        m.d.sync += inside.eq(inside + self.dut.queue.step - taken)
        m.d.comb += [
            Assert(inside == self.dut.picked + self.blocks.valid),
            Assert(self.dut.queue.step == self.dut.gearbox.remove),
            Cover((inside == 2) & taken),
        ]
