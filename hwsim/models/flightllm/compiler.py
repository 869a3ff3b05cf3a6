"""From trace ops to instruction programs.

A step of the trace becomes a :class:`Program`: its ops are fused into operators, lengths are
rounded up to their bucket, each operator's schedule is written once for its shape and bound to the
layer's tensors, and operators are gathered into *segments*, which end at a barrier that waits for
everything.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 4-5 (mapping flow, length-adaptive compilation).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ProtocolError, WorkloadError
from hwsim.laws.flightllm_core import ceil_div
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.models.flightllm.block import Block
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import Segment
from hwsim.models.flightllm.masks import BLOCK_TOKENS, BlockMask
from hwsim.models.flightllm.memory_map import (
    MemoryMap,
    block_bytes,
    cache_name,
    key_cache,
    value_cache,
)
from hwsim.models.flightllm.operators import Operator, fuse
from hwsim.models.flightllm.schedule_misc import (
    MiscColumns,
    MiscRows,
    misc_columns,
    misc_rows,
)
from hwsim.models.flightllm.schedule_mm import PrefillAttention, attention_mm, linear_mm
from hwsim.models.flightllm.schedule_mv import (
    AppendKv,
    DecodeAttention,
    append_kv,
    attention_mv,
    linear_mv,
)
from hwsim.models.flightllm.tiling import Linear, buffer_needs
from hwsim.workloads import (
    Activation,
    Attention,
    Elementwise,
    Gemm,
    KvAppend,
    Norm,
    Softmax,
    Step,
)

__all__ = ["Compiled", "Compiler", "Part", "Program", "round_up"]


@dataclass(frozen=True)
class MaskedAttention:
    """Prefill attention with the mask of one layer, named by its content."""

    shape: PrefillAttention
    layer: int
    mask: bytes


Shape: TypeAlias = Linear | DecodeAttention | MaskedAttention | AppendKv | MiscRows | MiscColumns


@dataclass(frozen=True)
class Compiled:
    """An operator, the shape its schedule is written for, and the tensors its slots stand for."""

    operator: Operator
    shape: Shape
    tensors: Mapping[str, str]
    stored_as: str = ""
    """How its weights are stored: bits and densities."""

    @property
    def key(self) -> Hashable:
        """What the operator's time depends on: its shape, and how its weights are stored."""
        if isinstance(self.shape, MaskedAttention):
            return self.shape.shape, self.shape.mask
        return self.shape, self.stored_as

    @property
    def full_barrier(self) -> bool:
        """Whether its barrier waits for all its work; growing the cache doesn't for its loads."""
        return not isinstance(self.shape, AppendKv)

    @property
    def held_back(self) -> bool:
        """Whether the schedule keeps the operator's loads from overrunning a buffer."""
        return not isinstance(self.operator.main, Attention)


@dataclass(frozen=True)
class Part:
    """Operators up to a full barrier: what is dispatched, and replayed, as one."""

    operators: tuple[Compiled, ...]

    @property
    def key(self) -> Hashable:
        """What the part's time depends on, besides the machine's state."""
        return tuple(compiled.key for compiled in self.operators)


@dataclass(frozen=True, eq=False)
class Program:
    """The program of one bucket of lengths. Compared by identity; ``key`` compares the content."""

    name: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> Hashable:
        """What the program's time depends on."""
        return tuple(part.key for part in self.parts)

    @property
    def operators(self) -> Iterator[Compiled]:
        """All operators in order."""
        for part in self.parts:
            yield from part.operators


def round_up(length: int, bucket: int) -> int:
    """The length of the bucket that ``length`` falls in."""
    return ceil_div(length, bucket) * bucket


