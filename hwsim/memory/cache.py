"""The last-level cache: set-associative, sectored, exact LRU, write-back.

A write allocates its line and fetches nothing, since it fills whole sectors. A sector that is on
its way counts as there: who asks for it waits for the fetch that brings it. A line that is put out
writes back its dirty sectors, all that one request puts out as one fetch that nobody waits for.

Functions that may begin a fetch are given the row of one or ``NONE``, and give the row back.
"""

from __future__ import annotations

from typing import Final

from hwsim.memory import layout as at
from hwsim.memory.compiled import inline
from hwsim.memory.hashing import remainder
from hwsim.memory.layout import State
from hwsim.memory.queues import depend, new_fetch, push_span

__all__ = ["forget_all", "read_row", "write_back_all", "write_row"]

SLOTS: Final = (1 << at.SLOT_BITS) - 1


@inline
def read_row(
    state: State, request: int, stream: int, arrival: int, base: int, size: int, f: int, victim: int
) -> tuple[int, int]:
    """Read ``[base, base + size)``: fetch what is missing with ``f``, write back with ``victim``.

    ``request`` is made to wait for what is on its way.
    """
    line_bytes, end = state.par[at.P_LINE], base + size
    missing = address = base
    while address < end:
        number = address >> state.par[at.P_LINE_SHIFT]
        s = _set_of(state, number)
        w, victim = _way_of(state, s, number, stream, arrival, victim)
        following = min(end, (number + 1) * line_bytes)
        wanted = _sectors(state, address, following)
        if state.line[s, w, at.T_VALID] & wanted == 0:
            f = _begin_filling(state, s, w, wanted, stream, f)
        elif state.line[s, w, at.T_VALID] & wanted == wanted:
            _push_missing(state, f, stream, arrival, missing, address)
            _hit(state, request, s, w, wanted, stream, f)
            missing = following
        else:
            f, missing = _read_sectors(
                state, request, s, w, stream, arrival, address, following, f, missing
            )
        address = following
    _push_missing(state, f, stream, arrival, missing, address)
    return f, victim


@inline
def _read_sectors(
    state: State,
    request: int,
    s: int,
    w: int,
    stream: int,
    arrival: int,
    address: int,
    end: int,
    f: int,
    missing: int,
) -> tuple[int, int]:
    """Read ``[address, end)``, of a line that has some of it; what is missing began earlier.

    Gives the fetch, and where what is still to be pushed begins.
    """
    while address < end:
        following = address + state.par[at.P_SECTOR]
        bit = _sectors(state, address, following)
        if state.line[s, w, at.T_VALID] & bit:
            _push_missing(state, f, stream, arrival, missing, address)
            _hit(state, request, s, w, bit, stream, f)
            missing = following
        else:
            f = _begin_filling(state, s, w, bit, stream, f)
        address = following
    return f, missing


@inline
def _sectors(state: State, address: int, end: int) -> int:
    """The mask of the sectors ``[address, end)`` of a line."""
    shift = state.par[at.P_SECTOR_SHIFT]
    first = (address & (state.par[at.P_LINE] - 1)) >> shift
    return ((1 << ((end - address) >> shift)) - 1) << first


@inline
def _count_bits(mask: int) -> int:
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@inline
def _push_missing(
    state: State, f: int, stream: int, arrival: int, missing: int, address: int
) -> None:
    if missing < address:
        push_span(state, f, stream * at.KINDS + at.READ, arrival, missing, address - missing)


@inline
def _begin_filling(state: State, s: int, w: int, sectors: int, stream: int, f: int) -> int:
    """Count ``sectors`` as there, on their way with fetch ``f``."""
    state.pool[at.MISSED_SECTORS + stream] += _count_bits(sectors)
    if f == at.NONE:
        f = new_fetch(state)
    state.line[s, w, at.T_VALID] |= sectors
    state.line[s, w, at.T_FILLING] |= sectors
    name = (state.fetch[f, at.F_SERIAL] << at.SLOT_BITS) | f
    for k in range(state.filling.shape[2]):
        if sectors >> k & 1:
            state.filling[s, w, k] = name
    return f


@inline
def _hit(state: State, request: int, s: int, w: int, sectors: int, stream: int, own: int) -> None:
    """Let ``request`` wait for those of ``sectors`` whose fetch is not over."""
    state.pool[at.HIT_SECTORS + stream] += _count_bits(sectors)
    filling = state.line[s, w, at.T_FILLING] & sectors
    if filling == 0:
        return
    for k in range(state.filling.shape[2]):
        if filling >> k & 1 and _wait_for(state, request, state.filling[s, w, k], own):
            state.line[s, w, at.T_FILLING] &= ~(1 << k)


