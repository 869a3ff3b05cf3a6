"""FlightLLM's special function unit: sums, products, softmax and RMSNorm of half-precision vectors.

Values: :func:`hwsim.golden.flightllm_sfu.compute`. Cycles:
:class:`hwsim.laws.flightllm_sfu.Traffic`.

A command gives an operation and K. The operands follow: the vector once, or twice for softmax and
RMSNorm, whose first pass is gathered and whose second pass is scaled and emitted. The second pass
enters right behind the first: its terms wait in the delay line of the lanes while the scalar of the
whole vector, which the last gathered beat made complete, is computed beside them. Nothing in the
pipeline counts beats, so that commands of any operation follow one another without a bubble.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3. The data path is ours.
"""

from __future__ import annotations

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.golden.flightllm_sfu import SCALAR
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import (
    BLOCK_LANES,
    MAX_BLOCKS,
    SFUGeometry,
    levels,
    two_pass,
)
from rtl.blocks.flightllm_sfu_lane import (
    BACK_STAGES,
    FRONT_STAGES,
    OPERATION_BITS,
    SCALAR_LAYOUT,
    TERM_LAYOUT,
    Back,
    Front,
)
from rtl.blocks.flightllm_sfu_sum import GATHER_STAGES, SCALAR_STAGES, Gather, Scalar
from rtl.blocks.registers import Delayed, register

__all__ = ["COMMAND_LAYOUT", "SFU", "operands_layout", "results_layout", "sfu_depth"]

COMMAND_LAYOUT = data.StructLayout(
    {"operation": unsigned(OPERATION_BITS), "blocks": unsigned(MAX_BLOCKS.bit_length())}
)
"""Operation: the code of ``MISC.op``. Blocks: K, at least 1."""


def operands_layout(geometry: SFUGeometry) -> data.StructLayout:
    """A beat: a word of each operand for every lane."""
    words = data.ArrayLayout(unsigned(16), geometry.lanes)
    return data.StructLayout({"a": words, "b": words})


def results_layout(geometry: SFUGeometry) -> data.ArrayLayout:
    """A word for every lane."""
    return data.ArrayLayout(unsigned(16), geometry.lanes)


def sfu_depth(geometry: SFUGeometry) -> int:
    """Registers from a beat to its result, counted from what is built, not from the law."""
    trees = 2 * levels(geometry)
    return FRONT_STAGES + trees + GATHER_STAGES + SCALAR_STAGES + BACK_STAGES


def _two_pass(operation: Value) -> Value:
    return Cat(operation == code for code in MiscOp if two_pass(code)).any()


