"""FlightLLM simulated: the machine instantiated and connected, the trace's steps fed to it.

The task scheduler compiles each step of the trace, hands the machine its program part by part, and
replays what it has seen from the same state: parts within a step, and whole steps of the same
bucket.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1 (task scheduler).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import DeadlockError, WorkloadError
from hwsim.models.flightllm import isa
from hwsim.models.flightllm.compiler import Compiler, Part, Program
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import Segment, SegmentTimes, build
from hwsim.models.flightllm.decoder import Decoder
from hwsim.models.flightllm.outcome import outcome_of
from hwsim.models.flightllm.plan import Plan, plan_of
from hwsim.models.flightllm.run import Run, StepRun
from hwsim.models.flightllm.times import OperatorTimes, ProgramTimes, operator_times
from hwsim.models.flightllm.timing import LumpedTiming
from hwsim.models.flightllm.tokens import least_depth
from hwsim.outcome import Outcome, SimOptions
from hwsim.sim import Component, Event, In, Kernel, Out, Process, Replay, connect
from hwsim.sim.timeline import Timeline
from hwsim.workloads import LlmWorkload, TraceWorkload

__all__ = ["ProgramFile", "programs", "simulate"]

TIMELINE_SLICES = 1_000_000


class TaskScheduler(Component[FlightLLMConfig]):
    """Feeds the core one part of a program at a time.

    Ports
    -----
    segments : Out[Segment]
        Work for the core.
    done : In[SegmentTimes]
        What the core did.
    """

    def __init__(
        self, kernel: Kernel, cfg: FlightLLMConfig, compiler: Compiler, replay: Replay
    ) -> None:
        super().__init__(kernel, "host.scheduler", cfg)
        self._compiler = compiler
        self._replay = replay
        self.running: Part | None = None
        # ports
        self.segments: Out[Segment] = Out(self.name, "segments")
        self.done: In[SegmentTimes] = In(self.name, "done")

    def run(self, plan: Plan, progress: Callable[[float, str], None] | None) -> Process:
        """Run every step of the trace; returns a list of :class:`StepRun`."""
        runs: list[StepRun] = []
        for step in plan.trace.steps():
            if progress:
                progress(len(runs) / plan.steps, f"{step.phase} of {step.attended} positions")
            self._limit_timeline()
            program = plan.program(step)
            done = yield from self._replay.run(program, self._program, program)
            runs.append(StepRun(step, program, done.start_fs, done.elapsed_fs, done.result))
        return runs

    def _program(self, program: Program) -> Generator[Event, Any, ProgramTimes]:
        """Run a program part by part."""
        start = self.kernel.now
        operators: list[OperatorTimes] = []
        overrun = 0
        for part in program.parts:
            done = yield from self._replay.run(part.key, self._part, part)
            times, bytes_ = done.result
            operators += [operator.shifted(done.start_fs - start) for operator in times]
            overrun += bytes_
        return ProgramTimes(tuple(operators), overrun)

    def _limit_timeline(self) -> None:
        """Stop recording between two steps once the timeline is long: a viewer takes no more."""
        timeline = self.kernel.timeline
        if timeline is not None and len(timeline.slices) > TIMELINE_SLICES:
            self.kernel.timeline = None

    def _part(self, part: Part) -> Generator[Event, Any, tuple[list[OperatorTimes], int]]:
        self.running = part
        yield self.segments.put(self._compiler.segment(part))
        times: SegmentTimes = yield self.done.get()
        return operator_times(times), times.overrun_bytes


def simulate(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, options: SimOptions
) -> Outcome:
    """Simulate ``workload`` on the machine ``config``.

    Raises
    ------
    WorkloadError
        For a model that doesn't fit, a length beyond the machine's, an op it has no instruction
        for, a program that the machine's token counters are too shallow for.
    ProtocolError
        For a program that overruns a buffer its schedule should keep from overrunning.
    """
    plan = plan_of(config, workload)
    timeline = Timeline() if options.timeline else None
    kernel = Kernel(shuffle_ties=options.shuffle_ties, seed=options.seed, timeline=timeline)
    decoder = Decoder(config, plan.memory, LumpedTiming(config))
    core = build(kernel, config, decoder)
    host = TaskScheduler(kernel, config, plan.compiler, Replay(kernel, enabled=options.replay))
    connect(kernel, host.segments, core.segments, depth=1)
    connect(kernel, core.done, host.done, depth=1)
    try:
        steps: list[StepRun] = kernel.run(host.run(plan, options.progress))
    except DeadlockError as error:
        _blame_counters(plan, decoder, host.running, error)
        raise
    return outcome_of(Run(plan, kernel, core, steps, timeline))


def _blame_counters(plan: Plan, decoder: Decoder, part: Part | None, error: DeadlockError) -> None:
    """Raise :class:`WorkloadError` if deeper token counters would have kept ``part`` going."""
    if part is None:
        return
    least = least_depth(decoder.streams(plan.compiler.segment(part).words))
    depth = plan.config.token_counter_depth
    if least is not None and depth < least:
        op = part.operators[0].operator.main
        raise WorkloadError(
            f"op {op.index} {op.name!r}: machine.token_counter_depth must be at least {least} for "
            f"its program, got {depth}"
        ) from error


@dataclass(frozen=True)
class ProgramFile:
    """The program of one bucket for one core, as instruction words.

    In the lumped fidelity every core is handed the one stream that holds the whole model.
    """

    name: str
    core: int
    words: NDArray[np.uint32]

    def text(self) -> Iterator[str]:
        """One line an instruction."""
        return isa.disassemble(self.words)


def programs(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload
) -> Iterator[ProgramFile]:
    """The programs that ``workload`` needs, one for each bucket and core."""
    plan = plan_of(config, workload)
    distinct = dict.fromkeys(plan.program(step) for step in plan.trace.steps())
    for program in distinct:
        words = np.concatenate([plan.compiler.segment(part).words for part in program.parts])
        for core in range(config.cores):
            yield ProgramFile(program.name, core, words)
