"""A channel: its admission, its queue, and the order of its commands.

FR-FCFS with open pages. In every cycle the oldest burst whose row is open and whose command is
possible goes first; a row command prepares the oldest burst that needs one. Bursts of one fetch and
one row that wait together are as old as the first of them. One burst a cycle is admitted, of the
stream that the arbiter chooses, when the cycle's commands have been given.

Only cycles in which something can happen are looked at: every function that finds nothing to do
tells the first cycle in which that may change.

Ref: S. Rixner et al., "Memory Access Scheduling", ISCA 2000.
"""

from __future__ import annotations

from hwsim.laws import t3_arbiter
from hwsim.laws.t3_arbiter import COMMUNICATION, COMPUTE, NOBODY
from hwsim.memory import layout as at
from hwsim.memory.banks import (
    activate_ready,
    column_ready,
    issue_activate,
    issue_precharge,
    issue_read,
    issue_refresh,
    issue_write,
    precharge_ready,
    refresh_ready,
)
from hwsim.memory.compiled import Ints, inline
from hwsim.memory.layout import State
from hwsim.memory.queues import finish_bursts, show_first

__all__ = ["run_channel"]

choose = inline(t3_arbiter.choose)


@inline
def run_channel(state: State, c: int, end: int, threshold: int) -> None:
    """Simulate channel ``c`` up to cycle ``end``, which is not done yet."""
    channel = state.channel[c]
    cycle = channel[at.C_NOW]
    while cycle < end:
        if channel[at.C_QUEUED] + channel[at.C_QUEUED + 1] == 0:
            cycle = max(cycle, min(channel[at.C_ARRIVAL], channel[at.C_ARRIVAL + 1]))
            if cycle >= end:
                break
        following = min(_step(state, c, cycle, threshold), end)
        _count_held(state, channel, cycle, following)
        cycle = following
    _refresh_until(state, c, end - 1)
    channel[at.C_NOW] = end


@inline
def _step(state: State, c: int, cycle: int, threshold: int) -> int:
    """What channel ``c`` does in ``cycle``; gives the next cycle in which it may do something."""
    channel = state.channel[c]
    _refresh_until(state, c, cycle)
    turned = _turn(state.par, channel, cycle)
    column, column_next = _give_column(state, c, cycle)
    row, row_next = False, cycle + 1
    if state.par[at.P_DUAL_BUS] or not column:
        row, row_next = _give_row(state, c, cycle)
    admitted, admit_next = _admit(state, c, cycle, threshold)
    if turned or column or row or admitted:
        return cycle + 1
    turn_next = _turn_next(state.par, channel, cycle)
    return min(column_next, row_next, admit_next, channel[at.C_REFRESH], turn_next)


# Refresh


@inline
def _refresh_until(state: State, c: int, cycle: int) -> None:
    """Give the refreshes due by ``cycle``.

    From when one is due on, no other command is given until it is over; all banks are closed as
    soon as they can be, then refreshed.
    """
    channel, bank = state.channel[c], state.bank[c]
    while channel[at.C_REFRESH] <= cycle:
        due = channel[at.C_REFRESH]
        close = due
        for b in range(bank.shape[0]):
            if bank[b, at.B_ROW] != at.NONE:
                close = max(close, precharge_ready(bank, b))
        for b in range(bank.shape[0]):
            if bank[b, at.B_ROW] != at.NONE:
                _close(state, c, b, close)
        start = refresh_ready(channel, bank)
        issue_refresh(state.par, channel, bank, start)
        _log(state, c, start, at.REFRESH, at.NONE, at.NONE)
        state.pool[at.REFRESHES] += 1
        channel[at.C_ROW_NEXT] = 0


# Direction of the data bus


@inline
def _turn(par: Ints, channel: Ints, cycle: int) -> bool:
    """Turn the bus around if it is time to.

    After a turn, as many bursts go as waited for it, unless there are no more.
    """
    reads, writes = channel[at.C_QUEUED + at.READS], channel[at.C_QUEUED + at.WRITES]
    to_writes = channel[at.C_DIRECTION] == at.READS
    going, waiting = (reads, writes) if to_writes else (writes, reads)
    if going > 0 and (waiting == 0 or channel[at.C_BUDGET] > 0):
        return False
    if to_writes and (writes == 0 or not (reads == 0 or _writes_press(par, channel, cycle))):
        return False
    channel[at.C_DIRECTION] = at.WRITES if to_writes else at.READS
    channel[at.C_BUDGET] = waiting
    channel[at.C_WRITES_SINCE] = cycle
    channel[at.C_ROW_NEXT] = 0
    return True


