"""One DSP48E2 slice as the blocks here use it: (A + D) x B, added to 0, PCIN or C.

Registers: A, D, AD, B1, B2, M, C, OPMODE and P, all with one clock enable and the common reset.

Timing: operands A, B, D taken at an edge are in P four edges later; OPMODE and C are taken at the
edge before the one that loads P.

Ref: AMD UG579, UltraScale Architecture DSP Slice (ports, OPMODE and INMODE coding, registers);
UG974 (instantiation).
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from amaranth.hdl import Cat, ClockSignal, Const, Instance, ResetSignal, Signal, Value, signed

__all__ = ["MODEL", "OPMODE_MULTIPLY", "Z", "multiply_add"]

MODEL = Path(__file__).with_name("dsp48e2.v")
"""The simulation model, for simulators that lack the vendor's."""

OPMODE_MULTIPLY = 0b01_01
"""X and Y select the product; Z is above them, and above that W, which is 0."""
INMODE_AD = 0b00100
"""The multiplier's A operand is D + A2, its B operand B2."""


class Z(IntEnum):
    """The Z multiplexer: what the product is added to."""

    ZERO = 0b000
    PCIN = 0b001
    C = 0b011


def multiply_add(
    *,
    enable: Value,
    a: Value,
    b: Value,
    d: Value,
    z: Value,
    c: Value | None,
    pcin: Value | None,
    pcout: Signal,
    p: Signal,
) -> Instance:
    """A slice that adds (a + d) x b to what ``z`` selects; all widths are the ports' or less."""
    registers = {
        "AREG": 1, "ACASCREG": 1, "BREG": 2, "BCASCREG": 2, "DREG": 1, "ADREG": 1, "CREG": 1,
        "MREG": 1, "PREG": 1, "OPMODEREG": 1, "INMODEREG": 0, "ALUMODEREG": 0, "CARRYINREG": 0,
        "CARRYINSELREG": 0,
    }  # fmt: skip
    enables = (
        "CEA2", "CEB1", "CEB2", "CED", "CEAD", "CEC", "CEM", "CEP", "CECTRL",
    )  # fmt: skip
    resets = ("RSTA", "RSTB", "RSTD", "RSTC", "RSTM", "RSTP", "RSTCTRL")
    idle = {
        "ACIN": Const(0, 30), "BCIN": Const(0, 18), "ALUMODE": Const(0, 4), "CARRYIN": Const(0, 1),
        "CARRYINSEL": Const(0, 3), "CARRYCASCIN": Const(0, 1), "MULTSIGNIN": Const(0, 1),
        "CEA1": Const(0, 1), "CEALUMODE": Const(0, 1), "CECARRYIN": Const(0, 1),
        "CEINMODE": Const(0, 1), "RSTALLCARRYIN": Const(0, 1), "RSTALUMODE": Const(0, 1),
        "RSTINMODE": Const(0, 1),
    }  # fmt: skip
    return Instance(
        "DSP48E2",
        p_AMULTSEL="AD",
        p_BMULTSEL="B",
        p_PREADDINSEL="A",
        p_A_INPUT="DIRECT",
        p_B_INPUT="DIRECT",
        p_USE_MULT="MULTIPLY",
        p_USE_SIMD="ONE48",
        **{f"p_{name}": value for name, value in registers.items()},
        **{f"i_{name}": enable for name in enables},
        **{f"i_{name}": ResetSignal() for name in resets},
        **{f"i_{name}": value for name, value in idle.items()},
        i_CLK=ClockSignal(),
        i_INMODE=Const(INMODE_AD, 5),
        i_OPMODE=Cat(Const(OPMODE_MULTIPLY, 4), z, Const(0, 2)),
        i_A=_wide(a, 30),
        i_B=_wide(b, 18),
        i_D=_wide(d, 27),
        i_C=_wide(c if c is not None else Const(0), 48),
        i_PCIN=pcin if pcin is not None else Const(0, 48),
        o_PCOUT=pcout,
        o_P=p,
    )


def _wide(value: Value, width: int) -> Value:
    """``value`` extended to the width of a port, by its sign if it has one."""
    return Value.cast(value | Const(0, signed(width)))[:width]
