"""Published figures that no single number of an outcome gives: hooks for ``paper.toml``.

A hook takes the outcomes of a claim's scenarios by name.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import geometric_mean
from typing import TypeAlias

from hwsim.outcome import Outcome

__all__ = ["Outcomes"]

Outcomes: TypeAlias = Mapping[str, Outcome]
Row: TypeAlias = Mapping[str, int | float | str]
COMPARED = "sequential"


def _rows(outcome: Outcome, table: str) -> Iterator[Row]:
    found = outcome.tables[table]
    return (dict(zip(found.columns, row, strict=True)) for row in found.rows)


def _pairs(runs: Outcomes) -> Iterator[tuple[Row, Row]]:
    """Each sub-layer of the scenarios: as it was compared, and as it ran."""
    for outcome in runs.values():
        rows = list(_rows(outcome, "sublayers"))
        compared = {row["sublayer"]: row for row in rows if row["overlap"] == COMPARED}
        yield from ((compared[r["sublayer"]], r) for r in rows if r["overlap"] != COMPARED)


def _ratios(runs: Outcomes, *columns: str) -> list[float]:
    """What was compared divided by what ran, of the sum of columns, of each sub-layer."""
    return [
        sum(float(before[name]) for name in columns) / sum(float(after[name]) for name in columns)
        for before, after in _pairs(runs)
    ]


MOVED = (
    "gemm_bytes_read",
    "rs_bytes_read",
    "gemm_rs_bytes_written",
    "ag_bytes_read",
    "ag_bytes_written",
)


def geomean_speedup(runs: Outcomes) -> float:
    """Geometric mean of the sub-layers' speed-ups."""
    return geometric_mean(_ratios(runs, "latency_s"))


def max_speedup(runs: Outcomes) -> float:
    """The greatest of the sub-layers' speed-ups."""
    return max(_ratios(runs, "latency_s"))


def geomean_movement(runs: Outcomes) -> float:
    """Bytes moved against those of the compared, geometric mean."""
    return 1 / geometric_mean(_ratios(runs, *MOVED))


def least_movement(runs: Outcomes) -> float:
    """Bytes moved against those of the compared, the least."""
    return 1 / max(_ratios(runs, *MOVED))


def reduce_scatter_reads(runs: Outcomes) -> float:
    """Reads of the reduce-scatter, geometric mean of the ratios."""
    return geometric_mean(_ratios(runs, "rs_bytes_read"))


def writes(runs: Outcomes) -> float:
    """Writes of GEMM and reduce-scatter, geometric mean of the ratios."""
    return geometric_mean(_ratios(runs, "gemm_rs_bytes_written"))


def gemm_reads(runs: Outcomes) -> float:
    """Reads of the GEMM, geometric mean of the ratios."""
    return geometric_mean(_ratios(runs, "gemm_bytes_read"))


def gathered(runs: Outcomes) -> float:
    """Bytes of the all-gather, geometric mean of the ratios."""
    return geometric_mean(_ratios(runs, "ag_bytes_read", "ag_bytes_written"))


def near_memory_gain(runs: Outcomes) -> float:
    """A reduce-scatter's time over that of the same with near-memory reduction."""
    near = next(run for name, run in runs.items() if name.endswith("_near_memory"))
    plain = next(run for name, run in runs.items() if not name.endswith("_near_memory"))
    return plain.metrics["latency"].value / near.metrics["latency"].value


def fc_over_ideal(runs: Outcomes) -> float:
    """Time of the FC sub-layers over that of the ideal, geometric mean."""
    return geometric_mean(_over_ideal(runs, "_t3", "fc"))


def op_over_ideal(runs: Outcomes) -> float:
    """Time of the OP sub-layers over that of the ideal, geometric mean."""
    return geometric_mean(_over_ideal(runs, "_t3", "op"))


def near_memory_adds(runs: Outcomes) -> float:
    """Time of the ideal over that of the ideal with near-memory reduction, the greatest."""
    return 1 / min(_over_ideal(runs, "_near_memory", ""))


def _over_ideal(runs: Outcomes, configuration: str, sublayers: str) -> list[float]:
    """Time over that of the ideal, of each sub-layer whose name begins with ``sublayers``."""
    ideal = {name.removesuffix("_ideal"): run for name, run in runs.items() if "_ideal" in name}
    return [
        float(ran["latency_s"]) / float(best["latency_s"])
        for name, run in runs.items()
        if name.endswith(configuration)
        for ran, best in _same(run, ideal[name.removesuffix(configuration)])
        if str(ran["sublayer"]).startswith(sublayers)
    ]


def _same(run: Outcome, best: Outcome) -> Iterator[tuple[Row, Row]]:
    """Each sub-layer of two runs, as it ran in both."""
    ran, ideal = (
        {row["sublayer"]: row for row in _rows(each, "sublayers") if row["overlap"] != COMPARED}
        for each in (run, best)
    )
    return ((ran[name], ideal[name]) for name in ran)