@inline
def _writes_press(par: Ints, channel: Ints, cycle: int) -> bool:
    """Whether so many writes wait, or for so long, that reads make way."""
    many = channel[at.C_QUEUED + at.WRITES] >= par[at.P_DRAIN]
    return many or cycle - channel[at.C_WRITES_SINCE] >= par[at.P_WRITE_WAIT]


@inline
def _turn_next(par: Ints, channel: Ints, cycle: int) -> int:
    """When writes will have waited long enough, if not yet."""
    if channel[at.C_DIRECTION] == at.WRITES or channel[at.C_QUEUED + at.WRITES] == 0:
        return at.NEVER
    due = channel[at.C_WRITES_SINCE] + par[at.P_WRITE_WAIT]
    return due if due > cycle else at.NEVER


# Column commands


@inline
def _give_column(state: State, c: int, cycle: int) -> tuple[bool, int]:
    """Read or write the oldest burst that can be."""
    par, channel, group, bank = state.par, state.channel[c], state.group[c], state.bank[c]
    way = channel[at.C_DIRECTION]
    listed, count = state.listed[c, 2 * way + at.HITS], channel[at.C_LISTED + 2 * way + at.HITS]
    if count == 0 or channel[at.C_READY + way] > cycle:
        return False, channel[at.C_READY + way] if count else at.NEVER
    soonest = at.NEVER
    for i in range(count):
        ready = column_ready(par, channel, group, bank, listed[i], way)
        if ready <= cycle:
            _column(state, c, listed[i], way, cycle)
            return True, cycle + 1
        soonest = min(soonest, ready)
    return False, soonest


@inline
def _column(state: State, c: int, b: int, way: int, cycle: int) -> None:
    par, channel, group, bank = state.par, state.channel[c], state.group[c], state.bank[c]
    e = bank[b, at.B_HIT + way]
    kind = state.entry[c, e, at.E_CLASS]
    command = kind % at.KINDS
    if way == at.READS:
        issue_read(par, channel, group, bank, b, cycle)
        end = cycle + par[at.P_CL]
    else:
        ccd_l = par[at.P_UPDATE_CCD_L] if command == at.UPDATE else par[at.P_CCD_L]
        issue_write(par, channel, group, bank, b, cycle, ccd_l)
        end = cycle + par[at.P_CWL]
    _log(state, c, cycle, command, b, bank[b, at.B_ROW])
    _count_moved(state, channel, kind, cycle)
    channel[at.C_BUDGET] -= 1
    channel[at.C_QUEUED + way] -= 1
    state.entry[c, e, at.E_BURSTS] -= 1
    if state.entry[c, e, at.E_BURSTS] == 0:
        bursts = state.entry[c, e, at.E_TOTAL]
        end += par[at.P_BL] + par[at.P_RETURN]
        finish_bursts(state, state.entry[c, e, at.E_FETCH], bursts, end)
        _leave(state, c, b, way, e)


# Row commands


@inline
def _give_row(state: State, c: int, cycle: int) -> tuple[bool, int]:
    """Open or close a bank for the oldest burst that needs it and can have it.

    Bursts of the direction that the bus will turn to next come after those of its present one.
    """
    par, channel = state.par, state.channel[c]
    if channel[at.C_ROW_NEXT] > cycle:
        return False, channel[at.C_ROW_NEXT]
    way = channel[at.C_DIRECTION]
    given, soonest = _give_row_of(state, c, way, way, cycle)
    if not given and _prepares(par, channel):
        given, prepare = _give_row_of(state, c, 1 - way, way, cycle)
        soonest = min(soonest, prepare)
    channel[at.C_ROW_NEXT] = 0 if given else soonest
    return given, soonest


@inline
def _prepares(par: Ints, channel: Ints) -> bool:
    """Whether rows are opened for the other direction too, since the bus will turn soon."""
    writes = channel[at.C_QUEUED + at.WRITES]
    return channel[at.C_DIRECTION] == at.WRITES or writes >= par[at.P_PREPARE]


