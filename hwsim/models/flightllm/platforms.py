"""The machine beside published platforms: tokens a second, a joule and a dollar.

Their figures are those of the claims in ``paper.toml``; ``data/platforms.toml`` says which.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6 (energy and cost efficiency).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hwsim.models.flightllm.run import Run
from hwsim.outcome import Metric, TableData

__all__ = ["comparable", "platform_sources", "platforms"]

FIGURES = ("token_per_second", "token_per_joule", "token_per_second_per_1000_usd")


def comparable(run: Run, metrics: Mapping[str, Metric]) -> bool:
    """Whether the run decodes the model that the published figures are of, at a known price."""
    known = run.plan.workload.name == _listed()["model"]
    return known and "throughput_per_1000_usd" in metrics


def platforms(metrics: Mapping[str, Metric]) -> TableData:
    """A row for the machine and one a platform; ``basis`` is simulated, published or derived."""
    names = ("throughput", "tokens_per_joule", "throughput_per_1000_usd")
    rows = [("this machine", "simulated", *(metrics[name].value for name in names))]
    published = _published()
    for other in _listed()["platforms"]:
        figures = (_figure(other[name], published) for name in FIGURES)
        rows.append((f"{other['name']} ({other['basis']})", other["basis"], *figures))
    return TableData(("platform", "basis", *FIGURES), rows)


def platform_sources() -> str:
    """Where the figures of each platform come from, in words."""
    return "; ".join(f"{p['name']} ({p['basis']}): {p['how']}" for p in _listed()["platforms"])


def _figure(text: str, published: Mapping[str, float]) -> float:
    """``"a"`` or ``"a / b"``, of claims by id."""
    claim, _, divisor = text.partition(" / ")
    return published[claim] / (published[divisor] if divisor else 1.0)


@functools.cache
def _published() -> Mapping[str, float]:
    return {claim["id"]: float(claim["published"]) for claim in _read("paper.toml")["claims"]}


@functools.cache
def _listed() -> dict[str, Any]:
    return _read("data/platforms.toml")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files("hwsim.models.flightllm") / name).read_text(encoding="utf-8"))
