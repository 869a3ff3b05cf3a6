"""The memory engine's state: integer arrays, their columns named here.

Compiled functions take a :class:`State`. ``NEVER`` is a cycle that doesn't come, ``NONE`` an index
of nothing; lists are chains of indices that end in ``NONE``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hwsim.memory.compiled import Ints

__all__ = ["State"]

NEVER: Final = 2**62
NONE: Final = -1

STREAMS: Final = 2
KINDS: Final = 4
CLASSES: Final = STREAMS * KINDS
"""Traffic is told apart by stream x KINDS + kind; there are three kinds, and four divide fast."""

# Two directions of the data bus: 0 reads, 1 writes and updates.
READS: Final = 0
WRITES: Final = 1

# State.par: parameters of every channel, in cycles unless named otherwise.
P_BL: Final = 0
P_CL: Final = 1
P_CWL: Final = 2
P_RCD: Final = 3
P_RP: Final = 4
P_RAS: Final = 5
P_RC: Final = 6
P_CCD_S: Final = 7
P_CCD_L: Final = 8
P_RRD_S: Final = 9
P_RRD_L: Final = 10
P_FAW: Final = 11
P_RTP: Final = 12
P_WR: Final = 13
P_WTR_S: Final = 14
P_WTR_L: Final = 15
P_RTW: Final = 16
P_RFC: Final = 17
P_REFI: Final = 18
P_UPDATE_CCD_L: Final = 19
P_DUAL_BUS: Final = 20
P_GROUP_SHIFT: Final = 21
"""Binary logarithm of the banks of a group."""
P_BURST_BYTES: Final = 22
P_QUEUE: Final = 23
P_WRITE_QUEUE: Final = 24
"""Entries of the queue of writes; 0 when they share that of reads."""
P_DRAIN: Final = 25
P_WRITE_WAIT: Final = 26
P_POLICY: Final = 27
P_COUNTS_ALL: Final = 28
P_STARVATION: Final = 29
P_RETURN: Final = 30
P_BIN: Final = 31
P_LOGGING: Final = 32
P_RECORDED: Final = 33
"""The channel whose arbiter decisions are recorded, or NONE."""
P_HIT: Final = 34
P_INTERLEAVE: Final = 35
P_HASHED: Final = 36
P_LINE: Final = 37
P_SECTOR: Final = 38
P_SET_HASHED: Final = 39
P_PREPARE: Final = 40
P_LINE_SHIFT: Final = 41
P_SECTOR_SHIFT: Final = 42
P_LATENCY: Final = 43
"""From a request's cycle to its arrival at the controllers."""
PARAMETERS: Final = 44

# State.channel
C_NOW: Final = 0
"""The first cycle not simulated yet."""
C_READY: Final = 1
"""The first cycle for a column command of each direction (two columns), as far as all banks share
it."""
C_ACTIVATE: Final = 3
C_FAW: Final = 4
"""Which of the last four activates is the oldest."""
C_REFRESH: Final = 5
C_DIRECTION: Final = 6
C_BUDGET: Final = 7
C_WRITES_SINCE: Final = 8
C_LAST: Final = 9
C_HEAD_SINCE: Final = 10
"""When communication's first burst became the first."""
C_QUEUED: Final = 11
"""Bursts held of each direction (two columns)."""
C_AGE: Final = 13
C_FREE: Final = 14
C_ROW_NEXT: Final = 15
"""No row command is possible before; what changes that sets it to 0."""
C_LISTED: Final = 16
"""Lengths of the bank lists (four columns)."""
C_BIN: Final = 20
C_BIN_END: Final = 21
C_ARRIVAL: Final = 22
"""When the first segment of each stream arrives (two columns), or NEVER."""
C_WAY: Final = 24
"""The direction of the first segment of each stream (two columns)."""
CHANNEL_COLUMNS: Final = 26

# State.group
G_READY: Final = 0
G_ACTIVATE: Final = 2
GROUP_COLUMNS: Final = 3

# State.bank
B_ROW: Final = 0
B_ACTIVATE: Final = 1
B_COLUMN: Final = 2
B_PRECHARGE: Final = 3
B_HEAD: Final = 4
B_TAIL: Final = 6
B_HIT: Final = 8
"""The oldest entry for the open row, of each direction."""
B_AGE: Final = 10
"""By what age each of the bank lists has it in its place (four columns)."""
BANK_COLUMNS: Final = 14

# State.listed: banks with an entry for their open row, and others with entries, by direction: 2 x
# direction + this. The oldest first: by the oldest entry for the open row, or by the oldest entry.
HITS: Final = 0
MISSES: Final = 1
LISTS: Final = 4