@inline
def _give_row_of(state: State, c: int, way: int, serving: int, cycle: int) -> tuple[bool, int]:
    """Open or close a bank for direction ``way``, of those that don't serve ``serving``."""
    bank, which = state.bank[c], 2 * way + at.MISSES
    listed = state.listed[c, which]
    soonest = at.NEVER
    for i in range(state.channel[c, at.C_LISTED + which]):
        b = listed[i]
        if way != serving and bank[b, at.B_HEAD + serving] != at.NONE:
            continue
        if bank[b, at.B_ROW] == at.NONE:
            ready = activate_ready(
                state.par, state.channel[c], state.group[c], bank, state.activates[c], b
            )
        else:
            ready = precharge_ready(bank, b)
        if ready <= cycle:
            _give_row_to(state, c, b, way, cycle)
            return True, cycle + 1
        soonest = min(soonest, ready)
    return False, soonest


@inline
def _give_row_to(state: State, c: int, b: int, way: int, cycle: int) -> None:
    """Open bank ``b`` for its oldest entry of direction ``way``, or close it first."""
    if state.bank[c, b, at.B_ROW] == at.NONE:
        _open(state, c, b, state.entry[c, state.bank[c, b, at.B_HEAD + way], at.E_ROW], cycle)
    else:
        _close(state, c, b, cycle)


@inline
def _open(state: State, c: int, b: int, row: int, cycle: int) -> None:
    channel, bank = state.channel[c], state.bank[c]
    issue_activate(state.par, channel, state.group[c], bank, state.activates[c], b, row, cycle)
    for way in range(2):
        head = bank[b, at.B_HEAD + way]
        hit = _next_in_row(state.entry[c], head, row)
        bank[b, at.B_HIT + way] = hit
        if hit != at.NONE:
            _unlist(state, c, b, 2 * way + at.MISSES)
            _list(state, c, b, 2 * way + at.HITS, hit)
    _log(state, c, cycle, at.ACTIVATE, b, row)
    state.pool[at.ACTIVATES] += 1


@inline
def _close(state: State, c: int, b: int, cycle: int) -> None:
    bank = state.bank[c]
    _log(state, c, cycle, at.PRECHARGE, b, bank[b, at.B_ROW])
    issue_precharge(state.par, bank, b, cycle)
    for way in range(2):
        if bank[b, at.B_HIT + way] != at.NONE:
            bank[b, at.B_HIT + way] = at.NONE
            _unlist(state, c, b, 2 * way + at.HITS)
            _list(state, c, b, 2 * way + at.MISSES, bank[b, at.B_HEAD + way])
    state.pool[at.PRECHARGES] += 1


# The queue of each bank and direction, and the lists of banks


@inline
def _next_in_row(entry: Ints, e: int, row: int) -> int:
    """The oldest entry of ``row`` from ``e`` on."""
    while e != at.NONE and entry[e, at.E_ROW] != row:
        e = entry[e, at.E_NEXT]
    return e


@inline
def _join(state: State, c: int, b: int, way: int, s: int) -> None:
    """One burst of segment ``s`` joins the queue of its bank."""
    channel, bank, entry, segment = (
        state.channel[c],
        state.bank[c],
        state.entry[c],
        state.segment[s],
    )
    tail = bank[b, at.B_TAIL + way]
    if (
        tail != at.NONE
        and entry[tail, at.E_FETCH] == segment[at.S_FETCH]
        and entry[tail, at.E_ROW] == segment[at.S_ROW]
    ):
        entry[tail, at.E_BURSTS] += 1
        entry[tail, at.E_TOTAL] += 1
        return
    e = channel[at.C_FREE]
    channel[at.C_FREE] = entry[e, at.E_NEXT]
    entry[e, at.E_ROW] = segment[at.S_ROW]
    entry[e, at.E_FETCH] = segment[at.S_FETCH]
    entry[e, at.E_BURSTS] = entry[e, at.E_TOTAL] = 1
    entry[e, at.E_CLASS] = segment[at.S_CLASS]
    entry[e, at.E_AGE] = channel[at.C_AGE]
    channel[at.C_AGE] += 1
    entry[e, at.E_NEXT] = at.NONE
    entry[e, at.E_BEFORE] = tail
    bank[b, at.B_TAIL + way] = e
    if tail == at.NONE:
        bank[b, at.B_HEAD + way] = e
    else:
        entry[tail, at.E_NEXT] = e
    _list_newcomer(state, c, b, way, e, tail == at.NONE)


