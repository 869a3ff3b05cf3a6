"""The cache against a plain reference: what hits, what is fetched, what is written back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.memory import Access, Region, Stream
from hwsim.memory.config import CacheConfig, MemoryConfig
from hwsim.memory.hashing import remainder, remainder_table
from hwsim.memory.system import MemorySystem
from hwsim.sim import Event, Kernel, Process

Op = Literal["read", "write", "write_through", "flush", "invalidate"]
LINE, SECTOR, SETS, WAYS = 128, 32, 8, 2
SECTORS = LINE // SECTOR


def configured(*, hashed: bool) -> MemoryConfig:
    cache = CacheConfig(capacity="2 KiB", ways=WAYS, hashed=hashed)
    return MemoryConfig(dram={"specification": "hbm2", "channels": 2}, cache=cache)


@dataclass
class Reference:
    """Ordered dictionaries: of each set, the sectors of its lines, the last used at the end."""

    hashed: bool
    sets: list[OrderedDict[int, dict[int, bool]]] = field(
        default_factory=lambda: [OrderedDict() for _ in range(SETS)]
    )
    hits: int = 0
    misses: int = 0
    written_back: list[int] = field(default_factory=list)

    def do(self, op: Op, region: Region) -> None:
        if op in ("flush", "invalidate"):
            self._write_all_back()
            if op == "invalidate":
                self.sets = [OrderedDict() for _ in range(SETS)]
            return
        for row in range(region.rows):
            base = region.base + row * region.stride
            for line in range(base // LINE, (base + region.row_bytes - 1) // LINE + 1):
                self._touch(op, line, base, base + region.row_bytes)

    def _touch(self, op: Op, line: int, start: int, end: int) -> None:
        sectors = self._find(line)
        for sector in range(line * SECTORS, (line + 1) * SECTORS):
            if not start <= sector * SECTOR < end:
                continue
            if op == "read":
                self.hits += sector in sectors
                self.misses += sector not in sectors
                sectors.setdefault(sector, False)
            else:
                sectors[sector] = op == "write"

    def _find(self, line: int) -> dict[int, bool]:
        bits = SETS.bit_length() - 1
        number = remainder(remainder_table(bits), line) if self.hashed else line % SETS
        lines = self.sets[number]
        if line not in lines and len(lines) == WAYS:
            _, victim = lines.popitem(last=False)
            self._write_back(victim)
        lines.setdefault(line, {})
        lines.move_to_end(line)
        return lines[line]

    def _write_back(self, sectors: dict[int, bool]) -> None:
        self.written_back += [sector for sector, dirty in sectors.items() if dirty]
        sectors.update(dict.fromkeys(sectors, False))

    def _write_all_back(self) -> None:
        for lines in self.sets:
            for sectors in lines.values():
                self._write_back(sectors)


regions = st.builds(
    lambda sector, sectors, rows, stride: Region(
        sector * SECTOR, sectors * SECTOR, rows, stride * SECTOR
    ),
    st.integers(0, 300),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(0, 40),
)
ops: st.SearchStrategy[Op] = st.sampled_from(
    ["read", "read", "read", "write", "write", "write_through", "flush", "invalidate"]
)


def ask(memory: MemorySystem, op: Op, region: Region) -> Event:
    match op:
        case "read":
            return memory.read(region)
        case "write":
            return memory.write(region)
        case "write_through":
            return memory.write_through(region)
        case "flush":
            return memory.flush()
    return memory.invalidate()


@given(st.lists(st.tuples(ops, regions, st.booleans()), max_size=60), st.booleans())
@settings(max_examples=150)
def test_the_cache_does_as_the_reference(
    asked: list[tuple[Op, Region, bool]], hashed: bool
) -> None:
    """Whether each request waits for the last one or not."""
    kernel, reference = Kernel(), Reference(hashed)
    memory = MemorySystem(kernel, "memory", configured(hashed=hashed))

    def main() -> Process:
        for op, region, waits in asked:
            reference.do(op, region)
            done = ask(memory, op, region)
            if waits:
                yield done
        yield memory.flush()

    kernel.run(main())
    through = sum(region.bytes for op, region, _ in asked if op == "write_through")
    before_the_end = len(reference.written_back)
    reference.do("flush", Region(0, 0))
    assert memory.hits[Stream.COMPUTE].value == reference.hits
    assert memory.misses[Stream.COMPUTE].value == reference.misses
    assert memory.written_back[Stream.COMPUTE].value == len(reference.written_back)
    assert len(reference.written_back) >= before_the_end
    moved = memory.bytes
    assert moved[Stream.COMPUTE, Access.READ].value == SECTOR * reference.misses
    written = SECTOR * len(reference.written_back) + through
    assert moved[Stream.COMPUTE, Access.WRITE].value == written


def run(*steps: list[tuple[Op, Region]]) -> tuple[list[int], MemorySystem]:
    """Each step's requests at once; when each of the last step's was done after its start."""
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", configured(hashed=True))
    ends: list[int] = []

    def wait(done: Event, start: int) -> Process:
        yield done
        ends.append(kernel.now - start)

    def main() -> Process:
        for step in steps:
            ends.clear()
            yield from [
                kernel.start(wait(ask(memory, op, region), kernel.now)) for op, region in step
            ]
            yield kernel.wait(10**6 - kernel.now % 10**6)

    kernel.run(main())
    return ends, memory


TILE = Region(4096, 256, 2, 512)


def test_a_hit_takes_the_hit_latency() -> None:
    ends, _ = run([("read", TILE)], [("read", TILE)])

    assert ends == [120 * 10**6]


def test_a_write_takes_the_hit_latency_and_fetches_nothing() -> None:
    ends, memory = run([("write", TILE)])

    assert ends == [120 * 10**6]
    assert {kind: count.value for kind, count in memory.bytes.items() if count.value} == {}


def test_two_readers_of_a_tile_on_its_way_fetch_it_once() -> None:
    ends, memory = run([("read", TILE), ("read", TILE)])

    assert memory.bytes[Stream.COMPUTE, Access.READ].value == TILE.bytes
    assert ends[0] == ends[1] > 120 * 10**6


def test_a_reader_of_a_part_waits_for_the_fetch_that_brings_it() -> None:
    """It waits for what is on its way to others, and fetches the rest itself."""
    more = Region(4096, 384)
    ends, memory = run([("read", TILE), ("read", more)])

    assert memory.bytes[Stream.COMPUTE, Access.READ].value == TILE.bytes + 128
    assert min(ends) > 120 * 10**6


def test_a_dirty_sector_is_written_back_once() -> None:
    """Until it is written again."""
    _, memory = run([("write", TILE)], [("flush", TILE)], [("flush", TILE)])
    assert memory.bytes[Stream.COMPUTE, Access.WRITE].value == TILE.bytes

    _, memory = run([("write", TILE), ("write", TILE)], [("flush", TILE)], [("write", TILE)],
                    [("flush", TILE)])  # fmt: skip
    assert memory.bytes[Stream.COMPUTE, Access.WRITE].value == 2 * TILE.bytes


def test_what_goes_past_the_cache_leaves_no_trace_in_it() -> None:
    kernel = Kernel()
    memory = MemorySystem(kernel, "memory", configured(hashed=True))

    def main() -> Process:
        yield memory.access(TILE, Access.READ)
        yield memory.read(TILE)

    kernel.run(main())
    assert memory.misses[Stream.COMPUTE].value == TILE.bytes // SECTOR
    assert memory.bytes[Stream.COMPUTE, Access.READ].value == 2 * TILE.bytes


def test_a_write_through_leaves_its_data_in_the_cache() -> None:
    _, memory = run([("write_through", TILE)], [("read", TILE)])

    assert memory.misses[Stream.COMPUTE].value == 0
    assert memory.bytes[Stream.COMPUTE, Access.WRITE].value == TILE.bytes


WRONG: list[tuple[dict[str, object], str]] = [
    (
        {"capacity": "3 KiB"},
        "capacity must be line x ways = 2048 bytes times a power of two, got 3072",
    ),
    ({"line": "96 B"}, "line must be a power of two, got 96"),
    ({"sector": "256 B"}, "line must be from 1 to 32 sectors of 256 bytes, got 128"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_a_wrong_cache_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CacheConfig(**({"capacity": "2 KiB"} | given))

    assert str(refused.value).splitlines()[0] == "CacheConfig: " + message


def test_sectors_are_whole_bursts() -> None:
    with pytest.raises(ConfigError) as refused:
        MemoryConfig(dram={"specification": "ddr4_2400"}, cache=CacheConfig(capacity="2 KiB"))

    assert str(refused.value) == (
        "MemoryConfig: cache.sector must be a multiple of dram.burst_bytes = 64 bytes, got 32"
    )
