"""A device's memory: DRAM channels, and a last-level cache in front of them if it has one.

What is asked is looked at once an epoch, in the order of time, source and program, and then every
channel is simulated an epoch further. An epoch is at most as long as the shortest latency from a
request to anything it does, so that what is asked during one can do nothing before its end: results
depend neither on the length of the epoch nor on the order of simultaneous events.

Events cost one an epoch and one a request; an idle memory has none.

Ref: T3 (ASPLOS'24), sections 4.3 and 4.5, for updates near the memory and for arbitration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hwsim.errors import WorkloadError
from hwsim.laws.t3_arbiter import UNLIMITED
from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints
from hwsim.memory.config import MemoryConfig
from hwsim.memory.engine import Engine, Row
from hwsim.memory.port import Access, Region, Stream
from hwsim.sim import Clock, Component, Counter, Event, Kernel, Process
from hwsim.units import FS_PER_SECOND

__all__ = ["MemorySystem"]

NOWHERE = Region(0, 0)


class _Asked(NamedTuple):
    """A request nobody has looked at; sorts by when it takes effect."""

    time_fs: int
    source: int
    number: int
    do: int
    region: Region
    kind: Access
    stream: Stream
    event: Event


class MemorySystem(Component[MemoryConfig]):
    """The memory of one device.

    A lone read of a closed bank takes ``request_latency + 1 + nRCD + nCL + nBL + return_latency``,
    latencies rounded up to cycles of the DRAM clock. A hit takes ``hit_latency``.

    Requests of one ``source``, a small number that names who asks, keep their program order; those
    of one instant are taken in the order of their sources. Addresses and sizes are multiples of a
    burst, those of cached requests of a sector.

    Parameters
    ----------
    epoch_cycles : how often requests are looked at; None is as seldom as is exact. No result
        depends on it.
    bin_cycles : width of the bins of :attr:`bins`.
    log_commands : whether :attr:`log` is kept.
    recorded_channel : the channel of :attr:`decisions`.

    Stats
    -----
    bytes (B) : asked of the DRAM, with misses and write-backs, by stream and kind.
    hits (1), misses (1), written_back (1) : sectors of the cache, by stream.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        cfg: MemoryConfig,
        *,
        epoch_cycles: int | None = None,
        bin_cycles: int = 1000,
        log_commands: bool = False,
        recorded_channel: int | None = None,
    ) -> None:
        super().__init__(kernel, name, cfg)
        # state
        self.clock = Clock(kernel, cfg.dram.clock)
        self._epoch_cycles = _epoch(cfg, epoch_cycles)
        controller, cache = cfg.dram.controller, cfg.cache
        self._engine = Engine(
            cfg,
            return_cycles=self.clock.cycles_in(controller.return_latency),
            hit_cycles=self.clock.cycles_in(cache.hit_latency) if cache else 0,
            bin_cycles=bin_cycles,
            logging=log_commands,
            recorded_channel=recorded_channel,
        )
        self._asked: list[_Asked] = []
        self._numbers = 0
        self._waiting: dict[int, Event] = {}
        self._thresholds: list[tuple[int, int]] = []
        given = controller.threshold_entries
        self._threshold = UNLIMITED if given == "unlimited" else given
        self._work: Event | None = None
        self._counted = self._engine.pool.copy()
        # stats
        self.bytes = {(stream, kind): Counter("B") for stream in Stream for kind in Access}
        self.hits = {stream: Counter("1") for stream in Stream}
        self.misses = {stream: Counter("1") for stream in Stream}
        self.written_back = {stream: Counter("1") for stream in Stream}

    def access(
        self, region: Region, kind: Access, stream: Stream = Stream.COMPUTE, source: int = 0
    ) -> Event:
        """Go to the DRAM, past the cache; the event happens when the last byte is there.

        Raises
        ------
        WorkloadError
            For a region that is empty, not made of whole bursts, or beyond the capacity.
        """
        return self._ask(at.BYPASS, region, kind, stream, source)

    def read(self, region: Region, stream: Stream = Stream.COMPUTE, source: int = 0) -> Event:
        """Read through the cache; the event happens when the last byte is there."""
        return self._ask(at.CACHED_READ, region, Access.READ, stream, source)

    def write(self, region: Region, stream: Stream = Stream.COMPUTE, source: int = 0) -> Event:
        """Write into the cache; the event happens ``hit_latency`` later."""
        return self._ask(at.CACHED_WRITE, region, Access.WRITE, stream, source)

    def write_through(
        self,
        region: Region,
        kind: Access = Access.WRITE,
        stream: Stream = Stream.COMPUTE,
        source: int = 0,
    ) -> Event:
        """Write into the cache and to the DRAM; the event happens when both are done."""
        return self._ask(at.WRITE_THROUGH, region, kind, stream, source)

    def flush(self, stream: Stream = Stream.COMPUTE, source: int = 0) -> Event:
        """Write all dirty sectors back; the event happens when nothing asked before is left."""
        return self._ask(at.FLUSH, NOWHERE, Access.WRITE, stream, source)

    def invalidate(self, stream: Stream = Stream.COMPUTE, source: int = 0) -> Event:
        """Flush, and leave the cache empty."""
        return self._ask(at.INVALIDATE, NOWHERE, Access.WRITE, stream, source)

    def set_threshold(self, entries: int | None) -> None:
        """Change the arbiter's threshold, None being no threshold.

        It holds from the cycle on in which a request made now would arrive.
        """
        arrival = self._arrival(self.kernel.now)
        self._thresholds.append((arrival, UNLIMITED if entries is None else entries))

    def settle(self) -> None:
        """Look at what was asked before now, so that the counters are exact in mid-run too."""
        self._advance(self._engine.now)

    @property
    def bins(self) -> Ints:
        """What happened in each bin, all channels together.

        A row is bytes moved, by stream x 3 + kind, then entry-cycles of reads and of writes held.
        Bins that end by now are complete; later ones may have begun. What is replayed is not here.
        """
        return self._engine.bins

    @property
    def log(self) -> Ints:
        """Channel, cycle, command, bank, row of every command, in order within a channel."""
        return self._engine.log

    @property
    def decisions(self) -> Ints:
        """What the recorded channel's arbiter saw and chose; a row holds until the next.

        Cycle, whether computing and communication wait, entries held, threshold, cycles that
        communication has waited, choice.
        """
        return self._engine.decisions

    def processes(self) -> Iterable[Process]:
        """The one that looks at requests and simulates the channels."""
        return (self._drive(),)

    def at_rest(self) -> bool:
        """Whether nothing is asked that is not done."""
        return self._work is not None and not self._waiting and not self._asked

    def _ask(self, do: int, region: Region, kind: Access, stream: Stream, source: int) -> Event:
        self._check(do, region)
        event = self.kernel.event()
        self._numbers += 1
        asked = _Asked(self.kernel.now, source, self._numbers, do, region, kind, stream, event)
        self._asked.append(asked)
        if self._work is not None:
            work, self._work = self._work, None
            work.succeed()
        return event

    def _check(self, do: int, region: Region) -> None:
        if do >= at.FLUSH:
            return
        base, row_bytes, rows, stride = region
        cached = do != at.BYPASS and self.cfg.cache is not None
        step = self.cfg.cache.sector if cached and self.cfg.cache else self.cfg.dram.burst_bytes
        if row_bytes <= 0 or rows <= 0 or (base | row_bytes | stride) % step:
            raise WorkloadError(
                f"{self.name}: a region must be of whole multiples of {step} bytes, got {region}"
            )
        capacity = self.cfg.dram.capacity_bytes
        last = base + (rows - 1) * stride
        if min(base, last) < 0 or max(base, last) + row_bytes > capacity:
            raise WorkloadError(
                f"{self.name}: a region must lie within the {capacity} bytes of the memory, "
                f"got {region}"
            )

    def _arrival(self, time_fs: int) -> int:
        """The cycle in which a request made at ``time_fs`` arrives at its controller."""
        return self.clock.cycles_in(time_fs + self.cfg.dram.controller.request_latency)

    def _drive(self) -> Process:
        while True:
            if not self._asked and self._engine.idle:
                self._work = self.kernel.event()
                yield self._work
            yield self.clock.until(self.clock.cycle + self._epoch_cycles)
            self._advance(self._arrival(self.kernel.now))

    def _advance(self, end: int) -> None:
        """Do what was asked before now, and simulate up to ``end``."""
        rows = self._take_asked()
        now = self.clock.cycles_in(self.kernel.now)
        ended: list[tuple[int, int]] = []
        while self._thresholds and self._thresholds[0][0] < end:
            cycle, following = self._thresholds.pop(0)
            ended += self._engine.advance(rows, now, cycle, self._threshold)
            rows, self._threshold = [], following
        ended += self._engine.advance(rows, now, end, self._threshold)
        for request, cycle in ended:
            self.kernel.succeed_at(self._waiting.pop(request), self.clock.edge(cycle))
        self._count()

    def _take_asked(self) -> list[Row]:
        """The requests made before now, in order; one made now may still get company."""
        now = self.kernel.now
        taken = sorted(asked for asked in self._asked if asked.time_fs < now)
        self._asked = [asked for asked in self._asked if asked.time_fs >= now]
        return [self._row(asked) for asked in taken]

    def _row(self, asked: _Asked) -> Row:
        request = self._engine.new_request()
        self._waiting[request] = asked.event
        return (
            self.clock.cycles_in(asked.time_fs),
            self._arrival(asked.time_fs),
            asked.do,
            asked.stream * at.KINDS + asked.kind,
            *asked.region,
            request,
        )

    def _count(self) -> None:
        """Bring the counters up to the engine's totals."""
        pool = self._engine.pool
        gained = pool - self._counted
        self._counted = pool.copy()
        for (stream, kind), counter in self.bytes.items():
            counter.add(int(gained[at.ASKED + stream * at.KINDS + kind]))
        for stream in Stream:
            self.hits[stream].add(int(gained[at.HIT_SECTORS + stream]))
            self.misses[stream].add(int(gained[at.MISSED_SECTORS + stream]))
            self.written_back[stream].add(int(gained[at.WRITTEN_BACK + stream]))


def _epoch(cfg: MemoryConfig, wanted: int | None) -> int:
    """The epoch in cycles: the longest exact one, or the one wanted."""
    longest = cfg.longest_epoch_fs * cfg.dram.clock // FS_PER_SECOND
    if wanted is not None and not 1 <= wanted <= longest:
        raise ValueError(f"epoch_cycles must be from 1 to {longest}, got {wanted}")
    return longest if wanted is None else wanted
