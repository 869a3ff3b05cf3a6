"""What a finished simulation holds, before it is turned into metrics.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.models.flightllm.compiler import Program
from hwsim.models.flightllm.core import InstructionScheduler
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.times import ProgramTimes
from hwsim.sim import Kernel
from hwsim.sim.timeline import Timeline
from hwsim.workloads import Step

__all__ = ["Run", "StepRun"]


@dataclass(frozen=True)
class StepRun:
    """One step of the trace: its program, when it ran, and what its operators did."""

    step: Step
    program: Program
    start_fs: int
    elapsed_fs: int
    times: ProgramTimes


@dataclass(frozen=True)
class Run:
    """The machine after its last step."""

    plan: Plan
    kernel: Kernel
    core: InstructionScheduler
    steps: list[StepRun]
    timeline: Timeline | None
