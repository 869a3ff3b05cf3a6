"""Ops stamped from a template: what repeats from step to step is worked out once.

The decode steps of a model differ only in a few shapes and in where they stand in the trace. A
:class:`Template` keeps the rest; :class:`TemplateOps` makes the ops of one step when somebody looks
at them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from hwsim.workloads.ops import Op, Phase

__all__ = ["Slot", "Template", "TemplateOps"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One op of a template.

    Parameters
    ----------
    name, layer : as in :class:`~hwsim.workloads.ops.Op`.
    work : which of the step's works the op does.
    needs : ops it depends on, counted from the first op of the step; negative in earlier steps.
    """

    name: str
    layer: int | None
    work: int
    needs: tuple[int, ...]


@dataclass(frozen=True)
class Template:
    """The ops of a step, but for their shapes and their place in the trace."""

    slots: tuple[Slot, ...]

    @cached_property
    def repeats(self) -> Mapping[int, int]:
        """Of each piece of work, how many ops do it."""
        return Counter(slot.work for slot in self.slots)

    @cached_property
    def needs(self) -> tuple[tuple[int, ...], ...]:
        """Of each slot, what it needs."""
        return tuple(slot.needs for slot in self.slots)


class TemplateOps(Sequence[Op]):
    """The ops of one step; equal to any sequence of equal ops.

    Parameters
    ----------
    template : what the steps have in common.
    works : one op for each distinct piece of work of this step; only their work fields are used.
    first : index of the first op in the trace.
    phase, step : of every op.
    """

    def __init__(
        self, template: Template, works: Sequence[Op], first: int, phase: Phase, step: int
    ) -> None:
        self._template = template
        self._works = works
        self._first = first
        self._phase: Phase = phase
        self._step = step

    def signature(self) -> tuple[Any, ...]:
        """The work of all ops and what each needs, without making them."""
        works = [work.signature() for work in self._works]
        return tuple(works[slot.work] for slot in self._template.slots), self._template.needs

    def works(self) -> Iterator[tuple[Op, int]]:
        """One op for each piece of work, and how many ops do it, without making those."""
        for work, times in self._template.repeats.items():
            yield self._works[work], times

    @cached_property
    def _ops(self) -> tuple[Op, ...]:
        works = [(type(work), work.signature()[1:]) for work in self._works]
        first, phase, step = self._first, self._phase, self._step
        ops = []
        for index, slot in enumerate(self._template.slots, first):
            kind, work = works[slot.work]
            deps = tuple([first + need for need in slot.needs])
            ops.append(kind(index, slot.name, phase, step, slot.layer, deps, *work))
        return tuple(ops)

    def __len__(self) -> int:
        return len(self._template.slots)

    @overload
    def __getitem__(self, index: int) -> Op: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Op]: ...
    def __getitem__(self, index: int | slice) -> Op | Sequence[Op]:
        return self._ops[index]

    def __iter__(self) -> Iterator[Op]:
        return iter(self._ops)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._ops == tuple(other)

    def __hash__(self) -> int:
        return hash(self._ops)
