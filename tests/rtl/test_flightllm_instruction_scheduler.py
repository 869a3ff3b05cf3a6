"""The scheduler's RTL beside the SimPy machine: a compiled layer, every issue of it.

Both are given the compiler's words and the same latencies: those of the machine's timing law, in
whole cycles. The SimPy machine has its instructions when a segment starts; the RTL fetches them,
a word a cycle. So the RTL's first load comes ``arrivals`` cycles later, and everything after it
just as much later, if its queues let the fetch stay ahead.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import UNITS, HbmAccess, Opcode
from hwsim.laws.flightllm_scheduler import (
    MIN_CYCLES,
    Instruction,
    SchedulerGeometry,
    arrivals,
    check,
    instructions,
    timetable,
)
from hwsim.models.flightllm import decoder as decoder_module
from hwsim.models.flightllm import isa
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import Segment, SegmentTimes, build
from hwsim.models.flightllm.decoder import Decoder
from hwsim.models.flightllm.plan import Plan, plan_of
from hwsim.models.flightllm.timing import LumpedTiming
from hwsim.run import load
from hwsim.sim import Event, In, Kernel, Out, connect

Cycles = NDArray[np.int64]
SYS = Opcode.SYS


class WholeCycles(LumpedTiming):
    """The machine's durations, rounded to whole cycles that a unit of registers can have."""

    def __init__(self, cfg: FlightLLMConfig) -> None:
        super().__init__(cfg)
        self.period_fs = self.cycles_to_fs(1)

    def transfer_fs(self, buffer_bytes: int, access: HbmAccess, ratio: Fraction) -> int:
        return self._whole(super().transfer_fs(buffer_bytes, access, ratio))

    def zero_fill_fs(self, length: int) -> int:
        return self._whole(super().zero_fill_fs(length))

    def compute_fs(self, unit: Opcode, k_blocks: int, density: Fraction) -> int:
        return self._whole(super().compute_fs(unit, k_blocks, density))

    def misc_fs(self, operation: int, k_blocks: int) -> int:
        return self._whole(super().misc_fs(operation, k_blocks))

    def _whole(self, fs: int) -> int:
        return max(MIN_CYCLES, round(fs / self.period_fs)) * self.period_fs


@dataclass(frozen=True)
class Layer:
    """A compiled decode layer, and what the SimPy machine did with it, in cycles."""

    words: list[int]
    program: list[Instruction]
    busy: list[int]
    started: Cycles


def compiled(workload: str) -> tuple[Plan, list[Segment]]:
    """The first layer of a decode step."""
    step = ("workload.phase=decode_step", "workload.kv_length=128")
    machine, work = load("flightllm/u280", workload, step)
    assert isinstance(machine.config, FlightLLMConfig)
    plan = plan_of(machine.config, work)
    (decode,) = plan.trace.steps()
    parts = plan.program(decode).parts
    first = [part for part in parts if all(c.operator.main.layer == 0 for c in part.operators)]
    return plan, [plan.compiler.segment(part) for part in first]


