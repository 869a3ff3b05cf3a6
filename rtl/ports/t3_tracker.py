"""The ports of ``t3.tracker``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hwsim.laws.t3_tracker import TrackerGeometry

__all__ = ["ports"]

KERNEL: Final[Mapping[str, str]] = {
    "kernels": "What to track from now on; what was counted before is forgotten.",
    "kernels.first": "Index of the first workgroup: the sets serve them in order from it on.",
    "kernels.threshold": "Elements of a tile times the updates that each gets; at least 1.",
    "kernels.wavefront_bits": "Bits of a wavefront's number: 2 to this are a workgroup's tiles.",
}
TRIGGER: Final[Mapping[str, str]] = {
    "triggers": "A tile that has all its updates, once.",
    "triggers.workgroup": "Its workgroup's index.",
    "triggers.wavefront": "Its wavefront's number.",
    "fault": (
        "1: a tile got more than its threshold, or the kernel has no such wavefront; nothing is "
        "taken until reset."
    ),
}
REFUSED: Final[Mapping[str, str]] = {
    "refused": "An update handed back unchanged, for its set serves another workgroup.",
    "refused.workgroup": "Its workgroup's index.",
    "refused.wavefront": "Its wavefront's number.",
    "refused.elements": "Its elements, less one.",
    "refused.port": "The port that took it: n of updates_n.",
}


def ports(geometry: TrackerGeometry) -> dict[str, str]:
    """What each port of a Tracker means."""
    found = {**KERNEL, **TRIGGER}
    for number in range(geometry.ports):
        found |= {
            f"updates_{number}": "Elements of a tile that an update has brought to memory.",
            f"updates_{number}.workgroup": "Index of the workgroup that computes the tile.",
            f"updates_{number}.wavefront": "Number of its wavefront.",
            f"updates_{number}.elements": "Elements brought, less one.",
        }
    return found | REFUSED if geometry.on_full == "step_aside" else found
