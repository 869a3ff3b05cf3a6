"""A device's memory as those who use it see it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hwsim.errors import WorkloadError
from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    COMPUTE_FIRST,
    NOBODY,
    ROUND_ROBIN,
    UNLIMITED,
    choose,
)
from hwsim.memory import Access, Region, Stream
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


def test_an_update_is_done_when_it_is_written() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL)

    def main() -> Process:
        yield memory.access(Region(0, 32), Access.UPDATE)
        return kernel.now

    timing = SMALL.dram.timing
    cycles = 100 + 1 + timing.nRCD + timing.nCWL + timing.nBL + 60
    assert kernel.run(main()) == cycles * 10**6


def test_a_flush_of_nothing_is_done_when_it_has_got_to_the_controllers() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL)

    def main() -> Process:
        yield memory.flush()
        return kernel.now

    assert kernel.run(main()) == 100 * 10**6


def test_nothing_is_lost(observe: Callable[..., Any]) -> None:
    """All bytes asked of the DRAM are moved, of each stream and kind, and in the bins."""
    memory = observe(SMALL, seed=2).memory
    moved = memory.bins[:, :6].sum(axis=0)

    assert moved.tolist() == [memory.bytes[of].value for of in itertools.product(Stream, Access)]
    assert (moved > 0).all()


def test_bins_tell_when_bytes_were_moved() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL, bin_cycles=100)

    def main() -> Process:
        yield memory.access(Region(0, 32), Access.READ, Stream.COMMUNICATION)

    kernel.run(main())
    assert memory.bins[:, 3].tolist()[:3] == [0, 32, 0]
    assert memory.bins[:, 6].tolist()[:3] == [0, 15, 0]


def test_an_idle_memory_has_no_events() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL)

    def main() -> Process:
        yield kernel.wait(10**15)
        yield memory.access(Region(0, 32), Access.READ)

    kernel.run(main())
    assert kernel.events < 20


def test_requests_of_one_instant_are_taken_in_the_order_of_their_sources() -> None:
    """The second of two rows of one bank waits for the first."""
    kernel, ends = Kernel(), {}
    cfg = MemoryConfig(dram=DramConfig(specification="hbm2", mapping={"hashed": False}))
    memory = MemorySystem(kernel, "memory", cfg)

    def ask(source: int, row: int) -> Process:
        yield memory.access(Region(row << 19, 32), Access.READ, source=source)
        ends[source] = kernel.now

    def main() -> Process:
        yield from [kernel.start(ask(source, row)) for source, row in ((2, 0), (1, 1))]

    kernel.run(main())
    assert ends[2] - ends[1] == 47 * 10**6


# The arbiter


CONTENDED = {"separate_write_queue": True, "threshold_entries": 8, "starvation_cycles": 300}


def contend(memory: MemorySystem, kernel: Kernel, *, requests: int = 200) -> Process:
    """Both streams ask for more than there is, of scattered rows."""
    draw = random.Random(3)
    places = [draw.randrange(1 << 17) << 13 for _ in range(2 * requests)]
    yield from [
        memory.access(Region(place, 256), Access.READ, Stream(i % 2), source=i)
        for i, place in enumerate(places)
    ]
    yield kernel.wait(1)


@pytest.mark.parametrize("arbiter", ["round_robin", "compute_first"])
@pytest.mark.parametrize("counts", ["reads", "all"])
def test_the_arbiter_decides_as_the_law_says(arbiter: str, counts: str) -> None:
    kernel = Kernel()
    controller = CONTENDED | {"arbiter": arbiter, "threshold_counts": counts}
    cfg = MemoryConfig(dram={"specification": "hbm2", "channels": 2, "controller": controller})
    memory = MemorySystem(kernel, "memory", cfg, recorded_channel=1, log_commands=True)
    kernel.run(contend(memory, kernel))

    policy = COMPUTE_FIRST if arbiter == "compute_first" else ROUND_ROBIN
    last, chosen = NOBODY, []
    for _, compute, communication, held, threshold, waited, choice in memory.decisions.tolist():
        expected = choose(
            policy, compute, communication, held, threshold, UNLIMITED, last, waited, 300
        )
        assert choice == expected
        last = choice or last
        chosen.append(choice)
    admitted = [choice for choice in chosen if choice]
    assert set(admitted) == {COMPUTE, COMMUNICATION}
    assert len(admitted) == memory.bins[:, :6].sum() // 32 - _admitted_elsewhere(memory)


def _admitted_elsewhere(memory: MemorySystem) -> int:
    """Bursts of the channel that is not recorded."""
    return sum(1 for channel, _, command, *_ in memory.log.tolist() if channel == 0 and command < 3)


def finish(arbiter: str, threshold: int | None = None, at_cycle: int = 0) -> dict[Stream, int]:
    """When each stream's last request was done."""
    kernel, ends = Kernel(), {}
    controller = CONTENDED | {"arbiter": arbiter, "starvation_cycles": 10**5}
    cfg = MemoryConfig(dram={"specification": "hbm2", "channels": 2, "controller": controller})
    memory = MemorySystem(kernel, "memory", cfg)

    def ask(stream: Stream) -> Process:
        draw = random.Random(stream)
        yield from [
            memory.access(Region(draw.randrange(1 << 17) << 13, 256), Access.READ, stream, stream)
            for _ in range(200)
        ]
        ends[stream] = kernel.now

    def change() -> Process:
        yield kernel.wait(at_cycle * 10**6)
        memory.set_threshold(threshold)

    def main() -> Process:
        parts = [ask(Stream.COMPUTE), ask(Stream.COMMUNICATION)]
        if threshold is not None or at_cycle:
            parts.append(change())
        yield from [kernel.start(part) for part in parts]

    kernel.run(main())
    return ends


