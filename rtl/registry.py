"""Every block, by name: a new one is a module under ``rtl/blocks`` and a line here."""

from __future__ import annotations

from importlib import import_module

from hwsim.errors import ConfigError, Problem
from rtl.block import Block

__all__ = ["BLOCKS", "block"]

BLOCKS: dict[str, str] = {
    "flightllm.csd_chain": "rtl.benches.flightllm_csd_chain",
    "flightllm.dequant": "rtl.benches.flightllm_dequant",
    "flightllm.instruction_scheduler": "rtl.benches.flightllm_instruction_scheduler",
    "flightllm.sfu": "rtl.benches.flightllm_sfu",
    "flightllm.vpu": "rtl.benches.flightllm_vpu",
    "t3.mc_arbiter": "rtl.benches.t3_mc_arbiter",
    "t3.nmc_update": "rtl.benches.t3_nmc_update",
    "t3.tracker": "rtl.benches.t3_tracker",
    "t3.trigger_table": "rtl.benches.t3_trigger_table",
}
"""Where each block is described, as ``BLOCK``."""


def block(name: str) -> Block:
    """The block called ``name``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in BLOCKS:
        rule = f"must be one of {', '.join(BLOCKS)}"
        raise ConfigError([Problem("", "block", rule, name)])
    found: Block = import_module(BLOCKS[name]).BLOCK
    return found
