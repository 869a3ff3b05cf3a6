"""The ports of ``flightllm.instruction_scheduler``: the operands of each unit's instructions.

Ref: the fields of :mod:`hwsim.laws.flightllm_isa`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hwsim.laws.flightllm_isa import FORMATS, UNITS, Opcode

__all__ = ["PORTS"]

TOKENS: Final = "a bit each, the greatest first, of the others of ld, st, mm, mv, misc, sys."
OFF_CHIP: Final = {
    "channel": "HBM channel of the core's group.",
    "bank": "First address in the buffer.",
    "hbm_addr": "Off-chip address, in bytes.",
    "hbm_type": "Off-chip path: 0 all channels, 1 one channel, 2 across the crossbar, 3 DDR.",
    "length_1d": "Length of a segment, in bytes.",
    "loop_1d": "Segments.",
}
LOAD: Final = {
    **OFF_CHIP,
    "mode": "Code of the buffer (codes).",
    "stride_1d": "From segment to segment, in bytes.",
    "stride_2d": "From row to row of segments, in bytes; B only.",
    "stride_3d": "From plane to plane, in bytes; B only.",
    "loop_2d": "Rows of segments; B only.",
    "loop_3d": "Planes; B only.",
    "zero_fill": "1: writes zeros and reads nothing.",
}
MATRIX: Final = {
    "k": "Length of the sums in blocks of 16.",
    "output": "1: writes the result; 0: keeps the sums for the next K split.",
    "bias": "1: adds the bias.",
    "relu": "1: clamps below at 0.",
    "sparse": "1: skips zeros by index and block counts.",
    "bias_addr": "Address in the bias buffer.",
    "meta_addr": "Address in the index buffer.",
    "fsb_addr": "Address in the buffer of block counts.",
    "a_addr": "Address in the A buffer.",
    "b_addr": "Address in the B buffer.",
    "out_addr": "Address in the global buffer.",
}
MISC: Final = {
    "in_a": "Address of the first operand.",
    "in_b": "Address of the second operand.",
    "out": "Address of the result.",
    "mask": "Masking of the scores.",
    "op": "Code of the operation (codes).",
    "k": "Elements in blocks of 16.",
}
OPERANDS: Final[Mapping[Opcode, Mapping[str, str]]] = {
    Opcode.LD: LOAD,
    Opcode.ST: {**OFF_CHIP, "rs_col": "Order: of rows, or of columns."},
    Opcode.MM: MATRIX,
    Opcode.MV: MATRIX,
    Opcode.MISC: MISC,
    Opcode.SYS: {},
}


def _unit(unit: Opcode) -> dict[str, str]:
    """The unit's instructions, their operands, and how it says that it is done."""
    name = unit.name.lower()
    tokens = {
        "wait": f"Units from which a token was taken before it starts: {TOKENS}",
        "release": f"Units that get a token when it is done: {TOKENS}",
    }
    described = tokens | dict(OPERANDS[unit])
    ports = {name: f"An instruction for {unit.name}, whose tokens are there."}
    ports |= {f"{name}.{field.name}": described[field.name] for field in FORMATS[unit].operands}
    if unit is not Opcode.SYS:
        ports[f"{name}_done"] = (
            "The unit's last cycle with the instruction it has, at the earliest the one after it "
            "got it; not ready while a counter that would get a token is full."
        )
    return ports


PORTS: Final[Mapping[str, str]] = {
    "words": (
        "The program, a 32-bit word at a time, the first of an instruction first; its top four "
        "bits are the opcode (codes)."
    ),
    "fault": "1: a word with an unknown opcode was met; no word is taken any more.",
} | {key: text for unit in UNITS for key, text in _unit(unit).items()}
