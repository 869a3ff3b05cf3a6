"""The cocotb side of ``verify``: replays cases into a block and compares every transfer.

Runs inside the simulator, in a folder where :mod:`rtl.flow.simulate` left ``cases.pickle``; leaves
``answer.json`` there, with the value of every port in every cycle if there is a file ``record``.
One coroutine does all of a cycle's work: triggers are what a simulation driven from Python costs.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from rtl.block import LEAVING, MID_STREAM, Case

__all__ = ["replay"]

RESET_CYCLES = 1
"""As short as can be: in a second one, a register without reset would follow those that have it."""
Record = dict[str, list[int]]
"""The value of each port in each cycle."""


@cocotb.test()
async def replay(dut: Any) -> None:
    """Every case from reset, until one differs."""
    cases: list[Case] = pickle.loads(Path("cases.pickle").read_bytes())
    Clock(dut.clk, 10, unit="ns").start()
    cycles, bins, wrong, cut_off = 0, set[str](), "", set[str]()
    began = perf_counter()
    record: Record | None = {} if Path("record").exists() else None
    for number, case in enumerate(cases):
        consumers = {name: _Consumer(dut, name, case) for name in case.ready}
        producers = [
            _Follower(dut, name, case, consumers[offer.follows])
            if offer.follows
            else _Producer(dut, name, case)
            for name, offer in case.inputs.items()
        ]
        levels = [_Level(dut, name, due) for name, due in case.levels.items()]
        streams = [*producers, *consumers.values()]
        await _reset(dut, producers, [*consumers.values()])
        await _run(dut, case.length, streams, levels, record)
        cycles += case.length
        bins |= {f"{s.name}: {bin_}" for s in streams for bin_ in s.bins}
        wrong = next((w for s in [*streams, *levels] if (w := s.difference())), "")
        if wrong:
            wrong = f"case {number} ({case.name}), {wrong}"
            break
        bins |= cut_off
        cut_off = _cut_off(case, producers, [*consumers.values()])
    answer = {
        "cycles": cycles,
        "seconds": perf_counter() - began,
        "bins": sorted(bins),
        "wrong": wrong,
        "record": record,
    }
    Path("answer.json").write_text(json.dumps(answer))


def _cut_off(case: Case, producers: list[_Producer], consumers: list[_Consumer]) -> set[str]:
    """The bins that a reset after ``case`` is of."""
    if not (case.cut and case.owed and any(producer.seen for producer in producers)):
        return set()
    return {MID_STREAM} | ({LEAVING} if any(consumer.seen for consumer in consumers) else set())


async def _reset(dut: Any, producers: list[_Producer], consumers: list[_Consumer]) -> None:
    """Hold reset with nothing on offer; the first cycle after it is cycle 0."""
    dut.rst.value = 1
    for producer in producers:
        producer.valid.value = 0
    for consumer in consumers:
        consumer.ready.value = 0
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


async def _run(
    dut: Any,
    cycles: int,
    streams: Sequence[_Stream],
    levels: Sequence[_Level],
    record: Record | None,
) -> None:
    edge = RisingEdge(dut.clk)
    for cycle in range(cycles):
        for stream in streams:
            stream.drive(cycle)
        await edge  # what is read here is what the registers see
        for watched in (*streams, *levels):
            watched.sample(cycle)
        if record is not None:
            _record(record, streams, levels)


def _record(record: Record, streams: Sequence[_Stream], levels: Sequence[_Level]) -> None:
    """Note what every port holds in the cycle at hand."""
    ports = {level.name: level.port for level in levels}
    for stream in streams:
        ports |= {f"{stream.name}.valid": stream.valid, f"{stream.name}.ready": stream.ready}
        if not isinstance(stream.payload, _NoPayload):
            ports[f"{stream.name}.payload"] = stream.payload
    for name, port in ports.items():
        record.setdefault(name, []).append(int(port.value))


class _NoPayload:
    """Stands for the port of a stream that has no payload."""

    value = 0


class _Level:
    """An output beside the streams, and the first cycle in which it is not what it must be."""

    def __init__(self, dut: Any, name: str, due: Sequence[tuple[int, int]]) -> None:
        self.name = name
        self.port = getattr(dut, name)
        self._due = dict(due)
        self._value = 0
        self._wrong = ""

    def sample(self, cycle: int) -> None:
        self._value = self._due.get(cycle, self._value)
        if not self._wrong and (seen := int(self.port.value)) != self._value:
            self._wrong = f"{self.name}: {seen:#x} in cycle {cycle}, the law says {self._value:#x}"

    def difference(self) -> str:
        return self._wrong


class _Stream:
    """One valid/ready stream of the block and the transfers seen on it."""

    def __init__(self, dut: Any, name: str, case: Case) -> None:
        self.name = name
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload", _NoPayload())
        self.bins: set[str] = set()
        self._expected = case.expected[name]
        self.seen: list[tuple[int, int]] = []

    def drive(self, cycle: int) -> None:
        """Set what is the bench's to set in ``cycle``."""
        raise NotImplementedError

    def sample(self, cycle: int) -> None:
        """Look at what happens in ``cycle``."""
        raise NotImplementedError

    def transferred(self, cycle: int, payload: int) -> None:
        if self.seen and self.seen[-1][0] == cycle - 1:
            self.bins.add("back to back")
        self.seen.append((cycle, payload))

    def difference(self) -> str:
        """The first transfer that is not the expected one, or nothing."""
        for i, (seen, due) in enumerate(zip(self.seen, self._expected, strict=False)):
            if seen[0] != due[0]:
                return f"{self.name}[{i}]: in cycle {seen[0]}, the law says {due[0]}"
            if seen[1] != due[1]:
                return f"{self.name}[{i}], cycle {seen[0]}: {seen[1]:#x}, golden {due[1]:#x}"
        if len(self.seen) != len(self._expected):
            return f"{self.name}: {len(self.seen)} transfers, expected {len(self._expected)}"
        return ""