def test_compute_first_gives_computing_its_time_back() -> None:
    turns, first = finish("round_robin"), finish("compute_first")

    assert first[Stream.COMPUTE] < 0.7 * turns[Stream.COMPUTE]
    assert first[Stream.COMMUNICATION] > turns[Stream.COMMUNICATION]


def test_a_threshold_can_be_changed_in_mid_run() -> None:
    """Few entries are too few for communication to use the banks well."""
    low, freed = finish("compute_first", 2), finish("compute_first", None, at_cycle=200)

    assert freed[Stream.COMMUNICATION] < 0.8 * low[Stream.COMMUNICATION]


def test_counters_are_exact_in_mid_run_once_settled() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", SMALL)

    def main() -> Process:
        asked = memory.read(Region(0, 4096))
        yield kernel.wait(1)
        memory.settle()
        misses = memory.misses[Stream.COMPUTE].value
        yield asked
        return misses

    assert kernel.run(main()) == 4096 // 32


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


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("spacing_fs", [0, 10**6, 4 * 10**6])
def test_everybody_is_answered_however_many_wait(cached: bool, spacing_fs: int) -> None:
    """A thousand requests, asked at once or little by little, far sooner than they can be done."""
    kernel = Kernel()
    cfg = MemoryConfig(dram=DramConfig(specification="hbm2"), cache=CacheConfig(capacity="1 MiB"))
    memory = MemorySystem(kernel, "memory", cfg)
    answered: list[int] = []

    def asks(number: int) -> Process:
        yield kernel.wait(number * spacing_fs)
        region = Region(16384 * number, 16384)
        if cached:
            yield memory.read(region, Stream.COMPUTE, number)
        else:
            yield memory.access(region, Access.READ, Stream.COMPUTE, number)
        answered.append(number)

    def main() -> Process:
        yield from [kernel.start(asks(number)) for number in range(1000)]

    kernel.run(main())
    assert sorted(answered) == list(range(1000))
    assert memory.bytes[Stream.COMPUTE, Access.READ].value == 1000 * 16384
