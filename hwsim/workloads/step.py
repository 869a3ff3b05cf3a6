"""One pass through the model: the prefill, or the decoding of one token a sequence.

A training step is made of passes too: forward, backward, update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.errors import WorkloadError
from hwsim.workloads.ops import Count, Index, Op, Phase
from hwsim.workloads.template import TemplateOps

__all__ = ["Step", "StepHead", "TraceEnd"]


@dataclass(frozen=True, slots=True)
class StepHead:
    """What a step is, apart from its ops.

    Parameters
    ----------
    index : 0 for the prefill, 1, 2, ... for the decode steps; of training, 0 for the forward, 1
        for the backward, 2 for the update.
    phase : what the pass is for.
    tokens : rows that go through the model, those of all sequences of the batch together.
    kv_length : positions of a sequence after the step, its own tokens included; None where there
        are no sequences that grow.
    """

    index: Index
    phase: Phase
    tokens: Count
    kv_length: Count | None


@dataclass(frozen=True, slots=True)
class TraceEnd:
    """How many steps and ops a trace has: its last record, without which a file is cut short."""

    steps: Count
    ops: Count


@dataclass(frozen=True, slots=True)
class Step(StepHead):
    """A step with its ops in program order; a built step makes them when first asked for."""

    ops: Sequence[Op]

    @property
    def attended(self) -> int:
        """``kv_length``; ``WorkloadError`` in a step that has none."""
        if self.kv_length is None:
            raise WorkloadError(f"step {self.index}: kv_length is missing; it must be given here")
        return self.kv_length

    def signature(self) -> tuple[Any, ...]:
        """The work of the step alone: the signature of each op, and which earlier ops it needs.

        Two steps with equal signatures cost the same on any machine that is in the same state.
        Hashable. Cheap for a built step: no op is made for it.
        """
        if isinstance(self.ops, TemplateOps):
            return self.ops.signature()
        first = self.ops[0].index if self.ops else 0
        needs = tuple(tuple(dep - first for dep in op.deps) for op in self.ops)
        return tuple(op.signature() for op in self.ops), needs
