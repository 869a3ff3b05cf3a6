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
from hwsim.sim import Kernel, Process

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
