"""GEMM fused with a reduce-scatter: where each store goes, what it triggers, what is sent on.

A device computes the chunks of its output in its own order. Of each chunk, its address map says
where stores go: straight to a peer as updates (``remote``), or to the device's own memory, where
the Tracker counts them together with the updates that arrive from a peer. A tile that has all its
updates is read by the DMA engine and sent to the next peer (``dma``), or is done (``own``).

Without near-memory reduction an update is a write to a buffer of its own, and the DMA engine reads
both copies and adds; the device's own chunk is then read twice and written once at the end.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 4.1 to 4.4, figures 7 and 9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from hwsim.collectives.address_map import Route
from hwsim.config import Config, Femtoseconds, quantity
from hwsim.memory import Access, Region, Stream
from hwsim.models.t3.tiles import ELEMENT_BYTES, Tiling, Workgroup
from hwsim.models.t3.tracker import Tracker, TrackerConfig
from hwsim.noc import Passage
from hwsim.sim import Component, Event, Kernel, Process, Slots

if TYPE_CHECKING:
    from hwsim.memory.system import MemorySystem

__all__ = ["DmaConfig", "DmaSpan", "Fused", "FusedConfig", "Notes", "Part", "Tile"]

STORED, ARRIVED, FORWARDED = (n << 32 for n in (1, 2, 3))
"""Added to a tile's key, the number of who asks memory; workgroups have the numbers from 0."""

Send = Callable[["Tile"], Passage]
"""Send a tile that is not the device's own to the peer that its route names."""


class DmaConfig(Config):
    """The DMA engine.

    Parameters
    ----------
    block : what is sent at once when all of it is ready: a wavefront's tile, a workgroup's, a whole
        chunk, or a chunk once the GEMM has ended, which is what is left without tracking.
    trigger_latency : from the last update of a block to its first read.
    channels : tiles that are read and sent side by side.
    """

    block: Literal["wavefront", "workgroup", "chunk", "kernel"] = "wavefront"
    trigger_latency: Femtoseconds = quantity("100 ns")
    channels: int = Field(16, ge=1, le=1024)


class FusedConfig(Config):
    """What of T3 a device has."""

    tracker: TrackerConfig = TrackerConfig()
    dma: DmaConfig = DmaConfig()
    near_memory_reduction: bool = True
    bypass: bool = True


@dataclass(frozen=True)
class Part:
    """A chunk of a device's output: its route, and the workgroups that compute it."""

    route: Route
    groups: range


@dataclass(frozen=True)
class Tile:
    """A wavefront's tile of a device's output."""

    part: Part
    group: int
    wavefront: int
    region: Region

    @property
    def elements(self) -> int:
        """Elements of the output."""
        return self.region.bytes // ELEMENT_BYTES

    @property
    def key(self) -> int:
        """Tells who goes first of tiles that are ready at one instant."""
        return self.group * 16 + self.wavefront


@dataclass(frozen=True)
class Output:
    """The output of a device's GEMM: where it lies, and its chunks in the order of their making."""

    memory: MemorySystem
    tiling: Tiling
    parts: tuple[Part, ...]


class DmaSpan(NamedTuple):
    """What the DMA engine did with a tile on one of its channels."""

    what: Literal["read", "send", "write"]
    tile: Tile
    start_fs: int
    end_fs: int


@dataclass
class Notes:
    """What is noted down to be drawn: the DMA engine's spans, triggers, and sets in use by time."""

    spans: list[DmaSpan] = field(default_factory=list)
    triggers: list[tuple[int, Tile]] = field(default_factory=list)
    in_use: dict[int, int] = field(default_factory=dict)


