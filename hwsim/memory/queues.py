"""Fetches and the requests that wait for them; the segments that wait for admission.

A request is what somebody waits for. It depends on fetches: bursts that go to the DRAM together.
A fetch may have several requests, when readers of the same sectors meet, or none, as a write-back.
"""

from __future__ import annotations

from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints, inline
from hwsim.memory.layout import State
from hwsim.memory.mapping import locate

__all__ = [
    "depend",
    "finish_bursts",
    "finish_request",
    "new_fetch",
    "push_span",
    "retire",
    "show_first",
]


@inline
def new_fetch(state: State) -> int:
    """The row of a new fetch, with no bursts yet."""
    pool, fetch = state.pool, state.fetch
    f = pool[at.FREE_FETCH]
    pool[at.FREE_FETCH] = fetch[f, at.F_NEXT]
    pool[at.FETCHES_TAKEN] += 1
    pool[at.SERIAL] += 1
    fetch[f, at.F_BURSTS] = 0
    fetch[f, at.F_FINISH] = 0
    fetch[f, at.F_LINK] = at.NONE
    fetch[f, at.F_SERIAL] = pool[at.SERIAL]
    return f


@inline
def depend(state: State, request: int, f: int) -> None:
    """Let ``request`` end no earlier than fetch ``f``."""
    pool, link = state.pool, state.link
    new = pool[at.FREE_LINK]
    pool[at.FREE_LINK] = link[new, at.L_NEXT]
    pool[at.LINKS_TAKEN] += 1
    link[new, at.L_REQUEST] = request
    link[new, at.L_NEXT] = state.fetch[f, at.F_LINK]
    state.fetch[f, at.F_LINK] = new
    state.request[request, at.R_FETCHES] += 1


@inline
def push_span(state: State, f: int, kind: int, arrival: int, base: int, size: int) -> None:
    """Queue the bursts of ``[base, base + size)`` at their channels, as part of fetch ``f``."""
    interleave = state.par[at.P_INTERLEAVE]
    while size > 0:
        piece = min(size, interleave - base % interleave)
        _push_segment(state, f, kind, arrival, base, piece // state.par[at.P_BURST_BYTES])
        state.pool[at.ASKED + kind] += piece
        base += piece
        size -= piece


@inline
def _push_segment(state: State, f: int, kind: int, arrival: int, base: int, bursts: int) -> None:
    pool, segment = state.pool, state.segment
    c, b, row = locate(state.fields, state.par[at.P_HASHED], state.channels, base)
    s = pool[at.FREE_SEGMENT]
    pool[at.FREE_SEGMENT] = segment[s, at.S_NEXT]
    pool[at.SEGMENTS_TAKEN] += 1
    segment[s, at.S_ARRIVAL] = arrival
    segment[s, at.S_FETCH] = f
    segment[s, at.S_CLASS] = kind
    segment[s, at.S_BANK] = b
    segment[s, at.S_ROW] = row
    segment[s, at.S_BURSTS] = bursts
    segment[s, at.S_NEXT] = at.NONE
    fifo = state.fifo[c, kind // at.KINDS]
    if fifo[at.FIRST] == at.NONE:
        fifo[at.FIRST] = s
        show_first(state.channel[c], segment, kind // at.KINDS, s)
    else:
        segment[fifo[at.LAST], at.S_NEXT] = s
    fifo[at.LAST] = s
    state.fetch[f, at.F_BURSTS] += bursts
    pool[at.BURSTS_LEFT] += bursts


@inline
def show_first(channel: Ints, segment: Ints, stream: int, s: int) -> None:
    """Let the channel see segment ``s``, or NONE, as the first of ``stream``."""
    channel[at.C_ARRIVAL + stream] = segment[s, at.S_ARRIVAL] if s != at.NONE else at.NEVER
    reads = s == at.NONE or segment[s, at.S_CLASS] % at.KINDS == at.READ
    channel[at.C_WAY + stream] = at.READS if reads else at.WRITES


@inline
def finish_bursts(state: State, f: int, bursts: int, cycle: int) -> None:
    """Bursts of fetch ``f`` have ended by ``cycle``; with the last ones the fetch is over."""
    fetch = state.fetch
    state.pool[at.BURSTS_LEFT] -= bursts
    fetch[f, at.F_BURSTS] -= bursts
    fetch[f, at.F_FINISH] = max(fetch[f, at.F_FINISH], cycle)
    if fetch[f, at.F_BURSTS] == 0:
        _finish_fetch(state, f)


@inline
def _finish_fetch(state: State, f: int) -> None:
    pool, fetch, link, request = state.pool, state.fetch, state.link, state.request
    finish = fetch[f, at.F_FINISH]
    here = fetch[f, at.F_LINK]
    while here != at.NONE:
        r, following = link[here, at.L_REQUEST], link[here, at.L_NEXT]
        link[here, at.L_NEXT] = pool[at.FREE_LINK]
        pool[at.FREE_LINK] = here
        pool[at.LINKS_TAKEN] -= 1
        request[r, at.R_FETCHES] -= 1
        request[r, at.R_READY] = max(request[r, at.R_READY], finish)
        if request[r, at.R_FETCHES] == 0:
            finish_request(state, r)
        here = following
    fetch[f, at.F_LINK] = at.NONE
    fetch[f, at.F_NEXT] = pool[at.RETIRED]
    pool[at.RETIRED] = f


@inline
def finish_request(state: State, r: int) -> None:
    """Tell that nothing is left for request ``r`` to wait for."""
    n = state.pool[at.FINISHED]
    state.finished[n, 0] = r
    state.finished[n, 1] = state.request[r, at.R_READY]
    state.pool[at.FINISHED] = n + 1


@inline
def retire(state: State, cycle: int) -> None:
    """Free the fetches that nobody can meet any more: they ended at ``cycle`` or before."""
    pool, fetch = state.pool, state.fetch
    here, kept = pool[at.RETIRED], at.NONE
    while here != at.NONE:
        following = fetch[here, at.F_NEXT]
        if fetch[here, at.F_FINISH] <= cycle:
            fetch[here, at.F_NEXT] = pool[at.FREE_FETCH]
            fetch[here, at.F_SERIAL] = at.NONE
            pool[at.FREE_FETCH] = here
            pool[at.FETCHES_TAKEN] -= 1
        else:
            fetch[here, at.F_NEXT] = kept
            kept = here
        here = following
    pool[at.RETIRED] = kept
