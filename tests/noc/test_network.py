"""Networks: topologies, routes, packets, shared links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from hwsim.errors import ConfigError
from hwsim.noc import TOPOLOGIES, Edge, LinkConfig, Network, Topology, make_topology, mirrored
from hwsim.sim import Kernel, Process

NS = 10**6
LINK = LinkConfig(bandwidth="1 GB/s", latency="500 ns", packet_bytes="100 B")
"""A byte takes a nanosecond."""
CUT = LinkConfig(
    bandwidth="1 GB/s", latency="500 ns", packet_bytes="100 B", forwarding="cut_through"
)
CHAIN = Topology(2, (Edge(0, 2, "a"), Edge(2, 3, "b"), Edge(3, 1, "c"), Edge(1, 0, "back")))
"""Device 0 over two routers to device 1."""


def _arrivals(
    topology: Topology,
    sends: Sequence[tuple[int, int, int]],
    link: LinkConfig = LINK,
    exceptions: dict[tuple[int, int], LinkConfig] | None = None,
    seed: int = 0,
) -> list[int]:
    """When each of (source, destination, bytes), all sent at once, arrives, in nanoseconds."""
    kernel = Kernel(shuffle_ties=True, seed=seed)
    network = Network(kernel, "network", topology, link, exceptions or {})
    arrivals = [0] * len(sends)

    def sender(number: int) -> Process:
        source, target, size = sends[number]
        yield network.send(source, target, size, (target - source) % topology.devices).arrived
        arrivals[number] = kernel.now

    def main() -> Process:
        yield from [kernel.start(sender(number)) for number in range(len(sends))]

    kernel.run(main())
    hops = sum(len(topology.routes[source, target]) * size for source, target, size in sends)
    assert network.bytes == hops
    assert all(arrival % NS == 0 for arrival in arrivals)
    return [arrival // NS for arrival in arrivals]


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("devices", [2, 3, 4, 7, 8, 32])
def test_every_topology_has_a_shortest_route_between_any_two_devices(
    name: str, devices: int
) -> None:
    topology = make_topology(name, devices)  # type: ignore[arg-type]
    parent = [0, *((device - 1) // 2 for device in range(1, devices))]

    def up(device: int) -> list[int]:
        return [device, *(up(parent[device]) if device else [])]

    def expected(a: int, b: int) -> int:
        return {
            "ring": min((a - b) % devices, (b - a) % devices),
            "fully_connected": 1,
            "switch": 2,
            "star": 1 if 0 in {a, b} else 2,
            "tree": len(set(up(a)) ^ set(up(b))),
        }[name]

    assert len(topology.routes) == devices * (devices - 1)
    for (source, target), way in topology.routes.items():
        assert (way[0].source, way[-1].target) == (source, target)
        assert all(one.target == two.source for one, two in pairwise(way))
        assert len(way) == expected(source, target)


@pytest.mark.parametrize("size", [1, 99, 100, 101, 1000])
def test_a_message_over_several_links_is_stored_and_forwarded_by_the_packet(size: int) -> None:
    # the first packet takes the whole way; the rest of the message follows it
    last = size % 100 or 100
    ahead = min(size, 100) if size > 100 else last
    expected = size + (ahead + ahead) + 3 * 500
    assert _arrivals(CHAIN, [(0, 1, size)]) == [expected]


@pytest.mark.parametrize("size", [1, 99, 100, 101, 1000])
def test_with_cut_through_only_the_latencies_add(size: int) -> None:
    assert _arrivals(CHAIN, [(0, 1, size)], CUT) == [size + 3 * 500]


def test_what_cuts_through_to_a_faster_link_still_ends_with_its_last_byte() -> None:
    fast = LinkConfig(bandwidth="10 GB/s", latency="500 ns", forwarding="cut_through")
    assert _arrivals(CHAIN, [(0, 1, 1000)], CUT, {(2, 3): fast, (3, 1): fast}) == [1000 + 1500]


def test_the_slowest_link_of_a_route_sets_the_pace() -> None:
    slow = LinkConfig(bandwidth="500 MB/s", latency="500 ns", packet_bytes="100 B")
    assert _arrivals(CHAIN, [(0, 1, 1000)], LINK, {(2, 3): slow}) == [100 + 2000 + 100 + 1500]


@pytest.mark.parametrize("senders", [1, 2, 5, 7])
def test_all_to_one_over_a_switch_is_serialised_on_the_last_link(senders: int) -> None:
    sends = [(sender, 0, 1000) for sender in range(1, senders + 1)]
    arrivals = _arrivals(make_topology("switch", 8), sends)
    assert max(arrivals) == 100 + senders * 1000 + 2 * 500
    assert min(arrivals) >= max(arrivals) - 100 * (senders - 1)  # packets take turns


def test_disjoint_pairs_over_a_switch_do_not_meet() -> None:
    sends = [(0, 1, 1000), (1, 0, 1000), (2, 3, 1000)]
    assert _arrivals(make_topology("switch", 4), sends) == [100 + 1000 + 1000] * 3


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_hub_of_a_star_takes_one_message_after_the_other(workers: int) -> None:
    topology = make_topology("star", workers + 1)
    sends = [(worker, 0, 1000) for worker in range(1, workers + 1)]
    arrivals = sorted(_arrivals(topology, sends))
    assert arrivals == [1000 * (n + 1) + 500 for n in range(workers)]
    back = [(0, worker, 1000) for worker in range(1, workers + 1)]
    assert max(_arrivals(topology, [*sends, *back])) == 1000 * workers + 500  # full duplex


def test_the_root_of_a_tree_has_a_link_for_each_child() -> None:
    sends = [(worker, 0, 1000) for worker in range(1, 8)]
    assert _arrivals(make_topology("tree", 8, tree_fanout=7), sends) == [1500] * 7


def test_a_shared_medium_carries_one_packet_at_a_time_in_all_directions() -> None:
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    air = Topology(3, tuple(Edge(a, b, "air") for a, b in pairs))
    assert sorted(_arrivals(air, [(a, b, 100) for a, b in pairs])) == [
        500 + 100 * n for n in range(1, 7)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_contention_is_settled_by_the_senders_and_not_by_events(seed: int) -> None:
    topology = make_topology("ring", 6)
    sends = [(a, b, 250) for a in range(6) for b in range(6) if a != b]
    assert _arrivals(topology, sends, seed=seed) == _arrivals(topology, sends, seed=99)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("keys", "first"), [((8, 3), 2), ((3, 8), 1), ((0, 0), 1)])
def test_the_key_and_then_the_source_decide_who_goes_first(
    keys: tuple[int, int], first: int, seed: int
) -> None:
    kernel = Kernel(shuffle_ties=True, seed=seed)
    network = Network(kernel, "network", make_topology("star", 3), LINK)
    ends: dict[int, int] = {}

    def sender(source: int) -> Process:
        yield kernel.wait(NS)
        yield network.send(source, 0, 1000, keys[source - 1]).arrived
        ends[source] = kernel.now

    def main() -> Process:
        yield from [kernel.start(sender(1)), kernel.start(sender(2))]

    kernel.run(main())
    assert ends == {first: 1501 * NS, 3 - first: 2501 * NS}


@pytest.mark.parametrize("name", ["ring", "fully_connected"])
@pytest.mark.parametrize("devices", [2, 3, 6, 7])
def test_one_device_and_its_mirror_images_see_what_all_devices_see(name: str, devices: int) -> None:
    topology = make_topology(name, devices)  # type: ignore[arg-type]
    shifts = range(1, devices)
    everybody = [(a, (a + s) % devices, 250) for a in range(devices) for s in shifts]
    alone = [(0, s, 250) for s in shifts]
    every = _arrivals(topology, everybody)
    assert _arrivals(mirrored(topology), alone) == every[: devices - 1]
    assert every == every[: devices - 1] * devices


@pytest.mark.parametrize("name", ["switch", "star", "tree"])
def test_what_has_a_middle_is_not_mirrored(name: str) -> None:
    message = (
        "topology must look the same from every device to simulate one of them, as a ring does"
    )
    with pytest.raises(ConfigError, match=f"^{message}$"):
        mirrored(make_topology(name, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_topology("ring", 1), "devices must be at least 2, got 1"),
        (lambda: make_topology("tree", 4, 0), "tree_fanout must be at least 1, got 0"),
        (
            lambda: Topology(3, (Edge(0, 1, "a"), Edge(1, 0, "b"))),
            "topology must have a route between any two devices, got none from 0 to 2",
        ),
        (
            lambda: Network(Kernel(), "n", make_topology("ring", 4), LINK, {(0, 2): LINK}),
            "link must be between neighbours, got (0, 2)",
        ),
    ],
)
def test_a_wrong_network_is_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        make()  # type: ignore[operator]
