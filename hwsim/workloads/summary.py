"""A trace in plain values: what it adds up to, and its first ops."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hwsim.workloads.counts import OpCounts, count
from hwsim.workloads.ops import Op
from hwsim.workloads.records import to_record
from hwsim.workloads.trace import Trace

__all__ = ["summary", "totals"]


def summary(trace: Trace, limit: int) -> dict[str, Any]:
    """Name, digest, :func:`totals` and the records of the first ``limit`` ops, in one pass."""
    ops = iter(trace)
    first = list(itertools.islice(ops, limit))
    return {
        "schema": 1,
        "workload": trace.name,
        "sha256": trace.sha256(),
        "totals": totals(itertools.chain(first, ops)),
        "ops": [to_record(op) for op in first],
    }


def totals(ops: Iterable[Op]) -> list[dict[str, Any]]:
    """Counts by phase and type, in the order they come; equal work is counted once."""
    times: Counter[tuple[Any, ...]] = Counter()
    counts: dict[tuple[Any, ...], OpCounts] = {}
    for op in ops:
        work = (op.phase, op.signature())
        times[work] += 1
        if work not in counts:
            counts[work] = count(op)
    sums: dict[tuple[str, str], OpCounts] = {}
    for (phase, signature), number in times.items():
        group = (phase, signature[0])
        sums[group] = sums.get(group, OpCounts()) + counts[phase, signature] * number
    return [
        {"phase": phase, "type": kind, **asdict(found)} for (phase, kind), found in sums.items()
    ]
