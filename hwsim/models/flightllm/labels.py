"""What bursts are called in timelines and messages."""

from __future__ import annotations

from hwsim.laws.flightllm_isa import LoadMode, MiscOp, Opcode

__all__ = ["burst_label"]


def burst_label(unit: Opcode, label: int) -> str:
    """Name of a burst; ``label`` is the load mode, K in blocks, or the MISC operation."""
    if unit is Opcode.LD:
        return f"load {LoadMode(label).name}"
    if unit is Opcode.MISC:
        return MiscOp(label).name.lower()
    if unit in (Opcode.MM, Opcode.MV):
        return f"{unit.name} K={label}"
    return "store" if unit is Opcode.ST else "barrier"
