"""Devices, links and memories to run collectives on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest

from hwsim.collectives import (
    Buffers,
    CollectiveConfig,
    CollectiveEngine,
    CollectiveTimes,
    Move,
    Observer,
    Schedule,
)
from hwsim.collectives.closed_forms import TOPOLOGY_OF
from hwsim.memory import Access, IdealMemory, Region, Stream
from hwsim.memory.config import MemoryConfig
from hwsim.memory.system import MemorySystem
from hwsim.noc import LinkConfig, Network, Pipe, Topology, make_topology, mirrored
from hwsim.sim import Event, Kernel, Process
from hwsim.sim.timeline import Timeline

LINK = LinkConfig(bandwidth="150 GB/s", latency="500 ns")


class BandwidthMemory(IdealMemory):
    """A memory that serves in order, at so many bytes a second."""

    def __init__(self, kernel: Kernel, name: str, rate: int) -> None:
        super().__init__(kernel, name)
        self._pipe = Pipe(kernel, Fraction(rate))

    def access(
        self, region: Region, kind: Access, stream: Stream = Stream.COMPUTE, source: int = 0
    ) -> Event:
        super().access(region, kind, stream)
        return self._pipe.use(region.bytes, (source,))


class Log:
    """When each piece of each move was read, and was written."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.moments: set[tuple[int, str, int, int, int, tuple[Region, ...]]] = set()

    def read(self, move: Move, piece: int, operands: Sequence[Region]) -> None:
        self._note("read", move, piece, *operands)

    def written(self, move: Move, piece: int, target: Region) -> None:
        self._note("written", move, piece, target)

    def _note(self, what: str, move: Move, piece: int, *regions: Region) -> None:
        self.moments.add((self._kernel.now, what, move.source, move.phase, piece, regions))


@dataclass
class Setup:
    """A node of devices, and a collective to run on it."""

    schedule: Schedule
    sizes: Sequence[int]
    link: LinkConfig = LINK
    topology: Topology | None = None
    tree_fanout: int = 2
    one_device: bool = False
    memory_rate: int | None = None
    dram: bool = False
    exceptions: Mapping[tuple[int, int], LinkConfig] = field(default_factory=dict)
    late_fs: Mapping[int, int] = field(default_factory=dict)
    observer: Observer | None = None
    buffers: Buffers = field(default_factory=Buffers)
    seed: int | None = None
    timeline: Timeline | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What came of it."""

    times: CollectiveTimes
    engine: CollectiveEngine
    network: Network
    memories: Sequence[Any]
    kernel: Kernel
    sizes: Sequence[int]
    log: Log


def _memory(setup: Setup, kernel: Kernel, name: str) -> Any:
    if setup.dram:
        return MemorySystem(kernel, name, MemoryConfig(dram={"specification": "hbm2"}))
    if setup.memory_rate is None:
        return IdealMemory(kernel, name)
    return BandwidthMemory(kernel, name, setup.memory_rate)


def _run(setup: Setup) -> Outcome:
    kernel = Kernel(
        shuffle_ties=setup.seed is not None, seed=setup.seed or 0, timeline=setup.timeline
    )
    devices = setup.schedule.devices
    topology = setup.topology or make_topology(
        TOPOLOGY_OF[setup.schedule.algorithm], devices, setup.tree_fanout
    )
    topology = mirrored(topology) if setup.one_device else topology
    network = Network(kernel, "network", topology, setup.link, setup.exceptions)
    memories = [
        _memory(setup, kernel, f"memory{device}")
        for device in range(1 if setup.one_device else devices)
    ]
    config = CollectiveConfig(**setup.config)
    engine = CollectiveEngine(kernel, "collectives", config, network, memories)

    log = Log(kernel)

    def main() -> Process:
        starts = {device: kernel.wait(late) for device, late in setup.late_fs.items()}
        return (
            yield from engine.run(
                setup.schedule,
                setup.sizes,
                buffers=setup.buffers,
                starts=starts,
                observer=setup.observer or log,
            )
        )

    times = kernel.run(main())
    _check_books(engine, network, memories, topology, times)
    return Outcome(times, engine, network, memories, kernel, setup.sizes, log)


def _check_books(
    engine: CollectiveEngine,
    network: Network,
    memories: Sequence[Any],
    topology: Topology,
    times: CollectiveTimes,
) -> None:
    """What holds of every run: the engine's, the memories' and the links' counts agree."""
    for device, memory in enumerate(memories):
        moved = {kind: memory.bytes[Stream.COMMUNICATION, kind].value for kind in Access}
        assert moved[Access.READ] == engine.read[device].value
        assert moved[Access.WRITE] + moved[Access.UPDATE] == engine.written[device].value
        assert not any(memory.bytes[Stream.COMPUTE, kind].value for kind in Access)
    assert engine.stage.times().busy == times.elapsed_fs
    assert times.end_fs == max(span.end_fs for span in times.spans)
    assert all(link.stage.state == "idle" for link in network.links.values())
    assert set(network.links) == {edge.medium for edge in topology.edges}


@pytest.fixture
def run() -> Callable[..., Outcome]:
    """Run a schedule with chunk sizes; options are the fields of :class:`Setup`."""
    return lambda schedule, sizes, **options: _run(Setup(schedule, sizes, **options))
