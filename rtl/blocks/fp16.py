"""Half precision in hardware: words taken apart, an adder, a rounder, tables of straight pieces.

Values: :mod:`hwsim.golden.fp16` and :mod:`hwsim.golden.tables`. All parts take something new every
enabled cycle; each says how many cycles later the answer is there.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwsim.golden import fp16
from hwsim.golden.tables import Pieces
from rtl.blocks.registers import Delayed, named, register

__all__ = ["Adder", "Half", "PieceTable", "Rounder", "normalise"]

SPARE_BITS = 3
"""Below the significand of a sum: guard, round and sticky."""


class Half:
    """The parts of a word, as expressions."""

    def __init__(self, word: Value) -> None:
        self.magnitude = word[:15]
        self.negative = word[15]
        normal = word[10:15].any()
        special = word[10:15].all()
        self.exponent = Cat(word[10] | ~normal, word[11:15])
        """The field, 1 for subnormals."""
        self.significand = Cat(word[:10], normal)
        self.nan = special & word[:10].any()
        self.infinite = special & ~word[:10].any()
        self.zero = ~word[:15].any()


def normalise(m: Module, name: str, value: Value, steps: tuple[int, ...]) -> tuple[Signal, Signal]:
    """``value`` shifted left by those of ``steps`` before which it has that many leading zeros.

    Steps are falling powers of two. Also returns the sum of the steps that were taken.
    """
    count = Signal(range(sum(steps) + 1), name=f"{name}_shift")
    taken = []
    for step in steps:
        zeros = named(m, f"{name}_zeros{step}", ~value[-step:].any())
        value = named(m, f"{name}_by{step}", Mux(zeros, value << step, value)[: len(value)])
        taken.append(Mux(zeros, step, 0))
    m.d.comb += count.eq(sum(taken[1:], taken[0]))
    return value, count


class Adder(wiring.Component):
    """The sum of two words, aligned and not yet rounded: magnitude x 2^(exponent - 28).

    Three cycles. Special values are the caller's.

    Ports
    -----
    a, b : In[16]
    magnitude, exponent, negative : Out[15], Out[5], Out[1]
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(16),
                "b": In(16),
                "magnitude": Out(11 + SPARE_BITS + 1),
                "exponent": Out(5),
                "negative": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Order by magnitude; align the lesser, what is lost ored into its last bit; add."""
        m = Module()
        a, b = Half(self.a), Half(self.b)
        swap = named(m, "swap", a.magnitude < b.magnitude)
        great, small = (
            Half(named(m, "great", Mux(swap, self.b, self.a))),
            Half(named(m, "small", Mux(swap, self.a, self.b))),
        )
        augend = Delayed(m, "augend", great.significand)
        addend = register(m, "addend", small.significand)
        distance = register(m, "distance", (great.exponent - small.exponent)[:5])
        subtract = Delayed(m, "subtract", a.negative ^ b.negative)
        negative = Delayed(m, "great_negative", great.negative)
        both = Delayed(m, "both_negative", a.negative & b.negative)
        shift = Mux(distance[4], 15, distance[:4])
        shifted = named(m, "shifted", Cat(Const(0, 15 + SPARE_BITS), addend) >> shift)
        aligned = register(m, "aligned", shifted[15:] | shifted[:15].any())
        whole = named(m, "whole", augend[2] << SPARE_BITS)
        total = Mux(subtract[2], whole - aligned, whole + aligned)
        m.d.sync += self.magnitude.eq(total)
        m.d.comb += [
            self.exponent.eq(Delayed(m, "exponent", great.exponent)[3]),
            self.negative.eq(Mux(self.magnitude.any(), negative[3], both[3])),
        ]
        return m


class Rounder(wiring.Component):
    """The word nearest to mantissa x 2^exponent, ties to even. Four cycles.

    Ports
    -----
    mantissa, exponent, negative, nan, infinite : In
    word : Out[16]
    """

    def __init__(self, mantissa_bits: int, exponent_bits: int) -> None:
        super().__init__(
            {
                "mantissa": In(mantissa_bits),
                "exponent": In(signed(exponent_bits)),
                "negative": In(1),
                "nan": In(1),
                "infinite": In(1),
                "word": Out(16),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Leading one to the top in two stages; down again for subnormals; round and pack."""
        m = Module()
        width = len(self.mantissa)
        coarse, by_coarse = normalise(m, "coarse", self.mantissa, (32, 16, 8))
        some = register(m, "some", coarse)
        biased = register(m, "biased", self.exponent + (15 + width - 1) - by_coarse)
        fine, by_fine = normalise(m, "fine", some, (4, 2, 1))
        top = register(m, "top", Cat(fine[: width - 13].any(), fine[width - 13 :]))
        field = register(m, "field", biased - by_fine)
        m.d.sync += self.word.eq(self._packed(m, *self._denormal(m, top, field)))
        return m

    def _denormal(self, m: Module, top: Signal, field: Signal) -> tuple[Value, Value]:
        """The significand, guard, one more and sticky; and the field, 31 for what is too great."""
        below = named(m, "below", field < 1)
        by = named(m, "by", Mux(field < -12, 13, (1 - field)[:4]))
        shifted = named(m, "shifted", Cat(Const(0, 13), top) >> Mux(below, by, 0))
        kept = register(m, "kept", shifted[13:] | shifted[:13].any())
        too_great = field > 30
        normal = ~below & top[-1]
        return kept, register(
            m, "kept_field", Mux(normal, Mux(too_great, 31, field[:5]), Const(0, 5))
        )

    def _packed(self, m: Module, kept: Value, field: Value) -> Value:
        special = Delayed(m, "special", Cat(self.nan, self.infinite, self.negative))[3]
        up = kept[2] & (kept[3] | kept[:2].any())
        rounded = named(m, "rounded", (Cat(kept[3:13], field) + up)[:15])
        infinite = special[1] | field.all()
        word = Cat(Mux(infinite, fp16.INFINITY, rounded)[:15], special[2])
        return Mux(special[0], fp16.NAN, word)


class PieceTable(wiring.Component):
    """A table of straight pieces. Three cycles: look up, multiply, add.

    Ports
    -----
    argument : In
    value : Out
    """

    def __init__(self, table: Pieces) -> None:
        self._table = table
        super().__init__(
            {
                "argument": In(table.index_bits + table.low_bits),
                "value": Out(table.base_bits),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """One word of memory a piece, read through a register."""
        m = Module()
        table = self._table
        shape = unsigned(table.base_bits + table.slope_bits)
        words = [b | s << table.base_bits for b, s in zip(table.base, table.slope, strict=True)]
        m.submodules.pieces = pieces = memory.Memory(shape=shape, depth=len(words), init=words)
        read = pieces.read_port(domain="comb")
        m.d.comb += read.addr.eq(self.argument[table.low_bits :])
        base = Delayed(m, "base", read.data[: table.base_bits])
        slope = register(m, "slope", read.data[table.base_bits :])
        low = register(m, "low", self.argument[: table.low_bits])
        rise = register(m, "rise", (slope * low) >> table.drop)
        total = base[2] + rise if table.rising else base[2] - rise
        m.d.sync += self.value.eq(total)
        return m