class Compiler:
    """Compiles steps for one machine, one placement of tensors and one attention mask.

    The mask is made for the first prefill: decode needs none.
    """

    def __init__(
        self, cfg: FlightLLMConfig, memory: MemoryMap, mask: Callable[[], BlockMask | None]
    ) -> None:
        self._cfg = cfg
        self._memory = memory
        self._make_mask = mask
        self._blocks: dict[Shape, Block] = {}
        self._sizes: dict[Shape, int] = {}

    @cached_property
    def mask(self) -> BlockMask | None:
        """The attention mask; without one, every causal block is computed."""
        return self._make_mask()

    def bucket(self, step: Step) -> int:
        """The length that the step's program is made for."""
        cfg = self._cfg
        if not cfg.length_adaptive_compilation:
            return step.attended
        size = cfg.buckets.prefill if step.phase == "prefill" else cfg.buckets.decode
        return round_up(step.attended, size)

    def program(self, step: Step) -> Program:
        """The program that runs ``step``."""
        length = self.bucket(step)
        mask = self.mask if step.phase == "prefill" else None
        lower = _Lowering(self._cfg, self._memory, mask, step, length)
        parts, pending = [], []
        on_chip = self._cfg.always_on_chip_decode or step.phase == "prefill"
        for operator in fuse(step.ops, on_chip=on_chip):
            pending.append(lower.compiled(operator))
            if pending[-1].full_barrier:
                parts.append(Part(tuple(pending)))
                pending = []
        return Program(f"{step.phase}_{length:04d}", tuple(parts))

    def block(self, compiled: Compiled) -> Block:
        """The schedule of an operator, written once for all operators of its shape."""
        shape = compiled.shape
        if shape in self._blocks:
            return self._blocks[shape]
        block = self._write(shape)
        self._sizes[shape] = block.size_bytes()
        if not isinstance(shape, MaskedAttention):  # as large as varied: not kept
            self._blocks[shape] = block
        return block

    def segment(self, part: Part) -> Segment:
        """The instruction words of a part, bound to its layer's tensors."""
        words = [self._words(compiled) for compiled in part.operators]
        return Segment(np.concatenate(words), tuple(c.held_back for c in part.operators))

    def _words(self, compiled: Compiled) -> NDArray[np.uint32]:
        bases = {slot: self._memory.base(name) for slot, name in compiled.tensors.items()}
        try:
            return self.block(compiled).encode(bases)
        except ProtocolError as error:
            op = compiled.operator.main
            raise WorkloadError(
                f"op {op.index} {op.name!r} is too large for an instruction: {error}"
            ) from error

    def size_bytes(self, program: Program) -> int:
        """Bytes of the encoded program."""
        return sum(self._size_bytes(compiled) for compiled in program.operators)

    def _size_bytes(self, compiled: Compiled) -> int:
        if compiled.shape not in self._sizes:
            self.block(compiled)
        return self._sizes[compiled.shape]

    def _write(self, shape: Shape) -> Block:
        cfg = self._cfg
        match shape:
            case Linear():
                return linear_mm(cfg, shape) if shape.rows else linear_mv(cfg, shape)
            case DecodeAttention():
                return attention_mv(cfg, shape)
            case AppendKv():
                return append_kv(cfg, shape)
            case MiscRows():
                return misc_rows(cfg, shape)
            case MiscColumns():
                return misc_columns(cfg, shape)
            case MaskedAttention():
                kept = fine_blocks(cfg, self.mask, shape.layer, shape.shape)
                return attention_mm(cfg, shape.shape, kept)


def fine_blocks(
    cfg: FlightLLMConfig, mask: BlockMask | None, layer: int, shape: PrefillAttention
) -> NDArray[np.bool_]:
    """The mask of a layer in 16 x 16 blocks, [heads, rows, columns].

    Without a mask, every block up to the diagonal's own coarse block is kept.
    """
    core = cfg.geometry
    blocks = ceil_div(shape.tokens, core.k_lanes)
    coarse_tokens = mask.block_tokens if mask else BLOCK_TOKENS
    scale = coarse_tokens // core.k_lanes
    coarse = ceil_div(blocks, scale)
    if mask is None:
        kept = np.broadcast_to(np.tri(coarse, dtype=bool), (shape.heads, coarse, coarse))
    else:
        kept = mask.kept[layer, :, :coarse, :coarse]
    tall = np.repeat(kept, scale, axis=1)[:, :blocks]
    fine = np.repeat(tall, scale, axis=2)[:, :, :blocks]
    if shape.window is not None:
        rows, columns = np.ogrid[:blocks, :blocks]
        fine = fine & (rows - columns <= ceil_div(shape.window - 1, core.k_lanes))
    return np.ascontiguousarray(fine)


