"""Language models: a model, shipped or one's own, in a scenario.

A file is a model, the ``config.json`` of Hugging Face (``.json``), or a scenario that names one
(``.toml``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from hwsim.config import Parameter, RawConfig, parameter_table
from hwsim.errors import ConfigError, Problem
from hwsim.workloads.huggingface import model_source, read_model, shape_of
from hwsim.workloads.kind import TOML, Kind, Overrides, read_scenario, scenario_of
from hwsim.workloads.llm import build_trace, check_positions
from hwsim.workloads.scenario import LlmScenario, Numerics
from hwsim.workloads.shapes import LlmShape
from hwsim.workloads.sources import Source, find, similar
from hwsim.workloads.trace import Trace

__all__ = ["LLM", "LlmWorkload"]

MODEL: Final = ".json"


@dataclass(frozen=True)
class LlmWorkload:
    """A language model and what is asked of it.

    Parameters
    ----------
    name : what reports and run folders call it.
    shape : of the model.
    scenario : prompt, output and batch.
    raw : the scenario as given, overrides included, for tables of parameters.
    source : where the shape comes from, in words; may be empty.
    where : its file, in messages.
    """

    kind: ClassVar[str] = "llm"

    name: str
    shape: LlmShape
    scenario: LlmScenario
    raw: RawConfig
    source: str = ""
    where: str = ""

    @property
    def trace(self) -> Trace:
        """The ops, in the default data types."""
        return self.trace_in(Numerics())

    def trace_in(self, numerics: Numerics) -> Trace:
        """The ops, in the data types and densities that a system runs."""
        return build_trace(self.shape, self.scenario, numerics, self.name)

    @property
    def sha256(self) -> str:
        """Digest of model and scenario, whatever their name."""
        return self.trace.sha256()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        attended, made_for = self.scenario.attended, self.shape.max_positions
        if attended <= made_for:
            return ()
        return (
            f"{self.name} was made for {made_for} positions; this scenario attends {attended}.",
        )

    @property
    def parameters(self) -> Sequence[Parameter]:
        """Every value of the scenario, with where it comes from."""
        return parameter_table(self.scenario, self.raw)


def _load(source: Source, overrides: Overrides) -> LlmWorkload:
    if source.path.suffix == MODEL:
        return _load_model(source, RawConfig({}, source.where), overrides)
    raw = read_scenario(source)
    model = _model_of(source, raw.data.pop("model", None))
    return replace(_load_model(model, raw, overrides), name=source.name)


def _model_of(source: Source, model: object) -> Source:
    """The file of the model that the scenario in ``source`` names."""
    if not isinstance(model, str):
        missing = "is missing; it " if model is None else ""
        rule = f"{missing}must be the name or path of a model"
        raise ConfigError([Problem(source.where, "model", rule, model)])
    found = find(model, source.path.parent)
    if found.path.suffix != MODEL:
        rule = f"must be a {MODEL} model or the name of one{similar(model)}"
        raise ConfigError([Problem(source.where, "model", rule, model)])
    return found


def _load_model(source: Source, raw: RawConfig, overrides: Overrides) -> LlmWorkload:
    """The model in ``source`` in the scenario of ``raw``."""
    model = read_model(source.path, source.where)
    shape = shape_of(model, source.where)
    scenario, given = scenario_of(LlmScenario, raw, overrides)
    check_positions(shape, scenario, source.name)
    return LlmWorkload(source.name, shape, scenario, given, model_source(model), source.where)


LLM: Final = Kind(LlmWorkload.kind, (TOML, MODEL), _load)
