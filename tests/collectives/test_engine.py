"""The engine: one device for all, faults, slices, compute units, order of events."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hwsim.collectives import (
    ALGORITHMS,
    CollectiveConfig,
    CollectiveEngine,
    Move,
    chunk_sizes,
    make_schedule,
)
from hwsim.collectives.closed_forms import elapsed_fs, transfer_fs
from hwsim.errors import ConfigError, DeadlockError
from hwsim.memory import IdealMemory, Region
from hwsim.noc import LinkConfig, Network, make_topology
from hwsim.sim import Kernel
from hwsim.sim.timeline import Timeline

Run = Callable[..., Any]
NS = 10**6
LINK = LinkConfig(bandwidth="1 GB/s", latency="500 ns")
SLOW = LinkConfig(bandwidth="500 MB/s", latency="500 ns")
KINDS = [(name, algorithm) for name in ALGORITHMS for algorithm in ALGORITHMS[name]]
ALIKE = [kind for kind in KINDS if kind[1] in {"ring", "direct"}]
RING_8 = make_schedule("reduce_scatter", "ring", 8)


def _spans(outcome: Any) -> list[Any]:
    """When each of device 0's moves ran."""
    return [(s.transfer, s.start_fs, s.end_fs) for s in outcome.times.spans if s.source == 0]


@pytest.mark.parametrize("memory_rate", [None, 4 * 10**9])
@pytest.mark.parametrize("devices", [2, 3, 8, 16])
@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("name", "algorithm"), ALIKE)
def test_one_device_and_its_mirror_images_take_what_all_devices_take(
    run: Run, name: Any, algorithm: Any, devices: int, pipelined: bool, memory_rate: int | None
) -> None:
    schedule = make_schedule(name, algorithm, devices)
    options = {
        "link": LinkConfig(bandwidth="700 MB/s", latency="331 ns"), "memory_rate": memory_rate,
        "config": {"slice_bytes": "100 B", "pipelined": pipelined, "copy_rate": "9 GB/s"},
    }  # fmt: skip
    alone = run(schedule, (777,) * devices, one_device=True, **options)
    every = run(schedule, (777,) * devices, **options)
    assert alone.times.elapsed_fs == every.times.elapsed_fs
    assert _spans(alone) == _spans(every)
    assert alone.engine.read[0].value == every.engine.read[0].value
    assert alone.engine.written[0].value == every.engine.written[0].value


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("topology", ["switch", "fully_connected"])
@pytest.mark.parametrize("memory_rate", [3 * 10**9, None])
@pytest.mark.parametrize(("name", "algorithm"), KINDS)
def test_the_order_of_simultaneous_events_changes_nothing(
    run: Run, name: Any, algorithm: Any, topology: Any, memory_rate: int | None, seed: int
) -> None:
    schedule = make_schedule(name, algorithm, 5)
    sizes = chunk_sizes(5000, schedule.chunks)
    options = {
        "topology": make_topology(topology, 5), "link": LINK,
        "memory_rate": memory_rate,
        "config": {
            "slice_bytes": "100 B", "pipelined": seed % 2 == 1,
            "copy_rate": "5 GB/s" if seed == 2 else None,
        },
    }  # fmt: skip
    shuffled = run(schedule, sizes, seed=seed, **options)
    ordered = run(schedule, sizes, **options)
    assert shuffled.times == ordered.times
    assert shuffled.log.moments == ordered.log.moments


@pytest.mark.parametrize("seed", range(4))
def test_slices_of_a_step_go_before_those_of_the_next(run: Run, seed: int) -> None:
    link = LinkConfig(bandwidth="1 GB/s", latency="1 ns")
    config = {"slice_bytes": "100 B", "pipelined": True}
    schedule = make_schedule("all_gather", "ring", 4)
    log = run(schedule, (1000,) * 4, link=link, seed=seed, config=config).log
    written = sorted(entry for entry in log.moments if entry[1:3] == ("written", 0))
    slices = [(phase, piece) for _, _, _, phase, piece, _ in written]
    assert slices == [(phase, piece) for phase in (2, 4, 6) for piece in range(10)]


def test_a_slow_link_holds_up_its_chunks_at_every_step(run: Run) -> None:
    # every chunk but one crosses 3 -> 2; the last to do so does after all the others
    slow = run(RING_8, (1000,) * 8, link=LINK, exceptions={(3, 2): SLOW})
    even = run(RING_8, (1000,) * 8, link=LINK)
    assert even.times.elapsed_fs == 7 * 1500 * NS
    assert slow.times.elapsed_fs == (7 * 2000 + 500) * NS
    assert sum(int(link.bytes.value) for link in slow.network.links.values()) == 8 * 7 * 1000


