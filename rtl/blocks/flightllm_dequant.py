"""FlightLLM's dequantiser: packed weights of few bits in, a block of signed bytes a cycle out.

Values: :func:`hwsim.golden.flightllm_dequant.dequantise`. Cycles:
:func:`hwsim.laws.flightllm_dequant.transfers`. No ready output depends on an input: beats and runs
are taken by what is held, and blocks leave from a register.

The gearbox keeps beats in a ring of slots, where they stay: a block of w-bit weights is the w
oldest words of ``block_weights`` bits, found by turning the ring. So the late signal, whether a
block is released, moves nothing but two counters. One register holds the turned words, a second the
weights made of them.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868 (dequantisation in the memory management unit, so that the
array multiplies nothing but INT8). How it is built is ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.flightllm_dequant import SHIFT_BITS, DequantGeometry

__all__ = ["Dequant", "Gearbox", "RunQueue", "block_layout", "run_layout"]


def run_layout(geometry: DequantGeometry) -> data.StructLayout:
    """One run: ``blocks`` less one of the width that ``code`` means."""
    return data.StructLayout(
        {
            "code": unsigned(geometry.code_bits),
            "blocks": unsigned(geometry.count_bits),
            "shift": unsigned(SHIFT_BITS),
            "scale": unsigned(geometry.scale_bits),
        }
    )


def block_layout(geometry: DequantGeometry) -> data.StructLayout:
    """One block of signed bytes, its group scale, and whether its run ends."""
    return data.StructLayout(
        {
            "weights": data.ArrayLayout(signed(8), geometry.block_weights),
            "scale": unsigned(geometry.scale_bits),
            "last": unsigned(1),
        }
    )


class Dequant(wiring.Component):
    """The dequantiser.

    Ports
    -----
    beats : In[stream of beat_bits]
        The packed weights, least significant bit first.
    runs : In[stream of run_layout]
        The width, number, shift and scale of the blocks to come.
    blocks : Out[stream of block_layout]

    Attributes
    ----------
    picked : Signal
        There is a block between the gearbox and the one on offer.
    """

    def __init__(self, geometry: DequantGeometry) -> None:
        self.geometry = geometry
        self.gearbox = Gearbox(geometry)
        self.queue = RunQueue(geometry)
        self.picked = Signal()
        super().__init__(
            {
                "beats": In(stream.Signature(unsigned(geometry.beat_bits))),
                "runs": In(stream.Signature(run_layout(geometry))),
                "blocks": Out(stream.Signature(block_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """A block is released when its words, its run and the register behind are there."""
        m = Module()
        m.submodules.gearbox = gearbox = self.gearbox
        m.submodules.queue = queue = self.queue
        wiring.connect(m, wiring.flipped(self.beats), gearbox.beats)
        wiring.connect(m, wiring.flipped(self.runs), queue.runs)
        packed = Signal(_packed_layout(self.geometry), reset_less=True)
        block = Signal(block_layout(self.geometry), reset_less=True)
        block_free, picked_free, releases = Signal(), Signal(), Signal()
        m.d.comb += [
            gearbox.code.eq(queue.run.code),
            block_free.eq(self.blocks.ready | ~self.blocks.valid),
            picked_free.eq(block_free | ~self.picked),
            releases.eq(picked_free & queue.active & gearbox.complete),
            gearbox.remove.eq(releases),
            queue.step.eq(releases),
            self.blocks.payload.eq(block),
        ]
        with m.If(picked_free):
            m.d.sync += [
                self.picked.eq(releases),
                packed.words.eq(gearbox.block),
                packed.run.eq(queue.run),
                packed.last.eq(queue.last),
            ]
        weights = self._weights(m, packed)
        with m.If(block_free):
            m.d.sync += [
                self.blocks.valid.eq(self.picked),
                *(block.weights[i].eq(weight) for i, weight in enumerate(weights)),
                block.scale.eq(packed.run.scale),
                block.last.eq(packed.last),
            ]
        return m

    def _weights(self, m: Module, packed: data.View) -> list[Value]:
        """The weights of a block, extended and shifted."""
        weights, bits = [], Value.cast(packed.words)
        for i in range(self.geometry.block_weights):
            extended = Signal(signed(8), name=f"extended{i}")
            with m.Switch(packed.run.code):
                for width in _by_code(m, self.geometry):
                    m.d.comb += extended.eq(bits.word_select(i, width).as_signed())
            weights.append((extended << packed.run.shift)[:8])
        return weights


def _packed_layout(geometry: DequantGeometry) -> data.StructLayout:
    """A block as it is packed, and its run."""
    return data.StructLayout(
        {
            "words": _words_layout(geometry, max(geometry.widths)),
            "run": run_layout(geometry),
            "last": unsigned(1),
        }
    )


def _words_layout(geometry: DequantGeometry, count: int) -> data.ArrayLayout:
    return data.ArrayLayout(unsigned(geometry.block_weights), count)


class Gearbox(wiring.Component):
    """The beats that are held, a block's worth of words to be removed at once.

    Ports
    -----
    beats : In[stream of beat_bits]
    code : In
        Width of the block at hand.
    remove : In
        The block's words go; only when ``complete``.
    complete : Out
        All words of the block are held.
    block : Out
        The oldest words, as many as the widest block has.
    ring : Out
        All words, at their places.
    oldest : Out
        The place of the oldest word.
    slot : Out
        The slot of the next beat.
    level : Out
        Words held.
    """

    def __init__(self, geometry: DequantGeometry) -> None:
        self.geometry = geometry
        places = geometry.capacity_words
        super().__init__(
            {
                "beats": In(stream.Signature(unsigned(geometry.beat_bits))),
                "code": In(geometry.code_bits),
                "remove": In(1),
                "complete": Out(1),
                "block": Out(_words_layout(geometry, max(geometry.widths))),
                "ring": Out(_words_layout(geometry, places)),
                "oldest": Out(range(places)),
                "slot": Out(range(geometry.slots)),
                "level": Out(range(places + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """A block is ``need`` words long; counting them is all that a release has to wait for."""
        m = Module()
        geometry = self.geometry
        places, beat = geometry.capacity_words, geometry.beat_words
        need, takes = Signal(range(max(geometry.widths) + 1)), Signal()
        with m.Switch(self.code):
            for width in _by_code(m, geometry):
                m.d.comb += need.eq(width)
        m.d.comb += [
            self.beats.ready.eq(self.level <= places - beat),
            takes.eq(self.beats.valid & self.beats.ready),
            self.complete.eq(self.level >= need),
            Value.cast(self.block).eq(self._turned(m)),
        ]
        m.d.sync += self.level.eq(self.level + Mux(takes, beat, 0) - Mux(self.remove, need, 0))
        with m.If(self.remove):
            beyond = self.oldest + need
            m.d.sync += self.oldest.eq(Mux(beyond >= places, beyond - places, beyond))
        self._store(m, takes)
        return m

    def _store(self, m: Module, takes: Signal) -> None:
        """Put the beats taken into the ring's slots, one after the other."""
        slot, slots = self.slot, self.geometry.slots
        ring = Signal.like(Value.cast(self.ring), name="words", reset_less=True)
        m.d.comb += Value.cast(self.ring).eq(ring)
        with m.If(takes):
            m.d.sync += slot.eq(Mux(slot == slots - 1, 0, slot + 1))
        for i in range(slots):
            with m.If(takes & (slot == i)):
                m.d.sync += ring.word_select(i, self.geometry.beat_bits).eq(self.beats.payload)

    def _turned(self, m: Module) -> Value:
        """The ring's words from the oldest on: the long turns first, when few words are needed."""
        size, places = self.geometry.block_weights, self.geometry.capacity_words
        words: list[Value] = [Value.cast(self.ring[i]) for i in range(places)]
        for bit in reversed(range(len(self.oldest))):
            step = 1 << bit
            count = min(len(self.block) + step - 1, places)
            turned = Signal(count * size, name=f"turned{step}")
            far = [words[(i + step) % places] for i in range(count)]
            m.d.comb += turned.eq(Mux(self.oldest[bit], Cat(far), Cat(words[:count])))
            words = [turned.word_select(i, size) for i in range(count)]
        return Cat(words)


