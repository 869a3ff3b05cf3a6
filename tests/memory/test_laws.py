"""What a channel reaches: laws of streaming, of single bursts, of updates, of turning around."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest

from hwsim.memory import Access, Region
from hwsim.memory.config import DramConfig

Asked = tuple[Access, Region, int, int]
READ, WRITE, UPDATE, ACTIVATE, PRECHARGE, REFRESH = range(6)
ONE = {"specification": "hbm2", "channels": 1}
"""One channel of HBM2, addresses in plain order: a row of 1 KiB after another."""
PLAIN = {"order": "row bank bank_group column channel", "hashed": False}
ROW = 1024
ALL_ROWS = 16 * ROW
"""From a row to the next one of the same bank."""


def one_channel(**changes: Any) -> DramConfig:
    timing = {"nREFI": 0} | changes.pop("timing", {})
    return DramConfig(**ONE, mapping=PLAIN, timing=timing, **changes)


def asked(
    kind: Access, bases: Iterable[int], size: int = 32, arrival: int = 0, stream: int = 0
) -> list[Asked]:
    return [(kind, Region(base, size), arrival, stream) for base in bases]


def of(run: Any, *kinds: int) -> list[tuple[int, ...]]:
    """The commands of some kinds: cycle, command, bank, row."""
    return sorted(command[1:] for command in run.commands() if command[2] in kinds)


def gaps(run: Any, *kinds: int) -> list[int]:
    """Cycles between commands of some kinds."""
    return [b[0] - a[0] for a, b in itertools.pairwise(of(run, *kinds))]


@pytest.mark.parametrize("name", ["hbm2", "hbm2e", "ddr4_2400"])
def test_a_stream_reaches_nine_tenths_of_the_peak_less_refresh(bench: type[Any], name: str) -> None:
    cfg = DramConfig(specification=name)
    size = 64 * 1024 * cfg.channels
    cycles = bench(cfg).run(asked(Access.READ, range(0, 8 * size, size), size))

    timing = cfg.timing
    ideal = 8 * size * cfg.clock / cfg.peak_bytes_per_second
    awake = 1 - timing.nRFC / timing.nREFI
    assert ideal / cycles > 0.9 * awake
    assert ideal <= cycles


@pytest.mark.parametrize(
    ("timing", "interval"),
    [
        ({}, 4),
        ({"nRRD_S": 7, "nRRD_L": 7}, 7),
        ({"nFAW": 40}, 10),
        ({"nRC": 160}, 10),
    ],
)
def test_single_bursts_fall_to_the_rate_of_activates(
    bench: type[Any], timing: dict[str, int], interval: int
) -> None:
    """One a ``max(nRRD, nFAW / 4, nRC / banks)`` cycles, were all banks always asked for."""
    cfg, draw, count = one_channel(timing=timing), random.Random(1), 2000
    bases = [ROW * draw.randrange(cfg.rows * cfg.banks) for _ in range(count)]
    cycles = bench(cfg).run(asked(Access.READ, bases))

    assert interval <= cycles / count < 1.3 * interval


def test_rows_of_one_bank_follow_each_other_by_the_row_cycle(bench: type[Any]) -> None:
    run = bench(one_channel())
    run.run(asked(Access.READ, range(0, 20 * ALL_ROWS, ALL_ROWS)))

    assert set(gaps(run, ACTIVATE)) == {47}


@pytest.mark.parametrize(("kind", "gap"), [(Access.READ, 2), (Access.WRITE, 2), (Access.UPDATE, 4)])
def test_bursts_of_one_group_follow_each_other_by_the_long_column_delay(
    bench: type[Any], kind: Access, gap: int
) -> None:
    run = bench(one_channel())
    run.run(asked(kind, [0], ROW))

    assert gaps(run, kind) == [gap] * 31


def test_updates_of_four_groups_keep_the_bus_busy(bench: type[Any]) -> None:
    run = bench(one_channel())
    by_turns = [group * ROW + 32 * i for i in range(32) for group in range(4)]
    run.run(asked(Access.UPDATE, by_turns))

    cycles = [cycle for cycle, *_ in of(run, UPDATE)]
    assert 63 <= cycles[-1] - cycles[-64] <= 66


def test_updates_of_two_groups_take_twice_as_long(bench: type[Any]) -> None:
    run = bench(one_channel())
    by_turns = [group * ROW + 32 * i for i in range(32) for group in range(2)]
    run.run(asked(Access.UPDATE, by_turns))

    cycles = [cycle for cycle, *_ in of(run, UPDATE)]
    assert cycles[-1] - cycles[-33] == 64


# The scheduler


def test_a_hit_overtakes_an_older_miss(bench: type[Any]) -> None:
    run = bench(one_channel())
    run.run(asked(Access.READ, [0, ALL_ROWS, 32]))

    assert [row for *_, row in of(run, READ)] == [0, 0, 1]
    assert len(of(run, ACTIVATE)) == 2


def test_what_is_not_in_the_queue_overtakes_nothing(bench: type[Any]) -> None:
    run = bench(one_channel(controller={"queue_entries": 1}))
    run.run(asked(Access.READ, [0, ALL_ROWS, 32]))

    assert [row for *_, row in of(run, READ)] == [0, 1, 0]
    assert len(of(run, ACTIVATE)) == 3


def test_of_hits_the_oldest_goes_first(bench: type[Any]) -> None:
    """In banks of different groups, all open, asked for in one burst of arrivals."""
    run, order = bench(one_channel()), [2, 0, 3, 1, 1, 3, 0, 2]
    opened = asked(Access.READ, [group * ROW for group in range(4)])
    later = asked(Access.READ, [group * ROW + 64 for group in order], arrival=500)
    run.run(opened + later)

    assert [bank // 4 for _, _, bank, _ in of(run, READ)[4:]] == order


def test_a_row_stays_open(bench: type[Any]) -> None:
    run = bench(one_channel())
    run.run(asked(Access.READ, [0]) + asked(Access.READ, [32], arrival=3000))

    assert len(of(run, ACTIVATE)) == 1
    assert of(run, PRECHARGE) == []


def test_one_burst_a_cycle_is_admitted(bench: type[Any]) -> None:
    """Two reads of open rows, of different groups: possible at once, one cycle apart."""
    run = bench(one_channel())
    opened = asked(Access.READ, [0, ROW])
    run.run(opened + asked(Access.READ, [32, ROW + 32], arrival=500))

    assert [cycle for cycle, *_ in of(run, READ)[2:]] == [501, 502]


# Reads and writes


def reads_all_the_time(until: int) -> list[Asked]:
    """More reads of one open row than can be done: one every second cycle is."""
    return [(Access.READ, Region(32 * (i % 32), 32), i, 0) for i in range(until // 2)]


def writes(count: int, arrival: int = 400) -> list[Asked]:
    """Writes to a row of another bank."""
    bases = [8 * ROW + 32 * (i % 32) for i in range(count)]
    return asked(Access.WRITE, bases, arrival=arrival, stream=1)


@pytest.mark.parametrize(("count", "wait"), [(31, True), (32, False)])
def test_reads_go_before_writes_until_so_many_wait(
    bench: type[Any], count: int, wait: bool
) -> None:
    controller = {"write_drain_entries": 32, "write_wait_cycles": 2000}
    run = bench(one_channel(controller=controller))
    run.run(reads_all_the_time(4000) + writes(count))
    first = of(run, WRITE)[0][0]

    assert (first >= 2400) == wait
    assert len(of(run, WRITE)) == count


@pytest.mark.parametrize("limit", [500, 1500])
def test_writes_wait_no_longer_than_the_limit(bench: type[Any], limit: int) -> None:
    run = bench(one_channel(controller={"write_wait_cycles": limit}))
    run.run(reads_all_the_time(4000) + writes(3))
    first = of(run, WRITE)[0][0]

    assert 400 + limit <= first <= 400 + limit + 60


def test_writes_wait_for_nothing_when_nobody_reads(bench: type[Any]) -> None:
    run = bench(one_channel())
    run.run(writes(1))

    assert of(run, WRITE)[0][0] == 400 + 1 + 14


def test_after_a_turn_as_many_go_as_waited_for_it(bench: type[Any]) -> None:
    """What comes while they go waits for the next turn: neither side starves."""
    run = bench(one_channel(controller={"write_drain_entries": 8, "queue_entries": 16}))
    run.run(reads_all_the_time(2000) + writes(24))
    kinds = [command for _, command, *_ in of(run, READ, WRITE)]
    turns = [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]

    assert [count for kind, count in turns if kind == WRITE] == [8, 16]
    assert turns[2] == (READ, 16)


def test_rows_are_opened_for_writes_before_the_bus_turns(bench: type[Any]) -> None:
    def first_write(prepare: int) -> int:
        run = bench(one_channel(controller={"write_prepare_entries": prepare}))
        run.run(reads_all_the_time(2000) + writes(32))
        opened = next(cycle for cycle, _, bank, _ in of(run, ACTIVATE) if bank != 0)
        turned = of(run, WRITE)[0][0]
        return turned - opened

    assert first_write(prepare=16) > first_write(prepare=32) == 14


@pytest.mark.parametrize(("separate", "most"), [(True, 24), (False, 16)])
def test_writes_share_the_queue_of_reads_or_have_their_own(
    bench: type[Any], separate: bool, most: int
) -> None:
    controller = {
        "queue_entries": 16,
        "separate_write_queue": separate,
        "write_queue_entries": 8,
        "write_drain_entries": 8,
    }
    run = bench(one_channel(controller=controller), bin=1)
    run.run(reads_all_the_time(1000) + writes(500))
    held = run.engine.bins[:, 6:].sum(axis=1)

    assert held.max() == most


# Refresh


def test_channels_are_refreshed_by_turns(bench: type[Any]) -> None:
    cfg = DramConfig(specification="hbm2", channels=4)
    run = bench(cfg)
    run.run(asked(Access.READ, [0], arrival=9000))
    first = {}
    for channel, cycle, command, *_ in run.commands():
        if command == REFRESH:
            first.setdefault(channel, cycle)

    assert list(first.values()) == [3900, 4875, 5850, 6825]


def test_a_refresh_closes_all_rows_and_waits_for_them(bench: type[Any]) -> None:
    run = bench(one_channel(timing={"nREFI": 3900}))
    run.run(asked(Access.READ, [0, 4 * ROW], arrival=3870) + asked(Access.READ, [32], arrival=3901))
    closed = [cycle for cycle, *_ in of(run, PRECHARGE)]
    refreshed = of(run, REFRESH)[0][0]

    assert closed == [3871 + 4 + 33] * 2
    assert refreshed == closed[0] + 14
    assert of(run, ACTIVATE)[2][0] == refreshed + 260
