"""The timing rules of a channel's banks: when a command is possible, and what it makes wait.

``*_ready`` tell the first cycle in which a command keeps every rule that involves its bank, its
group or its channel; ``issue_*`` write down what the command does to later ones.

Ref: JEDEC JESD235 (HBM) and JESD79-4 (DDR4), state diagrams and command timing.
"""

from __future__ import annotations

from hwsim.memory import layout as at
from hwsim.memory.compiled import Ints, inline

__all__ = [
    "activate_ready",
    "column_ready",
    "issue_activate",
    "issue_precharge",
    "issue_read",
    "issue_refresh",
    "issue_write",
    "precharge_ready",
    "refresh_ready",
]


@inline
def column_ready(par: Ints, channel: Ints, group: Ints, bank: Ints, b: int, way: int) -> int:
    """The first cycle for a column command of direction ``way`` to the open row of bank ``b``."""
    of_group = group[b >> par[at.P_GROUP_SHIFT], at.G_READY + way]
    return max(channel[at.C_READY + way], of_group, bank[b, at.B_COLUMN])


@inline
def activate_ready(
    par: Ints, channel: Ints, group: Ints, bank: Ints, activates: Ints, b: int
) -> int:
    """The first cycle for an activate of bank ``b``, which is closed."""
    of_group = group[b >> par[at.P_GROUP_SHIFT], at.G_ACTIVATE]
    fifth = activates[channel[at.C_FAW]] + par[at.P_FAW]
    return max(channel[at.C_ACTIVATE], of_group, fifth, bank[b, at.B_ACTIVATE])


@inline
def precharge_ready(bank: Ints, b: int) -> int:
    """The first cycle for a precharge of bank ``b``."""
    return bank[b, at.B_PRECHARGE]


@inline
def issue_read(par: Ints, channel: Ints, group: Ints, bank: Ints, b: int, cycle: int) -> None:
    """A read from bank ``b``."""
    g = b >> par[at.P_GROUP_SHIFT]
    _after_column(channel, at.READS, cycle + par[at.P_CCD_S])
    _after_column(channel, at.WRITES, cycle + par[at.P_RTW])
    _after_column_in_group(group, g, at.READS, cycle + par[at.P_CCD_L])
    _after_column_in_group(group, g, at.WRITES, cycle + par[at.P_CCD_L])
    _hold_open(bank, b, cycle + par[at.P_RTP])


@inline
def issue_write(
    par: Ints, channel: Ints, group: Ints, bank: Ints, b: int, cycle: int, ccd_l: int
) -> None:
    """A write to bank ``b``, or an update, which has a longer ``ccd_l``."""
    g = b >> par[at.P_GROUP_SHIFT]
    data_end = cycle + par[at.P_CWL] + par[at.P_BL]
    _after_column(channel, at.WRITES, cycle + par[at.P_CCD_S])
    _after_column(channel, at.READS, max(cycle + par[at.P_CCD_S], data_end + par[at.P_WTR_S]))
    _after_column_in_group(group, g, at.WRITES, cycle + ccd_l)
    _after_column_in_group(group, g, at.READS, max(cycle + ccd_l, data_end + par[at.P_WTR_L]))
    _hold_open(bank, b, data_end + par[at.P_WR])


@inline
def _after_column(channel: Ints, way: int, cycle: int) -> None:
    channel[at.C_READY + way] = max(channel[at.C_READY + way], cycle)


@inline
def _after_column_in_group(group: Ints, g: int, way: int, cycle: int) -> None:
    group[g, at.G_READY + way] = max(group[g, at.G_READY + way], cycle)


@inline
def _hold_open(bank: Ints, b: int, cycle: int) -> None:
    bank[b, at.B_PRECHARGE] = max(bank[b, at.B_PRECHARGE], cycle)


@inline
def issue_activate(
    par: Ints,
    channel: Ints,
    group: Ints,
    bank: Ints,
    activates: Ints,
    b: int,
    row: int,
    cycle: int,
) -> None:
    """An activate of ``row`` in bank ``b``."""
    oldest = channel[at.C_FAW]
    activates[oldest] = cycle
    channel[at.C_FAW] = (oldest + 1) % 4
    channel[at.C_ACTIVATE] = cycle + par[at.P_RRD_S]
    group[b >> par[at.P_GROUP_SHIFT], at.G_ACTIVATE] = cycle + par[at.P_RRD_L]
    bank[b, at.B_ROW] = row
    bank[b, at.B_COLUMN] = cycle + par[at.P_RCD]
    bank[b, at.B_PRECHARGE] = cycle + par[at.P_RAS]
    bank[b, at.B_ACTIVATE] = cycle + par[at.P_RC]


@inline
def issue_precharge(par: Ints, bank: Ints, b: int, cycle: int) -> None:
    """A precharge of bank ``b``."""
    bank[b, at.B_ROW] = at.NONE
    bank[b, at.B_ACTIVATE] = max(bank[b, at.B_ACTIVATE], cycle + par[at.P_RP])


@inline
def refresh_ready(channel: Ints, bank: Ints) -> int:
    """The first cycle for a refresh, with all banks closed, that is due."""
    ready = channel[at.C_REFRESH]
    for b in range(bank.shape[0]):
        ready = max(ready, bank[b, at.B_ACTIVATE])
    return ready


@inline
def issue_refresh(par: Ints, channel: Ints, bank: Ints, cycle: int) -> None:
    """A refresh of all banks."""
    for b in range(bank.shape[0]):
        bank[b, at.B_ACTIVATE] = cycle + par[at.P_RFC]
    channel[at.C_REFRESH] += par[at.P_REFI]
