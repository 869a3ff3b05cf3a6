"""FlightLLM's own speed: wall seconds of typical simulations of LLaMA2-7B, for ``hwsim bench``."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hwsim.config import build, load_machine_file
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.system import simulate
from hwsim.outcome import Outcome, SimOptions
from hwsim.workloads import LlmWorkload, load_workload

__all__ = ["benchmarks"]

MACHINE = "flightllm/vhk158"
MODEL = "llama2_7b"
DECODE_STEP = [("phase", "decode_step"), ("kv_length", "128")]
PREFILL = [("phase", "prefill"), ("prompt_tokens", "512")]
WHOLE_CASE = [("prompt_tokens", "512"), ("output_tokens", "1536")]


def benchmarks() -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    seconds, outcome = _timed(DECODE_STEP)
    yield "flightllm_decode_step", seconds, "s"
    yield "flightllm_decode_step_events", outcome.events, "1"
    seconds, outcome = _timed(DECODE_STEP, replay=False)
    yield "flightllm_decode_step_no_replay", seconds, "s"
    yield "flightllm_decode_step_no_replay_events", outcome.events, "1"
    yield "flightllm_prefill_512", _timed(PREFILL)[0], "s"
    yield "flightllm_case_512_1536", _timed(WHOLE_CASE)[0], "s"


def _timed(scenario: list[tuple[str, str]], *, replay: bool = True) -> tuple[float, Outcome]:
    """Wall seconds of one simulation, and what it gave."""
    config = build(FlightLLMConfig, load_machine_file(MACHINE))
    workload = load_workload(MODEL, scenario)
    assert isinstance(workload, LlmWorkload)
    started = time.perf_counter()
    outcome = simulate(config, workload, SimOptions(replay=replay))
    return time.perf_counter() - started, outcome
