"""A device's memory: DRAM channels, and a last-level cache in front of them if it has one.

What is asked is looked at once an epoch, in the order of time, source and program, and then every
channel is simulated an epoch further. An epoch is at most as long as the shortest latency from a
request to anything it does, so that what is asked during one can do nothing before its end: results
depend neither on the length of the epoch nor on the order of simultaneous events.

Events cost one an epoch and one a request; an idle memory has none.

Ref: T3 (ASPLOS'24), sections 4.3 and 4.5, for updates near the memory and for arbitration.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import Final, NoReturn, TypeAlias, cast

import numpy as np

from hwsim.errors import WorkloadError
from hwsim.laws.t3_arbiter import UNLIMITED
from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints
from hwsim.memory.config import MemoryConfig
from hwsim.memory.engine import NO_REQUESTS, Engine
from hwsim.memory.port import Access, Region, Stream
from hwsim.sim import Clock, Component, Counter, Event, Kernel, Process
from hwsim.units import FS_PER_SECOND, MetricUnit

__all__ = ["MemorySystem"]

NOWHERE: Final = (0, 0, 0, 0)


_Asked: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, Event]
"""A request nobody has looked at: time, source, running number, the columns of a batch, event."""

_Remembered: TypeAlias = tuple[tuple[bytes, ...], int, tuple[tuple[int, int], ...]]

LONGEST_EPOCH: Final = 1000
"""Cycles; no faster beyond."""


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
        self._latency_cycles = self.clock.cycles_in(controller.request_latency)
        self._engine = Engine(
            cfg,
            request_cycles=self._latency_cycles,
            return_cycles=self.clock.cycles_in(controller.return_latency),
            hit_cycles=self.clock.cycles_in(cache.hit_latency) if cache else 0,
            bin_cycles=bin_cycles,
            logging=log_commands,
            recorded_channel=recorded_channel,
        )
        self.bin_cycles = bin_cycles
        self._asked: list[_Asked] = []
        self._numbers = 0
        self._waiting: dict[int, Event] = {}
        self._thresholds: list[tuple[int, int]] = []
        given = controller.threshold_entries
        self._threshold = UNLIMITED if given == "unlimited" else given
        self._work: Event | None = None
        self._burst = cfg.dram.burst_bytes
        self._sector = cache.sector if cache else self._burst
        self._capacity = cfg.dram.capacity_bytes
        # stats
        total = partial(_Total, self._engine.pool)
        self.bytes: dict[tuple[Stream, Access], Counter] = {
            (stream, kind): total("B", at.ASKED + stream * at.KINDS + kind)
            for stream in Stream
            for kind in Access
        }
        self.hits = {stream: total("1", at.HIT_SECTORS + stream) for stream in Stream}
        self.misses = {stream: total("1", at.MISSED_SECTORS + stream) for stream in Stream}
        self.written_back = {stream: total("1", at.WRITTEN_BACK + stream) for stream in Stream}

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
        return self._note(at.FLUSH, stream * at.KINDS, NOWHERE, source)

    def invalidate(self, stream: Stream = Stream.COMPUTE, source: int = 0) -> Event:
        """Flush, and leave the cache empty."""
        return self._note(at.INVALIDATE, stream * at.KINDS, NOWHERE, source)

    def set_threshold(self, entries: int | None) -> None:
        """Change the arbiter's threshold, None being no threshold.

        It holds from the cycle on in which a request made now would arrive.
        """
        arrival = self.clock.cycles_in(self.kernel.now) + self._latency_cycles
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

    def waiting(self) -> Sequence[str]:
        """How many requests are not answered."""
        unanswered = len(self._waiting) + len(self._asked)
        return [f"{self.name}: {unanswered} requests wait to be answered"] if unanswered else []

    def memory(self) -> Hashable:
        """Open rows, timing, cached lines, thresholds."""
        now = self.clock.cycle
        changes = tuple((cycle - now, entries) for cycle, entries in self._thresholds)
        return self._engine.remember(now), self._threshold, changes

    def recall(self, memory: Hashable) -> None:
        """Take them on."""
        now = self.clock.cycle
        parts, self._threshold, changes = cast("_Remembered", memory)
        self._engine.recall(parts, now)
        self._thresholds = [(now + cycle, entries) for cycle, entries in changes]

    def _ask(self, do: int, region: Region, kind: Access, stream: Stream, source: int) -> Event:
        base, row_bytes, rows, stride = region
        step = self._burst if do == at.BYPASS else self._sector
        end = base + (rows - 1) * stride + row_bytes
        whole = (base | row_bytes | stride) % step == 0
        if not (whole and row_bytes > 0 and rows > 0 and base >= 0 <= stride):
            self._refuse(f"be of whole multiples of {step} bytes", region)
        if end > self._capacity:
            self._refuse(f"lie within the {self._capacity} bytes of the memory", region)
        return self._note(do, stream * at.KINDS + kind, region, source)

    def _refuse(self, rule: str, region: Region) -> NoReturn:
        raise WorkloadError(f"{self.name}: a region must {rule}, got {region}")

    def _note(self, do: int, kind: int, region: tuple[int, int, int, int], source: int) -> Event:
        kernel = self.kernel
        event = kernel.event()
        self._numbers += 1
        self._asked.append((kernel.now, source, self._numbers, do, kind, *region, event))
        if self._work is not None:
            work, self._work = self._work, None
            work.succeed()
        return event

    def _drive(self) -> Process:
        while True:
            if not self._asked and self._engine.idle:
                self._work = self.kernel.event()
                yield self._work
            yield self.clock.until(self.clock.cycle + self._epoch_cycles)
            self._advance(self.clock.cycle + self._latency_cycles)

    def _advance(self, end: int) -> None:
        """Do what was asked before now, and simulate up to ``end``."""
        batch, now = self._take_asked(), self.clock.cycles_in(self.kernel.now)
        ended: list[list[int]] = []
        while self._thresholds and self._thresholds[0][0] < end:
            cycle, following = self._thresholds.pop(0)
            ended += self._engine.advance(batch, now, cycle, self._threshold)
            batch, self._threshold = NO_REQUESTS, following
        ended += self._engine.advance(batch, now, end, self._threshold)
        succeed_at, finished, edge = self.kernel.succeed_at, self._waiting.pop, self.clock.edge
        for request, cycle in ended:
            succeed_at(finished(request), edge(cycle))

    def _take_asked(self) -> Ints:
        """The requests made before now, in order; one made now may still get company."""
        asked, now = self._asked, self.kernel.now
        count = len(asked)
        while count and asked[count - 1][0] == now:
            count -= 1
        if count == 0:
            return NO_REQUESTS
        taken = sorted(asked[:count])
        del asked[:count]
        rows = np.array([each[:-1] for each in taken], np.int64)
        requests = self._engine.new_requests(count)
        self._waiting.update(zip(requests, (each[-1] for each in taken), strict=True))
        rows[:, 1 + at.Q_CYCLE] = _cycles_in(self.clock, rows[:, 0])
        rows[:, 1 + at.Q_REQUEST] = requests
        return np.ascontiguousarray(rows[:, 1:])


class _Total(Counter):
    """A total that the engine counts; what a replay adds comes on top."""

    __slots__ = ("_column", "_pool", "_replayed")

    def __init__(self, pool: Ints, unit: MetricUnit, column: int) -> None:
        self._pool, self._column, self._replayed = pool, column, 0
        super().__init__(unit)

    @property
    def value(self) -> int | Fraction:
        """The total."""
        return self._replayed + int(self._pool[self._column])

    @value.setter
    def value(self, value: int | Fraction) -> None:
        self._replayed = int(value) - int(self._pool[self._column])


def _cycles_in(clock: Clock, times_fs: Ints) -> Ints:
    """``clock.cycles_in`` of sorted times, at most some thousand cycles apart."""
    first = clock.cycle_at(int(times_fs[0]))
    count = clock.cycle_at(int(times_fs[-1])) - first + 2
    start, rest = divmod(2 * first * FS_PER_SECOND + clock.frequency_hz, 2 * clock.frequency_hz)
    edges = start + (rest + 2 * FS_PER_SECOND * np.arange(count)) // (2 * clock.frequency_hz)
    return first + np.searchsorted(edges, times_fs)


def _epoch(cfg: MemoryConfig, wanted: int | None) -> int:
    """The epoch in cycles: the longest exact one, or the one wanted."""
    longest = min(cfg.longest_epoch_fs * cfg.dram.clock // FS_PER_SECOND, LONGEST_EPOCH)
    if wanted is not None and not 1 <= wanted <= longest:
        raise ValueError(f"epoch_cycles must be from 1 to {longest}, got {wanted}")
    return longest if wanted is None else wanted