def test_a_late_device_delays_what_needs_it(run: Run) -> None:
    outcome = run(RING_8, (1000,) * 8, link=LINK, late_fs={5: 4000 * NS})
    # what the late device sends first is needed by all that follow: 7 steps from its start
    assert outcome.times.elapsed_fs == (4000 + 7 * 1500) * NS
    first = {s.source: s.start_fs for s in reversed(outcome.times.spans)}
    assert first == {device: 4000 * NS if device == 5 else 0 for device in range(8)}


def test_uneven_chunks_have_their_own_sizes(run: Run) -> None:
    sizes = chunk_sizes(8 * 1000 + 5, 8)
    assert sizes == (1001,) * 5 + (1000,) * 3
    outcome = run(RING_8, sizes, link=LINK)
    assert outcome.times.elapsed_fs == 7 * 1501 * NS
    assert [c.value for c in outcome.engine.read] == [
        2 * 8005 - sizes[(g + 1) % 8] for g in range(8)
    ]


@pytest.mark.parametrize("in_flight", [2, 3, 16])
def test_two_slices_in_flight_keep_the_link_busy(run: Run, in_flight: int) -> None:
    config = {"slice_bytes": "7 B", "slices_in_flight": in_flight}
    outcome = run(RING_8, (1000,) * 8, link=LINK, config=config)
    assert outcome.times.elapsed_fs == 7 * 1500 * NS


class Reads:
    """When each piece of device 0's first move has been read."""

    def __init__(self) -> None:
        self.clock: Callable[[], int] = lambda: 0
        self.moments: list[int] = []

    def read(self, move: Move, piece: int, operands: Sequence[Region]) -> None:
        if move.source == 0:
            assert len(self.moments) == piece
            assert sum(operand.bytes for operand in operands) == 100
            self.moments.append(self.clock())

    def written(self, move: Move, piece: int, target: Region) -> None: ...


@pytest.mark.parametrize("in_flight", [2, 3, 5])
def test_no_more_slices_are_read_ahead_than_are_in_flight(in_flight: int) -> None:
    kernel, reads = Kernel(), Reads()
    reads.clock = lambda: kernel.now
    network = Network(kernel, "network", make_topology("ring", 2), LINK)
    config = CollectiveConfig(slice_bytes="100 B", slices_in_flight=in_flight)
    memories = [IdealMemory(kernel, f"memory{d}") for d in range(2)]
    engine = CollectiveEngine(kernel, "collectives", config, network, memories)
    kernel.run(engine.run(make_schedule("all_gather", "ring", 2), (1000, 1000), observer=reads))
    assert reads.moments == [max(0, n - in_flight + 1) * 100 * NS for n in range(10)]


