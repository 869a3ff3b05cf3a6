"""What is fixed before a simulation starts: trace, placement, mask, compiler.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from math import ceil, isqrt

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.models.flightllm.checks import MAX_PIECES, Tensors, check_step
from hwsim.models.flightllm.compiler import Compiler, Program
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.masks import (
    BLOCK_TOKENS,
    BlockMask,
    generate_mask,
    load_mask,
)
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.units import format_quantity
from hwsim.workloads import (
    PROJECTION_ROLES,
    Attention,
    Gemm,
    LlmScenario,
    LlmWorkload,
    Numerics,
    Op,
    Step,
    Trace,
    TraceWorkload,
)

__all__ = ["Plan", "plan_of"]

MAX_MASK_BLOCKS = 2**24


@dataclass
class Plan:
    """A workload made ready for a machine. ``steps`` is how many the trace has."""

    config: FlightLLMConfig
    workload: LlmWorkload | TraceWorkload
    trace: Trace
    memory: MemoryMap
    compiler: Compiler
    steps: int
    _programs: dict[Hashable, Program] = field(default_factory=dict)
    _distinct: dict[Hashable, Program] = field(default_factory=dict)

    def program(self, step: Step) -> Program:
        """The step's program: one object for all steps that run the same."""
        key = self._key(step)
        if key not in self._programs:
            program = self.compiler.program(step)
            self._programs[key] = self._distinct.setdefault((program.name, program.key), program)
        return self._programs[key]

    def _key(self, step: Step) -> Hashable:
        """Equal only for steps that run the same program; cheap for steps that were built."""
        if isinstance(self.workload, LlmWorkload):
            window = self.workload.shape.sliding_window or step.attended
            return step.phase, self.compiler.bucket(step), step.attended > window
        return step.signature()

    def instruction_bytes(self, steps: Iterable[Step]) -> tuple[int, int]:
        """Bytes of one core's programs for ``steps``: one a bucket, and one an exact length."""
        programs: dict[Program, int] = {}
        exact: dict[Hashable, int] = {}
        for step in steps:
            program = self.program(step)
            if program not in programs:
                programs[program] = self.compiler.size_bytes(program)
            length = (step.phase, step.tokens, step.attended)
            if length not in exact:
                exact[length] = self._exact_bytes(step, programs[program])
        return sum(programs.values()), sum(exact.values())

    def _exact_bytes(self, step: Step, in_bucket: int) -> int:
        """Size of the program for just this length, ``in_bucket`` being that of its bucket.

        A decode program's depends on the length through its groups of columns alone.
        """
        bucket, group = self.compiler.bucket(step), self.config.core.mv_columns
        same_groups = ceil_div(bucket, group) == ceil_div(step.attended, group)
        if bucket == step.attended or (step.phase == "decode" and same_groups):
            return in_bucket
        config = self.config.model_copy(update={"length_adaptive_compilation": False})
        compiler = Compiler(config, self.memory, lambda: self.compiler.mask)
        return compiler.size_bytes(compiler.program(step))


def plan_of(config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload) -> Plan:
    """Read off what the workload needs and check that the machine has it.

    Raises
    ------
    WorkloadError
        For a length beyond ``max_tokens``, a model beyond HBM, a mask of another shape.
    """
    maps = DensityMaps.load(config.weights.density_map)
    trace = _stored_trace(config, workload, maps)
    longest, steps, first = _survey(config, workload, trace)
    maps.check_names(first)
    memory = MemoryMap(config, first, longest, maps)
    _check_capacity(config, workload, memory)
    mask = _mask_of(config, first)
    return Plan(config, workload, trace, memory, Compiler(config, memory, mask), steps)


def _stored_trace(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, maps: DensityMaps
) -> Trace:
    """The trace with the weights as dense as the machine stores them."""
    if isinstance(workload, LlmWorkload):
        trace = workload.trace_in(numerics(config, maps))
        if maps.means.keys() <= set(PROJECTION_ROLES):
            return trace
    else:
        trace = workload.trace
    return replace(trace, source=lambda: (_stored(config, maps, step) for step in trace.steps()))


def _stored(config: FlightLLMConfig, maps: DensityMaps, step: Step) -> Step:
    ops = tuple(
        replace(op, density=float(_density(config, maps, op))) if isinstance(op, Gemm) else op
        for op in step.ops
    )
    return replace(step, ops=ops)


def _density(config: FlightLLMConfig, maps: DensityMaps, op: Gemm) -> Fraction | float:
    """That of the user's map; of the trace, where it has any sparsity; of the config."""
    mapped = maps.means.get(op.name, maps.means.get(op.role))
    if mapped is not None:
        return mapped
    return config.density(op.role) if op.density == 1.0 else op.density


