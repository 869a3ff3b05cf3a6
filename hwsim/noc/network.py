"""A network: links between devices, and messages that find their way over them.

Law: over one link a message takes what the link takes. Over several it travels in packets; each is
sent on when the node it comes to has it (or its head, where links cut through), and shares links
with whatever else goes over them, packet by packet. A route of h idle links of one bandwidth B and
latency L takes ``bytes / B + (h - 1) x packet / B + h x L``, or ``bytes / B + h x L`` with cut
through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hwsim.errors import ConfigError, Problem
from hwsim.noc.link import Hop, Link, LinkConfig, Passage
from hwsim.noc.pipe import Key
from hwsim.noc.topology import Topology
from hwsim.sim import Kernel, Process

__all__ = ["Network"]

_NONE: Mapping[tuple[int, int], LinkConfig] = MappingProxyType({})


class Network:
    """Links of one config, except those of the edges in ``exceptions``.

    A message is cut into the packets of its route's first link.

    Attributes
    ----------
    links : dict of Link
        By medium.

    Raises
    ------
    ConfigError
        For an exception that is no edge.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        topology: Topology,
        link: LinkConfig,
        exceptions: Mapping[tuple[int, int], LinkConfig] = _NONE,
    ) -> None:
        self._kernel = kernel
        self.topology = topology
        media = {(edge.source, edge.target): edge.medium for edge in topology.edges}
        for pair in exceptions:
            if pair not in media:
                raise ConfigError([Problem("", "link", "must be between neighbours", pair)])
        configs = {media[pair]: config for pair, config in exceptions.items()}
        self.links = {
            medium: Link(kernel, f"{name}.{medium}", configs.get(medium, link))
            for medium in dict.fromkeys(media.values())
        }
        self._routes = {
            ends: [self.links[edge.medium] for edge in way] for ends, way in topology.routes.items()
        }

    @property
    def bytes(self) -> int:
        """Bytes put on all links so far: a message counts on every link of its route."""
        return sum(int(link.bytes.value) for link in self.links.values())

    def send(self, source: int, destination: int, message_bytes: int, key: int = 0) -> Passage:
        """Send a message from device to device.

        Of what reaches a link at one instant, the smallest ``key`` goes first, then the smallest
        source, then what was sent first.
        """
        route = self._routes[source, destination]
        if len(route) == 1:
            return route[0].carry(message_bytes, (key, source))
        packet_bytes = route[0].cfg.packet_bytes
        whole, rest = divmod(message_bytes, packet_bytes)
        for size in [packet_bytes] * whole + [rest] * (rest > 0):
            hop = route[0].carry(size, (key, source))
            arrived = self._kernel.start(self._forward(hop, route[1:], size, (key, source)))
        return Passage(hop.departed, arrived)  # packets don't overtake: the last one is last

    @staticmethod
    def _forward(hop: Hop, route: Sequence[Link], size: int, key: Key) -> Process:
        """A packet on its way over the rest of its route."""
        for link in route:
            yield hop.ready
            hop = link.carry(size, key, hop.arrives_fs)
        yield hop.arrived