class _Producer(_Stream):
    """Offers items; an item stays on offer until it is taken."""

    def __init__(self, dut: Any, name: str, case: Case) -> None:
        super().__init__(dut, name, case)
        self._payloads, self._gaps = case.inputs[name].payloads, case.inputs[name].gaps
        self._at = self._gaps[0] if self._gaps else 0
        self._offering = False

    def drive(self, cycle: int) -> None:
        taken = len(self.seen)
        if not self._offering and taken < len(self._payloads) and cycle >= self._at:
            self.payload.value = self._payloads[taken]
            self.valid.value = 1
            self._offering = True
            if cycle > (self.seen[-1][0] + 1 if self.seen else 0):
                self.bins.add("paused")

    def sample(self, cycle: int) -> None:
        if not self._offering:
            return
        if self.ready.value:
            taken = len(self.seen)
            self.transferred(cycle, self._payloads[taken])
            pause = self._gaps[taken + 1] if taken + 1 < len(self._gaps) else None
            self._at = cycle + 1 + (pause or 0)
            if pause != 0:
                self.valid.value = 0
            self._offering = False
        else:
            self.bins.add("stalled")


class _Follower(_Producer):
    """Answers the transfers of an output stream, one item each."""

    def __init__(self, dut: Any, name: str, case: Case, lead: _Stream) -> None:
        super().__init__(dut, name, case)
        self._lead = lead

    def drive(self, cycle: int) -> None:
        taken = len(self.seen)
        if not self._offering and taken < min(len(self._lead.seen), len(self._gaps)):
            self._at = self._lead.seen[taken][0] + self._gaps[taken]
            super().drive(cycle)


class _Consumer(_Stream):
    """Takes items when its pattern says so."""

    def __init__(self, dut: Any, name: str, case: Case) -> None:
        super().__init__(dut, name, case)
        self._pattern = case.ready[name]
        self._ready = False
        self._ends = not case.cut
        self._held: int | None = None
        self._unstable = ""

    def drive(self, cycle: int) -> None:
        ready = self._pattern[cycle % len(self._pattern)]
        if ready != self._ready:
            self.ready.value = self._ready = ready

    def sample(self, cycle: int) -> None:
        offered = int(self.payload.value) if self.valid.value else None
        if self._held is not None and offered != self._held and not self._unstable:
            now = "nothing" if offered is None else f"{offered:#x}"
            self._unstable = f"{self.name}, cycle {cycle}: {now}, but {self._held:#x} was not taken"
        self._held = None
        if offered is None:
            self.bins.add("starved")
        elif self._ready:
            self.transferred(cycle, offered)
        else:
            self.bins.add("stalled")
            self._held = offered

    def difference(self) -> str:
        if wrong := super().difference() or self._unstable:
            return wrong
        if self._ends and self._held is not None:
            return f"{self.name}: {self._held:#x} on offer after the last transfer"
        return ""
