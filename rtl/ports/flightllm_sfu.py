"""The ports of ``flightllm.sfu``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "command": (
        "An operation and its length; taken when there is none, or with the last beat of the one "
        "before."
    ),
    "command.operation": "Code of the operation (codes); no other code may be sent.",
    "command.blocks": "K, the length in blocks of 16 elements, not less one; at least 1.",
    "i": (
        "A beat of operands, in the order of the elements. Softmax and RMSNorm take the whole "
        "vector twice."
    ),
    "i.a": "[lane]: FP16 words of the first operand.",
    "i.b": (
        "[lane]: FP16 words of the second operand; RMSNorm takes its weights from here in the "
        "second pass. Ignored by softmax, and in the first pass."
    ),
    "o": (
        "[lane]: FP16 words, as many beats as the vector has: those of the only pass, or of the "
        "second one."
    ),
}
