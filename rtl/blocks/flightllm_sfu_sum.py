"""The sum and the scalar of a vector in FlightLLM's special function unit.

Every beat takes the sum and the scalar of its vector so far along, so that those of the second pass
bring their own to where they need it: nothing is told which beat of a pass is the last, and a stall
or a bubble changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.golden.flightllm_sfu import GUARD, LEAST_EXPONENT, NORMAL, SCALAR, epsilon
from hwsim.golden.tables import RECIPROCAL, RSQRT
from hwsim.laws.flightllm_sfu import BLOCK_LANES, MAX_BLOCKS, SFUGeometry, levels
from rtl.blocks.flightllm_sfu_lane import SCALAR_LAYOUT, TERM_LAYOUT
from rtl.blocks.fp16 import PieceTable, normalise
from rtl.blocks.registers import Delayed, named, register

__all__ = ["GATHER_STAGES", "SCALAR_STAGES", "Gather", "Scalar", "sum_layout"]

GATHER_STAGES, SCALAR_STAGES = 4, 14
"""Registers that are built here, besides those of the trees."""
ALIGNED_BITS = 22 + GUARD
ELEMENTS_BITS = (MAX_BLOCKS * BLOCK_LANES).bit_length()
SUM_BITS = ALIGNED_BITS + ELEMENTS_BITS


def sum_layout(geometry: SFUGeometry) -> data.StructLayout:
    """Of the beats so far: sum x 2^(reference - GUARD), their number, whether any is special."""
    return data.StructLayout(
        {
            "sum": unsigned(SUM_BITS),
            "reference": signed(18),
            "beats": unsigned(ELEMENTS_BITS - levels(geometry)),
            "nan": unsigned(1),
            "infinite": unsigned(1),
        }
    )


class Gather(wiring.Component):
    """Terms of a beat in, the sum up to it out: two trees and ``GATHER_STAGES`` cycles later.

    Ports
    -----
    terms : In[lanes of TERM_LAYOUT]
    at_reference, at_sum : In[gathers, first]
        Whether the beat that moves into the running maximum, and into the running sum, belongs to
        a gathering pass, and whether it is the first one of its vector.
    total : Out[sum_layout]
    """

    def __init__(self, geometry: SFUGeometry) -> None:
        self.geometry = geometry
        tag = data.StructLayout({"gathers": unsigned(1), "first": unsigned(1)})
        super().__init__(
            {
                "terms": In(data.ArrayLayout(TERM_LAYOUT, geometry.lanes)),
                "at_reference": In(tag),
                "at_sum": In(tag),
                "total": Out(sum_layout(geometry)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Greatest exponent; running maximum; distances; alignment; sum; running sum."""
        m = Module()
        depth, lanes = levels(self.geometry), range(self.geometry.lanes)
        greatest = _tree(
            m, "greatest", [self.terms[lane].exponent for lane in lanes], _greater
        ).as_signed()
        reference, change = self._reference(m, greatest)
        aligned = [self._aligned(m, lane, reference, depth) for lane in lanes]
        beat = _tree(m, "sums", aligned, lambda a, b: a + b)
        shift = Delayed(m, "change", change)[2 + depth]
        total, first = self.total, self.at_sum.first
        flags = [
            Delayed(m, name, _tree(m, name, [self.terms[lane][name] for lane in lanes], or_))[
                3 + depth
            ]
            for name in ("nan", "infinite")
        ]
        with m.If(self.at_sum.gathers):
            m.d.sync += [
                total.sum.eq(Mux(first, 0, total.sum >> shift) + beat),
                total.beats.eq(Mux(first, 0, total.beats) + 1),
                total.nan.eq(flags[0] | (total.nan & ~first)),
                total.infinite.eq(flags[1] | (total.infinite & ~first)),
            ]
        before = Delayed(m, "reference", reference)[2 + depth]
        m.d.sync += total.reference.eq(before)
        return m

    def _reference(self, m: Module, greatest: Value) -> tuple[Signal, Value]:
        """The greatest exponent so far, and by how much this beat raised it."""
        reference = Signal(signed(18), name="running", reset_less=True)
        old = named(m, "old", Mux(self.at_reference.first, LEAST_EXPONENT, reference).as_signed())
        rises = named(m, "rises", greatest > old)
        rise = register(m, "rise", Mux(rises, greatest - old, 0)[:19])
        with m.If(self.at_reference.gathers):
            m.d.sync += reference.eq(Mux(rises, greatest, old))
        return reference, Mux(rise[6:].any(), 63, rise[:6])

    def _aligned(self, m: Module, lane: int, reference: Value, depth: int) -> Value:
        """The mantissa of a lane in units of the reference, two cycles after it is known."""
        term = self.terms[lane]
        exponent = Delayed(m, f"exponent{lane}", term.exponent)[depth + 1].as_signed()
        below = named(m, f"below{lane}", (reference - exponent)[:19])
        distance = register(m, f"distance{lane}", Mux(below[6:].any(), 63, below[:6]))
        mantissa = Delayed(m, f"mantissa{lane}", term.mantissa)[depth + 2]
        return register(m, f"aligned{lane}", Cat(Const(0, GUARD), mantissa) >> distance)


