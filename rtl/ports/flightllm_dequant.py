"""The ports of ``flightllm.dequant``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "beats": (
        "The packed weights, signed, the first one's least significant bit lowest; neither blocks "
        "nor runs are padded."
    ),
    "runs": "A run: blocks of one width, shift and scale.",
    "runs.code": "Code of the bits a weight (codes); one beyond the last means the last.",
    "runs.blocks": "Blocks of block_weights weights, less one: 0 is one block.",
    "runs.shift": "Bits by which each weight, sign-extended to 8, is shifted left; 8 are kept.",
    "runs.scale": "The rest of the group scale, passed on as it is with every block.",
    "blocks": "One block of weights.",
    "blocks.weights": "[weight of the block]: INT8, the first one of the stream lowest.",
    "blocks.scale": "The scale of its run.",
    "blocks.last": "1: the last block of its run.",
}
