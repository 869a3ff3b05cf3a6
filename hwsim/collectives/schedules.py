"""Schedules of collectives: who sends which chunk to whom in which step. Pure data, no time.

Every device has a vector. It is cut into chunks, as many as devices (rings, direct) or one (trees,
stars). In a step a device sends what it had at the step's start.

Ref: R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations in
MPICH", IJHPCA 19(1), 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from hwsim.errors import ConfigError, Problem

__all__ = [
    "ALGORITHMS",
    "COLLECTIVES",
    "AlgorithmName",
    "CollectiveName",
    "Effect",
    "Schedule",
    "Transfer",
    "chunk_sizes",
    "make_schedule",
]

CollectiveName: TypeAlias = Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all"]
COLLECTIVES: Final[tuple[CollectiveName, ...]] = get_args(CollectiveName)
AlgorithmName: TypeAlias = Literal["ring", "direct", "tree", "star"]


class Effect(Enum):
    """What a chunk does where it arrives."""

    REDUCE = "reduce"
    """It is added to the chunk there."""
    COPY = "copy"
    """It replaces the chunk there."""
    EXCHANGE = "exchange"
    """It is kept by itself, apart from those of other senders."""


class Transfer(NamedTuple):
    """Device ``source`` sends ``chunk`` to device ``destination`` in ``step``, counted from 1.

    A sum that is to be reduced further is sent with what has been received for it added up.
    """

    step: int
    source: int
    destination: int
    chunk: int
    effect: Effect


@dataclass(frozen=True)
class Schedule:
    """The transfers of a collective by step, a device's of one step as it starts them."""

    collective: CollectiveName
    algorithm: AlgorithmName
    devices: int
    chunks: int
    transfers: tuple[Transfer, ...]

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.transfers[-1].step

    @cached_property
    def symmetric(self) -> bool:
        """Whether it looks the same from every device, devices and chunks counted from its own."""

        def shifted(number: int, by: int) -> int:
            return (number + by) % self.devices

        every = set(self.transfers)
        return all(
            (step, shifted(source, 1), shifted(destination, 1), shifted(chunk, 1), effect) in every
            for step, source, destination, chunk, effect in self.transfers
        )


def make_schedule(
    collective: CollectiveName, algorithm: AlgorithmName, devices: int, tree_fanout: int = 2
) -> Schedule:
    """The schedule of a collective by an algorithm.

    ``ring``
        Device g sends to g - 1. Reduce-scatter: in step s of N - 1 chunk g + s, which ends at its
        owner, device g + s. All-gather: in step s chunk g + s - 1.
    ``direct``
        One step: device g sends to g + 1, g + 2, ... what belongs there. Of an all-reduce, two.
    ``tree``
        Device i's parent is (i - 1) // ``tree_fanout``. Sums go up a level a step, from the
        deepest, and the whole sum comes down.
    ``star``
        The tree in which all are children of device 0, the hub.

    Raises
    ------
    ConfigError
        For fewer than two devices, a fan-out below one, or an algorithm that the collective has
        not.
    """
    if devices < 2:
        raise ConfigError([Problem("", "devices", "must be at least 2", devices)])
    if tree_fanout < 1:
        raise ConfigError([Problem("", "tree_fanout", "must be at least 1", tree_fanout)])
    if algorithm not in ALGORITHMS[collective]:
        names = " or ".join(repr(name) for name in ALGORITHMS[collective])
        raise ConfigError(
            [Problem("", "algorithm", f"must be {names} for {collective}", algorithm)]
        )
    transfers = tuple(ALGORITHMS[collective][algorithm](devices, tree_fanout))
    chunks = 1 if algorithm in {"tree", "star"} else devices
    return Schedule(collective, algorithm, devices, chunks, transfers)