class Scalar(wiring.Component):
    """1 / sum, or 1 / sqrt(mean + epsilon), ``SCALAR_STAGES`` cycles later.

    Ports
    -----
    total : In[sum_layout]
    root : In[stage]
        Whether the beat at each stage belongs to RMSNorm.
    scalar : Out[SCALAR_LAYOUT]
    """

    def __init__(self, geometry: SFUGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "total": In(sum_layout(geometry)),
                "root": In(SCALAR_STAGES),
                "scalar": Out(SCALAR_LAYOUT),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Normalise; reciprocal of the sum or of the number of beats; mean; root; round."""
        m = Module()
        total, last = self.total, SCALAR_STAGES - 1
        normal, shift = self._normalised(m, "sum", total.sum, (32, 16, 8), (4, 2, 1))
        beats, beats_shift = self._normalised(m, "beats", total.beats, (16, 8), (4, 2, 1))
        reference = Delayed(m, "reference", total.reference)[2].as_signed()
        unit = register(m, "unit", shift + reference - GUARD)
        m.submodules.reciprocal = reciprocal = PieceTable(RECIPROCAL)
        m.d.comb += reciprocal.argument.eq(Mux(self.root[2], beats, normal)[: NORMAL - 1])
        inverse = Delayed(m, "inverse", reciprocal.value)

        factor = Delayed(m, "normal", normal)[3]
        product = register(m, "product", register(m, "multiplied", factor * inverse[0]))
        scale = Delayed(m, "beats_shift", beats_shift)[5].as_signed()
        exponent = Delayed(m, "mean_unit", unit)[4].as_signed() - scale
        mean, mean_exponent = self._mean(m, product, exponent)
        odd = mean_exponent[0]
        m.submodules.rsqrt = rsqrt = PieceTable(RSQRT)
        m.d.comb += rsqrt.argument.eq(Cat(mean[: NORMAL - 1], odd))
        halved = Delayed(m, "mean_exponent", mean_exponent)[3].as_signed() + 20

        value = named(m, "value", Mux(self.root[last], rsqrt.value, inverse[last - 5]))
        up = named(m, "up", (value + 4) >> 3)
        none = Delayed(m, "none", ~total.sum.any())[last]
        nan, infinite = (Delayed(m, n, total[n])[last] for n in ("nan", "infinite"))
        zero = self.root[last] & infinite
        sum_unit = Delayed(m, "sum_unit", unit)[last - 3].as_signed()
        m.d.sync += [
            self.scalar.mantissa.eq(Mux(zero, 0, Mux(up[SCALAR], (1 << SCALAR) - 1, up))),
            self.scalar.exponent.eq(Mux(self.root[last], -17 - (halved >> 1), -37 - sum_unit)),
            self.scalar.nan.eq(nan | (none & ~self.root[last])),
            self.scalar.zero.eq(zero),
        ]
        return m

    @staticmethod
    def _normalised(
        m: Module, name: str, value: Value, coarse: tuple[int, ...], fine: tuple[int, ...]
    ) -> tuple[Value, Value]:
        """The upper bits from the leading one on, and their exponent, two cycles later."""
        extended = Cat(Const(0, max(NORMAL - len(value), 0)), value)
        rough, by_rough = normalise(m, f"{name}_coarse", extended, coarse)
        first = register(m, f"{name}_rough", rough)
        by_first = register(m, f"{name}_by", by_rough)
        exact, by_exact = normalise(m, f"{name}_fine", first, fine)
        normal = register(m, f"{name}_normal", exact[-NORMAL:])
        return normal, register(m, f"{name}_unit", len(value) - NORMAL - by_first - by_exact)

    def _mean(self, m: Module, product: Value, exponent: Value) -> tuple[Value, Value]:
        """The product normalised, plus epsilon, normalised: three cycles."""
        constant, constant_exponent = epsilon(self.geometry)
        carry = product[40]
        unit = named(m, "unit_of_mean", exponent + (19 - 40 - levels(self.geometry)) + carry)
        mean = named(m, "mean", Mux(carry, product[20:], product[19:])[:NORMAL])
        less = named(m, "less", unit < constant_exponent)
        apart = Mux(less, constant_exponent - unit, unit - constant_exponent)
        distance = register(m, "apart", Mux(apart > NORMAL, NORMAL, apart)[:5])
        great = register(m, "great", Mux(less, constant, mean))
        small = register(m, "small", Mux(less, mean, constant))
        great_exponent = Delayed(
            m, "great_exponent", Mux(less, constant_exponent, unit).as_signed()
        )[2].as_signed()
        total = register(m, "mean_and_epsilon", great + (small >> distance))
        over = total[NORMAL]
        return (
            register(m, "radicand", Mux(over, total >> 1, total)[:NORMAL]),
            register(m, "radicand_exponent", great_exponent + over),
        )


def _greater(a: Value, b: Value) -> Value:
    return Mux(a > b, a, b)


def _tree(
    m: Module, name: str, values: list[Value], join: Callable[[Value, Value], Value]
) -> Value:
    """All values joined two by two, a cycle a level."""
    level = 0
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [register(m, f"{name}_{level}_{i}", join(a, b)) for i, (a, b) in enumerate(pairs)]
        level += 1
    return values[0]
