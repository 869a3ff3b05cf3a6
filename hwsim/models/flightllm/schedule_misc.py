"""Operators of the special function unit alone: norms, and what is not fused with a projection.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.4; schedule of the authors' public artifact.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm.block import Block, BlockWriter, Units
from hwsim.models.flightllm.config import FlightLLMConfig

__all__ = ["MiscColumns", "MiscRows", "misc_columns", "misc_rows"]

LD, ST, MISC, SYS = Opcode.LD, Opcode.ST, Opcode.MISC, Opcode.SYS


@dataclass(frozen=True, kw_only=True)
class MiscRows:
    """``operation`` on ``rows`` rows of ``width`` bytes, each with ``operands`` operands in HBM."""

    operation: MiscOp
    rows: int
    width: int
    operands: int = 1


def misc_rows(cfg: FlightLLMConfig, op: MiscRows) -> Block:
    """A load an operand, a MISC and a store for each row; ``norm_bytes`` of rows are in flight."""
    write = BlockWriter()
    fits = max(1, cfg.buffers.norm_bytes // op.width)
    k_blocks = ceil_div(op.width, cfg.geometry.k_lanes)
    for i in range(op.rows):
        bank = i % fits
        for operand in range(op.operands):
            write.load(
                LoadMode.GLOBAL, HbmAccess.SINGLE, op.width, f"operand{operand}", bank=bank,
                offset=i * op.width, wait=(ST,) if i >= fits and not operand else (),
                release=(MISC,) if operand == op.operands - 1 else (),
            )  # fmt: skip
        write.misc(op.operation, k_blocks, a=bank, wait=(LD,), release=(ST,))
        ends: Units = (
            *((LD,) if i + fits < op.rows else ()),
            *((SYS,) if i == op.rows - 1 else ()),
        )
        write.store(
            HbmAccess.SINGLE, op.width, "output", bank=bank, offset=i * op.width,
            wait=(MISC,), release=ends,
        )  # fmt: skip
    write.barrier()
    return write.finish()


@dataclass(frozen=True, kw_only=True)
class MiscColumns:
    """``operation`` on one vector of ``width`` elements that was not kept on chip."""

    operation: MiscOp
    width: int
    operands: int


def misc_columns(cfg: FlightLLMConfig, op: MiscColumns) -> Block:
    """Groups of 512 columns, their operands loaded as a fused operator loads its second one."""
    core = cfg.geometry
    write = BlockWriter()
    groups = ceil_div(op.width, core.mv_columns)
    for group in range(groups):
        for operand in range(op.operands):
            write.load(
                LoadMode.GLOBAL,
                HbmAccess.STRIPED,
                core.mv_columns,
                f"operand{operand}",
                count=core.channels,
                bank=group % cfg.buffers.output_depth,
                offset=group * core.mv_columns,
                release=(MISC,) if operand == op.operands - 1 else (),
            )
        blocks, final = core.mv_columns // core.k_lanes, group == groups - 1
        row = group % cfg.buffers.output_depth
        write.misc(op.operation, blocks, a=row, wait=(LD,), release=(ST,) if final else ())
    write.store(HbmAccess.SINGLE, op.width, "output", wait=(MISC,), release=(SYS,))
    write.barrier()
    return write.finish()
