"""Random users of a memory, and what they saw."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwsim.memory import Access, Region, Stream
from hwsim.memory.config import MemoryConfig
from hwsim.memory.system import MemorySystem
from hwsim.sim import Event, Kernel, Process

USERS = 8
UPDATED = 1 << 33


@dataclass(frozen=True)
class Seen:
    """When each request of each user was done, and what the memory did."""

    done: dict[tuple[int, int], int]
    memory: MemorySystem
    events: int

    @property
    def log(self) -> npt.NDArray[np.int64]:
        """The command log in the order of channels, cycles, commands and banks."""
        log = self.memory.log
        return log[np.lexsort(log.T[::-1])]


@pytest.fixture(scope="session")
def observe() -> Callable[..., Seen]:
    return _observe


def _observe(
    cfg: MemoryConfig, *, requests: int = 60, seed: int = 1, shuffle: int | None = None, **how: Any
) -> Seen:
    """Let ``USERS`` processes ask at random, each of ``requests`` things, then flush."""
    kernel = Kernel(shuffle_ties=shuffle is not None, seed=shuffle or 0)
    memory = MemorySystem(kernel, "memory", cfg, log_commands=True, **how)
    done: dict[tuple[int, int], int] = {}

    def user(number: int) -> Process:
        draw = random.Random(1000 * seed + number)
        for i in range(requests):
            asked = ask(memory, draw, number)
            if draw.random() < 0.7:
                yield asked
            done[number, i] = kernel.now
            if draw.random() < 0.1:
                yield kernel.wait(draw.randrange(10**8))

    def main() -> Process:
        yield from [kernel.start(user(number)) for number in range(USERS)]
        yield memory.flush()
        done[USERS, 0] = kernel.now

    kernel.run(main())
    return Seen(done, memory, kernel.events)


def ask(memory: MemorySystem, draw: random.Random, user: int) -> Event:
    """One random request: through the cache, past it, or an update."""
    step = 128
    shape = draw.choice([64, 128, 256, 1024]), draw.choice([1, 4, 32]), 2048
    cached = Region(draw.randrange(1 << 16) * step, *shape)
    stream = Stream(user % 2)
    match draw.choice(["read", "read", "write", "access", "update"]):
        case "read":
            return memory.read(cached, stream, user)
        case "write":
            return memory.write(cached, stream, user)
        case "access":
            region = Region(draw.randrange(1 << 18) * 8192, *shape)
            return memory.access(region, Access.READ, stream, user)
    return memory.access(Region(UPDATED + cached.base, *shape), Access.UPDATE, stream, user)
