"""Closed forms of collectives: time when nothing contends, bytes moved. Independent of the engine.

N devices, a vector of S bytes each, chunks of c = S / N (of whole granules where S doesn't divide),
links of bandwidth B and latency L each way, ``d(x)`` the nearest femtosecond to x / B.

========================  ==========  ===============================================
collective                algorithm   time
========================  ==========  ===============================================
reduce-scatter, gather    ring        (N - 1)(d(c) + L), c the largest chunk
all-reduce                ring        twice that
reduce-scatter, gather,   direct      d(c) + L
all-to-all
all-reduce                direct      twice that
all-reduce                tree        2 x depth x (d(S) + L)
all-reduce                star        2 (d((N - 1) S) + L): the hub has one port
========================  ==========  ===============================================

Each on its own topology, in steps, with memories that take no time and L of at least 1 fs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from hwsim.collectives.schedules import AlgorithmName, CollectiveName
from hwsim.noc import LinkConfig, TopologyName
from hwsim.units import FS_PER_SECOND

__all__ = [
    "TOPOLOGY_OF",
    "Traffic",
    "elapsed_fs",
    "pipelined_ring_fs",
    "sliced_ring_reduce_scatter_fs",
    "traffic",
    "transfer_fs",
    "tree_depth",
]

TOPOLOGY_OF: Final[Mapping[AlgorithmName, TopologyName]] = MappingProxyType({
    "ring": "ring",
    "direct": "fully_connected",
    "tree": "tree",
    "star": "star",
})  # fmt: skip
"""The topology on which an algorithm's transfers of one step don't share a link, or the hub's."""


class Traffic(NamedTuple):
    """Bytes of one device: read and written in its memory, sent to and received from links.

    ``updated`` is what near-memory reduction adds in place; ``written`` is without it.
    """

    read: int
    written: int
    updated: int
    sent: int
    received: int


def transfer_fs(link: LinkConfig, message_bytes: int) -> int:
    """Time of a message over an idle link, until its last byte is at the far end."""
    exact = Fraction(message_bytes * FS_PER_SECOND) / link.bandwidth
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator) + link.latency


def tree_depth(devices: int, fanout: int) -> int:
    """Levels below the root of the tree in which i's parent is (i - 1) // ``fanout``."""
    last, depth = devices - 1, 0
    while last > 0:
        last, depth = (last - 1) // fanout, depth + 1
    return depth


def elapsed_fs(
    collective: CollectiveName,
    algorithm: AlgorithmName,
    devices: int,
    sizes: Sequence[int],
    link: LinkConfig,
    tree_fanout: int = 2,
) -> int:
    """Time of a collective of chunks of ``sizes`` bytes, as in the module's table."""
    halves = 2 if collective == "all_reduce" else 1
    largest = max(sizes)
    match algorithm:
        case "ring":
            return halves * (devices - 1) * transfer_fs(link, largest)
        case "direct":
            return halves * transfer_fs(link, largest)
        case "tree":
            return halves * tree_depth(devices, tree_fanout) * transfer_fs(link, largest)
        case "star":
            return halves * transfer_fs(link, (devices - 1) * largest)


def pipelined_ring_fs(
    devices: int, chunk_bytes: int, slice_bytes: int, link: LinkConfig
) -> Fraction:
    """Ring reduce-scatter or all-gather of equal chunks of whole slices, slices going on at once.

    ``(N - 2) max(c/B, s/B + L) + c/B + L``: the latency of all steps but the last is
    hidden where a chunk takes longer than a slice's way.
    """
    chunk = Fraction(chunk_bytes * FS_PER_SECOND) / link.bandwidth
    piece = Fraction(slice_bytes * FS_PER_SECOND) / link.bandwidth
    return (devices - 2) * max(chunk, piece + link.latency) + chunk + link.latency


def sliced_ring_reduce_scatter_fs(
    devices: int, chunk_bytes: int, slice_bytes: int, link: LinkConfig, memory_bandwidth: Fraction
) -> Fraction:
    """Ring reduce-scatter in steps, on a memory of W bytes a second that keeps up with the link.

    ``(N - 1)(c/B + L) + 3c/W + (3N - 4)s/W``: the first slice of a step is read before it is sent
    (of the first step one operand, of others two), the last one written after; the last sum reads
    two chunks and writes one.
    """
    chunk = Fraction(chunk_bytes * FS_PER_SECOND) / link.bandwidth
    in_memory = 3 * chunk_bytes + (3 * devices - 4) * slice_bytes
    on_links = (devices - 1) * (chunk + link.latency)
    return on_links + Fraction(in_memory * FS_PER_SECOND) / memory_bandwidth


