"""Networks between devices: links, topologies, routes."""

from hwsim.noc.link import Forwarding, Hop, Link, LinkConfig, Passage, PositiveBytes
from hwsim.noc.network import Network
from hwsim.noc.pipe import Key, Pipe
from hwsim.noc.topology import (
    TOPOLOGIES,
    Edge,
    Topology,
    TopologyName,
    make_topology,
    mirrored,
)

__all__ = [
    "TOPOLOGIES",
    "Edge",
    "Forwarding",
    "Hop",
    "Key",
    "Link",
    "LinkConfig",
    "Network",
    "Passage",
    "Pipe",
    "PositiveBytes",
    "Topology",
    "TopologyName",
    "make_topology",
    "mirrored",
]
