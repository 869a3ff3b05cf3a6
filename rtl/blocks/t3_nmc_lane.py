"""One lane of T3's op-and-store: the sum of two numbers of FP16 or BF16, rounded to the nearest.

Values: :func:`hwsim.golden.t3_nmc.add`. Both formats go one way: exponents of 8 bits, significands
of 11, those of BF16 with three zeros at the end. A sum that is subnormal is exact, so nothing is
shifted right before rounding: the shift to the left stops where the exponent is least.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.golden.t3_nmc import BF16, FP16
from hwsim.laws.t3_nmc import LANE_BITS
from rtl.blocks.registers import Delayed, named, register

__all__ = ["STAGES", "Lane"]

STAGES = 3
"""Registers from the numbers to their sum; another stage stands behind the last one."""
SPARE_BITS = 3
"""Below the significand of a sum: guard, round and sticky."""
SIGNIFICAND_BITS = FP16.fraction_bits + 1
TOTAL_BITS = 1 + SIGNIFICAND_BITS + SPARE_BITS
PADDING = FP16.fraction_bits - BF16.fraction_bits
FARTHEST = 15
"""From here on only the sticky bit tells that there was anything to align."""


class Lane(wiring.Component):
    """The adder: one sum a cycle.

    Ports
    -----
    a, b : In[16]
    bf16 : In
        Whether they are BF16, or else FP16.
    total : Out[16]
        The sum of ``STAGES`` cycles before.
    """

    def __init__(self) -> None:
        super().__init__(
            {"a": In(LANE_BITS), "b": In(LANE_BITS), "bf16": In(1), "total": Out(LANE_BITS)}
        )

    def elaborate(self, _platform: object) -> Module:
        """Order by magnitude; align and add; normalise; round and pack."""
        m = Module()
        bf16 = Delayed(m, "bf16", self.bf16)
        swap = named(m, "swap", self.a[:-1] < self.b[:-1])
        great = _Number(m, "great", Mux(swap, self.b, self.a), self.bf16)
        small = _Number(m, "small", Mux(swap, self.a, self.b), self.bf16)
        exponent = Delayed(m, "exponent", great.exponent)
        subtract = great.negative ^ small.negative
        nan = great.nan | (great.infinite & small.infinite & subtract)
        special = Delayed(m, "special", Cat(nan, great.infinite))
        signs = Delayed(m, "signs", Cat(great.negative & small.negative, great.negative))
        total = self._sum(
            m,
            register(m, "augend", great.significand),
            register(m, "addend", small.significand),
            register(m, "distance", (great.exponent - small.exponent)[:8]),
            register(m, "subtract", subtract),
        )
        kept, field = self._normalised(m, total, exponent[2])
        negative = register(m, "negative", Mux(total.any(), signs[2][1], signs[2][0]))
        magnitude = self._packed(m, kept, field, bf16[STAGES])
        too_great = Mux(bf16[STAGES], field.all(), field[: FP16.exponent_bits].all())
        nan, infinite = special[STAGES][0], special[STAGES][1] | too_great
        m.d.comb += self.total.eq(
            Mux(
                nan,
                Mux(bf16[STAGES], BF16.nan, FP16.nan),
                Cat(
                    Mux(infinite, Mux(bf16[STAGES], BF16.infinity, FP16.infinity), magnitude)[:15],
                    negative,
                ),
            )
        )
        return m

    def _sum(
        self, m: Module, augend: Value, addend: Value, distance: Value, subtract: Value
    ) -> Signal:
        """The lesser aligned, what is lost ored into its last bit; added, or subtracted."""
        shift = named(m, "shift", Mux(distance[4:].any(), FARTHEST, distance[:4]))
        whole = Cat(Const(0, FARTHEST + SPARE_BITS), addend)
        shifted = named(m, "shifted", whole >> shift)
        aligned = named(m, "aligned", shifted[FARTHEST:] | shifted[:FARTHEST].any())
        first = augend << SPARE_BITS
        total = Mux(subtract, first - aligned, first + aligned)
        return register(m, "sum", total[:TOTAL_BITS])

    def _normalised(self, m: Module, total: Signal, exponent: Value) -> tuple[Signal, Signal]:
        """The leading one at the top, or the exponent at its least; the field, 0 for subnormals.

        The shift is the least of the leading zeros and the exponent. When a step that the exponent
        allows is not taken, fewer zeros lead than it would skip: the exponent allows all the rest.
        """
        most = named(m, "most", Mux(exponent[4:].any(), FARTHEST, exponent[:4]))
        value: Value = total
        free: Value = Const(0, 1)
        taken: list[Value] = []
        for bit in reversed(range(4)):
            zeros = ~value[-(1 << bit) :].any()
            take = named(m, f"take{1 << bit}", zeros & (free | most[bit]))
            free = free | (most[bit] & ~take)
            value = named(m, f"by{1 << bit}", Mux(take, value << (1 << bit), value)[:TOTAL_BITS])
            taken.insert(0, take)
        raised = (exponent + 1 - Cat(taken))[:8]
        return register(m, "kept", value), register(m, "field", Mux(value[-1], raised, 0))

    def _packed(self, m: Module, kept: Value, field: Value, bf16: Value) -> Value:
        """Field and fraction, rounded; a carry out of the fraction raises the field."""
        fp16_word = _rounded(Cat(kept[:-1], field[: FP16.exponent_bits]), SPARE_BITS + 1)
        bf16_word = _rounded(Cat(kept[:-1], field), SPARE_BITS + 1 + PADDING)
        return named(m, "magnitude", Mux(bf16, bf16_word, fp16_word))


def _rounded(value: Value, drop: int) -> Value:
    """``value`` without its ``drop`` lowest bits, to the nearest, ties to even."""
    up = value[drop - 1] & (value[drop] | value[: drop - 1].any())
    return (value[drop:] + up)[: LANE_BITS - 1]


class _Number:
    """The parts of a word."""

    def __init__(self, m: Module, name: str, word: Value, bf16: Value) -> None:
        word = named(m, name, word)
        narrow, wide = FP16.fraction_bits, BF16.fraction_bits
        field = Mux(bf16, word[wide:-1], word[narrow:-1])
        fraction = Mux(bf16, Cat(Const(0, PADDING), word[:wide]), word[:narrow])
        normal = field.any()
        special = Mux(bf16, word[wide:-1].all(), word[narrow:-1].all())
        self.negative = word[-1]
        self.exponent = Cat(field[0] | ~normal, field[1:])
        self.significand = Cat(fraction, normal)
        self.nan = special & fraction.any()
        self.infinite = special & ~fraction.any()
