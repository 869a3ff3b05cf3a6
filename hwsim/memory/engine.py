"""The compiled engine of a device's memory: cache, queues and channels over plain arrays.

:class:`Engine` owns the arrays and sees to it that they are long enough; ``advance`` is the one
compiled entry point. It knows cycles only, no events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from hwsim.laws.t3_arbiter import COMPUTE_FIRST, NOBODY, ROUND_ROBIN, UNLIMITED
from hwsim.memory import layout as at
from hwsim.memory.cache import forget_all, read_row, write_back_all, write_row
from hwsim.memory.channel import run_channel
from hwsim.memory.compiled import Ints, entry, inline
from hwsim.memory.config import DramConfig, MemoryConfig
from hwsim.memory.hashing import remainder_table
from hwsim.memory.layout import State
from hwsim.memory.mapping import field_table
from hwsim.memory.queues import depend, finish_request, new_fetch, push_span, retire
from hwsim.memory.snapshot import restore, snapshot

__all__ = ["NO_REQUESTS", "Engine"]

LONG_AGO: Final = -(2**40)
TIMING: Final = {
    "nBL": at.P_BL,
    "nCL": at.P_CL,
    "nCWL": at.P_CWL,
    "nRCD": at.P_RCD,
    "nRP": at.P_RP,
    "nRAS": at.P_RAS,
    "nRC": at.P_RC,
    "nCCD_S": at.P_CCD_S,
    "nCCD_L": at.P_CCD_L,
    "nRRD_S": at.P_RRD_S,
    "nRRD_L": at.P_RRD_L,
    "nFAW": at.P_FAW,
    "nRTP": at.P_RTP,
    "nWR": at.P_WR,
    "nWTR_S": at.P_WTR_S,
    "nWTR_L": at.P_WTR_L,
    "nRTW": at.P_RTW,
    "nRFC": at.P_RFC,
    "nREFI": at.P_REFI,
}
POOLS: Final = {"segment": at.S_NEXT, "fetch": at.F_NEXT, "link": at.L_NEXT}
"""Arrays whose free rows are chained, by which column."""
MOVED_COLUMNS: Final = [
    stream * at.KINDS + kind
    for stream in range(at.STREAMS)
    for kind in (at.READ, at.WRITE, at.UPDATE)
]
LOGGED_AT_ONCE: Final = 4096
"""Cycles in one go when commands are logged, so that the log is long enough."""


@inline
def _do(state: State, row: Ints) -> None:
    """Look a request up in the cache as it asks, and queue what it needs of the DRAM."""
    request, stream = row[at.Q_REQUEST], row[at.Q_CLASS] // at.KINDS
    state.request[request, at.R_FETCHES] = 0
    state.request[request, at.R_READY] = row[at.Q_CYCLE]
    if row[at.Q_DO] == at.CACHED_READ:
        _read(state, row, request, stream)
    elif row[at.Q_DO] == at.CACHED_WRITE:
        _write(state, row, request, stream, True)
    elif row[at.Q_DO] == at.WRITE_THROUGH:
        _write(state, row, request, stream, False)
        _bypass(state, row, request)
    elif row[at.Q_DO] == at.BYPASS:
        _bypass(state, row, request)
    else:
        _flush(state, row, request, stream)
    if state.request[request, at.R_FETCHES] == 0:
        finish_request(state, request)


@inline
def _read(state: State, row: Ints, request: int, stream: int) -> None:
    state.request[request, at.R_READY] += state.par[at.P_HIT]
    f, victim = at.NONE, at.NONE
    arrival = row[at.Q_CYCLE] + state.par[at.P_LATENCY]
    for i in range(row[at.Q_ROWS]):
        base = row[at.Q_BASE] + i * row[at.Q_STRIDE]
        f, victim = read_row(state, request, stream, arrival, base, row[at.Q_ROW_BYTES], f, victim)
    if f != at.NONE:
        depend(state, request, f)


@inline
def _write(state: State, row: Ints, request: int, stream: int, dirty: bool) -> None:
    state.request[request, at.R_READY] += state.par[at.P_HIT]
    victim = at.NONE
    arrival = row[at.Q_CYCLE] + state.par[at.P_LATENCY]
    for i in range(row[at.Q_ROWS]):
        base = row[at.Q_BASE] + i * row[at.Q_STRIDE]
        victim = write_row(state, stream, arrival, base, row[at.Q_ROW_BYTES], dirty, victim)


@inline
def _bypass(state: State, row: Ints, request: int) -> None:
    f = new_fetch(state)
    arrival = row[at.Q_CYCLE] + state.par[at.P_LATENCY]
    for i in range(row[at.Q_ROWS]):
        base = row[at.Q_BASE] + i * row[at.Q_STRIDE]
        push_span(state, f, row[at.Q_CLASS], arrival, base, row[at.Q_ROW_BYTES])
    depend(state, request, f)


@inline
def _flush(state: State, row: Ints, request: int, stream: int) -> None:
    """Write everything back; ``request`` ends when nothing asked before is left to do.

    That there is nothing is known when the request has got to the controllers.
    """
    state.request[request, at.R_READY] += state.par[at.P_LATENCY]
    write_back_all(state, stream, row[at.Q_CYCLE] + state.par[at.P_LATENCY])
    if row[at.Q_DO] == at.INVALIDATE:
        forget_all(state)
    for f in range(state.fetch.shape[0]):
        if state.fetch[f, at.F_BURSTS] > 0:
            depend(state, request, f)


Advance = Callable[[State, Ints, int, int, int], None]


@entry
def advance(sources: int) -> Advance:
    """Define the entry point."""

    def advance(state: State, batch: Ints, now: int, end: int, threshold: int) -> None:
        """Do the requests of ``batch``, then run every channel up to cycle ``end``.

        ``now`` is the cycle at which this is done, before which no request can still be made.
        """
        state.pool[at.SOURCES] = sources
        retire(state, now)
        for i in range(batch.shape[0]):
            _do(state, batch[i])
        for c in range(state.channel.shape[0]):
            run_channel(state, c, end, threshold)

    return advance


class Engine:
    """The state of a device's memory, moved on by batches of requests.

    Requests are named by numbers that :meth:`new_requests` gives and :meth:`advance` takes back.

    Parameters
    ----------
    request_cycles, return_cycles, hit_cycles : the configured latencies, in cycles.
    bin_cycles : width of the bins of :attr:`bins`.
    logging : whether every command is logged.
    recorded_channel : whose arbiter decisions are recorded.

    Attributes
    ----------
    state : State
        The arrays; those that are too short are replaced by longer ones. Read them.
    now : int
        The first cycle not simulated yet.
    """

    def __init__(
        self,
        cfg: MemoryConfig,
        *,
        request_cycles: int = 0,
        return_cycles: int = 0,
        hit_cycles: int = 0,
        bin_cycles: int = 1000,
        logging: bool = False,
        recorded_channel: int | None = None,
    ) -> None:
        self.now = 0
        self._bin_cycles = bin_cycles
        self._wordy = logging or recorded_channel is not None
        self._sectors = cfg.cache.sectors if cfg.cache else 0
        par = _parameters(cfg)
        par[at.P_LATENCY] = request_cycles
        par[at.P_RETURN], par[at.P_HIT], par[at.P_BIN] = return_cycles, hit_cycles, bin_cycles
        par[at.P_LOGGING] = logging
        par[at.P_RECORDED] = at.NONE if recorded_channel is None else recorded_channel
        self.state = _new_state(cfg, par)
        self._free_requests = list(range(len(self.state.request)))
        self._logs: list[Ints] = []
        self._decisions: list[Ints] = []

    @property
    def idle(self) -> bool:
        """Whether no burst is left to do."""
        return not self.state.pool[at.BURSTS_LEFT]

    @property
    def pool(self) -> Ints:
        """Totals, in the columns of ``State.pool``."""
        return self.state.pool

    @property
    def bins(self) -> Ints:
        """What was moved and held in each bin of cycles.

        Bytes by stream x 3 + kind, then entry-cycles of reads and of writes.
        """
        rows = self.state.bins[: self.now // self._bin_cycles + 1]
        return rows[:, [*MOVED_COLUMNS, at.BIN_HELD + at.READS, at.BIN_HELD + at.WRITES]]

    @property
    def log(self) -> Ints:
        """Channel, cycle, command, bank and row of each command; in order within a channel."""
        return np.concatenate([np.zeros((0, at.LOG_COLUMNS), np.int64), *self._logs])

    @property
    def decisions(self) -> Ints:
        """What the recorded channel's arbiter saw and chose, in the order of cycles."""
        return np.concatenate([np.zeros((0, at.DECISION_COLUMNS), np.int64), *self._decisions])

    def new_requests(self, count: int) -> list[int]:
        """Numbers for ``count`` requests."""
        known = len(self.state.request)
        if len(self._free_requests) < count:
            more = max(known, count)
            self._free_requests += range(known, known + more)
            self._lengthen("request", more)
            self._lengthen("finished", more)
        cut = len(self._free_requests) - count
        taken = self._free_requests[cut:]
        del self._free_requests[cut:]
        return taken

    def advance(
        self, batch: Ints, now: int, end: int, threshold: int = UNLIMITED
    ) -> list[list[int]]:
        """Do the requests of ``batch``, in order, and simulate every channel up to ``end``.

        ``now`` is a cycle that no later request's cycle lies before. Gives the requests that ended,
        each with its cycle.
        """
        if len(batch):
            self._make_room(batch)
        ended = self._call(batch, now, min(end, self._furthest()), threshold)
        while self.now < end:
            ended += self._call(NO_REQUESTS, now, min(end, self._furthest()), threshold)
        return ended

    def remember(self, now: int) -> tuple[bytes, ...]:
        """What an idle memory keeps, times relative to cycle ``now``."""
        if self.now < now:
            self.advance(NO_REQUESTS, now, now)
        return tuple(part.tobytes() for part in snapshot(self.state, now))

    def recall(self, parts: tuple[bytes, ...], now: int) -> None:
        """Take on what was remembered, at cycle ``now``."""
        restore(self.state, parts, now)
        self.now = now

    def _furthest(self) -> int:
        """How far the engine can go at once, with a log long enough."""
        return self.now + LOGGED_AT_ONCE if self._wordy else at.NEVER

    def _call(self, batch: Ints, now: int, end: int, threshold: int) -> list[list[int]]:
        self._need("bins", end // self._bin_cycles + 1)
        state = self.state
        advance(state, batch, now, end, threshold)
        self.now = end
        if self._wordy:
            self._take_log()
        count = int(state.pool[at.FINISHED])
        if count == 0:
            return []
        state.pool[at.FINISHED] = 0
        ended: list[list[int]] = state.finished[:count].tolist()
        self._free_requests += [request for request, _ in ended]
        return ended

    def _take_log(self) -> None:
        state = self.state
        logged, decided = int(state.pool[at.LOGGED]), int(state.pool[at.DECIDED])
        if logged:
            self._logs.append(state.log[:logged].copy())
        if decided:
            self._decisions.append(state.decision[:decided].copy())
        state.pool[at.LOGGED] = state.pool[at.DECIDED] = 0

    def _make_room(self, batch: Ints) -> None:
        """See to it that the compiled code finds a free row whenever it takes one.

        At most: a segment a burst asked for, and one a sector of each line that may be put out; a
        link a sector asked for, and one a fetch for who waits for all.
        """
        par = self.state.par
        rows = batch[:, at.Q_ROWS]
        asked = int(rows @ batch[:, at.Q_ROW_BYTES])
        lines = asked // int(par[at.P_LINE]) + 2 * int(rows.sum())
        links = asked // int(par[at.P_SECTOR]) + len(batch)
        flushes = int((batch[:, at.Q_DO] >= at.FLUSH).sum())
        if flushes:
            lines += self.state.tag.size
            links += flushes * (len(self.state.fetch) + 2 * len(batch))
        segments = asked // int(par[at.P_BURST_BYTES]) + lines * self._sectors
        self._need_free("segment", at.FREE_SEGMENT, at.SEGMENTS_TAKEN, segments)
        self._need_free("fetch", at.FREE_FETCH, at.FETCHES_TAKEN, 2 * len(batch))
        self._need_free("link", at.FREE_LINK, at.LINKS_TAKEN, links)

    def _need_free(self, name: str, first: int, taken: int, needed: int) -> None:
        """Lengthen a pool until ``needed`` of its rows are free."""
        pool = self.state.pool
        known = len(getattr(self.state, name))
        more = int(pool[taken]) + needed - known
        if more <= 0:
            return
        more = max(more, known)
        self._lengthen(name, more)
        column = POOLS[name]
        rows = getattr(self.state, name)
        rows[known:, column] = np.arange(known + 1, known + more + 1)
        rows[-1, column] = pool[first]
        pool[first] = known

    def _need(self, name: str, length: int) -> None:
        known = len(getattr(self.state, name))
        if known < length:
            self._lengthen(name, max(length - known, known))

    def _lengthen(self, name: str, more: int) -> None:
        rows = getattr(self.state, name)
        new = np.zeros((more, *rows.shape[1:]), np.int64)
        self.state = self.state._replace(**{name: np.concatenate([rows, new])})


def _parameters(cfg: MemoryConfig) -> Ints:
    """The configuration as the engine reads it, without what depends on the clock."""
    dram, controller, timing = cfg.dram, cfg.dram.controller, cfg.dram.timing
    separate = controller.separate_write_queue
    values = {
        **{column: getattr(timing, name) for name, column in TIMING.items()},
        at.P_UPDATE_CCD_L: timing.nCCD_L * dram.update_ccd_multiple,
        at.P_DUAL_BUS: dram.dual_command_bus,
        at.P_GROUP_SHIFT: dram.banks_per_group.bit_length() - 1,
        at.P_BURST_BYTES: dram.burst_bytes,
        at.P_QUEUE: controller.queue_entries,
        at.P_WRITE_QUEUE: controller.write_queue_entries if separate else 0,
        at.P_DRAIN: controller.write_drain_entries,
        at.P_PREPARE: controller.write_prepare_entries,
        at.P_WRITE_WAIT: controller.write_wait_cycles,
        at.P_POLICY: ROUND_ROBIN if controller.arbiter == "round_robin" else COMPUTE_FIRST,
        at.P_COUNTS_ALL: controller.threshold_counts == "all",
        at.P_STARVATION: controller.starvation_cycles,
        at.P_INTERLEAVE: dram.mapping.interleave,
        at.P_HASHED: dram.mapping.hashed,
        at.P_SECTOR: dram.burst_bytes,
        at.P_LINE: dram.burst_bytes,
    }
    if cfg.cache is not None:
        values |= {
            at.P_LINE: cfg.cache.line,
            at.P_LINE_SHIFT: cfg.cache.line.bit_length() - 1,
            at.P_SECTOR: cfg.cache.sector,
            at.P_SECTOR_SHIFT: cfg.cache.sector.bit_length() - 1,
            at.P_SET_HASHED: cfg.cache.hashed,
        }
    par = np.zeros(at.PARAMETERS, np.int64)
    par[list(values)] = list(values.values())
    return par


def _new_state(cfg: MemoryConfig, par: Ints) -> State:
    """Everything idle, all banks closed, the cache empty."""
    dram, cache = cfg.dram, cfg.cache
    entries = dram.controller.queue_entries + dram.controller.write_queue_entries
    sets, ways, sectors = (cache.sets, cache.ways, cache.sectors) if cache else (1, 1, 1)
    logged = LOGGED_AT_ONCE * 2 * dram.channels if par[at.P_LOGGING] else 0
    decided = LOGGED_AT_ONCE if par[at.P_RECORDED] != at.NONE else 0
    state = State(
        par=par,
        fields=field_table(dram),
        channel=_zeros(dram.channels, at.CHANNEL_COLUMNS),
        group=_zeros(dram.channels, dram.bank_groups, at.GROUP_COLUMNS),
        bank=_zeros(dram.channels, dram.banks, at.BANK_COLUMNS),
        activates=_zeros(dram.channels, 4) + LONG_AGO,
        listed=_zeros(dram.channels, at.LISTS, dram.banks),
        entry=_zeros(dram.channels, entries, at.ENTRY_COLUMNS),
        fifo=_zeros(dram.channels, at.STREAMS, 2) + at.NONE,
        segment=_zeros(1024, at.SEGMENT_COLUMNS),
        fetch=_zeros(256, at.FETCH_COLUMNS),
        request=_zeros(256, at.REQUEST_COLUMNS),
        link=_zeros(1024, 2),
        pool=_zeros(at.POOL_COLUMNS),
        finished=_zeros(256, 2),
        bins=_zeros(1024, at.BIN_COLUMNS),
        log=_zeros(logged, at.LOG_COLUMNS),
        decision=_zeros(decided, at.DECISION_COLUMNS),
        tag=_zeros(sets, ways) + at.NONE,
        used=_zeros(sets, ways),
        line=_zeros(sets, ways, at.LINE_COLUMNS),
        filling=_zeros(sets, ways, sectors),
        sets=remainder_table(sets.bit_length() - 1),
        channels=remainder_table(dram.channels.bit_length() - 1),
    )
    for name, column in POOLS.items():
        _chain(getattr(state, name), column)
    state.pool[at.RETIRED] = at.NONE
    for c in range(dram.channels):
        _chain(state.entry[c], at.E_NEXT)
    state.bank[:, :, at.B_ROW] = at.NONE
    state.bank[:, :, at.B_HEAD : at.B_AGE] = at.NONE
    state.channel[:, at.C_LAST] = NOBODY
    state.channel[:, at.C_ARRIVAL : at.C_ARRIVAL + at.STREAMS] = at.NEVER
    state.channel[:, at.C_REFRESH] = _first_refreshes(dram)
    return state


def _zeros(*shape: int) -> Ints:
    return np.zeros(shape, np.int64)


NO_REQUESTS: Final = _zeros(0, at.BATCH_COLUMNS)


def _chain(rows: Ints, column: int) -> None:
    """Make all rows free: a chain from the first to the last."""
    rows[:, column] = np.arange(1, len(rows) + 1)
    rows[-1, column] = at.NONE


def _first_refreshes(dram: DramConfig) -> Ints:
    """When each channel is refreshed first: evenly apart, so that they don't all stop at once."""
    interval = dram.timing.nREFI
    if interval == 0:
        return np.full(dram.channels, at.NEVER, np.int64)
    return interval + np.arange(dram.channels, dtype=np.int64) * interval // dram.channels
