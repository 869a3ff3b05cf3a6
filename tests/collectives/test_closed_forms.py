"""Every collective against its closed form: time to the femtosecond, bytes to the byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from hwsim.collectives import ALGORITHMS, chunk_sizes, make_schedule
from hwsim.collectives.closed_forms import (
    Traffic,
    elapsed_fs,
    pipelined_ring_fs,
    sliced_ring_reduce_scatter_fs,
    traffic,
    transfer_fs,
    tree_depth,
)
from hwsim.memory import Access, Stream
from hwsim.noc import Edge, LinkConfig, Topology, make_topology

Run = Callable[..., Any]

KINDS = [(name, algorithm) for name in ALGORITHMS for algorithm in ALGORITHMS[name]]
ODD_LINK = LinkConfig(bandwidth="7 GB/s", latency="123456789 fs")
"""A byte takes a seventh of a nanosecond: nothing comes out even."""
NS = 10**6


def _cases() -> Iterator[tuple[str, str, int, int]]:
    """Every collective on every number of devices; even and odd sizes."""
    for name, algorithm in KINDS:
        for devices in (2, 3, 4, 5, 7, 8, 17, 32):
            yield name, algorithm, devices, devices * 4096
            yield name, algorithm, devices, devices * 1000 + 37


@pytest.mark.parametrize(("name", "algorithm", "devices", "size"), [*_cases()])
@pytest.mark.parametrize("near_memory", [False, True])
def test_time_and_bytes_are_those_of_the_closed_forms(
    run: Run, name: Any, algorithm: Any, devices: int, size: int, near_memory: bool
) -> None:
    schedule = make_schedule(name, algorithm, devices)
    sizes = chunk_sizes(size, schedule.chunks)
    config = {"slice_bytes": "3000 B", "near_memory_reduction": near_memory}
    outcome = run(schedule, sizes, link=ODD_LINK, config=config)
    assert outcome.times.elapsed_fs == elapsed_fs(name, algorithm, devices, sizes, ODD_LINK)
    for device in range(devices):
        law = traffic(name, algorithm, device, sizes, devices=devices, near_memory=near_memory)
        assert _moved(outcome, device) == law
    assert outcome.network.bytes == sum(
        traffic(name, algorithm, device, sizes, devices=devices).sent for device in range(devices)
    )


def _moved(outcome: Any, device: int) -> Traffic:
    counts = outcome.memories[device].bytes
    moved = {kind: counts[Stream.COMMUNICATION, kind].value for kind in Access}
    spans = [span.transfer for span in outcome.times.spans if span.transfer is not None]
    sizes = {transfer: outcome.sizes[transfer.chunk] for transfer in spans}
    return Traffic(
        moved[Access.READ],
        moved[Access.WRITE],
        moved[Access.UPDATE],
        sum(size for transfer, size in sizes.items() if transfer.source == device),
        sum(size for transfer, size in sizes.items() if transfer.destination == device),
    )


@pytest.mark.parametrize("fanout", [1, 2, 3, 7])
@pytest.mark.parametrize("devices", [2, 5, 8, 16])
def test_a_tree_takes_two_ways_over_its_depth(run: Run, devices: int, fanout: int) -> None:
    schedule = make_schedule("all_reduce", "tree", devices, fanout)
    outcome = run(schedule, (10_001,), link=ODD_LINK, tree_fanout=fanout)
    law = elapsed_fs("all_reduce", "tree", devices, (10_001,), ODD_LINK, fanout)
    assert outcome.times.elapsed_fs == law
    assert schedule.steps == 2 * tree_depth(devices, fanout)


@pytest.mark.parametrize("devices", [4, 8, 16, 32])
def test_bytes_of_a_reduce_scatter_are_those_of_the_published_table(devices: int) -> None:
    # T3 facts, 6.2: reads (2N - 1)c and writes Nc (with the GEMM's Nc: 2Nc); (N - 1)c near memory
    sizes = (64,) * devices
    sequential = traffic("reduce_scatter", "ring", 0, sizes, devices=devices)
    assert sequential[:3] == ((2 * devices - 1) * 64, devices * 64, 0)
    near = traffic("reduce_scatter", "ring", 0, sizes, devices=devices, near_memory=True)
    assert near[:3] == ((devices - 1) * 64, 0, (devices - 1) * 64)
    gather = traffic("all_gather", "ring", 0, sizes, devices=devices)
    assert gather[:3] == ((devices - 1) * 64, (devices - 1) * 64, 0)


@pytest.mark.parametrize("slices", [1, 2, 3, 40])
@pytest.mark.parametrize("devices", [2, 3, 8, 16])
@pytest.mark.parametrize("latency", ["1 ns", "500 ns", "50 us"])
def test_a_pipelined_ring_hides_latency_behind_slices(
    run: Run, slices: int, devices: int, latency: str
) -> None:
    link = LinkConfig(bandwidth="1 GB/s", latency=latency)
    schedule = make_schedule("reduce_scatter", "ring", devices)
    config = {"slice_bytes": "100 B", "pipelined": True}
    outcome = run(schedule, (100 * slices,) * devices, link=link, config=config)
    assert outcome.times.elapsed_fs == pipelined_ring_fs(devices, 100 * slices, 100, link)


def test_a_pipelined_ring_does_not_drift(run: Run) -> None:
    link = LinkConfig(bandwidth="7 GB/s", latency="1 ns")
    config = {"slice_bytes": "10 B", "pipelined": True}
    outcome = run(make_schedule("all_gather", "ring", 8), (3_000,) * 8, link=link, config=config)
    assert outcome.times.elapsed_fs == round(pipelined_ring_fs(8, 3_000, 10, link))


@pytest.mark.parametrize("devices", [2, 3, 8, 16])
@pytest.mark.parametrize("slices", [1, 3, 16])
@pytest.mark.parametrize("one_device", [False, True])
def test_on_a_memory_of_limited_bandwidth_a_reduce_scatter_takes_links_and_last_sum(
    run: Run, devices: int, slices: int, one_device: bool
) -> None:
    link = LinkConfig(bandwidth="150 GB/s", latency="500 ns")
    rate, chunk = 1_000_000_000_000, 48 * 3000
    config = {"slice_bytes": f"{chunk // slices} B"}
    outcome = run(
        make_schedule("reduce_scatter", "ring", devices), (chunk,) * devices,
        link=link, memory_rate=rate, one_device=one_device, config=config,
    )  # fmt: skip
    law = sliced_ring_reduce_scatter_fs(devices, chunk, chunk // slices, link, Fraction(rate))
    assert abs(outcome.times.elapsed_fs - law) <= 3 * devices  # rounding
    published = (devices - 1) * (Fraction(chunk, 150) + 500) * NS + Fraction(3 * chunk * NS, 1000)
    assert law - published == (3 * devices - 4) * Fraction(chunk // slices * NS, 1000)


@pytest.mark.parametrize("devices", [8, 16])
def test_near_memory_reduction_saves_what_the_last_sum_takes(run: Run, devices: int) -> None:
    schedule = make_schedule("reduce_scatter", "ring", devices)
    sizes = (96 * 2**20 // devices,) * devices
    times = [
        run(
            schedule, sizes, memory_rate=10**12, one_device=True,
            config={"near_memory_reduction": near},
        ).times.elapsed_fs
        for near in (False, True)
    ]  # fmt: skip
    saved = 1 - times[1] / times[0]
    assert saved == pytest.approx({8: 0.061, 16: 0.031}[devices], abs=0.004)


def test_link_latencies_of_star_tree_and_ring_over_gateways_and_a_core(run: Run) -> None:
    """Four links between any two of eight devices: 8, 16 and 56 latencies, the payload apart."""
    devices, latency = 8, 10**12
    link = LinkConfig(bandwidth="1000000000 GB/s", latency="1 ms")
    core = 2 * devices
    pairs = [(d, devices + d) for d in range(devices)] + [
        (devices + d, core) for d in range(devices)
    ]
    wires = [edge for a, b in pairs for edge in ((a, b), (b, a))]
    topology = Topology(devices, tuple(Edge(a, b, f"{a}->{b}") for a, b in wires))
    for algorithm, fanout, hops in (
        ("star", 0, 8),
        ("tree", 2, 24),
        ("tree", 3, 16),
        ("ring", 0, 56),
    ):
        schedule = make_schedule("all_reduce", algorithm, devices, max(fanout, 1))  # type: ignore[arg-type]
        sizes = chunk_sizes(8, schedule.chunks)
        elapsed = run(schedule, sizes, topology=topology, link=link).times.elapsed_fs
        assert round(elapsed / latency, 6) == hops


@pytest.mark.parametrize("devices", [2, 3, 8])
@pytest.mark.parametrize("name", ["reduce_scatter", "all_to_all"])
def test_over_a_switch_the_device_ports_carry_one_chunk_after_the_other(
    run: Run, name: Any, devices: int
) -> None:
    link = LinkConfig(bandwidth="1 GB/s", latency="500 ns", packet_bytes="100 B")
    outcome = run(
        make_schedule(name, "direct", devices), (1000,) * devices,
        topology=make_topology("switch", devices), link=link, config={"slice_bytes": "500 B"},
    )  # fmt: skip
    assert outcome.times.elapsed_fs == ((devices - 1) * 1000 + 100 + 2 * 500) * NS


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 143), (2, 286), (7, 1000)])
def test_a_transfer_takes_its_bytes_and_the_latency_to_the_nearest_femtosecond(
    size: int, expected: int
) -> None:
    link = LinkConfig(bandwidth="7 TB/s", latency="5 fs")
    assert transfer_fs(link, size) == expected + 5
