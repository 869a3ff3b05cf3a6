"""How fast the memory simulates: bursts a second through queues, arbiter and banks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from hwsim.memory import Access
from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints
from hwsim.memory.config import DramConfig, MemoryConfig
from hwsim.memory.engine import NO_REQUESTS, Engine

__all__ = ["benchmarks"]

SPECIFICATION = "hbm2"
REQUESTS, REQUEST_BYTES = 1024, 16384
EPOCH_CYCLES = 1000
ROUNDS = 5
"""The first of which compiles, or takes what was compiled."""


def benchmarks() -> Iterator[tuple[str, float, str]]:
    """Bursts read one after the other over all channels, the best of a few rounds."""
    dram = DramConfig.model_validate({"specification": SPECIFICATION})
    bursts = REQUESTS * REQUEST_BYTES // dram.burst_bytes
    seconds = min(_stream(dram) for _ in range(ROUNDS))
    yield "memory_requests_streamed", bursts / seconds, "op/s"


def _stream(dram: DramConfig) -> float:
    """Seconds of the processor to simulate the reads, all asked at once, to the last byte."""
    engine = Engine(MemoryConfig(dram=dram))
    batch = _reads(engine)
    started = time.process_time()
    engine.advance(batch, 0, EPOCH_CYCLES)
    while not engine.idle:
        engine.advance(NO_REQUESTS, engine.now, engine.now + EPOCH_CYCLES)
    return time.process_time() - started


def _reads(engine: Engine) -> Ints:
    rows = [
        (0, request, at.BYPASS, Access.READ, number * REQUEST_BYTES, REQUEST_BYTES, 1, 0)
        for number, request in enumerate(engine.new_requests(REQUESTS))
    ]
    return np.array(rows, np.int64)
