"""Workloads that are given op by op, in a file of traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from hwsim.config import Parameter
from hwsim.errors import ConfigError, Problem
from hwsim.workloads.files import TRACE_SUFFIXES, read_trace
from hwsim.workloads.kind import Kind, Overrides
from hwsim.workloads.sources import Source
from hwsim.workloads.trace import Trace

__all__ = ["TRACE", "TraceWorkload"]


@dataclass(frozen=True)
class TraceWorkload:
    """A workload that is given op by op, in the file ``where``."""

    kind: ClassVar[str] = "trace"

    name: str
    trace: Trace
    where: str = ""

    @property
    def sha256(self) -> str:
        """Digest of what defines the ops."""
        return self.trace.sha256()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        return ()

    @property
    def parameters(self) -> Sequence[Parameter]:
        """None: a trace has no keys."""
        return ()


def _load(source: Source, overrides: Overrides) -> TraceWorkload:
    """The trace, once read from end to end."""
    if overrides:
        rule = "must be left out: a trace has no keys"
        raise ConfigError([Problem("--set", key, rule, text) for key, text in overrides])
    trace = read_trace(source.path)
    for _ in trace.steps():
        pass
    return TraceWorkload(trace.name, trace, source.where)


TRACE: Final = Kind(TraceWorkload.kind, TRACE_SUFFIXES, _load)