class Fused(Component[FusedConfig]):
    """What a device does with the output of a GEMM that is fused with a reduce-scatter.

    Parameters
    ----------
    output : of the device.
    send : puts a tile on its way to the peer of its route.

    Attributes
    ----------
    notes : Notes or None
        Kept if there is a timeline to draw them in.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        cfg: FusedConfig,
        output: Output,
        send: Send,
    ) -> None:
        super().__init__(kernel, name, cfg)
        parts = output.parts
        self._memory = output.memory
        self._tiling = output.tiling
        self._send = send
        self.parts = parts
        self._part_of = {group: part for part in parts for group in part.groups}
        self._by_chunk = {part.route.chunk: part for part in parts}
        kept = [part for part in parts if part.route.kind != "remote"]
        # state
        self.tracker = Tracker(
            kernel,
            f"{name}.tracker",
            cfg.tracker,
            [group for part in kept for group in part.groups],
            lambda group: [tile.elements * tile.part.route.updates for tile in self.tiles(group)],
        )
        self._turns = {
            stream: Slots(kernel, 1) for stream in (Stream.COMPUTE, Stream.COMMUNICATION)
        }
        self._channels = Slots(kernel, cfg.dma.channels)
        self._ready: dict[object, list[Tile]] = {}
        self._owed = sum(len(self.tiles(group)) for part in kept for group in part.groups)
        self._gemm_ended = kernel.event()
        self.finished = kernel.event()
        self.notes = Notes() if kernel.timeline is not None else None
        if not self._owed:
            self.finished.succeed()

    # what is where

    def tiles(self, group: int) -> list[Tile]:
        """The tiles of a workgroup."""
        part, regions = self._part_of[group], self._tiling.wavefront_regions(group)
        return [Tile(part, group, i, region) for i, region in enumerate(regions)]

    # stores and arrivals

    def store(self, group: Workgroup) -> Process:
        """Let a workgroup's output leave it; returns when its registers are free."""
        tiles = self.tiles(group.index)
        if self._part_of[group.index].route.kind == "remote":
            yield from [self._send(tile).departed for tile in tiles]
        else:
            updates = [self._update(tile, Stream.COMPUTE, STORED) for tile in tiles]
            yield from [self.kernel.start(update) for update in updates]

    def receive(self, chunk: int, place: int, wavefront: int) -> None:
        """Take a tile from a peer: of the workgroup at ``place`` of a chunk."""
        group = self._by_chunk[chunk].groups[place]
        tile = self.tiles(group)[wavefront]
        self.kernel.start(self._update(tile, Stream.COMMUNICATION, ARRIVED))

    def _update(self, tile: Tile, stream: Stream, who: int) -> Process:
        yield from self._admit(tile, stream)
        self._note_in_use()
        yield self._write(tile, stream, who + tile.key)
        if self.tracker.count(tile.group, tile.wavefront, tile.elements):
            self._note_in_use()
            self._trigger(tile)

    def _admit(self, tile: Tile, stream: Stream) -> Process:
        """Wait for the tile's set of the Tracker; as a queue, if a full one stalls."""
        if self.cfg.tracker.on_full != "stall":
            yield self.tracker.admit(tile.group)
            return
        yield self._turns[stream].take(tile.key)
        yield self.tracker.admit(tile.group)
        self._turns[stream].give_back()

    def _write(self, tile: Tile, stream: Stream, source: int) -> Event:
        if not self.cfg.near_memory_reduction:
            region = self._second(tile.region) if stream == Stream.COMMUNICATION else tile.region
            return self._memory.access(region, Access.WRITE, stream, source)
        if stream == Stream.COMPUTE and not self.cfg.bypass:
            return self._memory.write_through(tile.region, Access.UPDATE, stream, source)
        return self._memory.access(tile.region, Access.UPDATE, stream, source)

    def _second(self, region: Region) -> Region:
        """Where what arrives is kept when memory does not add it."""
        return region._replace(base=region.base + self._tiling.end - self._tiling.output_base)

    # triggers

    def _trigger(self, tile: Tile) -> None:
        """Do what is due when a tile has all its updates."""
        if self.notes is not None:
            self.notes.triggers.append((self.kernel.now, tile))
        if tile.part.route.kind == "own":
            self.kernel.start(self._complete(tile))
            return
        block = self._block(tile)
        ready = self._ready.setdefault(block, [])
        ready.append(tile)
        if len(ready) == self._block_tiles(tile):
            for each in sorted(self._ready.pop(block), key=lambda each: each.key):
                self.kernel.start(self._forward(each))

    def _block(self, tile: Tile) -> object:
        """What names the block that a tile is sent with."""
        match self.cfg.dma.block:
            case "wavefront":
                return tile.key
            case "workgroup":
                return tile.group
            case _:
                return tile.part.route.chunk

    def _block_tiles(self, tile: Tile) -> int:
        match self.cfg.dma.block:
            case "wavefront":
                return 1
            case "workgroup":
                return len(self.tiles(tile.group))
            case _:
                return sum(len(self.tiles(group)) for group in tile.part.groups)

    def _forward(self, tile: Tile) -> Process:
        """Read a reduced tile and send it on."""
        if self.cfg.dma.block == "kernel" and not self._gemm_ended.processed:
            yield self._gemm_ended
        yield self.kernel.wait(self.cfg.dma.trigger_latency)
        yield self._channels.take(tile.key)
        yield from self._read(tile)
        start = self.kernel.now
        yield self._send(tile).departed
        self._note("send", tile, start)
        self._channels.give_back()
        self._settle()

    def _complete(self, tile: Tile) -> Process:
        """Finish a tile of the device's own chunk."""
        if not self.cfg.near_memory_reduction:
            source = FORWARDED + tile.key
            yield self._channels.take(tile.key)
            yield from self._read(tile)
            start = self.kernel.now
            yield self._memory.access(tile.region, Access.WRITE, Stream.COMMUNICATION, source)
            self._note("write", tile, start)
            self._channels.give_back()
        self._settle()

    def _read(self, tile: Tile) -> Process:
        reads, source, start = [tile.region], FORWARDED + tile.key, self.kernel.now
        if not self.cfg.near_memory_reduction:
            reads.append(self._second(tile.region))
        yield from [
            self._memory.access(region, Access.READ, Stream.COMMUNICATION, source)
            for region in reads
        ]
        self._note("read", tile, start)

    def _settle(self) -> None:
        """Count a tile that needs nothing more of this device."""
        self._owed -= 1
        if not self._owed:
            self.finished.succeed()

    def gemm_ended(self) -> None:
        """Hear that the GEMM has ended."""
        self._gemm_ended.succeed()

    # notes

    def _note(self, what: Literal["read", "send", "write"], tile: Tile, start_fs: int) -> None:
        """Note what the DMA engine did until now."""
        if self.notes is not None:
            self.notes.spans.append(DmaSpan(what, tile, start_fs, self.kernel.now))

    def _note_in_use(self) -> None:
        """Note the sets in use; of an instant, the last count stays."""
        if self.notes is not None:
            self.notes.in_use[self.kernel.now] = self.tracker.in_use
