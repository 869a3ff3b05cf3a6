"""Who is wired to whom: rings, all to all, a switch, a star, a tree, or any graph.

Nodes 0 .. devices - 1 are the devices, further ones are switches and routers. An edge is one
direction; edges of one medium share one link, such as the port of a star's hub, or the air.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from hwsim.errors import ConfigError, Problem

__all__ = ["TOPOLOGIES", "Edge", "Topology", "TopologyName", "make_topology", "mirrored"]

TopologyName: TypeAlias = Literal["ring", "fully_connected", "switch", "star", "tree"]
TOPOLOGIES: Final[tuple[TopologyName, ...]] = get_args(TopologyName)


class Edge(NamedTuple):
    """A way from node ``source`` to node ``target`` over the link named ``medium``."""

    source: int
    target: int
    medium: str


@dataclass(frozen=True)
class Topology:
    """A graph of at least two devices in which each has a way to every other.

    Raises
    ------
    ConfigError
        For fewer than two devices, or two that nothing connects.
    """

    devices: int
    edges: tuple[Edge, ...]
    mirrored: bool = False
    """Whether device 0 alone sends, and the links stand for those of all: see :func:`mirrored`."""

    def __post_init__(self) -> None:
        if self.devices < 2:
            raise ConfigError([Problem("", "devices", "must be at least 2", self.devices)])
        for source in range(self.devices):
            reached = self._reached(source)
            missing = next((d for d in range(self.devices) if d not in reached), None)
            if missing is not None:
                rule = (
                    "must have a route between any two devices, "
                    f"got none from {source} to {missing}"
                )
                raise ConfigError([Problem("", "topology", rule)])

    @cached_property
    def routes(self) -> Mapping[tuple[int, int], tuple[Edge, ...]]:
        """The way with the fewest edges from each device to each other one.

        Of several such ways, the one whose edges are listed first.
        """
        ways = {
            (source, target): tuple(way)
            for source in range(self.devices)
            for target, way in self._reached(source).items()
            if source != target < self.devices
        }
        return MappingProxyType(ways)

    def _reached(self, source: int) -> dict[int, list[Edge]]:
        """The way to each node, breadth first."""
        ways: dict[int, list[Edge]] = {source: []}
        nodes = deque([source])
        while nodes:
            node = nodes.popleft()
            for edge in self._leaving.get(node, ()):
                if edge.target not in ways:
                    ways[edge.target] = [*ways[node], edge]
                    nodes.append(edge.target)
        return ways

    @cached_property
    def _leaving(self) -> dict[int, list[Edge]]:
        leaving: dict[int, list[Edge]] = {}
        for edge in self.edges:
            leaving.setdefault(edge.source, []).append(edge)
        return leaving


def make_topology(name: TopologyName, devices: int, tree_fanout: int = 2) -> Topology:
    """The topology of that name.

    ``ring``
        Device g to g - 1 and to g + 1.
    ``fully_connected``
        A link from each device to each other one.
    ``switch``
        A link from each device to the switch, node ``devices``, and one back.
    ``star``
        Device 0 is the hub. What others send it comes in through its one port, and what it sends
        goes out through it; the two directions don't share.
    ``tree``
        Device i's parent is (i - 1) // ``tree_fanout``, with a link each way for each child.

    Raises
    ------
    ConfigError
        For fewer than two devices, or a fan-out below one.
    """
    if tree_fanout < 1:
        raise ConfigError([Problem("", "tree_fanout", "must be at least 1", tree_fanout)])
    return Topology(devices, tuple(_EDGES[name](devices, tree_fanout)))


def _edge(source: int, target: int) -> Edge:
    return Edge(source, target, f"{source}->{target}")


def _ring(devices: int, _: int) -> Iterator[Edge]:
    for device in range(devices):
        down, up = (device - 1) % devices, (device + 1) % devices
        yield _edge(device, down)
        if up != down:
            yield _edge(device, up)


def _fully_connected(devices: int, _: int) -> Iterator[Edge]:
    for device in range(devices):
        for shift in range(1, devices):
            yield _edge(device, (device + shift) % devices)


def _switch(devices: int, _: int) -> Iterator[Edge]:
    for device in range(devices):
        yield _edge(device, devices)
        yield _edge(devices, device)


def _star(devices: int, _: int) -> Iterator[Edge]:
    for device in range(1, devices):
        yield Edge(device, 0, "hub in")
        yield Edge(0, device, "hub out")


def _tree(devices: int, fanout: int) -> Iterator[Edge]:
    for device in range(1, devices):
        yield _edge(device, (device - 1) // fanout)
        yield _edge((device - 1) // fanout, device)


_EDGES: Final[Mapping[TopologyName, Callable[[int, int], Iterator[Edge]]]] = {
    "ring": _ring,
    "fully_connected": _fully_connected,
    "switch": _switch,
    "star": _star,
    "tree": _tree,
}


def mirrored(topology: Topology) -> Topology:
    """The same, with one link for all edges of the same shift (target - source).

    When every device does the same, and device 0 alone is simulated, what it sends over the edges
    of a shift is what comes in over them: one link stands for all.

    Raises
    ------
    ConfigError
        For a topology that does not look the same from every device.
    """
    devices = topology.devices
    pairs = {(edge.source, edge.target) for edge in topology.edges}
    shifted = {((source + 1) % devices, (target + 1) % devices) for source, target in pairs}
    private = len({edge.medium for edge in topology.edges}) == len(topology.edges)
    if pairs != shifted or not private:
        rule = "must look the same from every device to simulate one of them, as a ring does"
        raise ConfigError([Problem("", "topology", rule)])
    edges = (
        Edge(edge.source, edge.target, f"shift {(edge.target - edge.source) % devices}")
        for edge in topology.edges
    )
    return Topology(devices, tuple(edges), mirrored=True)
