"""A workload trace: steps of typed ops, made one step at a time and never all held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.workloads.counts import OpCounts, total
from hwsim.workloads.ops import Op
from hwsim.workloads.step import Step
from hwsim.workloads.stream import assembled, items_of

__all__ = ["Trace"]


@dataclass(frozen=True)
class Trace:
    """A named, repeatable stream of steps.

    Parameters
    ----------
    name : what reports call it.
    meta : what the trace was made from, plain JSON values.
    source : makes the stream of steps; every call gives equal steps.
    digest : makes the SHA-256 of what defines the steps, in hexadecimal.
    """

    name: str
    meta: Mapping[str, Any]
    source: Callable[[], Iterator[Step]]
    digest: Callable[[], str]

    @classmethod
    def from_steps(
        cls, name: str, meta: Mapping[str, Any], source: Callable[[], Iterator[Step]]
    ) -> Trace:
        """A trace that ``source`` builds, where ``meta`` alone decides what it builds."""
        return cls(name, meta, source, lambda: _sha256_of(meta))

    def steps(self) -> Iterator[Step]:
        """The steps in order, each made when it is asked for."""
        return self.source()

    def __iter__(self) -> Iterator[Op]:
        for step in self.steps():
            yield from step.ops

    def totals(self) -> OpCounts:
        """Counts of all ops; quicker than ``total(trace)`` for a built trace."""
        return sum((total(step.ops) for step in self.steps()), OpCounts())

    def sha256(self) -> str:
        """Digest of what defines the ops: ``meta`` of a built trace, the bytes of a file."""
        return self.digest()

    def check(self) -> None:
        """Go through every op once; ``WorkloadError`` at the first that breaks a rule.

        A trace that comes from a file checks each step as it is read.
        """
        for _ in assembled(items_of(self.name, self.steps()), self.name):
            pass


def _sha256_of(meta: Mapping[str, Any]) -> str:
    """SHA-256 of plain JSON values, whatever the order of their keys."""
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