@inline
def _wait_for(state: State, request: int, name: int, own: int) -> bool:
    """Let ``request`` wait for the fetch of that name, unless it is its ``own`` or long over.

    Tells whether it is long over.
    """
    f = name & SLOTS
    if state.fetch[f, at.F_SERIAL] != name >> at.SLOT_BITS:
        return True
    if f == own:
        return False
    if state.fetch[f, at.F_BURSTS] == 0:
        finish = state.fetch[f, at.F_FINISH]
        state.request[request, at.R_READY] = max(state.request[request, at.R_READY], finish)
        return False
    latest = state.fetch[f, at.F_LINK]
    if latest == at.NONE or state.link[latest, at.L_REQUEST] != request:
        depend(state, request, f)
    return False


@inline
def write_row(
    state: State, stream: int, arrival: int, base: int, size: int, dirty: bool, victim: int
) -> int:
    """Write ``[base, base + size)``, which becomes dirty, or clean if it is written elsewhere too.

    What is put out is written back with ``victim``.
    """
    address, end = base, base + size
    while address < end:
        number = address >> state.par[at.P_LINE_SHIFT]
        s = _set_of(state, number)
        w, victim = _way_of(state, s, number, stream, arrival, victim)
        following = min(end, (number + 1) * state.par[at.P_LINE])
        sectors = _sectors(state, address, following)
        line = state.line[s, w]
        line[at.T_VALID] |= sectors
        line[at.T_FILLING] &= ~sectors
        if dirty:
            line[at.T_DIRTY] |= sectors
        else:
            line[at.T_DIRTY] &= ~sectors
        address = following
    return victim


@inline
def write_back_all(state: State, stream: int, arrival: int) -> None:
    """Write back every dirty sector; the lines stay, clean."""
    victim = at.NONE
    for s in range(state.line.shape[0]):
        for w in range(state.line.shape[1]):
            victim = _write_back(state, s, w, stream, arrival, victim)


@inline
def forget_all(state: State) -> None:
    """Empty the cache, of dirty sectors too."""
    for s in range(state.line.shape[0]):
        for w in range(state.line.shape[1]):
            state.tag[s, w] = at.NONE
            state.used[s, w] = 0
            state.line[s, w, at.T_VALID] = 0
            state.line[s, w, at.T_DIRTY] = 0
            state.line[s, w, at.T_FILLING] = 0


@inline
def _set_of(state: State, number: int) -> int:
    """The set of line ``number``."""
    if state.par[at.P_SET_HASHED]:
        return remainder(state.sets, number)
    return number & (state.tag.shape[0] - 1)


@inline
def _way_of(
    state: State, s: int, number: int, stream: int, arrival: int, victim: int
) -> tuple[int, int]:
    """The way of set ``s`` that holds line ``number``, now the last used; allocated if need be."""
    tag, used = state.tag[s], state.used[s]
    state.pool[at.CLOCK] += 1
    for w in range(tag.shape[0]):
        if tag[w] == number:
            used[w] = state.pool[at.CLOCK]
            return w, victim
    oldest = 0
    for w in range(tag.shape[0]):
        if used[w] < used[oldest]:
            oldest = w
    victim = _write_back(state, s, oldest, stream, arrival, victim)
    tag[oldest] = number
    used[oldest] = state.pool[at.CLOCK]
    state.line[s, oldest, at.T_VALID] = 0
    state.line[s, oldest, at.T_FILLING] = 0
    return oldest, victim


@inline
def _write_back(state: State, s: int, w: int, stream: int, arrival: int, victim: int) -> int:
    """Write the dirty sectors of a line back, with ``victim``."""
    dirty = state.line[s, w, at.T_DIRTY]
    if dirty == 0:
        return victim
    if victim == at.NONE:
        victim = new_fetch(state)
    sector, base = state.par[at.P_SECTOR], state.tag[s, w] * state.par[at.P_LINE]
    kind = stream * at.KINDS + at.WRITE
    for k in range(state.filling.shape[2]):
        if dirty >> k & 1:
            push_span(state, victim, kind, arrival, base + k * sector, sector)
    state.pool[at.WRITTEN_BACK + stream] += _count_bits(dirty)
    state.line[s, w, at.T_DIRTY] = 0
    return victim
