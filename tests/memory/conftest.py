"""Random users of a memory, what they saw, and an independent reading of the timing rules."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwsim.memory import Access, Region, Stream
from hwsim.memory import layout as at
from hwsim.memory.config import DramConfig, DramTiming, MemoryConfig
from hwsim.memory.engine import NO_REQUESTS, Engine
from hwsim.memory.system import MemorySystem
from hwsim.sim import Event, Kernel, Process

Asked = tuple[Access, Region, int, int]
"""What, where, arrival, stream."""

USERS = 8
UPDATED = 1 << 32


@dataclass(frozen=True)
class Seen:
    """When each request of each user was done, and what the memory did."""

    done: dict[tuple[int, int], int]
    memory: MemorySystem
    events: int

    @property
    def log(self) -> npt.NDArray[np.int64]:
        """The commands of the run by channel, cycle, command and bank; the engine runs ahead."""
        log = self.memory.log
        log = log[log[:, 1] < self.memory.clock.cycle]
        return log[np.lexsort(log.T[::-1])]


@pytest.fixture(scope="session")
def observe() -> Callable[..., Seen]:
    return _observe


def _observe(
    cfg: MemoryConfig, *, requests: int = 60, seed: int = 1, shuffle: int | None = None, **how: Any
) -> Seen:
    """Let ``USERS`` processes ask at random, each of ``requests`` things, then flush."""
    kernel = Kernel(shuffle_ties=shuffle is not None, seed=shuffle or 0)
    memory = MemorySystem(kernel, "memory", cfg, log_commands=True, **how)
    done: dict[tuple[int, int], int] = {}

    def user(number: int) -> Process:
        draw = random.Random(1000 * seed + number)
        for i in range(requests):
            asked = _ask(memory, draw, number)
            if draw.random() < 0.7:
                yield asked
            done[number, i] = kernel.now
            if draw.random() < 0.1:
                yield kernel.wait(draw.randrange(10**8))

    def main() -> Process:
        yield from [kernel.start(user(number)) for number in range(USERS)]
        yield memory.flush()
        done[USERS, 0] = kernel.now

    kernel.run(main())
    return Seen(done, memory, kernel.events)


def _ask(memory: MemorySystem, draw: random.Random, user: int) -> Event:
    """One random request: through the cache, past it, or an update."""
    shape = draw.choice([64, 128, 256, 1024]), draw.choice([1, 4, 32]), 2048
    cached = Region(draw.randrange(1 << 16) * 128, *shape)
    stream = Stream(user % 2)
    match draw.choice(["read", "read", "write", "access", "update"]):
        case "read":
            return memory.read(cached, stream, user)
        case "write":
            return memory.write(cached, stream, user)
        case "access":
            region = Region(draw.randrange(1 << 18) * 8192, *shape)
            return memory.access(region, Access.READ, stream, user)
    return memory.access(Region(UPDATED + cached.base, *shape), Access.UPDATE, stream, user)


@dataclass
class Bench:
    """An engine driven by hand: requests at once, then cycles until all is done."""

    cfg: DramConfig
    epoch: int = 100
    bin: int = 1000
    engine: Engine = field(init=False)
    ended: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(MemoryConfig(dram=self.cfg), logging=True, bin_cycles=self.bin)

    def run(self, regions: list[Asked]) -> int:
        """Do ``regions``, each arriving in its cycle; gives the cycle of the last byte."""
        asked = sorted(regions, key=lambda each: each[2])
        requests = self.engine.new_requests(len(asked))
        rows = [
            (arrival, request, at.BYPASS, at.KINDS * stream + kind, *region)
            for request, (kind, region, arrival, stream) in zip(requests, asked, strict=True)
        ]
        self.ended += self.engine.advance(np.array(rows, np.int64), 0, self.epoch)
        while not self.engine.idle:
            now = self.engine.now
            self.ended += self.engine.advance(NO_REQUESTS, now, now + self.epoch)
        return max(cycle for _, cycle in self.ended)

    def commands(self) -> list[tuple[int, ...]]:
        """The log as tuples."""
        return [tuple(row) for row in self.engine.log.tolist()]


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    return Bench


READ, WRITE, UPDATE, ACTIVATE, PRECHARGE, REFRESH = range(6)
WRITES = (WRITE, UPDATE)
COLUMNS = (READ, *WRITES)


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[str]]:
    return lambda log, cfg: sorted(set(_violations(log, cfg)))


def _violations(log: npt.NDArray[np.int64], cfg: DramConfig) -> Iterator[str]:
    """Names of the rules that a command log breaks, written down from the standards' tables.

    Every pair of commands of a channel that a rule speaks of is looked at, as far apart as
    the longest rule; no state is kept but which row is open.
    """
    for channel in range(cfg.channels):
        mine = sorted((tuple(row[1:]) for row in log[log[:, 0] == channel].tolist()), key=_order)
        yield from _wrong_states(mine)
        yield from _wrong_distances(mine, cfg)
        yield from _late_refreshes(mine, cfg.timing)


def _order(command: tuple[int, ...]) -> tuple[int, int]:
    return command[0], command[1] == PRECHARGE


def _wrong_states(commands: list[tuple[int, ...]]) -> Iterator[str]:
    rows: dict[int, int] = {}
    for _, command, bank, row in commands:
        if command == ACTIVATE:
            if bank in rows:
                yield "activate of an open bank"
            rows[bank] = row
        elif command == PRECHARGE:
            if rows.pop(bank, None) != row:
                yield "precharge of another row"
        elif command == REFRESH:
            if rows:
                yield "refresh of open banks"
        elif rows.get(bank) != row:
            yield "column command to a closed row"


def _wrong_distances(commands: list[tuple[int, ...]], cfg: DramConfig) -> Iterator[str]:
    rules = _rules(cfg)
    furthest = max(distance for *_, distance in rules)
    for i, (cycle, command, bank, _) in enumerate(commands):
        for later in range(i + 1, len(commands)):
            after, following, other, _ = commands[later]
            if after - cycle >= furthest:
                break
            for name, firsts, seconds, where, distance in rules:
                if (
                    command in firsts
                    and following in seconds
                    and _applies(where, bank, other, cfg)
                    and after - cycle < distance
                ):
                    yield name
    yield from _crowded_activates(commands, cfg.timing.nFAW)
    yield from _crowded_buses(commands, cfg)


def _applies(where: str, bank: int, other: int, cfg: DramConfig) -> bool:
    if where == "rank":
        return True
    if where == "bank":
        return bank == other
    return bank // cfg.banks_per_group == other // cfg.banks_per_group


def _rules(cfg: DramConfig) -> list[tuple[str, tuple[int, ...], tuple[int, ...], str, int]]:
    t = cfg.timing
    written = t.nCWL + t.nBL
    return [
        ("nRCD", (ACTIVATE,), COLUMNS, "bank", t.nRCD),
        ("nRP", (PRECHARGE,), (ACTIVATE,), "bank", t.nRP),
        ("nRP", (PRECHARGE,), (REFRESH,), "rank", t.nRP),
        ("nRAS", (ACTIVATE,), (PRECHARGE,), "bank", t.nRAS),
        ("nRC", (ACTIVATE,), (ACTIVATE,), "bank", t.nRC),
        ("nRC", (ACTIVATE,), (REFRESH,), "rank", t.nRC),
        ("nCCD_S", COLUMNS, COLUMNS, "rank", t.nCCD_S),
        ("nCCD_L", (READ, WRITE), COLUMNS, "group", t.nCCD_L),
        ("update", (UPDATE,), COLUMNS, "group", t.nCCD_L * cfg.update_ccd_multiple),
        ("nRRD_S", (ACTIVATE,), (ACTIVATE,), "rank", t.nRRD_S),
        ("nRRD_L", (ACTIVATE,), (ACTIVATE,), "group", t.nRRD_L),
        ("nRTP", (READ,), (PRECHARGE,), "bank", t.nRTP),
        ("nWR", WRITES, (PRECHARGE,), "bank", written + t.nWR),
        ("nWTR_S", WRITES, (READ,), "rank", written + t.nWTR_S),
        ("nWTR_L", WRITES, (READ,), "group", written + t.nWTR_L),
        ("nRTW", (READ,), WRITES, "rank", t.nRTW),
        ("nRFC", (REFRESH,), (ACTIVATE, REFRESH), "rank", t.nRFC),
    ]


def _crowded_activates(commands: list[tuple[int, ...]], window: int) -> Iterator[str]:
    cycles = [cycle for cycle, command, *_ in commands if command == ACTIVATE]
    if any(fifth - first < window for first, fifth in zip(cycles, cycles[4:], strict=False)):
        yield "nFAW"


def _crowded_buses(commands: list[tuple[int, ...]], cfg: DramConfig) -> Iterator[str]:
    """One command a cycle on each command bus; one burst at a time on the data bus."""
    each = _without_all_bank_precharges(commands)
    buses = [[c for c in each if c[1] in COLUMNS], [c for c in each if c[1] not in COLUMNS]]
    for bus in buses if cfg.dual_command_bus else [each]:
        cycles = [cycle for cycle, *_ in bus]
        if len(set(cycles)) < len(cycles):
            yield "command bus"
    t = cfg.timing
    starts = sorted(
        cycle + (t.nCL if command == READ else t.nCWL)
        for cycle, command, *_ in commands
        if command in COLUMNS
    )
    if any(b - a < t.nBL for a, b in itertools.pairwise(starts)):
        yield "data bus"


def _without_all_bank_precharges(commands: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Without the precharges just before a refresh: one command gives them to all banks."""
    kept: list[tuple[int, ...]] = []
    for command in commands:
        while command[1] == REFRESH and kept and kept[-1][1] == PRECHARGE:
            kept.pop()
        kept.append(command)
    return kept


def _late_refreshes(commands: list[tuple[int, ...]], timing: DramTiming) -> Iterator[str]:
    cycles = [cycle for cycle, command, *_ in commands if command == REFRESH]
    if timing.nREFI == 0:
        return
    slack = timing.nRC + timing.nCWL + timing.nBL + timing.nWR + timing.nRP
    last = commands[-1][0] if commands else 0
    for due in range(2 * timing.nREFI, last, timing.nREFI):
        if sum(cycle <= due + slack for cycle in cycles) < due // timing.nREFI - 1:
            yield "nREFI"