@pytest.mark.parametrize(
    ("name", "rate", "step_ns"),
    [
        ("all_gather", "2 GB/s", 1000),  # reads and stores each byte: keeps up with the link
        ("all_gather", "1 GB/s", 2000),  # does not: 2 bytes a byte sent
        ("reduce_scatter", "3 GB/s", 1000),  # two operands and a store
        ("reduce_scatter", "1 GB/s", 3000),
    ],
)
def test_compute_units_limit_what_they_read_and_store(
    run: Run, name: Any, rate: str, step_ns: int
) -> None:
    schedule = make_schedule(name, "ring", 4)
    config = {"slice_bytes": "1 B", "copy_rate": rate}
    outcome = run(schedule, (1000,) * 4, link=LINK, one_device=True, config=config)
    free = run(schedule, (1000,) * 4, link=LINK, one_device=True, config={"slice_bytes": "1 B"})
    slower = {"all_gather": 3, "reduce_scatter": 2}[name] * (step_ns - 1000)
    if name == "reduce_scatter":  # its first step has one operand; at the end the last sum
        rate_gb = int(rate[0])
        slower += (2000 // rate_gb - 1000 if rate_gb == 1 else 0) + 3000 // rate_gb
    assert outcome.times.elapsed_fs - free.times.elapsed_fs == pytest.approx(
        slower * NS, abs=20 * NS
    )


def test_a_collective_can_follow_another_on_the_same_engine() -> None:
    kernel = Kernel()
    network = Network(kernel, "network", make_topology("ring", 4), LINK)
    memories = [IdealMemory(kernel, f"memory{d}") for d in range(4)]
    engine = CollectiveEngine(kernel, "collectives", CollectiveConfig(), network, memories)
    sizes = (1000,) * 4

    def main() -> Any:
        scatter = yield from engine.run(make_schedule("reduce_scatter", "ring", 4), sizes)
        yield kernel.wait(7)
        gather = yield from engine.run(make_schedule("all_gather", "ring", 4), sizes)
        return scatter, gather

    scatter, gather = kernel.run(main())
    assert (scatter.start_fs, scatter.end_fs) == (0, 4500 * NS)
    assert (gather.start_fs, gather.elapsed_fs) == (4500 * NS + 7, 4500 * NS)
    assert engine.stage.times().idle == 7
    law = elapsed_fs("all_reduce", "ring", 4, sizes, LINK)
    assert scatter.elapsed_fs + gather.elapsed_fs == law == 6 * transfer_fs(LINK, 1000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_schedule("all_reduce", "ring", 1), "devices must be at least 2, got 1"),
        (
            lambda: make_schedule("reduce_scatter", "tree", 4),
            "algorithm must be 'ring' or 'direct' for reduce_scatter, got 'tree'",
        ),
        (
            lambda: make_schedule("all_to_all", "ring", 4),
            "algorithm must be 'direct' for all_to_all, got 'ring'",
        ),
        (
            lambda: make_schedule("all_reduce", "tree", 4, 0),
            "tree_fanout must be at least 1, got 0",
        ),
        (lambda: chunk_sizes(7, 8), "message_bytes must be at least 8 x 1 = 8 bytes, got 7"),
        (
            lambda: chunk_sizes(96, 4, 32),
            "message_bytes must be at least 4 x 32 = 128 bytes, got 96",
        ),
        (lambda: chunk_sizes(100, 2, 32), "message_bytes must be a multiple of 32 bytes, got 100"),
        (
            lambda: CollectiveConfig(slices_in_flight=1),
            "CollectiveConfig: slices_in_flight must be a whole number of at least 2, got 1",
        ),
        (
            lambda: CollectiveConfig(copy_rate="0 GB/s"),
            (
                "CollectiveConfig: copy_rate must be a bandwidth above zero, such as '460 GB/s', "
                "got '0 GB/s'"
            ),
        ),
        (
            lambda: CollectiveConfig(slice_bytes="0 B"),
            "CollectiveConfig: slice_bytes must be a size above zero, such as '8 MiB', got '0 B'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("schedule", "sizes", "message"),
    [
        (
            make_schedule("all_reduce", "tree", 4),
            (4000,),
            "algorithm must do the same on every device to simulate one for all, got 'tree'",
        ),
        (
            make_schedule("all_reduce", "ring", 4),
            (1001, 1001, 1000, 1000),
            "message_bytes must make equal chunks to simulate one device for all, got 4002",
        ),
        (RING_8, (1000,) * 8, "devices must be the network's 4, got 8"),
    ],
)
def test_one_device_does_not_stand_for_unlike_ones(
    run: Run, schedule: Any, sizes: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        run(schedule, sizes, topology=make_topology("ring", 4), one_device=True)


def test_every_device_has_a_memory() -> None:
    kernel = Kernel()
    network = Network(kernel, "network", make_topology("ring", 4), LINK)
    with pytest.raises(ConfigError, match=r"^memories must be 4, got 1$"):
        CollectiveEngine(kernel, "c", CollectiveConfig(), network, [IdealMemory(kernel, "memory")])


def test_a_device_that_never_starts_is_named_in_the_deadlock() -> None:
    kernel = Kernel()
    network = Network(kernel, "network", make_topology("ring", 3), LINK)
    memories = [IdealMemory(kernel, f"memory{d}") for d in range(3)]
    engine = CollectiveEngine(kernel, "collectives", CollectiveConfig(), network, memories)
    schedule = make_schedule("reduce_scatter", "ring", 3)
    message = """deadlock at 3000000000 fs: nothing is left to happen, and the work is not done
  collectives: device 0 is in step 2, to send to device 2
  collectives: device 1 waits to be started
  collectives: device 2 is in step 2, to add up"""
    with pytest.raises(DeadlockError, match=f"^{re.escape(message)}$"):
        kernel.run(engine.run(schedule, (1000,) * 3, starts={1: kernel.event()}))


def test_what_moves_is_drawn(run: Run) -> None:
    timeline = Timeline()
    run(make_schedule("reduce_scatter", "ring", 2), (1000, 1000), link=LINK, timeline=timeline)
    assert {track for track, *_ in timeline.slices} == {
        "collectives.device0", "collectives.device1", "network.0->1", "network.1->0",
    }  # fmt: skip
    assert [s for s in timeline.slices if s[0] == "collectives.device0"] == [
        ("collectives.device0", "send to 1", 0, 1500 * NS, (("step", 1), ("bytes", 1000))),
        ("collectives.device0", "add up", 1500 * NS, 1500 * NS, (("step", 1), ("bytes", 1000))),
    ]
