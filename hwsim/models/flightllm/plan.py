"""What is fixed before a simulation starts: trace, placement, mask, compiler.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from math import ceil

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.compiler import Compiler, Program
from hwsim.models.flightllm.config import GEMM_ROLES, FlightLLMConfig
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.masks import BlockMask, causal_mask, generate_mask, load_mask
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.units import format_quantity
from hwsim.workloads import Attention, LlmWorkload, Numerics, Op, Step, Trace, TraceWorkload

__all__ = ["Plan", "plan_of"]


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

    def program_key(self, step: Step) -> Hashable:
        """Equal for steps that run the same program."""
        if isinstance(self.workload, LlmWorkload):
            return step.phase, step.tokens // self._queries(step), self.compiler.bucket(step)
        return step.signature()

    def program(self, step: Step) -> Program:
        """The step's program, compiled once for each bucket."""
        key = self.program_key(step)
        if key not in self._programs:
            self._programs[key] = self.compiler.program(step)
        return self._programs[key]

    def instruction_bytes(self, steps: Iterable[Step]) -> tuple[int, int]:
        """Bytes of one core's programs for ``steps``: one a bucket, and one an exact length.

        Within a bucket a decode program's size does not depend on the length, a prefill's does.
        """
        sizes: dict[Hashable, int] = {}
        exact: dict[Hashable, int] = {}
        for step in steps:
            key = self.program_key(step)
            if key not in sizes:
                sizes[key] = self.compiler.size_bytes(self.program(step))
            length = (step.phase, step.tokens, step.kv_length)
            if length not in exact:
                exact[length] = sizes[key] if step.phase == "decode" else self._exact_bytes(step)
        return sum(sizes.values()), sum(exact.values())

    def _exact_bytes(self, step: Step) -> int:
        """Size of the program for just this length."""
        if self.compiler.bucket(step) == step.kv_length:
            return self.compiler.size_bytes(self.program(step))
        config = self.config.model_copy(update={"length_adaptive_compilation": False})
        compiler = Compiler(config, self.memory, self.compiler.mask)
        return compiler.size_bytes(compiler.program(step))

    @staticmethod
    def _queries(step: Step) -> int:
        return step.kv_length if step.phase == "prefill" else 1


def plan_of(config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload) -> Plan:
    """Read off what the workload needs and check that the machine has it.

    Raises
    ------
    WorkloadError
        For a length beyond ``max_tokens``, a model beyond HBM, a mask of another shape.
    """
    trace = (
        workload.trace_in(numerics(config)) if isinstance(workload, LlmWorkload) else workload.trace
    )
    longest, steps, first = _survey(config, workload, trace)
    memory = MemoryMap(config, first, longest, DensityMaps.load(config.weights.density_map))
    _check_capacity(config, workload, memory)
    mask = mask_of(config, first)
    return Plan(config, workload, trace, memory, Compiler(config, memory, mask), steps)


def numerics(config: FlightLLMConfig) -> Numerics:
    """The trace's data types and densities as the machine stores weights."""
    bits = 8 if not config.mixed_precision else config.weights.bits
    dtype = f"int{bits}" if bits in (3, 4, 5, 8) else "int4"
    density = {role: float(config.density(role)) for role in GEMM_ROLES}
    return Numerics.model_validate({"weights": dtype, "density": density})


def _survey(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, trace: Trace
) -> tuple[int, int, tuple[Op, ...]]:
    """Longest context, number of steps, first step's ops; refuses lengths beyond the machine's."""
    if isinstance(workload, LlmWorkload):
        longest = workload.scenario.attended
        steps = 1 + (
            workload.scenario.output_tokens if workload.scenario.phase == "generate" else 0
        )
        _check_length(config, workload.name, longest)
        return longest, steps, tuple(next(trace.steps()).ops)
    longest, steps = 0, 0
    first: tuple[Op, ...] = ()
    for step in trace.steps():
        first = first if steps else tuple(step.ops)
        longest, steps = max(longest, step.kv_length), steps + 1
        _check_length(config, workload.name, longest)
    return longest, steps, first


def _check_length(config: FlightLLMConfig, name: str, longest: int) -> None:
    if longest > config.max_tokens:
        raise WorkloadError(
            f"{name}: prompt and output together must be at most machine.max_tokens = "
            f"{config.max_tokens} positions, got {longest}"
        )


def _check_capacity(
    config: FlightLLMConfig, workload: LlmWorkload | TraceWorkload, memory: MemoryMap
) -> None:
    needed, capacity = memory.stored_bytes, config.hbm.capacity
    if needed > capacity:
        raise WorkloadError(
            f"{workload.name}: weights and KV cache must fit machine.hbm.capacity = "
            f"{format_quantity(capacity, 'B')}, got {format_quantity(ceil(needed), 'B')}"
        )


def mask_of(config: FlightLLMConfig, ops: tuple[Op, ...]) -> BlockMask | None:
    """The attention mask for these layers; None computes every causal block."""
    attention = [op for op in ops if isinstance(op, Attention)]
    if not attention or not config.sparse_dsp_chain:
        return None
    layers = 1 + max(op.layer or 0 for op in attention)
    heads = attention[0].heads
    blocks = -(-config.max_tokens // config.attention.block_tokens)
    if config.attention.mask == "causal":
        return causal_mask(layers, heads, blocks, config.attention.block_tokens)
    if config.attention.mask == "published":
        return generate_mask(layers, heads, blocks)
    mask = load_mask(config.attention.mask)
    if (mask.layers, mask.heads) != (layers, heads) or mask.blocks < blocks:
        wanted = f"[{layers}, {heads}, {blocks}, {blocks}]"
        raise WorkloadError(
            f"{config.attention.mask}: mask must have shape {wanted}, got {list(mask.kept.shape)}"
        )
    return mask
