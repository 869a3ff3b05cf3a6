"""The machine: an instruction scheduler and six in-order units, which only tokens order.

The scheduler decodes a segment and hands each unit its instructions; a unit takes the tokens its
next burst waits for, is busy for as long as the timing law says, and gives the tokens the burst
releases. A segment ends when all six units have run dry.

Law: an instruction starts at the later of its unit being free and its tokens being there.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1; token semantics of the authors' public
artifact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError
from hwsim.laws.flightllm_isa import UNITS, LoadMode, Opcode
from hwsim.laws.flightllm_scheduler import START_TOKEN
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.decoder import Decoder, Stream
from hwsim.models.flightllm.labels import burst_label
from hwsim.sim import Component, Counter, In, Kernel, Out, Process, StageAccount, connect

__all__ = ["ExecutionUnit", "InstructionScheduler", "Segment", "SegmentTimes", "UnitTimes", "build"]

Column = NDArray[np.int64]
LD = Opcode.LD


@dataclass(frozen=True)
class Segment:
    """Whole operators between two full barriers, as instruction words.

    ``held_back`` says, for each operator, whether the schedule keeps its loads from overrunning a
    buffer.
    """

    words: NDArray[np.uint32]
    held_back: tuple[bool, ...]


@dataclass(frozen=True)
class UnitTimes:
    """When each burst of a unit began and ended, relative to the segment's start."""

    stream: Stream
    starts: Column
    ends: Column


@dataclass(frozen=True)
class SegmentTimes:
    """What a segment did: each unit's times, and the bytes by which its loads overran a buffer."""

    units: dict[Opcode, UnitTimes]
    overrun_bytes: int


class ExecutionUnit(Component[FlightLLMConfig]):
    """One of LD, ST, MM, MV, MISC, SYS: runs its bursts in order.

    Ports
    -----
    stream : In[Stream]
        Its instructions of a segment.
    times : Out[UnitTimes]
        When each burst ran, once the last has ended.
    waits, releases : dict of In[None], Out[None] by unit
        Token ports.

    Stats
    -----
    instructions (1), hbm_bytes (B), macs (1): executed so far.
    """

    def __init__(self, kernel: Kernel, unit: Opcode, cfg: FlightLLMConfig) -> None:
        super().__init__(kernel, f"core.{unit.name}", cfg)
        self.unit = unit
        others = [other for other in UNITS if other is not unit]
        # ports
        self.stream: In[Stream] = In(self.name, "stream")
        self.times: Out[UnitTimes] = Out(self.name, "times")
        self.waits = {u: In[None](self.name, f"wait_{u.name}") for u in others}
        self.releases = {u: Out[None](self.name, f"release_{u.name}") for u in others}
        # stats
        self.stage = StageAccount(kernel)
        self.instructions = Counter("1")
        self.hbm_bytes = Counter("B")
        self.macs = Counter("1")

    def processes(self) -> Iterable[Process]:
        """One in-order pipeline."""
        return (self._run(),)

    def at_rest(self) -> bool:
        """Whether the unit waits for its next segment."""
        return self.stream.channel.awaited

    def _run(self) -> Process:
        while True:
            self.stage.enter("idle")
            stream: Stream = yield self.stream.get()
            begin, starts = self.kernel.now, []
            for waits, duration, releases in stream.bursts:
                self.stage.enter("starved")
                for other in waits:
                    yield self.waits[other].get()
                self.stage.enter("busy")
                starts.append(self.kernel.now)
                yield self.kernel.wait(duration)
                self.stage.enter("blocked")
                for other in releases:
                    yield self.releases[other].put(None)
            self._count(stream)
            yield self.times.put(self._times(stream, begin, starts))

    def _count(self, stream: Stream) -> None:
        self.instructions.add(stream.instructions)
        self.hbm_bytes.add(sum(stream.hbm_bytes, Fraction(0)))
        self.macs.add(stream.macs)

    def _times(self, stream: Stream, begin: int, starts: list[int]) -> UnitTimes:
        """The record of a segment; drawn into the timeline if there is one."""
        first = np.array([start - begin for start in starts], np.int64)
        ends = first + np.array([burst.duration_fs for burst in stream.bursts], np.int64)
        if self.kernel.timeline is not None:
            self._draw(stream, starts)
        return UnitTimes(stream, first, ends)

    def _draw(self, stream: Stream, starts: list[int]) -> None:
        timeline = self.kernel.timeline
        assert timeline is not None
        labels = stream.label.tolist()
        for start, burst, label in zip(starts, stream.bursts, labels, strict=True):
            name = burst_label(self.unit, label)
            timeline.slice(self.name, name, start, start + burst.duration_fs)


