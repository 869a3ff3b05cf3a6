"""The ports of ``flightllm.csd_chain``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "i": "A beat: a block of chain_length K positions, and the weights that meet it.",
    "i.activations": "[lane][K position of the block]: INT8 of two rows, one a lane.",
    "i.weights": (
        "[DSP]: INT8. At density n:m a column fills a segment of chain_length x n / m DSPs; DSP d "
        "has the kept weight d modulo segment of the beat's column d / segment, n for each group "
        "of m K positions, the groups in order."
    ),
    "i.indices": (
        "[DSP]: the weight's K position within its group of m, in the low log2(m) bits; the others "
        "are ignored, and all of them where n = m."
    ),
    "i.density": "Code of the beat's density (codes); no other code may be sent.",
    "o": (
        "[node][lane]: sums of the beat, signed. Node j is behind DSP 2 j + 1. The beat's column c "
        "is in node (c + 1) x segment / 2 - 1, segment being chain_length x n / m of the beat's "
        "density; all other nodes are 0."
    ),
}
