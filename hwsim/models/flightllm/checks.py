"""What a trace must be for the schedules to run it as it is, and not as something else.

A field that the machine would ignore is refused, with its op and its rule; so is work beyond what
anybody can wait for.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3-4 (INT8 engines, causal attention).
"""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.memory_map import cache_name
from hwsim.models.flightllm.operators import fuse
from hwsim.workloads import (
    PROJECTION_ROLES,
    Activation,
    Attention,
    Elementwise,
    Gemm,
    KvAppend,
    Norm,
    Op,
    Softmax,
    Step,
)

__all__ = ["MAX_PIECES", "Tensors", "check_step"]

MAX_PIECES = 2**22
"""Most rows of a step, and most rows or tiles of one op: above any model that fits the memory."""

MAX_LAYERS = 10_000
ACTIVATIONS = "int8"
DTYPES = ("input_dtype", "weight_dtype", "output_dtype", "kv_dtype", "dtype")
SHARED = ("k", "n", "role", "bias", "density")
"""What two ops of the same weights must have in common."""

Broken = Iterator[tuple[str, str, object]]
"""Field, rule and value of all that is wrong."""


def check_step(cfg: FlightLLMConfig, step: Step) -> None:
    """Refuse a step that the schedules would run as something else.

    Raises
    ------
    WorkloadError
        For a length beyond the machine's, a prompt in chunks, an op it has no instruction for, and
        a field of an op that is not what the step or the machine makes of it.
    """
    for key, rule, value in _broken_step(cfg, step):
        raise WorkloadError(f"step {step.index}: {key} {rule}, got {value!r}")
    on_chip = cfg.always_on_chip_decode or step.phase == "prefill"
    for operator in fuse(step.ops, on_chip=on_chip):
        for op in operator.ops:
            _refuse(op, _broken(cfg, step, op))


class Tensors:
    """The ops that need memory: one for the weights of each name, one for each cache."""

    def __init__(self) -> None:
        self._weights: dict[str, Gemm] = {}
        self._caches: dict[str, Attention] = {}

    @property
    def ops(self) -> tuple[Op, ...]:
        """One op for each tensor; for a cache, the one that needs the most."""
        return (*self._weights.values(), *self._caches.values())

    def add(self, op: Op) -> None:
        """Take what ``op`` needs; ``WorkloadError`` where an earlier op says otherwise."""
        if isinstance(op, Gemm):
            _refuse(op, _differing(self._weights.setdefault(op.name, op), op, SHARED))
        elif isinstance(op, Attention):
            name = cache_name(op)
            for first in self._caches.values():
                _refuse(op, _differing(first, op, ("heads",)))
                break
            if name not in self._caches or _width(op) > _width(self._caches[name]):
                self._caches[name] = op


def _width(op: Attention) -> int:
    return op.kv_heads * op.head_dim * op.batch


def _differing(first: Op, op: Op, keys: tuple[str, ...]) -> Broken:
    for key in keys:
        wanted, got = getattr(first, key), getattr(op, key)
        if got != wanted:
            yield key, f"must be {wanted!r} as in op {first.index} {first.name!r}", got


def _refuse(op: Op, broken: Broken) -> None:
    for key, rule, value in broken:
        raise WorkloadError(f"op {op.index} {op.name!r}: {key} {rule}, got {value!r}")


def _broken_step(cfg: FlightLLMConfig, step: Step) -> Broken:
    if step.phase not in ("prefill", "decode"):
        yield "phase", "must be prefill or decode", step.phase
    attended = step.attended
    if attended > cfg.max_tokens:
        yield "kv_length", f"must be at most machine.max_tokens = {cfg.max_tokens}", attended
    if step.tokens > MAX_PIECES:
        yield "tokens", f"must be at most {MAX_PIECES}", step.tokens
    if step.phase == "prefill" and step.tokens % attended:
        rule = f"must be a multiple of kv_length = {attended} (whole prompts) in a prefill"
        yield "tokens", rule, step.tokens


def _broken(cfg: FlightLLMConfig, step: Step, op: Op) -> Broken:
    for key in DTYPES:
        if getattr(op, key, ACTIVATIONS) != ACTIVATIONS:
            rule = f"must be {ACTIVATIONS}, which the machine computes in"
            yield key, f"{rule} (machine.weights says how weights are stored)", getattr(op, key)
    if isinstance(op, Gemm) and op.role not in PROJECTION_ROLES:
        yield "role", f"must be one of {', '.join(PROJECTION_ROLES)}", op.role
    if isinstance(op, Gemm) and op.operand != "parameters":
        yield "operand", "must be 'parameters', as it is stored before the run", op.operand
    if isinstance(op, Elementwise) and op.role == "gradient":
        yield "role", "must not be that of training", op.role
    if isinstance(op, Attention | KvAppend) and not 0 <= _layer(op) < MAX_LAYERS:
        yield "layer", f"must be from 0 to {MAX_LAYERS - 1}, as each has a cache", op.layer
    for key, wanted in _wanted(step, op).items():
        if getattr(op, key) != wanted:
            yield key, f"must be {wanted!r} in this step", getattr(op, key)
    yield from _out_of_bounds(step, op)
    pieces = _pieces(cfg, step, op)
    if pieces > MAX_PIECES:
        yield "work", f"must be of at most {MAX_PIECES} rows or tiles", pieces


def _layer(op: Op) -> int:
    return -1 if op.layer is None else op.layer


def _wanted(step: Step, op: Op) -> dict[str, object]:
    """The fields of an op that the schedules take from its step."""
    prefill = step.phase == "prefill"
    queries = step.attended if prefill else 1
    sequences = step.tokens // queries
    match op:
        case Gemm():
            return {"m": step.tokens}
        case Norm():
            return {"rows": step.tokens}
        case KvAppend():
            return {"tokens": queries, "batch": sequences}
        case Attention() if prefill:
            causal = op.causal or queries == 1
            attended = {"kv_length": step.attended, "causal": op.causal if causal else True}
            return {"queries": queries, "batch": sequences, **attended}
        case Attention():
            return {"queries": queries, "batch": sequences, "window": None}
        case _:
            return {}


def _out_of_bounds(step: Step, op: Op) -> Broken:
    """Lengths beyond the step's, and rows that its tokens don't share evenly."""
    for key in ("kv_length", "columns"):
        if getattr(op, key, 0) > step.attended:
            rule = f"must be at most the step's kv_length = {step.attended}"
            yield key, rule, getattr(op, key)
    shared = {Softmax: "rows", Elementwise: "elements", Activation: "elements"}.get(type(op))
    if shared and getattr(op, shared) % step.tokens:
        rule = f"must be a multiple of the step's tokens = {step.tokens}"
        yield shared, rule, getattr(op, shared)


def _pieces(cfg: FlightLLMConfig, step: Step, op: Op) -> int:
    """How many rows or tiles the schedule of an op goes through, about."""
    core = cfg.core
    match op:
        case Gemm():
            return ceil_div(op.m, core.mm_rows) * ceil_div(op.n, core.mm_columns)
        case Attention():
            tiles = ceil_div(op.queries, core.mm_rows) * ceil_div(op.kv_length, core.mm_columns)
            return op.batch * op.heads * max(tiles, ceil_div(op.head_dim, core.mm_columns))
        case Softmax():
            return op.rows
        case Elementwise() | Activation():
            return step.tokens * ceil_div(op.elements // step.tokens, core.mv_columns)
        case _:
            return 0
