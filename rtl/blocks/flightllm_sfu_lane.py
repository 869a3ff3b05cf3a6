"""One lane of FlightLLM's special function unit: operands to a term, a term to a result.

The front makes of two words a *term*, mantissa x 2^exponent: a sum, a product, a square or an
exponential. The back multiplies a term by the scalar of its vector and rounds once.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.golden.flightllm_sfu import FRACTION, LEAST_EXPONENT, LOG2E, SCALAR
from hwsim.golden.tables import EXP2
from hwsim.laws.flightllm_isa import MiscOp
from rtl.blocks.fp16 import Adder, Half, PieceTable, Rounder
from rtl.blocks.registers import Delayed, named, register

__all__ = [
    "BACK_STAGES",
    "EXPONENT_BITS",
    "FRONT_STAGES",
    "OPERATION_BITS",
    "SCALAR_LAYOUT",
    "TERM_LAYOUT",
    "Back",
    "Front",
]

FRONT_STAGES, BACK_STAGES = 9, 7
"""Registers that are built here; that the law says the same is for the bench to find out."""
OPERATION_BITS = 3
MANTISSA_BITS = 22
EXPONENT_BITS = 20
"""Of a scalar: the exponent of a sum of exponentials, negated."""

TERM_LAYOUT = data.StructLayout(
    {
        "mantissa": unsigned(MANTISSA_BITS),
        "exponent": signed(18),
        "negative": unsigned(1),
        "nan": unsigned(1),
        "infinite": unsigned(1),
    }
)
SCALAR_LAYOUT = data.StructLayout(
    {
        "mantissa": unsigned(SCALAR),
        "exponent": signed(EXPONENT_BITS),
        "nan": unsigned(1),
        "zero": unsigned(1),
    }
)


class Front(wiring.Component):
    """Two words in, a term out ``FRONT_STAGES`` cycles later.

    Ports
    -----
    a, b : In[16]
    gather : In[1]
        The beat is one of a gathering pass: RMSNorm squares.
    operation : In[stage]
        The operation of the beat at each stage.
    term : Out[TERM_LAYOUT]
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(16),
                "b": In(16),
                "gather": In(1),
                "operation": In(data.ArrayLayout(OPERATION_BITS, FRONT_STAGES)),
                "term": Out(TERM_LAYOUT),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """One multiplier for products, squares and x log2 e; an adder beside it; a choice."""
        m = Module()
        operation = self.operation[0]
        square = self.gather & (operation == MiscOp.RMSNORM)
        a = Half(self.a)
        b = Half(named(m, "second", Mux(square, self.a, self.b)))
        factor = Mux(operation == MiscOp.SOFTMAX, LOG2E, b.significand)
        product = register(
            m,
            "product",
            register(
                m,
                "multiplied",
                register(m, "significand", a.significand) * register(m, "factor", factor),
            ),
        )
        plain = self._plain(m, product, a, b)
        mantissa, exponent = self._exponential(m, product, a)
        nothing = Delayed(m, "nothing", a.infinite & a.negative)[8]
        nan, infinite = self._special(operation, a, b)
        special = Delayed(m, "special", Cat(nan, infinite))[8]
        chosen = Signal(TERM_LAYOUT)
        with m.If(self.operation[8] == MiscOp.SOFTMAX):
            m.d.comb += [
                chosen.mantissa.eq(Mux(nothing, 0, mantissa)),
                chosen.exponent.eq(Mux(nothing, LEAST_EXPONENT, exponent)),
            ]
        with m.Else():
            m.d.comb += chosen.eq(plain)
        m.d.comb += Cat(chosen.nan, chosen.infinite).eq(special)
        m.d.sync += self.term.eq(chosen)
        return m

    def _plain(self, m: Module, product: Value, a: Half, b: Half) -> Value:
        """The sum or the product as a term without its special values, at stage 8."""
        m.submodules.adder = adder = Adder()
        m.d.comb += [adder.a.eq(self.a), adder.b.eq(self.b)]
        exponent = Delayed(m, "sum_of_exponents", a.exponent + b.exponent)[3]
        negative = Delayed(m, "product_negative", a.negative ^ b.negative)[3]
        plain = Signal(TERM_LAYOUT)
        with m.If(self.operation[3] == MiscOp.ADD):
            m.d.comb += [
                plain.mantissa.eq(adder.magnitude),
                plain.exponent.eq(adder.exponent - 28),
                plain.negative.eq(adder.negative),
            ]
        with m.Else():
            m.d.comb += [
                plain.mantissa.eq(product),
                plain.exponent.eq(exponent - 50),
                plain.negative.eq(negative),
            ]
        return data.View(TERM_LAYOUT, Delayed(m, "plain", plain.as_value())[5])

    def _exponential(self, m: Module, product: Value, a: Half) -> tuple[Value, Value]:
        """2^(x log2 e) at stage 8: shift to a fixed point, apply the sign, look up."""
        exponent = Delayed(m, "exponent", a.exponent)[3]
        negative = Delayed(m, "negative", a.negative)[4]
        shifted = Cat(Const(0, 2), product) >> (30 - exponent)[:5]
        magnitude = register(m, "magnitude", shifted)
        power = register(m, "power", Mux(negative, -magnitude, magnitude))
        m.submodules.exp2 = exp2 = PieceTable(EXP2)
        m.d.comb += exp2.argument.eq(power[:FRACTION])
        whole = Delayed(m, "whole", power[FRACTION:])[3]
        return exp2.value, whole.as_signed() - (MANTISSA_BITS - 1)

    @staticmethod
    def _special(operation: Value, a: Half, b: Half) -> tuple[Value, Value]:
        """Whether a term is NaN, and whether it is infinite. A sum of exponentials never is."""
        either_nan, either_infinite = a.nan | b.nan, a.infinite | b.infinite
        opposed = a.infinite & b.infinite & (a.negative ^ b.negative)
        undefined = (a.infinite & b.zero) | (a.zero & b.infinite)
        exponential, add = operation == MiscOp.SOFTMAX, operation == MiscOp.ADD
        nan = Mux(
            exponential,
            a.nan | (a.infinite & ~a.negative),
            either_nan | Mux(add, opposed, undefined),
        )
        return nan, either_infinite & ~exponential