@inline
def _list_newcomer(state: State, c: int, b: int, way: int, e: int, alone: bool) -> None:
    """List bank ``b`` for its new entry ``e``, unless older ones have it listed that way."""
    bank = state.bank[c]
    if bank[b, at.B_HIT + way] != at.NONE:
        return
    if state.entry[c, e, at.E_ROW] == bank[b, at.B_ROW]:
        bank[b, at.B_HIT + way] = e
        if not alone:
            _unlist(state, c, b, 2 * way + at.MISSES)
        _list(state, c, b, 2 * way + at.HITS, e)
    elif alone:
        _list(state, c, b, 2 * way + at.MISSES, e)


@inline
def _leave(state: State, c: int, b: int, way: int, e: int) -> None:
    """Entry ``e``, a hit, is done."""
    channel, bank, entry = state.channel[c], state.bank[c], state.entry[c]
    before, following = entry[e, at.E_BEFORE], entry[e, at.E_NEXT]
    if before == at.NONE:
        bank[b, at.B_HEAD + way] = following
    else:
        entry[before, at.E_NEXT] = following
    if following == at.NONE:
        bank[b, at.B_TAIL + way] = before
    else:
        entry[following, at.E_BEFORE] = before
    entry[e, at.E_NEXT] = channel[at.C_FREE]
    channel[at.C_FREE] = e
    hit = _next_in_row(entry, following, bank[b, at.B_ROW])
    bank[b, at.B_HIT + way] = hit
    _unlist(state, c, b, 2 * way + at.HITS)
    if hit != at.NONE:
        _list(state, c, b, 2 * way + at.HITS, hit)
    elif bank[b, at.B_HEAD + way] != at.NONE:
        _list(state, c, b, 2 * way + at.MISSES, bank[b, at.B_HEAD + way])
    else:
        channel[at.C_ROW_NEXT] = 0


@inline
def _list(state: State, c: int, b: int, which: int, e: int) -> None:
    """Put bank ``b`` into a list, after the banks that are listed for entries older than ``e``."""
    channel, listed, bank = state.channel[c], state.listed[c, which], state.bank[c]
    age = state.entry[c, e, at.E_AGE]
    place = channel[at.C_LISTED + which]
    channel[at.C_LISTED + which] = place + 1
    while place > 0 and bank[listed[place - 1], at.B_AGE + which] > age:
        listed[place] = listed[place - 1]
        place -= 1
    listed[place] = b
    bank[b, at.B_AGE + which] = age
    if which % 2 == at.MISSES:
        channel[at.C_ROW_NEXT] = 0


@inline
def _unlist(state: State, c: int, b: int, which: int) -> None:
    """Take bank ``b`` out of a list."""
    channel, listed = state.channel[c], state.listed[c, which]
    place = 0
    while listed[place] != b:
        place += 1
    channel[at.C_LISTED + which] -= 1
    for i in range(place, channel[at.C_LISTED + which]):
        listed[i] = listed[i + 1]


# Admission


@inline
def _admit(state: State, c: int, cycle: int, threshold: int) -> tuple[bool, int]:
    """Admit a burst of the stream that the arbiter chooses."""
    par, channel = state.par, state.channel[c]
    arrival, other = channel[at.C_ARRIVAL], channel[at.C_ARRIVAL + 1]
    if min(arrival, other) > cycle:
        return False, min(arrival, other)
    compute_waits = arrival <= cycle and _has_room(par, channel, 0)
    communication_waits = other <= cycle and _has_room(par, channel, 1)
    since = max(channel[at.C_HEAD_SINCE], other)
    held = channel[at.C_QUEUED + at.READS]
    if par[at.P_COUNTS_ALL]:
        held += channel[at.C_QUEUED + at.WRITES]
    choice = choose(
        par[at.P_POLICY],
        compute_waits,
        communication_waits,
        held,
        threshold,
        t3_arbiter.UNLIMITED,
        channel[at.C_LAST],
        cycle - since,
        par[at.P_STARVATION],
    )
    if c == par[at.P_RECORDED]:
        _record(state, cycle, compute_waits, communication_waits, held, threshold, since, choice)
    if choice != NOBODY:
        _enter(state, c, choice - COMPUTE, cycle)
        channel[at.C_LAST] = choice
        return True, cycle + 1
    soonest = at.NEVER
    if arrival > cycle:
        soonest = arrival
    if other > cycle:
        soonest = min(soonest, other)
    elif communication_waits:
        soonest = min(soonest, since + par[at.P_STARVATION])
    return False, soonest


