"""Between a stream of records and a stream of steps: the rules that hold from op to op."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwsim.errors import Problem, WorkloadError
from hwsim.workloads.ops import Attention, KvAppend, Op
from hwsim.workloads.records import Item, checked
from hwsim.workloads.step import Step, StepHead

__all__ = ["assembled", "items_of"]

Located = tuple[str, Item]
"""An item, and where it stands in words for people."""


def items_of(name: str, steps: Iterable[Step]) -> Iterator[Located]:
    """The items of a stream of steps, each checked on its own."""
    for step in steps:
        head = StepHead(step.index, step.phase, step.tokens, step.kv_length)
        where = f"{name}: step {step.index}"
        yield where, checked(head, where)
        for op in step.ops:
            where = f"{name}: op {op.name}"
            yield where, checked(op, where)


def assembled(items: Iterable[Located], whole: str) -> Iterator[Step]:
    """The steps that a stream of items makes; ``whole`` is where they all stand.

    Raises
    ------
    WorkloadError
        An op before the first step, a step without ops, a step or an op out of order, a dependency
        on a later op (so that no trace is cyclic), or shapes that contradict each other.
    """
    head: StepHead | None = None
    ops: list[Op] = []
    index = 0
    where = whole
    for where, item in items:
        if isinstance(item, StepHead):
            if head is not None:
                yield _step(head, ops, where)
            _check_step(item, head, where)
            head, ops = item, []
        else:
            _check_op(item, head, index, where)
            ops.append(item)
            index += 1
    if head is None:
        raise WorkloadError(f"{whole}: must hold at least one step")
    yield _step(head, ops, where)


def _step(head: StepHead, ops: list[Op], where: str) -> Step:
    if not ops:
        raise WorkloadError(f"{where}: step {head.index} must hold at least one op")
    return Step(head.index, head.phase, head.tokens, head.kv_length, tuple(ops))


def _check_step(head: StepHead, previous: StepHead | None, where: str) -> None:
    if previous is not None and head.index <= previous.index:
        rule = f"must be above that of the step before, {previous.index}"
        raise _wrong(where, "Step.index", rule, head.index)


def _check_op(op: Op, head: StepHead | None, index: int, where: str) -> None:
    kind = type(op).__name__
    if head is None:
        raise WorkloadError(f"{where}: {kind} must come after a Step")
    for key, rule, value in _broken(op, head, index):
        raise _wrong(where, f"{kind}.{key}", rule, value)


def _broken(op: Op, head: StepHead, index: int) -> Iterator[tuple[str, str, object]]:
    """Key, rule and value of all that is wrong with an op at this place of the trace."""
    if op.index != index:
        yield "index", f"must be {index}, as ops are numbered in order", op.index
    if op.step != head.index:
        yield "step", f"must be that of its step, {head.index}", op.step
    if op.phase != head.phase:
        yield "phase", f"must be that of its step, {head.phase}", op.phase
    if late := [dep for dep in op.deps if dep >= index]:
        yield "deps", f"must all be earlier ops, below {index}", late[0]
    match op:
        case Attention():
            if op.heads % op.kv_heads:
                yield "heads", f"must be a multiple of kv_heads = {op.kv_heads}", op.heads
            if op.causal and op.queries > op.kv_length:
                yield "queries", f"must be at most kv_length = {op.kv_length}", op.queries
        case KvAppend() if op.tokens > op.kv_length:
            yield "tokens", f"must be at most kv_length = {op.kv_length}", op.tokens


def _wrong(where: str, key: str, rule: str, value: object) -> WorkloadError:
    return WorkloadError(str(Problem(where, key, rule, value)))