def traffic(
    collective: CollectiveName,
    algorithm: AlgorithmName,
    device: int,
    sizes: Sequence[int],
    *,
    devices: int,
    near_memory: bool = False,
    tree_fanout: int = 2,
) -> Traffic:
    """Bytes that ``device`` moves in a collective of chunks of ``sizes`` bytes."""
    if algorithm in {"tree", "star"}:
        fanout = tree_fanout if algorithm == "tree" else devices - 1
        return _tree(device, devices, fanout, sum(sizes), near_memory)
    halves = [_FORMS[half, algorithm](device, sizes, near_memory) for half in _HALVES[collective]]
    return Traffic(*map(sum, zip(*halves, strict=True)))


def _ring_reduce_scatter(g: int, sizes: Sequence[int], near_memory: bool) -> Traffic:
    """Device g sends all chunks but its own, and gets all but g + 1, the first that it sends."""
    total, own, first = sum(sizes), sizes[g], sizes[(g + 1) % len(sizes)]
    sent, received = total - own, total - first
    if near_memory:
        return Traffic(sent, 0, received, sent, received)
    return Traffic(first + 2 * (sent - first) + 2 * own, received + own, 0, sent, received)


def _ring_all_gather(g: int, sizes: Sequence[int], _: bool) -> Traffic:
    """Device g sends all chunks but g - 1, the last that it gets, and gets all but its own."""
    sent, received = sum(sizes) - sizes[g - 1], sum(sizes) - sizes[g]
    return Traffic(sent, received, 0, sent, received)


def _direct_reduce_scatter(g: int, sizes: Sequence[int], near_memory: bool) -> Traffic:
    """Device g gets its chunk from all others."""
    sent, received = sum(sizes) - sizes[g], (len(sizes) - 1) * sizes[g]
    if near_memory:
        return Traffic(sent, 0, received, sent, received)
    return Traffic(sent + received + sizes[g], received + sizes[g], 0, sent, received)


def _direct_all_gather(g: int, sizes: Sequence[int], _: bool) -> Traffic:
    """Device g sends its chunk to all others."""
    sent, received = (len(sizes) - 1) * sizes[g], sum(sizes) - sizes[g]
    return Traffic(sent, received, 0, sent, received)


def _direct_all_to_all(g: int, sizes: Sequence[int], _: bool) -> Traffic:
    """Device g sends a chunk to each other one, and gets one the size of its own from each."""
    sent, received = sum(sizes) - sizes[g], (len(sizes) - 1) * sizes[g]
    return Traffic(sent, received, 0, sent, received)


def _tree(device: int, devices: int, fanout: int, total: int, near_memory: bool) -> Traffic:
    """The vector goes up from each child, and the sum down to it."""
    children = len(range(device * fanout + 1, min(devices, device * fanout + fanout + 1)))
    parents = 0 if device == 0 else 1
    links = (parents + children) * total
    if near_memory:
        return Traffic(links, parents * total, children * total, links, links)
    whole_sum = 0 if parents else total
    return Traffic((1 + 2 * children) * total, links + whole_sum, 0, links, links)


_Form: TypeAlias = Callable[[int, Sequence[int], bool], Traffic]
_HALVES: Final[Mapping[CollectiveName, tuple[CollectiveName, ...]]] = {
    "reduce_scatter": ("reduce_scatter",),
    "all_gather": ("all_gather",),
    "all_reduce": ("reduce_scatter", "all_gather"),
    "all_to_all": ("all_to_all",),
}
_FORMS: Final[Mapping[tuple[CollectiveName, AlgorithmName], _Form]] = {
    ("reduce_scatter", "ring"): _ring_reduce_scatter,
    ("all_gather", "ring"): _ring_all_gather,
    ("reduce_scatter", "direct"): _direct_reduce_scatter,
    ("all_gather", "direct"): _direct_all_gather,
    ("all_to_all", "direct"): _direct_all_to_all,
}
