"""The ports of ``t3.nmc_update``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "requests": (
        "What to do with a word. A read or an update is taken no sooner than what stores to that "
        "word before it are done."
    ),
    "requests.operation": "Code of the operation (codes).",
    "requests.address": "Which word.",
    "requests.numbers": (
        "The numbers of the word, 16 bits each: to be stored, or to be added as FP16 or BF16; of a "
        "read they are ignored."
    ),
    "reads": "The numbers of a word that was read, in the order of the requests.",
}