# State.entry: bursts of one fetch and one row, in the queue of a bank.
E_ROW: Final = 0
E_FETCH: Final = 1
E_BURSTS: Final = 2
E_CLASS: Final = 3
E_AGE: Final = 4
E_NEXT: Final = 5
E_BEFORE: Final = 6
E_TOTAL: Final = 7
"""Bursts that have been in the entry."""
ENTRY_COLUMNS: Final = 8

# State.segment: bursts of one fetch and one row that wait for admission.
S_ARRIVAL: Final = 0
S_FETCH: Final = 1
S_CLASS: Final = 2
S_BANK: Final = 3
S_ROW: Final = 4
S_BURSTS: Final = 5
S_NEXT: Final = 6
SEGMENT_COLUMNS: Final = 7

# State.fifo
FIRST: Final = 0
LAST: Final = 1

# State.fetch: bursts whose end somebody may wait for.
F_BURSTS: Final = 0
F_FINISH: Final = 1
F_LINK: Final = 2
F_SERIAL: Final = 3
F_NEXT: Final = 4
FETCH_COLUMNS: Final = 5
SLOT_BITS: Final = 24
"""A fetch's name is its serial number and its row."""

# State.request: what somebody waits for: fetches, and a cycle that is not before.
R_FETCHES: Final = 0
R_READY: Final = 1
REQUEST_COLUMNS: Final = 2

# State.link: the requests that wait for a fetch.
L_REQUEST: Final = 0
L_NEXT: Final = 1

# State.pool
FREE_SEGMENT: Final = 0
FREE_FETCH: Final = 1
FREE_LINK: Final = 2
RETIRED: Final = 3
"""Finished fetches whose end is not over yet: a chain."""
SERIAL: Final = 4
BURSTS_LEFT: Final = 5
FINISHED: Final = 6
LOGGED: Final = 7
DECIDED: Final = 8
CLOCK: Final = 9
"""Counts cache accesses, for LRU."""
HIT_SECTORS: Final = 10
MISSED_SECTORS: Final = 12
WRITTEN_BACK: Final = 14
ASKED: Final = 16
ACTIVATES: Final = ASKED + CLASSES
PRECHARGES: Final = ACTIVATES + 1
REFRESHES: Final = ACTIVATES + 2
SEGMENTS_TAKEN: Final = ACTIVATES + 3
FETCHES_TAKEN: Final = ACTIVATES + 4
LINKS_TAKEN: Final = ACTIVATES + 5
SOURCES: Final = ACTIVATES + 6
"""A digest of what the engine was compiled from."""
POOL_COLUMNS: Final = ACTIVATES + 7

# State.bins: bytes moved by class, then entry-cycles held by direction.
BIN_HELD: Final = CLASSES
BIN_COLUMNS: Final = CLASSES + 2

# State.log: channel, cycle, command, bank, row.
READ: Final = 0
WRITE: Final = 1
UPDATE: Final = 2
ACTIVATE: Final = 3
PRECHARGE: Final = 4
REFRESH: Final = 5
LOG_COLUMNS: Final = 5

# State.decision: cycle, computing waits, communication waits, entries held, threshold, cycles that
# communication has waited, choice. It holds until the next one.
DECISION_COLUMNS: Final = 7

# State.line: masks of sectors.
T_VALID: Final = 0
T_DIRTY: Final = 1
T_FILLING: Final = 2
"""Of them, those whose fetch may not be over."""
LINE_COLUMNS: Final = 3

# Rows of a batch of requests.
Q_CYCLE: Final = 0
Q_REQUEST: Final = 1
Q_DO: Final = 2
Q_CLASS: Final = 3
Q_BASE: Final = 4
Q_ROW_BYTES: Final = 5
Q_ROWS: Final = 6
Q_STRIDE: Final = 7
BATCH_COLUMNS: Final = 8

BYPASS: Final = 0
CACHED_READ: Final = 1
CACHED_WRITE: Final = 2
WRITE_THROUGH: Final = 3
FLUSH: Final = 4
INVALIDATE: Final = 5


class State(NamedTuple):
    """Everything the engine knows of one device's memory."""

    par: Ints
    fields: Ints
    channel: Ints
    group: Ints
    bank: Ints
    activates: Ints
    listed: Ints
    entry: Ints
    fifo: Ints
    segment: Ints
    fetch: Ints
    request: Ints
    link: Ints
    pool: Ints
    finished: Ints
    bins: Ints
    log: Ints
    decision: Ints
    tag: Ints
    used: Ints
    line: Ints
    filling: Ints
    sets: Ints
    channels: Ints
