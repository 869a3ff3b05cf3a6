"""The ports of ``flightllm.vpu``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "instructions": (
        "Taken in the last cycle of issue of the one before. The rows it names must have been "
        "written by then: nothing here waits for them. An address goes on from the last row of its "
        "buffer to row 0."
    ),
    "instructions.output": "1: its sums are complete and leave; 0: the next one goes on with them.",
    "instructions.sparse": (
        "1: blocks, with their densities, from the table; 0: dense ones at K positions 0, 1, 2, ..."
    ),
    "instructions.blocks": "K blocks, not less one; 0 issues for a cycle and adds nothing.",
    "instructions.table": "First row of the block table; ignored unless sparse.",
    "instructions.weights": "First row of weights.",
    "instructions.indices": "First row of indices; only beats that are not dense take one.",
    "instructions.activations": "Row of the activations of K position 0, in blocks.",
    "table": (
        "A kept block for the table; always ready, and can be read from the next cycle on. Nothing "
        "keeps a load from a row that is still to be read."
    ),
    "table.address": "Row.",
    "table.row.k": "K position in blocks of chain_length, added to the instruction's activations.",
    "table.row.density": "Code of the block's density (codes).",
    "weights": (
        "A beat of weights for its buffer; always ready, and can be read from the next cycle on. "
        "Nothing keeps a load from a row that is still to be read."
    ),
    "weights.address": "Row. A block of density n:m has columns x n / m, the first columns first.",
    "weights.row": "[DSP]: INT8, as i.weights of flightllm.csd_chain.",
    "indices": (
        "A beat of indices for its buffer; always ready, and can be read from the next cycle on. "
        "Nothing keeps a load from a row that is still to be read."
    ),
    "indices.address": "Row: one for each row of weights whose density is not n = m.",
    "indices.row": "[DSP]: K position within the group of m, as i.indices of flightllm.csd_chain.",
    "activations": (
        "A K block of activations for its buffer; always ready, and can be read from the next "
        "cycle on. Nothing keeps a load from a row that is still to be read."
    ),
    "activations.address": "Row.",
    "activations.row": "[lane][K position of the block]: INT8 of two rows, one a lane.",
    "results": (
        "[lane]: signed sums of a column, modulo 2^32; a result's columns leave one a cycle, the "
        "first one first. The latency is counted from the last cycle of issue of the instruction "
        "to the first column."
    ),
}
