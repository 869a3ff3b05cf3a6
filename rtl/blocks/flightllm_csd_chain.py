"""FlightLLM's configurable sparse DSP chain: one block of K positions, two packed lanes, a cycle.

Values: :func:`hwsim.golden.flightllm_chain.chain_sums`. Cycles:
:func:`hwsim.laws.flightllm_chain.latency`, one beat a cycle, stopping as a whole.

A beat passes, DSP by DSP and one cycle apart: the sparse multiplexer picks the DSP's two
activations; the DSP multiplies both by its weight (a1 x 2^18 + a0 through the pre-adder) and adds
what its Z multiplexer selects: nothing at the head of a segment, the cascade inside a run of eight,
the adjusted sum of the run before at the head of the next. A reduction node ends each DSP group.

Eight products of two signed bytes span -130,048 to 131,072: less than 2^18 values, so that the low
lane is read exactly, 2^17 included. The overflow adjust unit sends the low 9 bits of that lane on
(the span then still fits) and the rest to the node at the end of the next run.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.2; AMD WP486 and WP487 (packing).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, EnableInserter, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.flightllm_chain import GROUP, RUN, ChainGeometry, segment
from rtl.blocks.registers import Delayed
from rtl.primitives.dsp48e2 import Z, multiply_add

__all__ = ["CSDChain", "ChainPath", "beat_layout", "chain_depth", "sums_layout"]

LANE_BITS = 18
PASSED_BITS = 9
"""Bits of the low lane that go on down the cascade at the end of a run."""


STAGES_TO_P = 5
"""Registers from a beat to the P of its first DSP: multiplexer, A and D, AD, M, P."""


def chain_depth(geometry: ChainGeometry) -> int:
    """Registers from a beat to its sums, counted from what is built here, not from the law."""
    return STAGES_TO_P + skew(geometry.chain_length - 1) + 1


def skew(dsp: int) -> int:
    """Registers that delay a DSP's operands: one for each DSP, and adjust unit, before it."""
    return dsp + dsp // RUN


def beat_layout(geometry: ChainGeometry) -> data.StructLayout:
    """One beat: operands of a block and the code of its density."""
    n = geometry.chain_length
    return data.StructLayout(
        {
            "activations": data.ArrayLayout(data.ArrayLayout(signed(8), n), 2),
            "weights": data.ArrayLayout(signed(8), n),
            "indices": data.ArrayLayout(unsigned(geometry.index_bits), n),
            "density": unsigned(max(1, (len(geometry.densities) - 1).bit_length())),
        }
    )


def sums_layout(geometry: ChainGeometry) -> data.ArrayLayout:
    """The sums of a beat: [nodes][lane]."""
    return data.ArrayLayout(data.ArrayLayout(signed(geometry.sum_bits), 2), geometry.nodes)


