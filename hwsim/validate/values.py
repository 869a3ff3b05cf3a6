"""Numbers of an outcome by path: how a claim says what it compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwsim.outcome import Metric, Outcome

__all__ = ["value_at"]


def value_at(outcome: Outcome, path: str, unit: str | None = None) -> float:
    """The number at ``metrics.latency``, ``phases.prefill.seconds``, or in a stage or a table.

    ``unit`` is the one a metric must have. Raises :class:`LookupError` when nothing stands there.
    """
    kind, _, rest = path.partition(".")
    if kind == "metrics":
        return _metric(_pick(outcome.metrics, rest, "metric"), unit)
    if kind == "tables":
        return _cell(outcome, rest)
    name, _, attribute = rest.rpartition(".")
    if kind == "stages":
        return float(_attribute(_pick(outcome.stages, name, "stage"), attribute))
    if kind == "phases":
        phases = {phase.name: phase for phase in outcome.phases}
        return float(_attribute(_pick(phases, name, "phase"), attribute))
    raise LookupError(f"{path!r} starts with none of metrics, phases, stages, tables")


def _metric(metric: Metric, unit: str | None) -> float:
    if unit not in (None, metric.unit):
        raise LookupError(f"the metric is in {metric.unit}, the claim in {unit}")
    return metric.value


def _cell(outcome: Outcome, path: str) -> float:
    name, _, rest = path.partition(".")
    row_name, _, column = rest.rpartition(".")
    table = _pick(outcome.tables, name, "table")
    rows = {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    return float(_pick(_pick(rows, row_name, "row"), column, "column"))


def _pick(choices: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in choices:
        raise LookupError(f"no {what} {name!r}; there are {', '.join(choices) or 'none'}")
    return choices[name]


def _attribute(item: object, name: str) -> float:
    value = getattr(item, name, None)
    if isinstance(value, int | float):
        return value
    raise LookupError(f"no number {name!r} in {item}")
