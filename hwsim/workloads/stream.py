"""Between a stream of records and a stream of steps: the rules that hold from op to op."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwsim.errors import Problem, WorkloadError
from hwsim.workloads.ops import Attention, KvAppend, Op
from hwsim.workloads.records import Item, checked
from hwsim.workloads.step import Step, StepHead, TraceEnd

__all__ = ["assembled", "items_of"]

Located = tuple[str, Item]
"""An item, and where it stands in words for people."""


def items_of(name: str, steps: Iterable[Step]) -> Iterator[Located]:
    """The items of a stream of steps, each checked on its own, and the end of the trace."""
    number = ops = 0
    for step in steps:
        head = StepHead(step.index, step.phase, step.tokens, step.kv_length)
        where = f"{name}: step {step.index}"
        yield where, checked(head, where)
        for op in step.ops:
            where = f"{name}: op {op.name}"
            yield where, checked(op, where)
        number, ops = number + 1, ops + len(step.ops)
    yield name, TraceEnd(number, ops)


def assembled(items: Iterable[Located], whole: str) -> Iterator[Step]:
    """The steps that a stream of items makes; ``whole`` is where they all stand.

    Raises
    ------
    WorkloadError
        An op before the first step, a step without ops, a step or an op out of order, a name given
        twice in a step, a dependency on a later op (so that no trace is cyclic), shapes that
        contradict each other, or an end that is missing or counts otherwise.
    """
    assembly = _Assembly()
    where = whole
    for where, item in items:
        if isinstance(item, Op):
            assembly.add(item, where)
            continue
        if (step := assembly.step(where)) is not None:
            yield step
        if isinstance(item, StepHead):
            assembly.begin(item, where)
        else:
            assembly.end(item, where)
    if not assembly.steps:
        raise WorkloadError(f"{whole}: must hold at least one step")
    assembly.check_ended(where)


class _Assembly:
    """The step that is being read, and what was read before it."""

    def __init__(self) -> None:
        self.steps = 0
        self._head: StepHead | None = None
        self._ops: list[Op] = []
        self._names: set[str] = set()
        self._read = 0
        self._ended = False

    def begin(self, head: StepHead, where: str) -> None:
        """A step starts here."""
        self._check_open(where)
        if self._head is not None and head.index <= self._head.index:
            rule = f"must be above that of the step before, {self._head.index}"
            raise _wrong(where, "Step.index", rule, head.index)
        self.steps += 1
        self._head, self._ops, self._names = head, [], set()

    def add(self, op: Op, where: str) -> None:
        """The step goes on with ``op``."""
        self._check_open(where)
        kind = type(op).__name__
        if self._head is None:
            raise WorkloadError(f"{where}: {kind} must come after a Step")
        for key, rule, value in _broken(op, self._head, self._read):
            raise _wrong(where, f"{kind}.{key}", rule, value)
        if op.name in self._names:
            rule = "must differ from those of the earlier ops of its step"
            raise _wrong(where, f"{kind}.name", rule, op.name)
        self._names.add(op.name)
        self._ops.append(op)
        self._read += 1

    def step(self, where: str) -> Step | None:
        """The step that ends here; None where none has begun."""
        head = self._head
        if head is None or self._ended:
            return None
        if not self._ops:
            raise WorkloadError(f"{where}: step {head.index} must hold at least one op")
        return Step(head.index, head.phase, head.tokens, head.kv_length, tuple(self._ops))

    def end(self, end: TraceEnd, where: str) -> None:
        """The trace ends here."""
        self._check_open(where)
        for key, told, read in (("steps", end.steps, self.steps), ("ops", end.ops, self._read)):
            if told != read:
                raise _wrong(where, f"End.{key}", f"must be {read}, as many as there are", told)
        self._ended = True

    def check_ended(self, where: str) -> None:
        """Refuse a trace whose last record, at ``where``, is not its end."""
        if not self._ended:
            end = f'{{"type": "End", "steps": {self.steps}, "ops": {self._read}}}'
            raise WorkloadError(
                f"{where}: must not be the last record (a file cut short?): a trace ends with {end}"
            )

    def _check_open(self, where: str) -> None:
        if self._ended:
            raise WorkloadError(f"{where}: must not be there: the trace has ended before it")


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
