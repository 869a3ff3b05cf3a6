"""How fast the toolkit itself is: start-up, kernel, traces, memory, and what each system adds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hwsim.models.registry import load, systems
from hwsim.sim import Component, In, Kernel, Out, Process, connect
from hwsim.workloads import load_workload

__all__ = ["Benchmark", "benchmarks"]

Progress = Callable[[float, str], None]
Measured = tuple[str, float, str]

STARTS = 5
HAND_OFFS = 100_000
DECODE_STEPS = 32
START_UP = {"help_start_up": ["--help"], "list_start_up": ["list"]}


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One measured speed."""

    name: str
    value: float
    unit: str

    def to_json(self) -> dict[str, Any]:
        """One entry of the ``benchmarks`` of ``hwsim bench --json``."""
        return asdict(self)


def benchmarks(progress: Progress | None = None) -> Iterator[Benchmark]:
    """Measure the toolkit, then whatever each registered system measures of itself."""
    sources = _sources()
    for done, (name, measure) in enumerate(sources):
        if progress is not None:
            progress(done / len(sources), name)
        yield from (Benchmark(*measured) for measured in measure())


def _sources() -> list[tuple[str, Callable[[], Iterable[Measured]]]]:
    own: list[tuple[str, Callable[[], Iterable[Measured]]]] = [
        ("start-up", start_up),
        ("kernel", kernel_speed),
        ("trace", trace_speed),
        ("memory", load("hwsim.memory.bench:benchmarks")),
    ]
    theirs = [(entry.name, load(entry.benchmarks)) for entry in systems() if entry.benchmarks]
    return own + theirs


def start_up() -> Iterator[Measured]:
    """Seconds from the command to its answer, the best of a few."""
    for name, words in START_UP.items():
        yield name, min(_seconds_of(words) for _ in range(STARTS)), "s"


def _seconds_of(words: list[str]) -> float:
    command = [sys.executable, "-m", "hwsim", *words]
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


class _Source(Component[None]):
    """Puts numbers, as fast as they are taken."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "source", None)
        self.out: Out[int] = Out(self.name, "out")

    def processes(self) -> Iterable[Process]:
        return (self._feed(),)

    def _feed(self) -> Process:
        for number in range(HAND_OFFS):
            yield self.out.put(number)
            yield self.kernel.wait(1)


class _Sink(Component[None]):
    """Takes them."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "sink", None)
        self.taken: In[int] = In(self.name, "taken")

    def take_all(self) -> Process:
        """Returns when the last number has been taken."""
        for _ in range(HAND_OFFS):
            yield self.taken.get()


def kernel_speed() -> Iterator[Measured]:
    """Hand-offs over a channel a second, one femtosecond apart, and the events they take."""
    kernel = Kernel()
    source, sink = _Source(kernel), _Sink(kernel)
    connect(kernel, source.out, sink.taken, depth=2)
    started = time.perf_counter()
    kernel.run(sink.take_all())
    seconds = time.perf_counter() - started
    yield "kernel_channel_hand_offs", HAND_OFFS / seconds, "op/s"
    yield "kernel_events", kernel.events / seconds, "op/s"


def trace_speed() -> Iterator[Measured]:
    """Trace ops built a second: decode steps of a 22-layer model."""
    steps = ("output_tokens", str(DECODE_STEPS))
    trace = load_workload("tinyllama_1_1b", [steps]).trace
    started = time.perf_counter()
    ops = sum(1 for _ in trace)
    yield "trace_ops_built", ops / (time.perf_counter() - started), "op/s"
