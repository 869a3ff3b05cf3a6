"""The machine beside published platforms: tokens a second, a joule and a dollar.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6 (energy and cost efficiency).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hwsim.models.flightllm.run import Run
from hwsim.outcome import Metric, TableData

__all__ = ["comparable", "platforms"]

COLUMNS = ("platform", "token_per_second", "token_per_joule", "token_per_second_per_1000_usd")


def comparable(run: Run, metrics: Mapping[str, Metric]) -> bool:
    """Whether the run decodes the model that the published figures are of, at a known price."""
    known = run.plan.workload.name == _published()["model"]
    return known and "throughput_per_1000_usd" in metrics


def platforms(metrics: Mapping[str, Metric]) -> TableData:
    """A row for the machine and one a published platform."""
    rows: list[tuple[str, float, float, float]] = [
        (
            "simulated",
            metrics["throughput"].value,
            metrics["tokens_per_joule"].value,
            metrics["throughput_per_1000_usd"].value,
        )
    ]
    for other in _published()["platforms"]:
        rate = float(other["tokens_per_second"])
        rows.append((other["name"], rate, rate / other["watts"], 1000 * rate / other["dollars"]))
    return TableData(COLUMNS, rows)


def _published() -> dict[str, Any]:
    data = files("hwsim.models.flightllm") / "data" / "platforms.toml"
    return tomllib.loads(data.read_text(encoding="utf-8"))