class Back(wiring.Component):
    """A term times a scalar, rounded: ``BACK_STAGES`` cycles.

    Ports
    -----
    term : In[TERM_LAYOUT]
    scalar : In[SCALAR_LAYOUT]
        A cycle after the term: registered once for all lanes.
    word : Out[16]
    """

    def __init__(self) -> None:
        super().__init__(
            {"term": In(TERM_LAYOUT), "scalar": In(SCALAR_LAYOUT), "word": Out(unsigned(16))}
        )

    def elaborate(self, _platform: object) -> Module:
        """The multiplier of a DSP between its registers, then the rounder."""
        m = Module()
        m.submodules.rounder = rounder = Rounder(MANTISSA_BITS + SCALAR, EXPONENT_BITS + 1)
        term = data.View(TERM_LAYOUT, register(m, "operand", self.term))
        nan = term.nan | self.scalar.nan | (term.infinite & self.scalar.zero)
        multiplied = register(m, "multiplied", term.mantissa * self.scalar.mantissa)
        m.d.comb += [
            rounder.mantissa.eq(register(m, "product", multiplied)),
            rounder.exponent.eq(
                Delayed(m, "exponent", term.exponent + self.scalar.exponent)[2].as_signed()
            ),
            rounder.negative.eq(Delayed(m, "negative", term.negative)[2]),
            rounder.nan.eq(Delayed(m, "nan", nan)[2]),
            rounder.infinite.eq(Delayed(m, "infinite", term.infinite)[2]),
            self.word.eq(rounder.word),
        ]
        return m