class RunQueue(wiring.Component):
    """The run in work and the one after it.

    Ports
    -----
    runs : In[stream of run_layout]
    step : In
        A block of the run is released; only when ``active``.
    run : Out
        The run in work; its ``blocks`` are those after the block at hand.
    active : Out
        There is a run in work.
    last : Out
        The block at hand is the run's last.
    waiting : Out
        There is a run after it.
    after : Out
        That run.
    """

    def __init__(self, geometry: DequantGeometry) -> None:
        layout = run_layout(geometry)
        super().__init__(
            {
                "runs": In(stream.Signature(layout)),
                "step": In(1),
                "run": Out(layout),
                "active": Out(1),
                "last": Out(1),
                "waiting": Out(1),
                "after": Out(layout),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The next run moves up in the cycle of the last release, so that none is lost."""
        m = Module()
        m.d.comb += [
            self.runs.ready.eq(~self.waiting),
            self.last.eq(self.run.blocks == 0),
        ]
        with m.If(~self.active | (self.step & self.last)):
            m.d.sync += [
                self.run.eq(Mux(self.waiting, self.after, self.runs.payload)),
                self.active.eq(self.waiting | self.runs.valid),
                self.waiting.eq(0),
            ]
        with m.Else():
            with m.If(self.step):
                m.d.sync += self.run.blocks.eq(self.run.blocks - 1)
            with m.If(~self.waiting):
                m.d.sync += [self.after.eq(self.runs.payload), self.waiting.eq(self.runs.valid)]
        return m


def _by_code(m: Module, geometry: DequantGeometry) -> Iterator[int]:
    """The width of each code, inside its case; codes beyond the last mean the last."""
    *first, last = geometry.widths
    for code, width in enumerate(first):
        with m.Case(code):
            yield width
    with m.Default():
        yield last