@pytest.fixture(scope="module", params=["tinyllama_1_1b", "llama2_7b"])
def layer(request: pytest.FixtureRequest) -> Layer:
    plan, segments = compiled(request.param)
    words = np.concatenate([segment.words for segment in segments])
    held_back = sum((segment.held_back for segment in segments), ())
    timing = WholeCycles(plan.config)
    durations = np.zeros(len(isa.scan(words)[0]), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        _record_durations(patch, durations)
        decoder = Decoder(plan.config, plan.memory, timing)
        times = _run(plan.config, decoder, Segment(words, held_back))
    program = instructions(words.tolist())
    starts = _starts(program, times, durations)
    assert not (durations % timing.period_fs).any()
    assert not (starts % timing.period_fs).any()
    busy = (durations // timing.period_fs).tolist()
    return Layer(words.tolist(), program, busy, starts // timing.period_fs)


def _record_durations(patch: pytest.MonkeyPatch, durations: Cycles) -> None:
    """Have each instruction's duration noted before the decoder merges them into bursts."""
    merge = decoder_module._stream

    def stream(unit: Opcode, decoded: Any, *rest: Any) -> Any:
        durations[decoded.at] = decoded.durations
        return merge(unit, decoded, *rest)

    patch.setattr(decoder_module, "_stream", stream)


def _run(cfg: FlightLLMConfig, decoder: Decoder, segment: Segment) -> SegmentTimes:
    kernel = Kernel()
    scheduler = build(kernel, cfg, decoder)
    segments: Out[Segment] = Out("test", "segments")
    done: In[SegmentTimes] = In("test", "done")
    connect(kernel, segments, scheduler.segments, depth=1)
    connect(kernel, scheduler.done, done, depth=1)

    def host() -> Generator[Event, Any, SegmentTimes]:
        yield segments.put(segment)
        finished: SegmentTimes = yield done.get()
        return finished

    found: SegmentTimes = kernel.run(host())
    return found


def _starts(program: list[Instruction], times: SegmentTimes, durations: Cycles) -> Cycles:
    """When each instruction began: its burst's start and what ran before it in the burst."""
    starts = np.full(len(program), -1, np.int64)
    for unit, found in times.units.items():
        mine = np.array([i for i, each in enumerate(program) if each.unit is unit], np.int64)
        before = np.cumsum(durations[mine]) - durations[mine]
        sizes = np.diff(np.append(found.stream.begins, len(mine)))
        starts[mine] = np.repeat(found.starts - before[found.stream.begins], sizes) + before
    assert (starts >= 0).all()
    return starts


# The law and the SimPy machine


def test_the_law_issues_a_compiled_layer_as_the_machine_does(layer: Layer) -> None:
    """Order and cycle of every issue, after the cycles in which the first load is fetched."""
    found = timetable(SchedulerGeometry(), layer.program, layer.busy)
    assert arrivals(layer.program[:1]) == [9]
    assert np.array_equal(np.array(found.issued) - 9, layer.started)


def test_queues_too_short_to_stay_ahead_cost_cycles(layer: Layer) -> None:
    found = timetable(SchedulerGeometry(queue_depth=8), layer.program, layer.busy)
    late = np.array(found.issued) - 9 - layer.started
    assert late.min() == 0
    assert late.max() > 0


@pytest.mark.parametrize("workload", ["tinyllama_1_1b", "llama2_7b", "opt_6_7b", "mistral_7b"])
def test_compiled_programs_pass_the_check_with_the_default_counters(workload: str) -> None:
    _, segments = compiled(workload)
    words = np.concatenate([segment.words for segment in segments])
    check(instructions(words.tolist()), SchedulerGeometry().token_counter_depth)


# The RTL and the SimPy machine


@pytest.mark.rtl
@pytest.mark.slow
def test_the_rtl_issues_a_compiled_layer_as_the_machine_does(layer: Layer) -> None:
    pytest.importorskip("amaranth")
    from rtl.benches.flightllm_instruction_scheduler import replayed
    from rtl.flow.emit import emit
    from rtl.flow.label import module_name
    from rtl.flow.simulate import Design, run_cases
    from rtl.flow.tools import find_simulator
    from rtl.registry import block

    geometry = SchedulerGeometry()
    scheduler = block("flightllm.instruction_scheduler")
    ready = {unit: [True] for unit in UNITS}
    case = replayed(geometry, "layer", layer.words, layer.busy, [0] * len(layer.words), ready)
    for unit in UNITS:
        mine = [i for i, each in enumerate(layer.program) if each.unit is unit]
        due = (layer.started[mine] + 9).tolist()
        assert [cycle for cycle, _ in case.expected[unit.name.lower()]] == due
    design = Design(module_name(scheduler, geometry), emit(scheduler, geometry), scheduler.models)
    assert run_cases(design, find_simulator(), [case])["wrong"] == ""
