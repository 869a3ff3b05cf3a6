"""Which of two streams a memory controller admits to its queue in a cycle.

One function of integers, which the memory engine compiles and the RTL must equal decision by
decision.

Ref: T3 (ASPLOS'24), section 4.5: compute first, communication below an occupancy threshold, with
a limit on how long it starves. The round robin is what T3 does without it.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "COMMUNICATION",
    "COMPUTE",
    "COMPUTE_FIRST",
    "NOBODY",
    "ROUND_ROBIN",
    "UNLIMITED",
    "choose",
]

ROUND_ROBIN: Final = 0
COMPUTE_FIRST: Final = 1

NOBODY: Final = 0
COMPUTE: Final = 1
COMMUNICATION: Final = 2

UNLIMITED: Final = 2**31 - 1
"""A threshold or a capacity that no occupancy reaches."""


def choose(
    policy: int,
    compute_waits: bool,
    communication_waits: bool,
    occupancy: int,
    threshold: int,
    capacity: int,
    last: int,
    waited: int,
    limit: int,
) -> int:
    """Who is admitted: ``NOBODY``, ``COMPUTE`` or ``COMMUNICATION``.

    Parameters
    ----------
    policy : ``ROUND_ROBIN``, or ``COMPUTE_FIRST``.
    compute_waits, communication_waits : whether the stream has a request, and room for it where it
        has a queue of its own.
    occupancy : entries held, as far as they count.
    threshold : occupancy from which on ``COMPUTE_FIRST`` holds communication back.
    capacity : occupancy from which on nobody is admitted.
    last : who was admitted last; ``ROUND_ROBIN`` prefers the other, and computing at first.
    waited : cycles for which communication's first request has waited.
    limit : cycles of waiting after which ``COMPUTE_FIRST`` admits communication before computing.
    """
    if occupancy >= capacity or not (compute_waits or communication_waits):
        return NOBODY
    if policy == ROUND_ROBIN:
        turn = COMMUNICATION if last == COMPUTE else COMPUTE
        if compute_waits and communication_waits:
            return turn
        return COMPUTE if compute_waits else COMMUNICATION
    if communication_waits and waited >= limit:
        return COMMUNICATION
    if compute_waits:
        return COMPUTE
    return COMMUNICATION if occupancy < threshold else NOBODY