class InstructionScheduler(Component[FlightLLMConfig]):
    """Decodes segments, in no time, and dispatches them to the units; blocked until they are done.

    Ports
    -----
    segments : In[Segment]
        What to run, one segment at a time.
    done : Out[SegmentTimes]
        What it did, once every unit has run dry.
    dispatch : dict of Out[Stream], retired : dict of In[UnitTimes], by unit

    Stats
    -----
    overrun_bytes (B): loaded into rows of a buffer that were still to be read.

    Raises
    ------
    ProtocolError
        When a load that the schedule holds back overruns a buffer all the same.
    """

    def __init__(self, kernel: Kernel, cfg: FlightLLMConfig, decoder: Decoder) -> None:
        super().__init__(kernel, "core.scheduler", cfg)
        self._decoder = decoder
        # ports
        self.segments: In[Segment] = In(self.name, "segments")
        self.done: Out[SegmentTimes] = Out(self.name, "done")
        self.dispatch = {u: Out[Stream](self.name, f"dispatch_{u.name}") for u in UNITS}
        self.retired = {u: In[UnitTimes](self.name, f"retired_{u.name}") for u in UNITS}
        # stats
        self.stage = StageAccount(kernel)
        self.overrun_bytes = Counter("B")

    def processes(self) -> Iterable[Process]:
        """Decode, dispatch, collect."""
        return (self._run(),)

    def at_rest(self) -> bool:
        """Whether the scheduler waits for its next segment."""
        return self.segments.channel.awaited

    def _run(self) -> Process:
        while True:
            self.stage.enter("idle")
            segment: Segment = yield self.segments.get()
            self.stage.enter("blocked")
            streams = self._decoder.streams(segment.words)
            for unit in UNITS:
                yield self.dispatch[unit].put(streams[unit])
            units: dict[Opcode, UnitTimes] = {}
            for unit in UNITS:
                units[unit] = yield self.retired[unit].get()
            overrun = _overrun(segment, units)
            self.overrun_bytes.add(overrun)
            yield self.done.put(SegmentTimes(units, overrun))


def _overrun(segment: Segment, units: dict[Opcode, UnitTimes]) -> int:
    """Bytes loaded before their guard had finished, or beyond a buffer's end."""
    load = units[LD]
    compute = units[Opcode.MM] if len(units[Opcode.MM].ends) else units[Opcode.MV]
    stream = load.stream
    guarded = stream.guard >= 0
    free_at = np.zeros_like(load.starts)
    burst = np.searchsorted(compute.stream.begins, stream.guard[guarded], side="right") - 1
    free_at[guarded] = compute.ends[burst]
    early = np.where(load.starts < free_at, stream.buffer_bytes, 0) + stream.excess_bytes
    held = np.array(segment.held_back, bool)[stream.operator]
    for i in np.flatnonzero((early > 0) & held)[:1].tolist():
        raise ProtocolError(_overrun_message(stream, i, int(early[i])))
    return int(early.sum())


def _overrun_message(stream: Stream, burst: int, bytes_: int) -> str:
    buffer = LoadMode(int(stream.suspect_mode[burst])).name
    where = f"buffer {buffer}: instruction {int(stream.suspect[burst])} of the segment (LD)"
    if stream.excess_bytes[burst]:
        return f"{where} loads {int(stream.excess_bytes[burst])} bytes more than the buffer holds"
    return f"{where} overwrites {bytes_} bytes that are still to be read"


def build(kernel: Kernel, cfg: FlightLLMConfig, decoder: Decoder) -> InstructionScheduler:
    """Instantiate the core and connect it; the host's start token stands in SYS -> LD."""
    scheduler = InstructionScheduler(kernel, cfg, decoder)
    units = {unit: ExecutionUnit(kernel, unit, cfg) for unit in UNITS}
    for name, unit in units.items():
        connect(kernel, scheduler.dispatch[name], unit.stream, depth=1)
        connect(kernel, unit.times, scheduler.retired[name], depth=1)
        for other, port in unit.releases.items():
            tokens = connect(kernel, port, units[other].waits[name], cfg.token_counter_depth)
            if (name, other) == START_TOKEN:
                tokens.refill((None,))
    return scheduler