@inline
def _has_room(par: Ints, channel: Ints, stream: int) -> bool:
    """Whether the queue that the first burst of ``stream`` joins has a place for it."""
    reads, writes = channel[at.C_QUEUED + at.READS], channel[at.C_QUEUED + at.WRITES]
    if par[at.P_WRITE_QUEUE] == 0:
        return reads + writes < par[at.P_QUEUE]
    if channel[at.C_WAY + stream] == at.READS:
        return reads < par[at.P_QUEUE]
    return writes < par[at.P_WRITE_QUEUE]


@inline
def _enter(state: State, c: int, stream: int, cycle: int) -> None:
    """The first burst of ``stream`` enters the queue."""
    channel, segment, fifo = state.channel[c], state.segment, state.fifo[c, stream]
    s = fifo[at.FIRST]
    way = channel[at.C_WAY + stream]
    if way == at.WRITES and channel[at.C_QUEUED + at.WRITES] == 0:
        channel[at.C_WRITES_SINCE] = cycle
    channel[at.C_QUEUED + way] += 1
    if channel[at.C_QUEUED + at.WRITES] == state.par[at.P_PREPARE]:
        channel[at.C_ROW_NEXT] = 0
    _join(state, c, segment[s, at.S_BANK], way, s)
    if stream == COMMUNICATION - COMPUTE:
        channel[at.C_HEAD_SINCE] = cycle + 1
    segment[s, at.S_BURSTS] -= 1
    if segment[s, at.S_BURSTS] == 0:
        first = segment[s, at.S_NEXT]
        fifo[at.FIRST] = first
        show_first(channel, segment, stream, first)
        segment[s, at.S_NEXT] = state.pool[at.FREE_SEGMENT]
        state.pool[at.FREE_SEGMENT] = s
        state.pool[at.SEGMENTS_TAKEN] -= 1


# Books


@inline
def _record(
    state: State,
    cycle: int,
    compute_waits: bool,
    communication_waits: bool,
    held: int,
    threshold: int,
    since: int,
    choice: int,
) -> None:
    n = state.pool[at.DECIDED]
    row = state.decision[n]
    row[0] = cycle
    row[1] = compute_waits
    row[2] = communication_waits
    row[3] = held
    row[4] = threshold
    row[5] = max(0, cycle - since)
    row[6] = choice
    state.pool[at.DECIDED] = n + 1


@inline
def _log(state: State, c: int, cycle: int, command: int, b: int, row: int) -> None:
    if state.par[at.P_LOGGING]:
        n = state.pool[at.LOGGED]
        state.log[n, 0] = c
        state.log[n, 1] = cycle
        state.log[n, 2] = command
        state.log[n, 3] = b
        state.log[n, 4] = row
        state.pool[at.LOGGED] = n + 1


@inline
def _count_moved(state: State, channel: Ints, kind: int, cycle: int) -> None:
    _find_bin(state, channel, cycle)
    state.bins[channel[at.C_BIN], kind] += state.par[at.P_BURST_BYTES]


@inline
def _count_held(state: State, channel: Ints, start: int, end: int) -> None:
    """Count what is held from cycle ``start`` to ``end`` in the bins that they span."""
    reads, writes = channel[at.C_QUEUED + at.READS], channel[at.C_QUEUED + at.WRITES]
    while start < end:
        _find_bin(state, channel, start)
        part = min(end, channel[at.C_BIN_END]) - start
        state.bins[channel[at.C_BIN], at.BIN_HELD + at.READS] += part * reads
        state.bins[channel[at.C_BIN], at.BIN_HELD + at.WRITES] += part * writes
        start += part


@inline
def _find_bin(state: State, channel: Ints, cycle: int) -> None:
    if cycle >= channel[at.C_BIN_END]:
        channel[at.C_BIN] = cycle // state.par[at.P_BIN]
        channel[at.C_BIN_END] = (channel[at.C_BIN] + 1) * state.par[at.P_BIN]
