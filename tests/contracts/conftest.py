"""What every registered system is held to: quick scenarios, and a look inside their simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.config import machine_names
from hwsim.models.registry import systems
from hwsim.outcome import Outcome, SimOptions
from hwsim.run import simulate
from hwsim.sim import Kernel
from hwsim.workloads import load_workload, write_trace

SMALL_LLM = str(Path(__file__).with_name("small_llm.json"))
SMALL_TRACE = "a trace of it"
SMALL_LAYER = str(Path(__file__).with_name("small_layer.toml"))

# For each kind of workload, some that are quick on any machine of any system; the first of a kind
# runs on every machine, the others on the first one.
SCENARIOS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "llm": {
        "decode": ("tinyllama_1_1b", "workload.phase=decode_step", "workload.kv_length=40"),
        "generate": (SMALL_LLM, "workload.prompt_tokens=20", "workload.output_tokens=20"),
        "batch": (SMALL_LLM, "workload.phase=decode_step", "workload.batch=3"),
    },
    "trace": {"trace": (SMALL_TRACE,)},
    "tensor_parallel": {
        "fused": (SMALL_LAYER,),
        "iteration": (SMALL_LAYER, "workload.scope=iteration", "workload.phase=prompt"),
    },
    "collective": {"ring": ("collective", "workload.message_bytes=1 MiB")},
}


@dataclass(frozen=True)
class Case:
    """A machine on a quick workload."""

    system: str
    machine: str
    scenario: str
    words: tuple[str, ...]
    """Workload and overrides, as on the command line."""

    def __str__(self) -> str:
        return f"{self.machine}-{self.scenario}"


@dataclass(frozen=True)
class Observed:
    """A simulation seen from inside: its busiest kernel, and what its channels held at the start.

    Most systems have one kernel; ``kernels`` is how many were run, each from rest.
    """

    outcome: Outcome
    kernel: Kernel
    at_start: Mapping[str, Any]
    kernels: int


Observe = Callable[..., Observed]


def cases() -> Iterator[Case]:
    for entry in systems():
        first, *others = machine_names(entry.name)
        for kind in entry.workload_kinds:
            scenarios = list(SCENARIOS.get(kind, {}).items())
            yield from (Case(entry.name, first, *scenario) for scenario in scenarios)
            yield from (Case(entry.name, m, *s) for m in others for s in scenarios[:1])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", list(cases()), ids=str, indirect=True, scope="session")


@pytest.fixture(scope="session")
def case(request: pytest.FixtureRequest, small_trace: str) -> Case:
    """The case, with the path of the trace that the session wrote."""
    asked: Case = request.param
    words = tuple(small_trace if word == SMALL_TRACE else word for word in asked.words)
    return replace(asked, words=words)


@pytest.fixture(scope="session")
def small_trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prefill and a few decode steps of the small model, as a trace file."""
    path = tmp_path_factory.mktemp("traces") / "small.jsonl"
    asked = [("prompt_tokens", "20"), ("output_tokens", "4")]
    write_trace(load_workload(SMALL_LLM, asked).trace, path)
    return str(path)


@pytest.fixture(scope="session")
def scenarios() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    return SCENARIOS


@pytest.fixture(scope="session")
def observe() -> Observe:
    """Simulate a case with these options, once a session, and give what was inside."""
    seen: dict[tuple[Case, SimOptions], Observed] = {}

    def observed(case: Case, **options: Any) -> Observed:
        how = replace(SimOptions(timeline=True), **options)
        if (case, how) not in seen:
            seen[case, how] = _observe(case, how)
        return seen[case, how]

    return observed


def _observe(case: Case, options: SimOptions) -> Observed:
    kernels: list[tuple[Kernel, dict[str, Any]]] = []
    original = Kernel.run

    def run(kernel: Kernel, main: Any) -> Any:
        kernels.append((kernel, {c.name: c.contents() for c in kernel.channels}))
        return original(kernel, main)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "run", run)
        workload, *overrides = case.words
        outcome = simulate(case.machine, workload, overrides, options).outcome
    kernel, at_start = max(kernels, key=lambda each: each[0].events)
    return Observed(outcome, kernel, at_start, len(kernels))
