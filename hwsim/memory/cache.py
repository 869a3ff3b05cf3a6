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
NOTHING: Final = 0
"""The name of no fetch: the sector's data has been there since before anyone could ask."""


@inline
def read_row(
    state: State, request: int, stream: int, arrival: int, base: int, size: int, f: int, victim: int
) -> tuple[int, int]:
    """Read ``[base, base + size)``: fetch what is missing with ``f``, write back with ``victim``.

    ``request`` is made to wait for what is on its way.
    """
    line, sector = state.par[at.P_LINE], state.par[at.P_SECTOR]
    kind = stream * at.KINDS + at.READ
    missing = address = base
    while address < base + size:
        s = _set_of(state, address // line)
        w, victim = _line_of(state, s, address // line, stream, arrival, victim)
        k = address % line // sector
        address += sector
        if state.line[s, w, at.T_VALID] >> k & 1:
            state.pool[at.HIT_SECTORS + stream] += 1
            _wait_for(state, request, state.filling[s, w, k], f)
            if missing < address - sector:
                push_span(state, f, kind, arrival, missing, address - sector - missing)
            missing = address
        else:
            state.pool[at.MISSED_SECTORS + stream] += 1
            if f == at.NONE:
                f = new_fetch(state)
            state.line[s, w, at.T_VALID] |= 1 << k
            state.filling[s, w, k] = (state.fetch[f, at.F_SERIAL] << at.SLOT_BITS) | f
    if missing < address:
        push_span(state, f, kind, arrival, missing, address - missing)
    return f, victim


@inline
def write_row(
    state: State, stream: int, arrival: int, base: int, size: int, dirty: int, victim: int
) -> int:
    """Write ``[base, base + size)``, whose sectors become dirty (1) or, written elsewhere, not (0).

    What is put out is written back with ``victim``.
    """
    line, sector = state.par[at.P_LINE], state.par[at.P_SECTOR]
    for address in range(base, base + size, sector):
        s = _set_of(state, address // line)
        w, victim = _line_of(state, s, address // line, stream, arrival, victim)
        k = address % line // sector
        state.line[s, w, at.T_VALID] |= 1 << k
        state.line[s, w, at.T_DIRTY] &= ~(1 << k)
        state.line[s, w, at.T_DIRTY] |= dirty << k
        state.filling[s, w, k] = NOTHING
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
            state.line[s, w, at.T_TAG] = at.NONE
            state.line[s, w, at.T_USED] = 0
            state.line[s, w, at.T_VALID] = 0
            state.line[s, w, at.T_DIRTY] = 0


@inline
def _set_of(state: State, number: int) -> int:
    """The set of line ``number``."""
    if state.par[at.P_SET_HASHED]:
        return remainder(state.sets, number)
    return number & (state.line.shape[0] - 1)


@inline
def _line_of(
    state: State, s: int, number: int, stream: int, arrival: int, victim: int
) -> tuple[int, int]:
    """The way of set ``s`` that holds line ``number``, now the last used; allocated if need be."""
    line = state.line[s]
    state.pool[at.CLOCK] += 1
    oldest = 0
    for w in range(line.shape[0]):
        if line[w, at.T_TAG] == number:
            line[w, at.T_USED] = state.pool[at.CLOCK]
            return w, victim
        if line[w, at.T_USED] < line[oldest, at.T_USED]:
            oldest = w
    victim = _write_back(state, s, oldest, stream, arrival, victim)
    line[oldest, at.T_TAG] = number
    line[oldest, at.T_USED] = state.pool[at.CLOCK]
    line[oldest, at.T_VALID] = 0
    return oldest, victim


@inline
def _write_back(state: State, s: int, w: int, stream: int, arrival: int, victim: int) -> int:
    """Write the dirty sectors of a line back, with ``victim``."""
    line = state.line[s, w]
    if line[at.T_DIRTY] == 0:
        return victim
    if victim == at.NONE:
        victim = new_fetch(state)
    sector = state.par[at.P_SECTOR]
    kind = stream * at.KINDS + at.WRITE
    base = line[at.T_TAG] * state.par[at.P_LINE]
    for k in range(state.par[at.P_LINE] // sector):
        if line[at.T_DIRTY] >> k & 1:
            push_span(state, victim, kind, arrival, base + k * sector, sector)
            state.pool[at.WRITTEN_BACK + stream] += 1
    line[at.T_DIRTY] = 0
    return victim


@inline
def _wait_for(state: State, request: int, name: int, own: int) -> None:
    """Let ``request`` wait for the fetch of that name, unless that is its ``own`` or long over."""
    f = name & SLOTS
    if name == NOTHING or f == own or state.fetch[f, at.F_SERIAL] != name >> at.SLOT_BITS:
        return
    if state.fetch[f, at.F_BURSTS] == 0:
        finish = state.fetch[f, at.F_FINISH]
        state.request[request, at.R_READY] = max(state.request[request, at.R_READY], finish)
        return
    latest = state.fetch[f, at.F_LINK]
    if latest == at.NONE or state.link[latest, at.L_REQUEST] != request:
        depend(state, request, f)