class CSDChain(wiring.Component):
    """The chain.

    Ports
    -----
    i : In[stream of beat_layout]
    o : Out[stream of sums_layout]

    Elaborated, it also has what proofs speak of: ``valid``, a bit a stage, and ``path``.
    """

    valid: Signal
    path: ChainPath

    def __init__(self, geometry: ChainGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(geometry))),
                "o": Out(stream.Signature(sums_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The valid bit travels beside the data; all stages share one enable."""
        m = Module()
        stages, moves = chain_depth(self.geometry), Signal()
        self.valid = valid = Signal(stages)
        self.path = path = ChainPath(self.geometry, moves)
        m.submodules.path = EnableInserter(moves)(path)
        m.d.comb += [
            moves.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(moves),
            path.beat.eq(self.i.payload),
            self.o.valid.eq(valid[-1]),
            self.o.payload.eq(path.sums),
        ]
        with m.If(moves):
            m.d.sync += valid.eq(Cat(self.i.valid, valid))
        return m


class ChainPath(wiring.Component):
    """The data path without the handshake: a beat in and a beat out every enabled cycle.

    Elaborated, it also has what proofs speak of: ``z``, the selection of each DSP's Z multiplexer,
    and ``density``, the code that goes along with each beat.
    """

    density: Delayed
    z: list[Signal]

    def __init__(self, geometry: ChainGeometry, enable: Value) -> None:
        self.geometry = geometry
        self._enable = enable  # the DSPs' clock enables are ports, which no inserter reaches
        super().__init__({"beat": In(beat_layout(geometry)), "sums": Out(sums_layout(geometry))})

    def elaborate(self, _platform: object) -> Module:
        """DSP after DSP, each with its reduction node or overflow adjust unit."""
        m = Module()
        geometry = self.geometry
        self.density = density = Delayed(m, "density", self.beat.density)
        self.z = [Signal(3, name=f"z{dsp}") for dsp in range(geometry.chain_length)]
        stages = chain_depth(geometry)
        p: Signal | None = None
        cascade: Signal | None = None
        excess: Value = Const(0, signed(1))
        for dsp in range(geometry.chain_length):
            head = dsp % RUN == 0
            if head and dsp:
                assert p is not None
                passed, excess = self._adjust(m, dsp, density, p, excess)
            else:
                passed = None
            p, cascade = self._multiply(m, dsp, density, passed, None if head else cascade)
            if self._may_end(dsp):
                node = self._reduce(m, dsp, density, p, excess if dsp % RUN == RUN - 1 else None)
                held = Delayed(m, f"node{dsp // GROUP}", node)
                m.d.comb += Value.cast(self.sums[dsp // GROUP]).eq(
                    held[stages - STAGES_TO_P - skew(dsp)]
                )
        return m

    def _multiply(
        self, m: Module, dsp: int, density: Delayed, passed: Value | None, cascade: Value | None
    ) -> tuple[Signal, Signal]:
        """Sparse multiplexer, skew, Z multiplexer and the DSP itself."""
        chosen = Signal(data.StructLayout({"w": signed(8), "a": data.ArrayLayout(signed(8), 2)}))
        place = self._position(m, dsp)
        m.d.sync += [
            chosen.w.eq(self.beat.weights[dsp]),
            *(chosen.a[lane].eq(self.beat.activations[lane][place]) for lane in range(2)),
        ]
        operands = data.View(
            chosen.shape(), Delayed(m, f"operands{dsp}", chosen.as_value())[skew(dsp)]
        )
        z = self.z[dsp]
        with m.Switch(density[3 + skew(dsp)]):
            for code, mode in enumerate(self.geometry.densities):
                if dsp % segment(self.geometry, mode) == 0:
                    with m.Case(code):
                        m.d.comb += z.eq(Z.ZERO)
            with m.Default():
                m.d.comb += z.eq(Z.C if passed is not None else Z.PCIN)
        p, pcout = Signal(48, name=f"p{dsp}"), Signal(48, name=f"pcout{dsp}")
        m.submodules[f"dsp{dsp}"] = multiply_add(
            enable=self._enable,
            a=Cat(Const(0, LANE_BITS), operands.a[1]).as_signed(),
            d=operands.a[0],
            b=operands.w,
            z=z,
            c=passed,
            pcin=cascade,
            pcout=pcout,
            p=p,
        )
        return p, pcout

    def _position(self, m: Module, dsp: int) -> Signal:
        """The place in the block of this DSP's activation."""
        place = Signal(self.geometry.index_bits, name=f"place{dsp}")
        with m.Switch(self.beat.density):
            for code, mode in enumerate(self.geometry.densities):
                kept = dsp % segment(self.geometry, mode)
                with m.Case(code):
                    if mode.dense:
                        m.d.comb += place.eq(kept)
                    else:
                        within = self.beat.indices[dsp][: (mode.m - 1).bit_length()]
                        m.d.comb += place.eq(kept // mode.n * mode.m + within)
        return place

    def _adjust(
        self, m: Module, dsp: int, density: Delayed, p: Signal, excess: Value
    ) -> tuple[Value, Value]:
        """Overflow adjust unit before ``dsp``: what goes on to port C, what to the next node."""
        low, high = _lanes(p)
        above = Signal(signed(self.geometry.sum_bits - PASSED_BITS), name=f"excess{dsp // RUN}")
        goes_on = Signal(name=f"goes_on{dsp // RUN}")
        with m.Switch(density[5 + skew(dsp - 1)]):
            for code, mode in enumerate(self.geometry.densities):
                with m.Case(code):
                    m.d.comb += goes_on.eq(dsp % segment(self.geometry, mode) != 0)
        with m.If(goes_on):
            m.d.comb += above.eq((low >> PASSED_BITS) + excess)
        run = min(RUN, self.geometry.chain_length)
        arrives = Delayed(m, f"excess{dsp // RUN}", above)[skew(dsp + run - 1) - skew(dsp - 1)]
        return Cat(p[:PASSED_BITS], Const(0, LANE_BITS - PASSED_BITS), high), arrives.as_signed()

    def _may_end(self, dsp: int) -> bool:
        """Whether a segment of some mode ends here: elsewhere there is no node, P is not read."""
        densities = self.geometry.densities
        return any((dsp + 1) % segment(self.geometry, mode) == 0 for mode in densities)

    def _reduce(
        self, m: Module, dsp: int, density: Delayed, p: Signal, excess: Value | None
    ) -> Value:
        """Reduction node: both lanes of a segment that ends here, else nothing."""
        low, high = _lanes(p)
        sums = Signal(
            data.ArrayLayout(signed(self.geometry.sum_bits), 2), name=f"sums{dsp // GROUP}"
        )
        ends = Signal(name=f"ends{dsp // GROUP}")
        with m.Switch(density[5 + skew(dsp)]):
            for code, mode in enumerate(self.geometry.densities):
                with m.Case(code):
                    m.d.comb += ends.eq((dsp + 1) % segment(self.geometry, mode) == 0)
        with m.If(ends):
            m.d.comb += [
                sums[0].eq(low + ((excess << PASSED_BITS) if excess is not None else 0)),
                sums[1].eq(high),
            ]
        return sums.as_value()


def _lanes(p: Signal) -> tuple[Value, Value]:
    """The two exact sums in a P register.

    The low lane is negative unless its pattern is below 2^17 + 2^9: no sum of eight products and a
    passed part of nine bits reaches a pattern above on either side. A negative one has borrowed
    from the lane above.
    """
    negative = p[LANE_BITS - 1] & p[PASSED_BITS : LANE_BITS - 1].any()
    low = Cat(p[:LANE_BITS], negative).as_signed()
    return low, p[LANE_BITS:].as_signed() + negative
