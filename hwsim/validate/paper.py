"""Published claims against simulation, from each system's ``paper.toml``.

A ``paper.toml`` names the paper, the scenarios to simulate, and the claims::

    paper = "FlightLLM (FPGA'24, arXiv 2401.03868)"

    [scenarios.u280_decode_128]
    machine = "flightllm/u280"
    workload = "llama2_7b"
    set = ["workload.phase=decode_step", "workload.kv_length=128"]

    [[claims]]
    id = "u280_decode_step_128"
    title = "U280, one decode step at KV length 128, measured on a card"
    metric = "decode_step_latency"
    unit = "s"
    published = 17.506e-3
    simulated = "u280_decode_128.metrics.decode_step_latency"
    tolerance = 0.03
    kind = "validate"
    status = "hit"
    source = "third-party measurement of the authors' bitstream"

``kind`` is ``validate``, ``fit`` (a constant was calibrated on it) or ``reference`` (a figure of
other hardware, shown and compared with, not simulated). ``status`` is what is recorded, ``hit`` or
``miss``; a miss says its ``reason``. ``simulated`` is one operand, or two as ``A / B``, each of

- ``SCENARIO.metrics.NAME``
- ``SCENARIO.phases.NAME.cycles`` or ``.seconds``
- ``SCENARIO.stages.COMPONENT.busy`` (``starved``, ``blocked``, ``idle``)
- ``SCENARIO.tables.TABLE.ROW.COLUMN``: the row whose first cell reads ``ROW``
- ``published.CLAIM``: the published figure of another claim

What does not fit is a function in the system's ``claims.py``, named by ``hook`` instead of
``simulated``; it takes the outcomes of ``scenarios`` by name and gives the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hwsim.config import Config, Text, build, read_toml
from hwsim.models.registry import SystemEntry
from hwsim.units import MetricUnit

__all__ = ["PUBLISHED", "Claim", "Operand", "Paper", "Scenario", "read_paper"]

PUBLISHED = "published"
"""The word that stands where an operand names its scenario, for the figure of another claim."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Expression = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[^/]+( / [a-z0-9_]+\.[^/]+)?$")]


@dataclass(frozen=True)
class Operand:
    """One term of ``simulated``: a scenario, and where in its outcome."""

    scenario: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Operand:
        """``"u280.metrics.latency"`` is ``metrics.latency`` of the scenario ``u280``."""
        scenario, _, path = text.strip().partition(".")
        return cls(scenario, path)


class Scenario(Config):
    """One simulation that claims refer to by name."""

    machine: Text
    workload: Text
    set: tuple[Text, ...] = ()


class Claim(Config):
    """One published figure, and how to simulate it."""

    id: Name
    title: Text
    metric: Text
    unit: MetricUnit
    published: float
    source: Text
    kind: Literal["validate", "fit", "reference"]
    simulated: Expression | None = None
    hook: Text | None = None
    scenarios: tuple[Name, ...] = ()
    tolerance: Annotated[float, Field(ge=0)] | None = None
    status: Literal["hit", "miss"] | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _is_simulated_unless_reference(self) -> Claim:
        ways = (self.simulated is not None) + (self.hook is not None)
        judged = (self.status is not None) + (self.tolerance is not None)
        if self.kind == "reference" and (ways or judged):
            rule = "must have neither simulated, hook, tolerance nor status, being a reference"
            raise ValueError(f"claim {self.id} {rule}")
        if self.kind != "reference" and (ways, judged) != (1, 2):
            rule = "must have a tolerance, a status, and either simulated or hook"
            raise ValueError(f"claim {self.id} {rule}")
        return self

    @model_validator(mode="after")
    def _scenarios_go_with_a_hook(self) -> Claim:
        if (self.hook is None) != (not self.scenarios):
            raise ValueError(f"claim {self.id} must have both hook and scenarios or neither")
        return self

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What ``simulated`` divides, or its only term."""
        return tuple(Operand.parse(text) for text in (self.simulated or "").split(" / ") if text)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the scenarios to simulate for this claim."""
        named = (operand.scenario for operand in self.operands if operand.scenario != PUBLISHED)
        return (*self.scenarios, *named)


class Paper(Config):
    """A system's ``paper.toml``."""

    paper: Text
    scenarios: dict[Name, Scenario] = Field(default_factory=dict)
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Paper:
        counts = Counter(claim.id for claim in self.claims)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"claims must have an id each, got {', '.join(twice)} twice")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Paper:
        problems = [problem for claim in self.claims for problem in self._unknown_names(claim)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_names(self, claim: Claim) -> Iterator[str]:
        ids = {other.id for other in self.claims}
        compared = (operand.path for operand in claim.operands if operand.scenario == PUBLISHED)
        for name in claim.needs:
            if name not in self.scenarios:
                yield f"claim {claim.id} must use a scenario of this file, got {name!r}"
        for name in compared:
            if name not in ids:
                yield f"claim {claim.id} must compare with a claim of this file, got {name!r}"


def read_paper(entry: SystemEntry) -> Paper | None:
    """The claims of a system; None when it lists none."""
    listed = resources.files(entry.package) / "paper.toml"
    if not listed.is_file():
        return None
    with resources.as_file(listed) as path:
        return build(Paper, read_toml(path))
