"""The rules of banks one by one: what a command makes the next ones wait for."""

from __future__ import annotations

import numpy as np
import pytest

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
from hwsim.memory.config import DramConfig, MemoryConfig
from hwsim.memory.engine import Engine

DISTINCT = {
    "nBL": 2,
    "nCL": 20,
    "nCWL": 5,
    "nRCD": 14,
    "nRP": 16,
    "nRAS": 33,
    "nRC": 51,
    "nCCD_S": 3,
    "nCCD_L": 7,
    "nRRD_S": 4,
    "nRRD_L": 9,
    "nFAW": 60,
    "nRTP": 6,
    "nWR": 12,
    "nWTR_S": 8,
    "nWTR_L": 11,
    "nRTW": 19,
    "nRFC": 300,
    "nREFI": 4000,
}
SAME, SIBLING, STRANGER = 0, 1, 4
START = 10_000


class Channel:
    """One channel's state, with the rules as methods."""

    def __init__(self) -> None:
        cfg = DramConfig(specification="hbm2", channels=1, timing=DISTINCT)
        state = Engine(MemoryConfig(dram=cfg)).state
        self.par, self.channel, self.group = state.par, state.channel[0], state.group[0]
        self.bank, self.activates = state.bank[0], state.activates[0]

    def activate(self, b: int, cycle: int, row: int = 5) -> None:
        issue_activate(self.par, self.channel, self.group, self.bank, self.activates, b, row, cycle)

    def can_activate(self, b: int) -> int:
        return activate_ready(self.par, self.channel, self.group, self.bank, self.activates, b)

    def can_access(self, b: int, way: int) -> int:
        return column_ready(self.par, self.channel, self.group, self.bank, b, way)


@pytest.fixture
def channel() -> Channel:
    return Channel()


def test_an_activate(channel: Channel) -> None:
    channel.activate(SAME, START)

    assert channel.bank[SAME, at.B_ROW] == 5
    assert channel.can_access(SAME, at.READS) == START + 14
    assert channel.can_access(SAME, at.WRITES) == START + 14
    assert precharge_ready(channel.bank, SAME) == START + 33
    assert channel.can_activate(SAME) == START + 51
    assert channel.can_activate(SIBLING) == START + 9
    assert channel.can_activate(STRANGER) == START + 4


def test_a_fifth_activate_waits_for_the_window_of_four(channel: Channel) -> None:
    for i, b in enumerate((0, 4, 8, 12)):
        channel.activate(b, START + 10 * i)

    assert channel.can_activate(STRANGER + 1) == START + 60


def test_a_precharge(channel: Channel) -> None:
    channel.activate(SAME, START)
    issue_precharge(channel.par, channel.bank, SAME, START + 50)

    assert channel.bank[SAME, at.B_ROW] == at.NONE
    assert channel.can_activate(SAME) == START + 66


def test_an_early_precharge_does_not_shorten_the_row_cycle(channel: Channel) -> None:
    channel.activate(SAME, START)
    issue_precharge(channel.par, channel.bank, SAME, START + 33)

    assert channel.can_activate(SAME) == START + 51


def test_a_read(channel: Channel) -> None:
    for b in (SAME, SIBLING, STRANGER):
        channel.activate(b, 0)
    issue_read(channel.par, channel.channel, channel.group, channel.bank, SAME, START)

    assert channel.can_access(SAME, at.READS) == START + 7
    assert channel.can_access(SIBLING, at.READS) == START + 7
    assert channel.can_access(STRANGER, at.READS) == START + 3
    assert channel.can_access(STRANGER, at.WRITES) == START + 19
    assert precharge_ready(channel.bank, SAME) == START + 6
    assert precharge_ready(channel.bank, STRANGER) < START


def test_a_write(channel: Channel) -> None:
    for b in (SAME, SIBLING, STRANGER):
        channel.activate(b, 0)
    issue_write(channel.par, channel.channel, channel.group, channel.bank, SAME, START, 7)

    assert channel.can_access(SAME, at.WRITES) == START + 7
    assert channel.can_access(STRANGER, at.WRITES) == START + 3
    assert channel.can_access(SIBLING, at.READS) == START + 5 + 2 + 11
    assert channel.can_access(STRANGER, at.READS) == START + 5 + 2 + 8
    assert precharge_ready(channel.bank, SAME) == START + 5 + 2 + 12


def test_an_update_keeps_its_own_group_busy_for_longer(channel: Channel) -> None:
    for b in (SAME, SIBLING, STRANGER):
        channel.activate(b, 0)
    issue_write(channel.par, channel.channel, channel.group, channel.bank, SAME, START, 14)

    assert channel.can_access(SIBLING, at.WRITES) == START + 14
    assert channel.can_access(STRANGER, at.WRITES) == START + 3


def test_a_refresh(channel: Channel) -> None:
    channel.channel[at.C_REFRESH] = START
    channel.activate(SAME, START - 40)
    issue_precharge(channel.par, channel.bank, SAME, START - 5)
    assert refresh_ready(channel.channel, channel.bank) == START + 11

    issue_refresh(channel.par, channel.channel, channel.bank, START + 11)
    assert channel.channel[at.C_REFRESH] == START + 4000
    assert {channel.can_activate(b) for b in range(16)} == {START + 311}


def test_the_parameters_are_the_configured_ones(channel: Channel) -> None:
    assert np.array_equal(channel.par[: len(DISTINCT)], list(DISTINCT.values()))
