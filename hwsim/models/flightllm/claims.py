"""Published figures that no single number of an outcome gives: hooks for ``paper.toml``.

A hook takes the outcomes of a claim's scenarios by name. What it counts in instructions, it counts
in the encoded programs of the scenario, after checking that the machine ran as many.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; the authors' public artifact (profiler).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hwsim.config import apply_overrides, build, load_machine_file, parse_overrides, read_toml
from hwsim.errors import InvariantError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm import isa
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.models.flightllm.plan import Plan, plan_of
from hwsim.outcome import Outcome
from hwsim.workloads import LlmWorkload, load_workload

__all__ = ["Kind", "Outcomes", "instructions_by_kind", "scenario_plan"]

Outcomes: TypeAlias = Mapping[str, Outcome]
Hook: TypeAlias = Callable[[Outcomes], float]
Fields: TypeAlias = Mapping[str, NDArray[np.int64]]
LD, ST, MM, MV, MISC, SYS = Opcode

MS_PER_SECOND = 1000
URAM_BYTES = 4096 * 8
"""Data bytes of one URAM: 4096 words of 64 bits, the other 8 of its 72 unused."""
BIAS_BYTES = 4
MACS_PER_DSP = 2


# A claim's scenario ----------------------------------------------------------------------------


def scenario_plan(name: str) -> Plan:
    """The scenario of that name in ``paper.toml``, made ready for its machine."""
    with as_file(files("hwsim.models.flightllm") / "paper.toml") as path:
        scenario = read_toml(path).data["scenarios"][name]
    given = parse_overrides(scenario.get("set", ()))
    workload = load_workload(scenario["workload"], given["workload"])
    assert isinstance(workload, LlmWorkload)
    return plan_of(_machine(scenario["machine"], given["machine"]), workload)


def _machine(name: str, overrides: list[tuple[str, str]]) -> FlightLLMConfig:
    raw = apply_overrides(load_machine_file(name), FlightLLMConfig, overrides)
    return build(FlightLLMConfig, raw)


def _only(runs: Outcomes) -> tuple[str, Outcome]:
    """The name and the outcome of a claim's only scenario."""
    ((name, outcome),) = runs.items()
    return name, outcome


# Busy time of a unit ---------------------------------------------------------------------------


def _busy(unit: Opcode) -> Hook:
    """Seconds for which a unit was busy."""

    def seconds(runs: Outcomes) -> float:
        _, outcome = _only(runs)
        work = outcome.tables["work"]
        (row,) = (dict(zip(work.columns, r, strict=True)) for r in work.rows if r[0] == unit.name)
        return float(row["busy_ms"]) / MS_PER_SECOND

    return seconds


ld_busy, st_busy, misc_busy, sys_busy = _busy(LD), _busy(ST), _busy(MISC), _busy(SYS)
mm_busy, mv_busy = _busy(MM), _busy(MV)


# Instructions by kind --------------------------------------------------------------------------


class Kind(NamedTuple):
    """What tells instructions apart in the published profile.

    ``what`` is the operation of a MISC, what a LD brings, or ``sparse`` / ``dense``; ``k`` counts
    blocks of 16 elements.
    """

    unit: Opcode
    what: str = ""
    k: int = 0


@dataclass(frozen=True)
class Tally:
    """Instructions of each kind, and the bytes that those of LD bring into the buffers."""

    count: Counter[Kind]
    buffer_bytes: Counter[Kind]


@cache
def instructions_by_kind(scenario: str) -> Tally:
    """What the programs of a scenario of ``paper.toml`` hold, each step's program once a step."""
    plan = scenario_plan(scenario)
    total = Tally(Counter(), Counter())
    for words in _segments(plan):
        found = _tally(words, plan.memory)
        total.count.update(found.count)
        total.buffer_bytes.update(found.buffer_bytes)
    return total


def _segments(plan: Plan) -> Iterator[NDArray[np.uint32]]:
    """The encoded segments of every step, in order."""
    for step in plan.trace.steps():
        for part in plan.program(step).parts:
            yield plan.compiler.segment(part).words


def _tally(words: NDArray[np.uint32], memory: MemoryMap) -> Tally:
    _, encoded = isa.split(words)
    fields = {unit: isa.decode(unit, encoded[unit]) for unit in Opcode}
    count = Counter({Kind(unit): len(encoded[unit]) for unit in (ST, SYS)})
    for unit in (MM, MV):
        for (sparse, k), n in _occurrences(fields[unit], "sparse", "k"):
            count[Kind(unit, "sparse" if sparse else "dense", k)] = n
    for (operation, k), n in _occurrences(fields[MISC], "op", "k"):
        count[Kind(MISC, MiscOp(operation).name.lower(), k)] = n
    buffer_bytes: Counter[Kind] = Counter()
    for what, chosen in _loads(fields[LD], memory).items():
        count[Kind(LD, what)] = int(chosen.sum())
        buffer_bytes[Kind(LD, what)] = int(fields[LD]["length_1d"][chosen].sum())
    return Tally(count, buffer_bytes)