class _Lowering:
    """Turns the operators of one step into shapes with tensors."""

    def __init__(
        self,
        cfg: FlightLLMConfig,
        memory: MemoryMap,
        mask: BlockMask | None,
        step: Step,
        length: int,
    ) -> None:
        self._cfg = cfg
        self._memory = memory
        self._mask = mask
        self._prefill = step.phase == "prefill"
        self._length = length
        self._step = step
        self._sequences = step.tokens // step.attended if self._prefill else step.tokens
        self._rows = self._sequences * length if self._prefill else step.tokens

    def compiled(self, operator: Operator) -> Compiled:
        """The operator's shape and tensors."""
        match operator.main:
            case Gemm() as op:
                return self._linear(operator, op)
            case Attention() as op:
                return self._attention(operator, op)
            case KvAppend() as op:
                width = op.kv_heads * op.head_dim
                attended = self._attended(op.kv_length)
                shape = AppendKv(width=width, kv_length=attended, batch=op.batch)
                return Compiled(operator, shape, _named(cache=cache_name(op)))
            case op:
                return Compiled(operator, self._misc(op), _named())

    def _linear(self, operator: Operator, op: Gemm) -> Compiled:
        cfg = self._cfg
        region = self._memory.region(f"{op.name}.weight")
        shape = Linear(
            rows=self._rows if self._prefill or self._rows > 1 else 0,
            k=op.k,
            n=op.n,
            tail=operator.tail,
            bias=op.bias or op.role in cfg.weights.biased,
            relu=operator.relu,
            density=region.density,
            sparse=cfg.sparse_dsp_chain and region.density < 1,
            metadata=cfg.count_metadata and region.density < 1,
            block_bytes=block_bytes(cfg, op.role),
            last_store_bytes=cfg.geometry.k_lanes if self._prefill else None,
        )
        self._check_fits(op, shape)
        names = _named(weight=f"{op.name}.weight", bias=f"{op.name}.bias", output=_stored_in(op))
        return Compiled(operator, shape, names, region.stored_as)

    def _check_fits(self, op: Gemm, shape: Linear) -> None:
        buffers = self._cfg.buffers
        for need in buffer_needs(self._cfg, shape):
            depth = getattr(buffers, need.depth)
            if depth < need.rows:
                of = f" of {need.row} = {getattr(buffers, need.row)} B" if need.row else ""
                raise WorkloadError(
                    f"op {op.index} {op.name!r}: machine.buffers.{need.depth} must be at least "
                    f"{need.rows} rows{of} for weights of {op.k} x {op.n}, got {depth}"
                )

    def _attention(self, operator: Operator, op: Attention) -> Compiled:
        common: dict[str, Any] = {
            "scores": op.kind == "scores",
            "heads": op.heads,
            "kv_heads": op.kv_heads,
            "head_dim": op.head_dim,
            "batch": op.batch,
            "softmax": operator.softmax,
        }
        names = _named(cache=cache_name(op))
        if not self._prefill:
            shape = DecodeAttention(kv_length=self._attended(op.kv_length), **common)
            return Compiled(operator, shape, names)
        masked = PrefillAttention(tokens=self._length, window=op.window, **common)
        layer = op.layer or 0
        shape_and_mask = MaskedAttention(masked, layer, self._mask_digest(layer))
        return Compiled(operator, shape_and_mask, names)

    def _attended(self, kv_length: int) -> int:
        """The program's context: its bucket, or the sliding window where that is shorter."""
        return self._length if kv_length == self._step.attended else min(kv_length, self._length)

    def _mask_digest(self, layer: int) -> bytes:
        if self._mask is None:
            return b""
        coarse = ceil_div(self._length, self._mask.block_tokens)
        return np.packbits(self._mask.kept[layer, :, :coarse, :coarse]).tobytes()

    def _misc(self, op: object) -> MiscRows | MiscColumns:
        """A norm, or a decode op that is not fused, on its own."""
        match op:
            case Norm():
                kind = MiscOp.RMSNORM if op.kind == "rms" else MiscOp.LAYERNORM
                return MiscRows(operation=kind, rows=self._rows, width=op.width)
            case Softmax():
                width = self._attended(op.columns)
                return MiscRows(operation=MiscOp.SOFTMAX, rows=op.rows, width=width)
            case Elementwise() | Activation():
                kind = _PASSES[op.kind]
                operands = 2 if isinstance(op, Elementwise) else 1
                width = op.elements // self._step.tokens
                if self._rows == 1:
                    return MiscColumns(operation=kind, width=width, operands=operands)
                return MiscRows(operation=kind, rows=self._rows, width=width, operands=operands)
            case _:
                raise AssertionError(op)


def _stored_in(op: Gemm) -> str:
    """New keys and values are stored into the cache, everything else in scratch space."""
    return {"k_proj": key_cache(op.layer), "v_proj": value_cache(op.layer)}.get(op.role, "")


_PASSES = {"add": MiscOp.ADD, "mul": MiscOp.MUL, "silu": MiscOp.SILU}


def _named(**tensors: str) -> dict[str, str]:
    """Slots and their tensors; the rest lies in scratch space."""
    scratch = dict.fromkeys(("input", "output", "operand0", "operand1", "index", "block_n", ""), "")
    return scratch | tensors
