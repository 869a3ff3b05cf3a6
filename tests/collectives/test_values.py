"""Each schedule moves the right data: vectors travel with the simulated reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.collectives import ALGORITHMS, Buffers, Move, chunk_sizes, make_schedule
from hwsim.memory import Access, Region

Run = Callable[..., Any]
Vector = NDArray[np.object_]
KINDS = [(name, algorithm) for name in ALGORITHMS for algorithm in ALGORITHMS[name]]

VECTOR, STAGING = 100, 10_000
"""Addresses; an address holds a number of any size."""


class Data:
    """Memories with numbers in them: what is read at one moment arrives at a later one."""

    def __init__(self, sizes: Sequence[int], devices: int) -> None:
        self.size = sum(sizes)
        bounds = np.cumsum([0, *sizes])
        self.chunks = [slice(a, b) for a, b in pairwise(bounds)]
        self.starts = [bounds[device % len(sizes)] for device in range(devices)]
        rng = np.random.default_rng(devices)
        # A digit of base 1000 for each device: a contribution lost, doubled or foreign is seen.
        self.vectors = [
            rng.integers(1, 30, self.size).astype(object) * 1000**device
            for device in range(devices)
        ]
        self.memories: list[Vector] = [
            np.full(STAGING + devices * self.size, None, object) for _ in range(devices)
        ]
        for memory, vector, start in zip(self.memories, self.vectors, self.starts, strict=True):
            memory[VECTOR : VECTOR + self.size] = np.roll(vector, -start)
        self.flying: dict[tuple[int, int], Vector] = {}

    def vector(self, device: int) -> Vector:
        """The device's vector as it is now; in memory it begins with the device's own chunk."""
        stored = self.memories[device][VECTOR : VECTOR + self.size]
        return np.roll(stored, self.starts[device])

    def read(self, move: Move, piece: int, operands: Sequence[Region]) -> None:
        parts = [
            self.memories[move.source][part.base : part.base + part.bytes] for part in operands
        ]
        assert all(None not in part for part in parts), "read before it is written"
        self.flying[id(move), piece] = np.sum(parts, axis=0)

    def written(self, move: Move, piece: int, target: Region) -> None:
        place = self.memories[move.destination][target.base : target.base + target.bytes]
        value = self.flying.pop((id(move), piece))
        place[:] = place + value if move.access is Access.UPDATE else value


def _after(run: Run, name: Any, algorithm: Any, devices: int, size: int, **options: Any) -> Data:
    schedule = make_schedule(name, algorithm, devices, options.get("tree_fanout", 2))
    sizes = chunk_sizes(size, schedule.chunks)
    data = Data(sizes, devices)
    run(schedule, sizes, observer=data, buffers=Buffers(VECTOR, STAGING), **options)
    assert not data.flying
    return data


def _check(name: str, data: Data) -> None:
    """Compare with what the collective means, device by device."""
    total = sum(data.vectors)
    for device in range(len(data.vectors)):
        vector, own = data.vector(device), data.chunks[device % len(data.chunks)]
        if name == "all_reduce":
            assert np.array_equal(vector, total)
        elif name == "reduce_scatter":
            assert np.array_equal(vector[own], total[own])
        elif name == "all_gather":
            gathered = [data.vectors[owner][part] for owner, part in enumerate(data.chunks)]
            assert np.array_equal(vector, np.concatenate(gathered))
        else:
            _check_exchange(data, device, own)


def _check_exchange(data: Data, device: int, own: slice) -> None:
    """Every peer's block for this device lies in staging, in some order, once."""
    sent = [tuple(vector[own]) for peer, vector in enumerate(data.vectors) if peer != device]
    blocks = [STAGING + slot * data.size for slot in range(len(sent))]
    got = [tuple(data.memories[device][base : base + len(sent[0])]) for base in blocks]
    assert sorted(got) == sorted(sent)
    assert np.array_equal(data.vector(device), data.vectors[device])


@pytest.mark.parametrize("near_memory", [False, True])
@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("devices", [2, 3, 5, 8, 17])
@pytest.mark.parametrize(("name", "algorithm"), KINDS)
def test_every_collective_gives_what_its_name_says(
    run: Run, name: Any, algorithm: Any, devices: int, pipelined: bool, near_memory: bool
) -> None:
    config = {
        "slice_bytes": "2 B", "pipelined": pipelined, "near_memory_reduction": near_memory,
    }  # fmt: skip
    _check(name, _after(run, name, algorithm, devices, 4 * devices + 1, config=config))


@pytest.mark.parametrize("fanout", [1, 3, 4])
def test_trees_of_any_fanout_reduce(run: Run, fanout: int) -> None:
    _check("all_reduce", _after(run, "all_reduce", "tree", 11, 20, tree_fanout=fanout))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "algorithm"), KINDS)
def test_slow_memories_late_devices_and_any_order_of_events_lose_nothing(
    run: Run, name: Any, algorithm: Any, seed: int
) -> None:
    options = {
        "memory_rate": 10**11, "late_fs": {2: 10**9, 5: 3 * 10**8}, "seed": seed,
        "config": {"slice_bytes": "3 B", "pipelined": seed % 2 == 1},
    }  # fmt: skip
    _check(name, _after(run, name, algorithm, 6, 50, **options))
