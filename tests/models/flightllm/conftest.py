"""What the tests of FlightLLM share: an oracle, small models, runs made once, a bare machine."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import Opcode
from hwsim.models.flightllm import isa
from hwsim.models.flightllm.block import Block
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import Segment, SegmentTimes, build
from hwsim.models.flightllm.decoder import Decoder
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.models.flightllm.plan import Plan, plan_of
from hwsim.models.flightllm.timing import LumpedTiming
from hwsim.outcome import Outcome, SimOptions
from hwsim.run import load, load_machine, simulate
from hwsim.sim import Event, In, Kernel, Out, connect

Words = NDArray[np.uint32]

# Small, and with everything the schedule has: K tiles with a remainder in MV and in MM, columns
# that fill no group of 512, more than 512 blocks of columns in the head.
SMALL: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 4144,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 8320,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="session")
def oracle(repository: Path) -> ModuleType:
    """The independent schedule, :mod:`tests/reference/flightllm_schedule.py`."""
    path = repository / "tests" / "reference" / "flightllm_schedule.py"
    spec = importlib.util.spec_from_file_location("reference_flightllm_schedule", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The path of a ``config.json`` as Hugging Face has them: the small model with other keys."""

    def path(**keys: Any) -> str:
        found = tmp_path_factory.mktemp("model") / "config.json"
        found.write_text(json.dumps({**SMALL, **keys}))
        return str(found)

    return path


@pytest.fixture(scope="session")
def small(model: Callable[..., str]) -> str:
    """The small model."""
    return model()


@pytest.fixture(scope="session")
def run() -> Callable[..., Outcome]:
    """``run(machine, workload, *overrides, **options)``: the outcome, simulated once a session."""
    kept: dict[Any, Outcome] = {}

    def outcome(machine: str, workload: str, *overrides: str, **options: Any) -> Outcome:
        key = (machine, workload, overrides, *options.items())
        if key not in kept:
            how = SimOptions(**options)
            kept[key] = simulate(f"flightllm/{machine}", workload, overrides, how).outcome
        return kept[key]

    return outcome


@pytest.fixture(scope="session")
def plan() -> Callable[..., Plan]:
    """``plan(machine, workload, *overrides)``: what is fixed before a simulation starts."""

    def made(machine: str, workload: str, *overrides: str) -> Plan:
        built, work = load(f"flightllm/{machine}", workload, overrides)
        assert isinstance(built.config, FlightLLMConfig)
        return plan_of(built.config, work)

    return made


@pytest.fixture(scope="session")
def config() -> Callable[..., FlightLLMConfig]:
    """``config(*overrides)``: a VHK158, each override as after ``machine.`` on the command line."""

    def made(*overrides: str) -> FlightLLMConfig:
        pairs = [(word.partition("=")[0], word.partition("=")[2]) for word in overrides]
        found = load_machine("flightllm/vhk158", pairs).config
        assert isinstance(found, FlightLLMConfig)
        return found

    return made


@pytest.fixture(scope="session")
def encoded() -> Callable[[Block], Words]:
    """The words of a block whose tensors all lie in scratch space."""

    def words(block: Block) -> Words:
        return block.encode(dict.fromkeys(block.slots, 0))

    return words


@pytest.fixture(scope="session")
def execute() -> Callable[..., SegmentTimes]:
    """``execute(config, words)``: a bare core runs a segment of whole operators."""

    def times(
        cfg: FlightLLMConfig,
        words: Words,
        memory: MemoryMap | None = None,
        *,
        held_back: bool = True,
    ) -> SegmentTimes:
        memory = memory or MemoryMap(cfg, (), 1, DensityMaps.load(None))
        kernel = Kernel()
        scheduler = build(kernel, cfg, Decoder(cfg, memory, LumpedTiming(cfg)))
        segments: Out[Segment] = Out("test", "segments")
        done: In[SegmentTimes] = In("test", "done")
        connect(kernel, segments, scheduler.segments, depth=1)
        connect(kernel, scheduler.done, done, depth=1)
        operators = int((isa.split(words)[0] == Opcode.SYS).sum())

        def host() -> Generator[Event, Any, SegmentTimes]:
            yield segments.put(Segment(words, (held_back,) * operators))
            finished: SegmentTimes = yield done.get()
            return finished

        found: SegmentTimes = kernel.run(host())
        return found

    return times


@pytest.fixture(scope="session")
def program() -> Callable[[Plan], Words]:
    """The words of the program of a plan's only step."""

    def words(plan: Plan) -> Words:
        (step,) = plan.trace.steps()
        parts = plan.program(step).parts
        return np.concatenate([plan.compiler.segment(part).words for part in parts])

    return words


@pytest.fixture(scope="session")
def edited() -> Callable[..., Words]:
    """``edited(words, unit, at, **fields)``: fields of the ``at``-th instruction of a unit set."""

    def words(words: Words, unit: Opcode, at: int | Iterable[int], **fields: int) -> Words:
        order, kinds = isa.split(words)
        columns = isa.decode(unit, kinds[unit])
        for name, value in fields.items():
            columns[name][np.array(at)] = value
        return isa.assemble(order, {**kinds, unit: isa.encode(unit, columns, len(kinds[unit]))})

    return words


@pytest.fixture(scope="session")
def fields() -> Callable[[Words, Opcode], dict[str, NDArray[np.int64]]]:
    """The operands of all instructions of a unit in a program."""
    return lambda words, unit: isa.decode(unit, isa.split(words)[1][unit])
