"""Collectives between devices: schedules, what they ask of memory and links, and their laws."""

from hwsim.collectives.engine import (
    CollectiveConfig,
    CollectiveEngine,
    CollectiveTimes,
    Observer,
    Span,
)
from hwsim.collectives.plan import Buffers, Move
from hwsim.collectives.schedules import (
    ALGORITHMS,
    COLLECTIVES,
    AlgorithmName,
    CollectiveName,
    Effect,
    Schedule,
    Transfer,
    chunk_sizes,
    make_schedule,
)

__all__ = [
    "ALGORITHMS",
    "COLLECTIVES",
    "AlgorithmName",
    "Buffers",
    "CollectiveConfig",
    "CollectiveEngine",
    "CollectiveName",
    "CollectiveTimes",
    "Effect",
    "Move",
    "Observer",
    "Schedule",
    "Span",
    "Transfer",
    "chunk_sizes",
    "make_schedule",
]
