"""What an idle memory keeps from one piece of work to the next: open rows, timing, cached lines.

Times are relative, cut off where they no longer matter, and the use of lines is their order, so
that two memories that will act alike have equal snapshots.
"""

from __future__ import annotations

import numpy as np

from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints
from hwsim.memory.layout import State

__all__ = ["restore", "snapshot"]

CHANNEL_TIMES = slice(at.C_READY, at.C_ACTIVATE + 1)
BANK_TIMES = slice(at.B_ACTIVATE, at.B_PRECHARGE + 1)


def snapshot(state: State, now: int) -> list[Ints]:
    """The parts that matter, at cycle ``now``."""
    channel, bank = state.channel, state.bank
    return [
        np.maximum(channel[:, CHANNEL_TIMES] - now, 0),
        channel[:, at.C_LAST],
        channel[:, at.C_REFRESH] - now * _refreshes(state),
        np.maximum(state.group - now, 0),
        bank[:, :, at.B_ROW],
        np.maximum(bank[:, :, BANK_TIMES] - now, 0),
        np.maximum(np.sort(state.activates) - now, -state.par[at.P_FAW]),
        state.tag,
        _order_of_use(state.used),
        state.line[:, :, : at.T_FILLING],
    ]


def restore(state: State, parts: tuple[bytes, ...], now: int) -> None:
    """Make ``state``, which is idle, act from cycle ``now`` on as the one of the snapshot did."""
    channel, bank = state.channel, state.bank
    filled = zip(snapshot(state, now), parts, strict=True)
    old = [np.frombuffer(part, np.int64).reshape(like.shape) for like, part in filled]
    channel[:, CHANNEL_TIMES] = old[0] + now
    channel[:, at.C_LAST] = old[1]
    channel[:, at.C_REFRESH] = old[2] + now * _refreshes(state)
    state.group[:] = old[3] + now
    bank[:, :, at.B_ROW] = old[4]
    bank[:, :, BANK_TIMES] = old[5] + now
    state.activates[:] = old[6] + now
    state.tag[:] = old[7]
    state.used[:] = old[8]
    state.line[:, :, : at.T_FILLING] = old[9]
    state.line[:, :, at.T_FILLING] = 0
    state.pool[at.CLOCK] = state.used.shape[1]
    channel[:, at.C_FAW] = channel[:, at.C_ROW_NEXT] = channel[:, at.C_BIN_END] = 0
    channel[:, at.C_NOW] = now


def _refreshes(state: State) -> bool:
    return bool(state.par[at.P_REFI])


def _order_of_use(used: Ints) -> Ints:
    """For each line its place in the order of use within its set; 0 if it was never used."""
    order = np.argsort(np.argsort(used, axis=1, kind="stable"), axis=1, kind="stable") + 1
    return np.where(used > 0, order, 0)
