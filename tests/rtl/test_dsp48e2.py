"""The simulation model of DSP48E2 against its semantics in Python integers, register by register.

The reference is written from UG579 alone: a register loads when enabled, unless its reset is set;
the pre-adder keeps 27 bits, the product 45, the adder 48. Two slices are joined by their cascade,
and every operand, selection, enable and reset of both is drawn in each cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from amaranth.hdl import ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.config import Config
from rtl.block import Block, Case, Offer
from rtl.flow.emit import emit
from rtl.flow.simulate import Design, run_cases
from rtl.flow.tools import Simulator
from rtl.primitives.dsp48e2 import MODEL, Z

pytestmark = [pytest.mark.rtl, pytest.mark.slow]

OPERANDS = {"a": 30, "b": 18, "c": 48, "d": 27}
ENABLES = ("CEA2", "CEB1", "CEB2", "CED", "CEAD", "CEC", "CEM", "CEP", "CECTRL")
RESETS = ("RSTA", "RSTB", "RSTD", "RSTC", "RSTM", "RSTP", "RSTCTRL")
WIDTHS = {**OPERANDS, "pcin": 48, "opmode": 9, "enables": len(ENABLES), "resets": len(RESETS)}
SLICES = 2
CYCLES = 6000
PRODUCT, NOTHING = 0b0101, 0b0000


class TwoSlices(wiring.Component):
    """Every port that the blocks drive, from the payload; PCIN of the second from the first."""

    def __init__(self, _config: Config) -> None:
        layout = data.ArrayLayout(data.StructLayout(WIDTHS), SLICES)
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(data.ArrayLayout(48, SLICES))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1)]
        cascade = None
        for number in range(SLICES):
            told, pcout = self.i.payload[number], Signal(48, name=f"pcout{number}")
            m.submodules += Instance(
                "DSP48E2",
                **{f"p_{name}": text for name, text in STRINGS.items()},
                **{f"p_{name}": value for name, value in REGISTERS.items()},
                **{f"i_{name}": told.enables[i] for i, name in enumerate(ENABLES)},
                **{f"i_{name}": told.resets[i] | ResetSignal() for i, name in enumerate(RESETS)},
                **{f"i_{name}": Const(0, width) for name, width in IDLE.items()},
                i_CLK=ClockSignal(),
                i_INMODE=Const(0b00100, 5),
                i_OPMODE=told.opmode,
                i_A=told.a,
                i_B=told.b,
                i_C=told.c,
                i_D=told.d,
                i_PCIN=told.pcin if cascade is None else cascade,
                o_PCOUT=pcout,
                o_P=self.o.payload[number],
            )
            cascade = pcout
        return m


STRINGS = {
    "AMULTSEL": "AD", "BMULTSEL": "B", "PREADDINSEL": "A", "A_INPUT": "DIRECT",
    "B_INPUT": "DIRECT", "USE_MULT": "MULTIPLY", "USE_SIMD": "ONE48",
}  # fmt: skip
REGISTERS = {
    "AREG": 1, "ACASCREG": 1, "BREG": 2, "BCASCREG": 2, "DREG": 1, "ADREG": 1, "CREG": 1,
    "MREG": 1, "PREG": 1, "OPMODEREG": 1, "INMODEREG": 0, "ALUMODEREG": 0, "CARRYINREG": 0,
    "CARRYINSELREG": 0,
}  # fmt: skip
IDLE = {
    "ACIN": 30, "BCIN": 18, "ALUMODE": 4, "CARRYIN": 1, "CARRYINSEL": 3, "CARRYCASCIN": 1,
    "MULTSIGNIN": 1, "CEA1": 1, "CEALUMODE": 1, "CECARRYIN": 1, "CEINMODE": 1,
    "RSTALLCARRYIN": 1, "RSTALUMODE": 1, "RSTINMODE": 1,
}  # fmt: skip


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


@dataclass
class Reference:
    """One slice: every register by name, and what the stimulus made it show."""

    registers: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("A2", "B1", "B2", "C", "D", "AD", "M", "P", "OPMODE"), 0
        )
    )
    shown: set[str] = field(default_factory=set)

    def clock(self, told: Mapping[str, int], pcin: int) -> None:
        old = dict(self.registers)
        pre = _signed(told_bits := old["A2"] + old["D"], 27)
        self._note(pre != told_bits, f"pre-adder wraps to {'-' if pre < 0 else '+'}")
        selected = {Z.ZERO: 0, Z.PCIN: pcin, Z.C: old["C"]}[Z(old["OPMODE"] >> 4)]
        product = old["M"] if old["OPMODE"] & 0b1111 == PRODUCT else 0
        total = _signed(_signed(selected, 48) + product, 48)
        self._note(total != _signed(selected, 48) + product, "adder wraps")
        self._load("A2", _signed(told["a"], 27), "CEA2", "RSTA", told)
        self._load("B1", _signed(told["b"], 18), "CEB1", "RSTB", told)
        self._load("B2", old["B1"], "CEB2", "RSTB", told)
        self._load("C", _signed(told["c"], 48), "CEC", "RSTC", told)
        self._load("D", _signed(told["d"], 27), "CED", "RSTD", told)
        self._load("AD", pre, "CEAD", "RSTD", told)
        self._load("M", old["AD"] * old["B2"], "CEM", "RSTM", told)
        self._load("OPMODE", told["opmode"], "CECTRL", "RSTCTRL", told)
        self._load("P", total, "CEP", "RSTP", told)
        if self.registers["P"] == total != old["P"]:
            self.shown.add(f"{Z(old['OPMODE'] >> 4).name} {'+ M' if product else ''}".strip())

    def _load(
        self, name: str, value: int, enable: str, reset: str, told: Mapping[str, int]
    ) -> None:
        enabled = told["enables"] >> ENABLES.index(enable) & 1
        cleared = told["resets"] >> RESETS.index(reset) & 1
        was = self.registers[name]
        self.registers[name] = 0 if cleared else value if enabled else was
        self._note(cleared and enabled and value and was, f"{name} reset, though enabled")
        self._note(cleared and not enabled and was, f"{name} reset, not enabled")
        self._note(not cleared and not enabled and value != was, f"{name} held")

    def _note(self, seen: object, what: str) -> None:
        if seen:
            self.shown.add(what)


SHOWN = frozenset(
    {f"{r} {w}" for r in Reference().registers
     for w in ("reset, though enabled", "reset, not enabled", "held")}
    | {f"{z.name}{m}" for z in Z for m in (" + M", "")}
    | {"pre-adder wraps to +", "pre-adder wraps to -", "adder wraps"}
)  # fmt: skip
"""What every slice must have been made to show."""


def _corners(bits: int) -> tuple[int, ...]:
    top = 1 << (bits - 1)
    return (0, 1, top - 1, top, top + 1, 2 * top - 1)


def _told(rng: Random, extreme: float, disturbed: float) -> dict[str, int]:
    """What one slice is told in one cycle."""
    told = {
        name: rng.choice(_corners(27 if name == "a" else bits))
        if rng.random() < extreme
        else rng.getrandbits(bits)
        for name, bits in (*OPERANDS.items(), ("pcin", 48))
    }
    muted = rng.random() < 0.2
    told["opmode"] = rng.choice(list(Z)) << 4 | (NOTHING if muted else PRODUCT)
    told["enables"] = _some(rng, len(ENABLES), 1 - disturbed)
    told["resets"] = _some(rng, len(RESETS), disturbed / 4)
    return told


def _some(rng: Random, bits: int, chance: float) -> int:
    return sum((rng.random() < chance) << i for i in range(bits))


def _packed(slices: list[dict[str, int]]) -> int:
    word, at = 0, 0
    for told in slices:
        for name, bits in WIDTHS.items():
            word |= told[name] << at
            at += bits
    return word


def _case(name: str, rng: Random, extreme: float, disturbed: float, shown: list[set[str]]) -> Case:
    slices = [Reference() for _ in range(SLICES)]
    sent, seen = [], []
    for cycle in range(CYCLES):
        told = [_told(rng, extreme, disturbed) for _ in slices]
        p = [s.registers["P"] & (1 << 48) - 1 for s in slices]
        sent.append((cycle, _packed(told)))
        seen.append((cycle, p[0] | p[1] << 48))
        for number, (slice_, controls) in enumerate(zip(slices, told, strict=True)):
            slice_.clock(controls, controls["pcin"] if number == 0 else p[0])
    for number, slice_ in enumerate(slices):
        shown[number] |= slice_.shown
    return Case(
        name=name,
        inputs={"i": Offer([word for _, word in sent], [0] * CYCLES)},
        ready={"o": [True]},
        expected={"i": sent, "o": seen},
        cycles=CYCLES,
        cut=True,  # the wrapper is always valid
    )


def _cases(shown: list[set[str]]) -> Iterator[Case]:
    rng = Random(579)
    yield _case("nothing disturbed", rng, 0.3, 0.0, shown)
    yield _case("corners", rng, 1.0, 0.0, shown)
    yield _case("enables and resets", rng, 0.3, 0.2, shown)
    yield _case("corners, enables and resets", rng, 1.0, 0.2, shown)


class NoParameters(Config):
    """The wrapper has none."""


def _answer(simulator: Simulator, model: Path, cases: list[Case]) -> str:
    block = Block(
        name="test.dsp48e2",
        title="two slices",
        parameters=NoParameters,
        component=TwoSlices,
        modes=lambda _: (),
        cases=lambda *_: iter(()),
        bins=lambda _: frozenset(),
    )
    design = Design("test_dsp48e2", emit(block, NoParameters()), [model])
    return str(run_cases(design, simulator, cases)["wrong"])


def test_the_model_is_ug579_register_by_register(simulator: Simulator) -> None:
    shown: list[set[str]] = [set() for _ in range(SLICES)]
    cases = list(_cases(shown))
    assert [SHOWN - s for s in shown] == [set()] * SLICES
    assert _answer(simulator, MODEL, cases) == ""


def test_a_pre_adder_that_keeps_its_carry_is_noticed(simulator: Simulator, tmp_path: Path) -> None:
    text = MODEL.read_text()
    wider = text.replace("a2 = 0, d = 0, ad = 0;", "a2 = 0, d = 0; reg signed [27:0] ad = 0;")
    assert wider != text
    model = tmp_path / "dsp48e2.v"
    model.write_text(wider)
    cases = [_case("corners", Random(579), 1.0, 0.0, [set(), set()])]
    assert _answer(simulator, model, cases).startswith("case 0 (corners), o[")
