"""Instruction storage: program bytes for every length a machine takes, counted without writing the programs.

Laws, tested against written programs: a decode program's size depends on the length only through its groups of
512 columns; a prefill program's on its row blocks, on the rows of its norms, and on which attention blocks the
mask keeps.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 5 (length-adaptive compilation).
"""

from __future__ import annotations

from hwsim.models.flightllm.plan import Plan

__all__ = ["storage_by_length"]


def storage_by_length(plan: Plan) -> tuple[int, int] | None:
    """Bytes for one core with one program a bucket, and one a length."""
    return None