def numerics(config: FlightLLMConfig, maps: DensityMaps) -> Numerics:
    """The densities by role of the weights as the machine stores them."""
    density = {role: float(maps.means.get(role, config.density(role))) for role in PROJECTION_ROLES}
    return Numerics.model_validate({"density": density})


def _survey(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, trace: Trace
) -> tuple[int, int, tuple[Op, ...]]:
    """Longest context, number of steps, ops that need memory; refuses what can't run."""
    if isinstance(workload, LlmWorkload):
        scenario = workload.scenario
        _check_length(config, workload.name, scenario)
        _check_batch(workload.name, scenario)
        first = next(trace.steps())
        with located(workload.where):
            check_step(config, first)
        steps = 1 + (scenario.output_tokens if scenario.phase == "generate" else 0)
        return scenario.attended, steps, tuple(first.ops)
    longest, steps = 0, 0
    tensors = Tensors()
    for step in trace.steps():
        with located(workload.where):
            check_step(config, step)
            for op in step.ops:
                tensors.add(op)
        longest, steps = max(longest, step.attended), steps + 1
    return longest, steps, tensors.ops


@contextlib.contextmanager
def located(where: str) -> Iterator[None]:
    """Put ``where`` in front of the message of a :class:`WorkloadError`."""
    try:
        yield
    except WorkloadError as error:
        raise WorkloadError(f"{where}: {error}") from None


def _check_length(config: FlightLLMConfig, name: str, scenario: LlmScenario) -> None:
    if scenario.attended > config.max_tokens:
        raise WorkloadError(
            f"{name}: {scenario.attended_key} must be at most machine.max_tokens = "
            f"{config.max_tokens}, got {scenario.attended}"
        )


def _check_batch(name: str, scenario: LlmScenario) -> None:
    """Refuse in the scenario's words a first step of more rows than any step may have."""
    decode = scenario.phase == "decode_step"
    key = "batch" if decode else "batch x prompt_tokens"
    rows = scenario.batch * (1 if decode else scenario.prompt_tokens)
    if rows > MAX_PIECES:
        raise WorkloadError(f"{name}: {key} must be at most {MAX_PIECES}, got {rows}")


def _check_capacity(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, memory: MemoryMap
) -> None:
    needed, capacity = memory.stored_bytes, config.hbm.capacity
    if needed > capacity:
        raise WorkloadError(
            f"{workload.name}: weights and KV cache must fit machine.hbm.capacity = "
            f"{format_quantity(capacity, 'B')}, got {format_quantity(ceil(needed), 'B')}"
        )


def _mask_of(config: FlightLLMConfig, ops: tuple[Op, ...]) -> Callable[[], BlockMask | None]:
    """What makes the attention mask for these layers; None computes every causal block.

    A user's mask is read, and refused, at once; the published one is made when it is asked for.
    """
    attention = [op for op in ops if isinstance(op, Attention)]
    causal = not config.sparse_dsp_chain or config.attention.mask == "causal"
    if not attention or causal:
        return lambda: None
    layers = 1 + max(op.layer or 0 for op in attention)
    heads = attention[0].heads
    if config.attention.mask == "published":
        return partial(_published_mask, config, layers, heads)
    mask = _users_mask(config, layers, heads)
    return lambda: mask


def _published_mask(config: FlightLLMConfig, layers: int, heads: int) -> BlockMask:
    """The published mask stretched to this model and the machine's longest prompt."""
    blocks = ceil_div(config.longest_program, BLOCK_TOKENS)
    most = isqrt(MAX_MASK_BLOCKS // (layers * heads))
    if blocks > most:
        bucket = config.buckets.prefill
        raise WorkloadError(
            f"machine.max_tokens must be at most {most * BLOCK_TOKENS // bucket * bucket} for a "
            f"published attention mask of {layers} layers x {heads} heads (any with "
            f"machine.attention.mask = causal), got {config.max_tokens}"
        )
    return generate_mask(layers, heads, blocks)


def _users_mask(config: FlightLLMConfig, layers: int, heads: int) -> BlockMask:
    """The user's mask, if it is of this model and covers the machine's longest context."""
    path, lanes = config.attention.mask, config.core.k_lanes
    mask = load_mask(path)
    if mask.block_tokens % lanes:
        raise WorkloadError(
            f"{path}: block_tokens must be a multiple of {lanes}, got {mask.block_tokens}"
        )
    blocks = ceil_div(config.longest_program, mask.block_tokens)
    if (mask.layers, mask.heads) != (layers, heads) or mask.blocks < blocks:
        wanted = f"[{layers}, {heads}, {blocks}, {blocks}] or more blocks"
        raise WorkloadError(f"{path}: mask must have shape {wanted}, got {list(mask.kept.shape)}")
    return mask