class SFU(wiring.Component):
    """The unit.

    Ports
    -----
    command : In[stream of COMMAND_LAYOUT]
        Taken when there is none, or with the last beat of the one before.
    i : In[stream of operands_layout]
    o : Out[stream of results_layout]

    Elaborated, it also has what proofs speak of: ``sequencer`` and ``pipeline``.
    """

    sequencer: _Sequencer
    pipeline: _Pipeline

    def __init__(self, geometry: SFUGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "command": In(stream.Signature(COMMAND_LAYOUT)),
                "i": In(stream.Signature(operands_layout(geometry))),
                "o": Out(stream.Signature(results_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """A sequencer that names each beat, and a pipeline that stops as a whole."""
        m = Module()
        moves = Signal()
        self.sequencer = sequencer = _Sequencer(self.geometry)
        self.pipeline = pipeline = _Pipeline(self.geometry)
        m.submodules.sequencer = EnableInserter(moves)(sequencer)
        m.submodules.pipeline = EnableInserter(moves)(pipeline)
        m.d.comb += [
            moves.eq(self.o.ready | ~self.o.valid),
            sequencer.command.eq(self.command.payload),
            sequencer.offered.eq(self.command.valid),
            sequencer.beat.eq(self.i.valid),
            self.command.ready.eq(moves & sequencer.takes),
            self.i.ready.eq(moves & sequencer.busy),
            pipeline.operands.eq(self.i.payload),
            pipeline.valid.eq(self.i.valid & sequencer.busy),
            pipeline.operation.eq(sequencer.operation),
            pipeline.gather.eq(sequencer.gather),
            pipeline.first.eq(sequencer.first),
            self.o.valid.eq(pipeline.emitted),
            self.o.payload.eq(pipeline.results),
        ]
        return m


class _Sequencer(wiring.Component):
    """Counts the beats of a command and says of each which pass it belongs to."""

    def __init__(self, geometry: SFUGeometry) -> None:
        self._beats_a_block = BLOCK_LANES // geometry.lanes
        most = MAX_BLOCKS * self._beats_a_block
        self.left, self.again = Signal(range(most)), Signal(range(most))
        super().__init__(
            {
                "command": In(COMMAND_LAYOUT),
                "offered": In(1),
                "beat": In(1),
                "takes": Out(1),
                "busy": Out(1),
                "operation": Out(OPERATION_BITS),
                "gather": Out(1),
                "first": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """``left`` counts the beats of the pass that follow the one at hand."""
        m = Module()
        left, again = self.left, self.again
        taken, last = self.beat & self.busy, left == 0
        after = (self.command.blocks * self._beats_a_block - 1)[: len(left)]
        m.d.comb += self.takes.eq(~self.busy | (taken & last & ~self.gather))
        with m.If(taken):
            m.d.sync += [left.eq(left - 1), self.first.eq(0)]
            with m.If(last):
                m.d.sync += [left.eq(again), self.gather.eq(0), self.busy.eq(self.gather)]
        with m.If(self.takes & self.offered):
            m.d.sync += [
                self.busy.eq(1),
                self.operation.eq(self.command.operation),
                self.gather.eq(_two_pass(self.command.operation)),
                self.first.eq(1),
                left.eq(after),
                again.eq(after),
            ]
        return m


class _Pipeline(wiring.Component):
    """A beat in every enabled cycle; one out for each that was to emit.

    Elaborated, it also has what proofs speak of: ``emits``, a bit that goes along with each beat.
    """

    emits: Delayed

    def __init__(self, geometry: SFUGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "operands": In(operands_layout(geometry)),
                "valid": In(1),
                "operation": In(OPERATION_BITS),
                "gather": In(1),
                "first": In(1),
                "emitted": Out(1),
                "results": Out(results_layout(geometry)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Fronts; the sum and the scalar beside the delay line of terms; backs."""
        m = Module()
        geometry, end = self.geometry, sfu_depth(self.geometry)
        meets = end - BACK_STAGES
        operation = Delayed(m, "operation", self.operation)
        self.emits = Delayed(m, "emits", self.valid & ~self.gather, reset=True)
        m.d.comb += self.emitted.eq(self.emits[end])
        terms = Signal(data.ArrayLayout(TERM_LAYOUT, geometry.lanes))
        for lane in range(geometry.lanes):
            m.submodules[f"front{lane}"] = front = Front()
            m.d.comb += [
                front.a.eq(self.operands.a[lane]),
                front.b.eq(self.operands.b[lane]),
                front.gather.eq(self.gather),
                front.operation.eq(Cat(operation[stage] for stage in range(FRONT_STAGES))),
                terms[lane].eq(front.term),
            ]
        scalar = self._scalar(m, terms, operation)
        for lane in range(geometry.lanes):
            m.submodules[f"back{lane}"] = back = Back()
            waiting = Delayed(m, f"term{lane}", terms[lane].as_value())
            m.d.comb += [
                back.term.eq(waiting[meets - FRONT_STAGES]),
                back.scalar.eq(scalar),
                self.results[lane].eq(back.word),
            ]
        return m

    def _scalar(self, m: Module, terms: Signal, operation: Delayed) -> Value:
        """What the terms at the end of the delay line are multiplied by, a cycle later."""
        depth = levels(self.geometry)
        gathers = Delayed(m, "gathers", self.valid & self.gather, reset=True)
        first = Delayed(m, "first", self.first)
        m.submodules.gather = gather = Gather(self.geometry)
        m.submodules.scalar = scalar = Scalar(self.geometry)
        at_reference = FRONT_STAGES + depth
        summed = FRONT_STAGES + 2 * depth + GATHER_STAGES
        meets = sfu_depth(self.geometry) - BACK_STAGES
        m.d.comb += [
            gather.terms.eq(terms),
            gather.at_reference.eq(Cat(gathers[at_reference], first[at_reference])),
            gather.at_sum.eq(Cat(gathers[summed - 1], first[summed - 1])),
            scalar.total.eq(gather.total),
            scalar.root.eq(
                Cat(operation[summed + n] == MiscOp.RMSNORM for n in range(SCALAR_STAGES))
            ),
        ]
        one = SCALAR_LAYOUT.const(
            {"mantissa": 1 << SCALAR - 1, "exponent": 1 - SCALAR, "nan": 0, "zero": 0}
        )
        scaled = _two_pass(operation[meets])
        return register(m, "factor", Mux(scaled, scalar.scalar.as_value(), one.as_value()))