def _occurrences(fields: Fields, one: str, other: str) -> Iterable[tuple[tuple[int, int], int]]:
    """Pairs of values of two fields, each with how many instructions have it."""
    return Counter(zip(fields[one].tolist(), fields[other].tolist(), strict=True)).items()


def _loads(load: Fields, memory: MemoryMap) -> dict[str, NDArray[np.bool_]]:
    """Which loads bring what; every load brings one thing."""
    mode, zeros = load["mode"], load["zero_fill"] == 1
    to_matrix = ((mode == LoadMode.A) | (mode == LoadMode.B)) & ~zeros
    stored = np.array([region.k_blocks > 0 for region in memory.regions] + [False])
    region = np.where(to_matrix, memory.lookup(load["hbm_addr"]), -1)
    weights = to_matrix & stored[region]
    cache_ = to_matrix & (region >= 0) & ~weights
    global_, single = mode == LoadMode.GLOBAL, load["hbm_type"] == HbmAccess.SINGLE
    return {
        "zeros": zeros,
        "weights": weights,
        "cache": cache_,
        "vectors": to_matrix & (region < 0),
        "bias": mode == LoadMode.BIAS,
        "norms": global_ & single,
        "operands": global_ & ~single,
        "metadata": (mode == LoadMode.META) | (mode == LoadMode.FSB),
    }


def _checked(runs: Outcomes) -> Tally:
    """The tally of a claim's scenario, if the machine ran just as many instructions."""
    name, outcome = _only(runs)
    tally, executed = instructions_by_kind(name), outcome.metrics["instructions"].value
    if tally.count.total() != executed:
        raise InvariantError(
            f"{name}: programs must hold the {executed} instructions that ran, "
            f"got {tally.count.total()}"
        )
    return tally


def _count(unit: Opcode, what: str, k: int) -> Hook:
    """How many instructions of a kind ran."""
    return lambda runs: _checked(runs).count[Kind(unit, what, k)]


mv_dense_128, mv_sparse_128 = _count(MV, "dense", 128), _count(MV, "sparse", 128)
mv_dense_114 = _count(MV, "dense", 114)
mv_dense_8, mv_dense_4 = _count(MV, "dense", 8), _count(MV, "dense", 4)
mm_dense_256, mm_sparse_256 = _count(MM, "dense", 256), _count(MM, "sparse", 256)
mm_dense_229, mm_dense_1 = _count(MM, "dense", 229), _count(MM, "dense", 1)
mm_dense_8 = _count(MM, "dense", 8)
misc_mul_32, misc_add_32 = _count(MISC, "mul", 32), _count(MISC, "add", 32)
misc_silu_32, misc_softmax_8 = _count(MISC, "silu", 32), _count(MISC, "softmax", 8)
misc_rmsnorm_256 = _count(MISC, "rmsnorm", 256)


def _loaded(what: str) -> Hook:
    """Buffer bytes of the loads of one sort, which are HBM bytes for all but weights and zeros."""
    return lambda runs: _checked(runs).buffer_bytes[Kind(LD, what)]


cache_bytes, operand_bytes = _loaded("cache"), _loaded("operands")
bias_bytes, vector_bytes, norm_bytes = _loaded("bias"), _loaded("vectors"), _loaded("norms")


def weight_bytes(runs: Outcomes) -> float:
    """HBM bytes of weights: all that was read, less what else was read."""
    tally, (_, outcome) = _checked(runs), _only(runs)
    others = set(tally.buffer_bytes) - {Kind(LD, "weights"), Kind(LD, "zeros")}
    return outcome.metrics["bytes_read"].value - sum(tally.buffer_bytes[kind] for kind in others)


def bytes_loaded(runs: Outcomes) -> float:
    """Bytes of all loads as the published profile counts them, with zero fills that read no HBM."""
    _, outcome = _only(runs)
    return outcome.metrics["bytes_read"].value + _loaded("zeros")(runs)


# Resources that the machine's sizes imply ------------------------------------------------------


def matrix_engine_dsps(runs: Outcomes) -> float:
    """DSP48s of the matrix engines: two INT8 MACs each."""
    config = _config(runs)
    return config.cores * config.core.mm_lanes / MACS_PER_DSP


def buffer_urams(runs: Outcomes) -> float:
    """URAMs of the activation and bias buffers."""
    config = _config(runs)
    buffers, core = config.buffers, config.core
    activations = buffers.a_depth * buffers.a_mm_row_bytes * config.hbm.channels_per_core
    bias = buffers.bias_depth * core.mm_columns * BIAS_BYTES
    return config.cores * sum(ceil_div(size, URAM_BYTES) for size in (activations, bias))


def _config(runs: Outcomes) -> FlightLLMConfig:
    name, _ = _only(runs)
    return scenario_plan(name).config
