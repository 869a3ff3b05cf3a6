"""A device's memory as those who use it see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hwsim.errors import WorkloadError
from hwsim.memory import Access, Region
from hwsim.memory.config import CacheConfig, DramConfig, MemoryConfig
from hwsim.memory.system import MemorySystem
from hwsim.sim import Kernel, Process, Replay

DRAM = DramConfig(
    specification="hbm2", controller={"arbiter": "compute_first", "threshold_entries": 20}
)
SMALL = MemoryConfig(dram=DRAM, cache=CacheConfig(capacity="1 MiB"))


@pytest.mark.parametrize("how", [{"epoch_cycles": 50}, {"epoch_cycles": 1}, {"shuffle": 3}])
def test_no_result_depends_on_the_epoch_or_on_ties(
    observe: Callable[..., Any], how: dict[str, int]
) -> None:
    usual, other = observe(SMALL), observe(SMALL, **how)

    assert other.done == usual.done
    assert np.array_equal(other.log, usual.log)


def test_a_lone_read_takes_the_latencies_of_an_activate_and_a_read() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL)

    def main() -> Process:
        yield memory.access(Region(0, 32), Access.READ)
        return kernel.now

    timing = SMALL.dram.timing
    cycles = 100 + 1 + timing.nRCD + timing.nCL + timing.nBL + 60
    assert kernel.run(main()) == cycles * 10**6


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(0, 0), "memory: a region must be of whole multiples of 32 bytes, got {}"),
        (Region(16, 32), "memory: a region must be of whole multiples of 32 bytes, got {}"),
        (Region(0, 33), "memory: a region must be of whole multiples of 32 bytes, got {}"),
        (
            Region(1 << 34, 32),
            "memory: a region must lie within the 17179869184 bytes of the memory, got {}",
        ),
        (
            Region(0, 32, 2, 1 << 34),
            "memory: a region must lie within the 17179869184 bytes of the memory, got {}",
        ),
    ],
)
def test_a_region_outside_the_memory_is_refused(region: Region, message: str) -> None:
    memory = MemorySystem(Kernel(), "memory", SMALL)

    with pytest.raises(WorkloadError) as refused:
        memory.access(region, Access.READ)
    assert str(refused.value) == message.format(region)


@pytest.mark.parametrize("refreshed", [True, False])
def test_a_replay_leaves_the_memory_as_the_simulation_would(refreshed: bool) -> None:
    interval = {} if refreshed else {"nREFI": 0}
    cfg = SMALL.model_copy(
        update={"dram": DramConfig(specification="hbm2", channels=2, timing=interval)}
    )
    whole, replayed = _repeated(cfg, enabled=False), _repeated(cfg, enabled=True)

    assert replayed[:2] == whole[:2]
    assert refreshed or replayed[2] < whole[2] / 2


def _repeated(cfg: MemoryConfig, *, enabled: bool) -> tuple[list[int], dict[Any, Any], int]:
    """The same piece of work ten times: when each ended, bytes moved, events."""
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", cfg)
    replay, ends = Replay(kernel, enabled=enabled), []

    def work() -> Process:
        yield memory.write(Region(0, 4096))
        asked = [memory.read(Region(8192 * i, 1024, 4, 2048), source=i) for i in range(40)]
        yield from asked
        yield memory.access(Region(1 << 20, 4096), Access.UPDATE)
        yield memory.flush()
        yield kernel.wait(10**9 - kernel.now % 10**9)

    def main() -> Process:
        for _ in range(10):
            yield from replay.run("work", work)
            ends.append(kernel.now)

    kernel.run(main())
    return ends, {of: counter.value for of, counter in memory.bytes.items()}, kernel.events