def chunk_sizes(message_bytes: int, chunks: int, granularity: int = 1) -> tuple[int, ...]:
    """``message_bytes`` cut into chunks of whole granules, the first ones larger by one if need be.

    Raises
    ------
    ConfigError
        For a message that is not of whole granules, or has fewer of them than chunks.
    """
    granules, rest = divmod(message_bytes, granularity)
    if rest:
        rule = f"must be a multiple of {granularity} bytes"
        raise ConfigError([Problem("", "message_bytes", rule, message_bytes)])
    if granules < chunks:
        rule = f"must be at least {chunks} x {granularity} = {chunks * granularity} bytes"
        raise ConfigError([Problem("", "message_bytes", rule, message_bytes)])
    size, larger = divmod(granules, chunks)
    return tuple((size + (chunk < larger)) * granularity for chunk in range(chunks))


def _ring_reduce_scatter(devices: int, _: int) -> Iterator[Transfer]:
    for step in range(1, devices):
        for device in range(devices):
            to, chunk = (device - 1) % devices, (device + step) % devices
            yield Transfer(step, device, to, chunk, Effect.REDUCE)


def _ring_all_gather(devices: int, _: int) -> Iterator[Transfer]:
    for step in range(1, devices):
        for device in range(devices):
            to, chunk = (device - 1) % devices, (device + step - 1) % devices
            yield Transfer(step, device, to, chunk, Effect.COPY)


def _all_pairs(devices: int) -> Iterator[tuple[int, int]]:
    for shift in range(1, devices):
        for device in range(devices):
            yield device, (device + shift) % devices


def _direct_reduce_scatter(devices: int, _: int) -> Iterator[Transfer]:
    for device, to in _all_pairs(devices):
        yield Transfer(1, device, to, to, Effect.REDUCE)


def _direct_all_gather(devices: int, _: int) -> Iterator[Transfer]:
    for device, to in _all_pairs(devices):
        yield Transfer(1, device, to, device, Effect.COPY)


def _direct_all_to_all(devices: int, _: int) -> Iterator[Transfer]:
    for device, to in _all_pairs(devices):
        yield Transfer(1, device, to, to, Effect.EXCHANGE)


def _tree_all_reduce(devices: int, fanout: int) -> Iterator[Transfer]:
    depths = [0] * devices
    for device in range(1, devices):
        depths[device] = depths[(device - 1) // fanout] + 1
    deepest = max(depths)
    children = range(1, devices)
    for step in range(1, deepest + 1):
        for child in (child for child in children if depths[child] == deepest + 1 - step):
            yield Transfer(step, child, (child - 1) // fanout, 0, Effect.REDUCE)
    for depth in range(1, deepest + 1):
        for child in (child for child in children if depths[child] == depth):
            yield Transfer(deepest + depth, (child - 1) // fanout, child, 0, Effect.COPY)


def _star_all_reduce(devices: int, _: int) -> Iterator[Transfer]:
    return _tree_all_reduce(devices, devices - 1)


_Build: TypeAlias = Callable[[int, int], Iterator[Transfer]]


def _both(reduce_scatter: _Build, all_gather: _Build) -> _Build:
    """An all-reduce: the one, then the other."""

    def build(devices: int, fanout: int) -> Iterator[Transfer]:
        step = 0
        for transfer in reduce_scatter(devices, fanout):
            step = transfer.step
            yield transfer
        for transfer in all_gather(devices, fanout):
            yield transfer._replace(step=step + transfer.step)

    return build


ALGORITHMS: Final[Mapping[CollectiveName, Mapping[AlgorithmName, _Build]]] = MappingProxyType({
    "reduce_scatter": {"ring": _ring_reduce_scatter, "direct": _direct_reduce_scatter},
    "all_gather": {"ring": _ring_all_gather, "direct": _direct_all_gather},
    "all_reduce": {
        "ring": _both(_ring_reduce_scatter, _ring_all_gather),
        "direct": _both(_direct_reduce_scatter, _direct_all_gather),
        "tree": _tree_all_reduce,
        "star": _star_all_reduce,
    },
    "all_to_all": {"direct": _direct_all_to_all},
})  # fmt: skip
"""The algorithms of each collective."""
