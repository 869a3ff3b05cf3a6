"""The ports of ``t3.mc_arbiter``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "compute": "A request of computing: request_bits that are passed on unread.",
    "communication": "A request of communication: request_bits that are passed on unread.",
    "settings": (
        "What rules the choice from the next cycle on; always taken. Before the first ones nobody "
        "is admitted."
    ),
    "settings.policy": "Code of the policy (codes).",
    "settings.threshold": (
        "Entries of the queue from which on compute first holds communication back; the greatest "
        "bit alone: no number does."
    ),
    "settings.capacity": (
        "Entries of the queue from which on nobody is admitted; the greatest bit alone: no number "
        "is too great."
    ),
    "settings.limit": (
        "Cycles of waiting after which compute first admits communication before computing; the "
        "greatest bit alone: never."
    ),
    "occupancy": (
        "The queue's report, which counts at once and until the next one; always taken. None so "
        "far: an empty queue with room for both."
    ),
    "occupancy.entries": "Entries that count, from their admission on, so those on their way too.",
    "occupancy.compute_fits": "1: there is room for a request of computing.",
    "occupancy.communication_fits": "1: there is room for a request of communication.",
    "queue": "An admitted request, in the order of admission.",
    "queue.request": "The request, unchanged.",
    "queue.communication": "Whose it is (codes).",
}
