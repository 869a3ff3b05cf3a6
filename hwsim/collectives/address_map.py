"""Address-space configuration of a GEMM fused with a reduce-scatter: where its output chunks go.

A chunk is either stored straight into a peer's memory (``remote``), or reduced here and then sent
on by a DMA engine (``dma``), or it stays (``own``). ``updates`` are those that every element of the
chunk gets in this device's memory, the GEMM's own among them, until it can be sent on or is done.

Ref: T3, ASPLOS'24, arXiv 2401.16677, sections 4.1, 4.4 and 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from hwsim.errors import ConfigError, Problem

__all__ = ["ADDRESS_MAPS", "Route", "RouteKind", "fully_connected", "ring", "stagger_order"]

RouteKind: TypeAlias = Literal["remote", "dma", "own"]


class Route(NamedTuple):
    """Where a chunk goes: to ``peer``, as updates, or nowhere (None)."""

    chunk: int
    kind: RouteKind
    peer: int | None
    updates: int


def stagger_order(devices: int, device: int) -> tuple[int, ...]:
    """The order in which a device computes its chunks: g + 1, g + 2, ..., its own one last."""
    _check(devices, device)
    return tuple((device + shift) % devices for shift in range(1, devices + 1))


def ring(devices: int, device: int) -> tuple[Route, ...]:
    """A ring reduce-scatter, in the order of computing.

    The first chunk is stored to g - 1, which reduces it with its own and sends it on. Device g does
    so with the next N - 2, each updated by its GEMM and by g + 1, and keeps the last.
    """
    first, *between, own = stagger_order(devices, device)
    peer = (device - 1) % devices
    return (
        Route(first, "remote", peer, 0),
        *(Route(chunk, "dma", peer, 2) for chunk in between),
        Route(own, "own", None, 2),
    )


def fully_connected(devices: int, device: int) -> tuple[Route, ...]:
    """A direct reduce-scatter, in the order of computing: each chunk is stored to its owner."""
    *others, own = stagger_order(devices, device)
    return (
        *(Route(chunk, "remote", chunk, 0) for chunk in others),
        Route(own, "own", None, devices),
    )


def _check(devices: int, device: int) -> None:
    if devices < 2:
        raise ConfigError([Problem("", "devices", "must be at least 2", devices)])
    if not 0 <= device < devices:
        raise ConfigError([Problem("", "device", f"must be from 0 to {devices - 1}", device)])


ADDRESS_MAPS: Final[Mapping[str, Callable[[int, int], tuple[Route, ...]]]] = MappingProxyType({
    "ring": ring,
    "fully_connected": fully_connected,
})  # fmt: skip
"""The map of each topology that has one."""
