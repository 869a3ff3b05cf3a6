"""What runs on a node: a GEMM, a collective, both as one, or a pass over operands."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.collectives import (
    AlgorithmName,
    CollectiveConfig,
    CollectiveEngine,
    CollectiveName,
    chunk_sizes,
    make_schedule,
)
from hwsim.collectives.address_map import ADDRESS_MAPS, Route, stagger_order
from hwsim.memory import Access, Region, Stream
from hwsim.models.t3.compute import Gemm, Store
from hwsim.models.t3.fused import Fused, Output, Part, Tile
from hwsim.models.t3.node import Device, Node
from hwsim.models.t3.tiles import BURST_BYTES, Tiling, Workgroup
from hwsim.noc import Passage
from hwsim.sim import Process
from hwsim.units import FS_PER_SECOND

__all__ = ["Exchange", "FusedGemm", "collective", "elementwise", "gemm"]

PASS_BYTES = 32 * 1024
"""What a place of a compute unit reads, or writes, at once in a pass over operands."""


@dataclass(frozen=True)
class Exchange:
    """A collective and how it is done; ``message_bytes`` is the whole vector on each device."""

    collective: CollectiveName
    message_bytes: int
    algorithm: AlgorithmName = "ring"
    near_memory: bool = False


def gemm(node: Node, tiling: Tiling, units: int | None = None) -> Process:
    """A GEMM by itself, whose output goes to memory through the last-level cache.

    ``units`` are the compute units that it has; all if None.
    """

    def on(device: Device) -> Process:
        compute = device.compute
        if units is not None:
            compute = compute.model_copy(update={"units": units})

        def store(group: Workgroup) -> Process:
            yield from [
                device.dram.write(region, Stream.COMPUTE, group.index)
                for region in tiling.wavefront_regions(group.index)
            ]

        work = Gemm(node.kernel, compute, device.dram, tiling, tiling.workgroups, store)
        device.gemms.append(work)
        yield from work.run()
        yield device.dram.flush()

    yield from node.on_all(on)


def collective(node: Node, exchange: Exchange, units: int | None = None) -> Process:
    """A collective that compute units run, on vectors at the bottom of memory.

    Where memory is ideal, so are the units, and steps are apart if nothing else is asked: then a
    ring takes what its closed form says.

    Raises
    ------
    ConfigError
        For a collective that the algorithm does not do, or a message too short for it.
    """
    config, ideal = node.config.collective, node.config.memory == "ideal"
    rate = config.unit_rate * (units or node.config.compute.units)
    engine = CollectiveEngine(
        node.kernel,
        "collective",
        CollectiveConfig.model_construct(
            slice_bytes=config.slice,
            slices_in_flight=config.slices_in_flight,
            pipelined=not ideal if config.pipelined is None else config.pipelined,
            near_memory_reduction=exchange.near_memory,
            copy_rate=None if ideal else rate,
        ),
        node.network,
        [device.memory for device in node.devices],
    )
    schedule = make_schedule(exchange.collective, exchange.algorithm, node.degree)
    sizes = chunk_sizes(exchange.message_bytes, schedule.chunks, BURST_BYTES)
    yield from engine.run(schedule, sizes)


def elementwise(node: Node, read_bytes: int, written_bytes: int) -> Process:
    """A pass that reads and writes operands once, spread over all places of all compute units."""
    passes = -(-max(read_bytes, written_bytes) // PASS_BYTES)
    results = -(-read_bytes // PASS_BYTES) * PASS_BYTES

    def share(total: int, number: int) -> Region | None:
        """What a pass has of ``total`` bytes, in whole bursts."""
        bursts = -(-total // BURST_BYTES)
        first, end = number * bursts // passes, (number + 1) * bursts // passes
        return Region(first * BURST_BYTES, (end - first) * BURST_BYTES) if end > first else None

    def place(device: Device, first: int, places: int) -> Process:
        for number in range(first, passes, places):
            if (operand := share(read_bytes, number)) is not None:
                yield device.dram.access(operand, Access.READ, Stream.COMPUTE, first)
            if (result := share(written_bytes, number)) is not None:
                moved = result._replace(base=results + result.base)
                yield device.dram.access(moved, Access.WRITE, Stream.COMPUTE, first)

    def on(device: Device) -> Process:
        places = device.compute.units * device.compute.workgroups
        yield from [node.kernel.start(place(device, i, places)) for i in range(places)]

    yield from node.on_all(on)


class FusedGemm:
    """A GEMM and a reduce-scatter of its output as one, on every device of a node.

    Attributes
    ----------
    ends_fs : list of (int, int)
        Of each device: when its last workgroup had stored its output, and when it was done.
    threshold : int or None
        What the first device's arbiter was given after the first stage; None for no limit.
    intensity : float
        Share of the peak bandwidth that the first device's GEMM asked for in that stage; 0 where
        no threshold is chosen by it.
    """

    def __init__(self, node: Node, tiling: Tiling, *, choose_threshold: bool) -> None:
        self._node = node
        self._tiling = tiling
        self._choose_threshold = choose_threshold
        # state
        self.fused = [self._fused(device) for device in node.devices]
        # stats
        self.ends_fs = [(0, 0)] * len(node.devices)
        self.threshold: int | None = None
        self.intensity = 0.0

    def run(self) -> Process:
        """Run it to the end: until each device has its own chunk, and has sent all others."""
        yield from self._node.on_all(self._on)

    def _on(self, device: Device) -> Process:
        node, fused = self._node, self.fused[device.index]
        order = [self._tiling.workgroups[i] for part in fused.parts for i in part.groups]
        work = Gemm(
            node.kernel,
            device.compute,
            device.dram,
            self._tiling,
            order,
            self._store(device, fused),
        )
        device.gemms.append(work)
        yield from work.run()
        gemm_ended_fs = node.kernel.now
        fused.gemm_ended()
        yield fused.finished
        self.ends_fs[device.index] = gemm_ended_fs, node.kernel.now

    def _store(self, device: Device, fused: Fused) -> Store:
        """Stores of the fused GEMM; at the end of the first stage, its intensity is measured."""
        start = self._node.kernel.now
        left = device.compute.units * device.compute.workgroups

        def store(group: Workgroup) -> Process:
            nonlocal left
            yield from fused.store(group)
            left -= 1
            if left == 0 and self._choose_threshold:
                self._look_after_gemm(device, self._node.kernel.now - start)

        return store

    def _look_after_gemm(self, device: Device, elapsed_fs: int) -> None:
        """Give the arbiter the threshold for what the compute stream has asked of memory."""
        config = self._node.config
        asked = sum(
            int(count.value)
            for (stream, _), count in device.dram.bytes.items()
            if stream is Stream.COMPUTE
        )
        peak = config.dram.peak_bytes_per_second * elapsed_fs / FS_PER_SECOND
        intensity = float(asked / peak)
        threshold = config.arbitration.threshold(intensity) or None
        device.dram.set_threshold(threshold)
        if device.index == 0:
            self.threshold, self.intensity = threshold, intensity

    def _fused(self, device: Device) -> Fused:
        return Fused(
            self._node.kernel,
            f"device {device.index}",
            self._node.config,
            Output(device.dram, self._tiling, self._parts(device.index)),
            lambda tile: self._send(device.index, tile),
        )

    def _parts(self, index: int) -> tuple[Part, ...]:
        """The chunks of a device in the order in which it computes them.

        With equal chunks, each device lays its output out in that order, so that all do the same.
        """
        config, degree, bounds = self._node.config, self._node.degree, self._tiling.bounds
        routes = ADDRESS_MAPS[config.topology](degree, index)
        by_chunk: dict[int, Route] = {route.chunk: route for route in routes}
        order = stagger_order(degree, index) if config.stagger else range(degree)
        parts = []
        for position, chunk in enumerate(order):
            place = position if self._tiling.even else chunk
            parts.append(Part(by_chunk[chunk], range(bounds[place], bounds[place + 1])))
        return tuple(parts)

    def _send(self, index: int, tile: Tile) -> Passage:
        """Send a tile to the peer of its route; what arrives is an update there."""
        node, route = self._node, tile.part.route
        assert route.peer is not None
        passage = node.network.send(index, route.peer, tile.region.bytes, tile.key)
        symmetric = node.config.mode == "symmetric"
        receiver = self.fused[0 if symmetric else route.peer]
        # the mirrored peer has the same part in the chunk that is as far from its own number
        chunk = (route.chunk - route.peer) % node.degree if symmetric else route.chunk
        place = tile.group - tile.part.groups.start
        passage.arrived.callbacks.append(lambda _: receiver.receive(chunk, place, tile.wavefront))
        return passage
