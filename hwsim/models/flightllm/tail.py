"""What rides on a projection: the SFU's work after each group of columns, and metadata.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 4 (operator fusion); the forms are those of the
authors' public artifact, which codes RoPE's three operations all as multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import BlockWriter, Units
from hwsim.models.flightllm.tiling import index_bytes

__all__ = ["OPERANDS", "PASSES", "load_metadata", "write_tail"]

LD, MISC = Opcode.LD, Opcode.MISC


def write_tail(
    write: BlockWriter,
    tail: tuple[str, ...],
    *,
    after: Opcode,
    channels: int,
    blocks: int,
    operand_bytes: int,
    row: int,
    release: Units,
) -> None:
    """The fused MISCs on one group of columns; the last of them releases ``release``.

    ``after`` is the matrix unit whose output they take, ``blocks`` their K, ``operand_bytes`` what
    each of ``channels`` loads brings of a second operand.
    """
    for i, kind in enumerate(tail):
        passes = PASSES[kind]
        final = release if i == len(tail) - 1 else ()
        waits: list[Units] = [()] * len(passes)
        waits[0] = (after,) if i == 0 else ()
        for operand in range(OPERANDS[kind]):
            write.load(
                LoadMode.GLOBAL, HbmAccess.STRIPED, operand_bytes, f"operand{operand}",
                count=channels, bank=row, step=operand_bytes, release=(MISC,),
            )  # fmt: skip
            waits[operand] = (LD, *waits[operand])
        for j, op in enumerate(passes):
            last = j == len(passes) - 1
            write.misc(op, blocks, a=row, b=row, wait=waits[j], release=final if last else ())


PASSES: Mapping[str, tuple[MiscOp, ...]] = {
    "rope": (MiscOp.MUL, MiscOp.MUL, MiscOp.MUL),
    "add": (MiscOp.ADD,),
    "mul": (MiscOp.MUL,),
    "silu": (MiscOp.SILU,),
}
"""What the SFU does for each kind of fused work."""

OPERANDS: Mapping[str, int] = {"rope": 2, "add": 1, "mul": 1, "silu": 0}
"""Second operands that each kind loads."""


def load_metadata(
    write: BlockWriter, blocks: int, density: Fraction, *, first: int, wait: Units
) -> None:
    """The sparse indices (4 bits a kept weight) and the N of each block (1 byte) of one tile."""
    indices = index_bytes(blocks, density)
    write.load(LoadMode.META, HbmAccess.SINGLE, indices, "index", offset=first, wait=wait)
    write.load(LoadMode.FSB, HbmAccess.SINGLE, blocks, "block_n", offset=first)
