"""Transformer layers whose tensors several devices share: the sub-layers that end in an exchange.

A file is a model and what is asked of it (``.toml``, ``kind = "tensor_parallel"``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from hwsim.config import Config
from hwsim.workloads.kind import TOML, Kind, Overrides, ScenarioWorkload, read_scenario, scenario_of
from hwsim.workloads.ops import Op, Phase
from hwsim.workloads.shapes import MAX_LAYERS, Size
from hwsim.workloads.sites import Site
from hwsim.workloads.sources import Source
from hwsim.workloads.step import Step
from hwsim.workloads.trace import Trace
from hwsim.workloads.transformer import (
    BACKWARD_SUBLAYERS,
    FORWARD_SUBLAYERS,
    LayerShare,
    Sublayer,
)

__all__ = [
    "TENSOR_PARALLEL",
    "TensorParallelScenario",
    "TensorParallelWorkload",
    "TransformerShape",
]

BUILDER: Final = "hwsim.workloads.tensor_parallel 1"
"""Part of a trace's digest: raised when the builder makes other ops of the same scenario."""
MAX_TOKENS: Final = 2**24
"""Most tokens of an iteration: above what any training step gives one group of devices."""


class TransformerShape(Config):
    """A stack of equal layers, each attention and then a feed-forward block, norms first.

    Parameters
    ----------
    hidden_size : width of the residual stream, and of all heads together.
    layers : of the whole model; a trace is of one of them.
    heads : of attention, each with keys and values of its own.
    ffn_multiple : width of the feed-forward block in ``hidden_size``.
    """

    hidden_size: Size
    layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    heads: Size
    ffn_multiple: Annotated[int, Field(ge=1, le=64)] = 4

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> TransformerShape:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size must be a multiple of heads = {self.heads}, got {self.hidden_size}"
            )
        return self


class TensorParallelScenario(Config):
    """A model, cut over devices, and the part of it that is asked for.

    Parameters
    ----------
    model : its shape.
    tensor_parallel : devices that share each layer.
    sequence_length, batch : length and number of the sequences in one iteration.
    scope : ``sublayer`` is the products that end in an exchange, each with it; ``iteration`` is one
        layer with everything in it.
    sublayer : which of them, one after the other; ``all`` that the phase has.
    phase : ``training`` is forward and backward, ``prompt`` the forward alone.
    """

    model: TransformerShape
    tensor_parallel: Annotated[int, Field(ge=2)]
    sequence_length: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    batch: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    scope: Literal["sublayer", "iteration"] = "sublayer"
    sublayer: Literal[Sublayer, "all"] = "all"
    phase: Literal["training", "prompt"] = "training"

    @model_validator(mode="after")
    def _devices_share_evenly(self) -> TensorParallelScenario:
        if self.model.hidden_size % self.tensor_parallel:
            raise ValueError(
                f"tensor_parallel must divide model.hidden_size = {self.model.hidden_size}, "
                f"got {self.tensor_parallel}"
            )
        return self

    @model_validator(mode="after")
    def _prompt_has_no_backward(self) -> TensorParallelScenario:
        if self.phase == "prompt" and self.sublayer in BACKWARD_SUBLAYERS:
            known = ", ".join(map(repr, (*FORWARD_SUBLAYERS, "all")))
            raise ValueError(
                f"sublayer must be one of {known} with phase = prompt, got {self.sublayer!r}"
            )
        return self

    @model_validator(mode="after")
    def _an_iteration_has_every_sublayer(self) -> TensorParallelScenario:
        if self.scope == "iteration" and self.sublayer != "all":
            raise ValueError(
                f"sublayer must be 'all' with scope = iteration, got {self.sublayer!r}"
            )
        return self

    @model_validator(mode="after")
    def _tokens_have_an_end(self) -> TensorParallelScenario:
        most = MAX_TOKENS // self.sequence_length
        if self.batch > most:
            raise ValueError(
                f"batch must be at most {most} with sequence_length = {self.sequence_length} "
                f"({MAX_TOKENS} tokens), got {self.batch}"
            )
        return self

    @property
    def heads_per_device(self) -> int:
        """``ceil(heads / tensor_parallel)``: heads are padded to what the devices share evenly."""
        return -(-self.model.heads // self.tensor_parallel)

    @property
    def sublayers(self) -> tuple[Sublayer, ...]:
        """The sub-layers asked for, in program order."""
        backward = BACKWARD_SUBLAYERS if self.phase == "training" else ()
        return (*FORWARD_SUBLAYERS, *backward) if self.sublayer == "all" else (self.sublayer,)

    @property
    def share(self) -> LayerShare:
        """What one device has of a layer."""
        model = self.model
        return LayerShare(
            devices=self.tensor_parallel,
            hidden=model.hidden_size,
            inner=model.ffn_multiple * model.hidden_size,
            heads=self.heads_per_device,
            head_dim=model.hidden_size // model.heads,
            sequence=self.sequence_length,
            batch=self.batch,
        )


class TensorParallelWorkload(ScenarioWorkload[TensorParallelScenario]):
    """A model over devices, and what is asked of it."""

    kind = "tensor_parallel"

    @property
    def trace(self) -> Trace:
        """The ops of one device: step 0 the forward or the prompt, step 1 the backward."""
        meta = {"builder": BUILDER, "scenario": self.scenario.model_dump(mode="json")}
        return Trace.from_steps(self.name, meta, partial(_steps, self.scenario))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of results must know."""
        heads, devices = self.scenario.model.heads, self.scenario.tensor_parallel
        each = self.scenario.heads_per_device
        if heads == each * devices:
            return ()
        padded = f"padded to {each * devices} ({each} a device)"
        cause = f"for tensor_parallel = {devices}; its projections are not padded"
        return (f"{self.name} has {heads} heads, {padded} {cause}.",)


def _load(source: Source, overrides: Overrides) -> TensorParallelWorkload:
    scenario, given = scenario_of(TensorParallelScenario, read_scenario(source), overrides)
    return TensorParallelWorkload(source.name, scenario, given, source.where)


def _steps(scenario: TensorParallelScenario) -> Iterator[Step]:
    places: dict[str, int] = {}
    prompt = scenario.phase == "prompt"
    kv_length = scenario.sequence_length if prompt else None
    for index, phase, sites in _passes(scenario):
        ops = tuple(_placed(site, places, phase, index) for site in sites)
        yield Step(index, phase, scenario.share.tokens, kv_length, ops)


def _passes(scenario: TensorParallelScenario) -> Iterator[tuple[int, Phase, Sequence[Site]]]:
    """Index, phase and sites of each pass that has any."""
    first: Phase = "prefill" if scenario.phase == "prompt" else "forward"
    if scenario.scope == "iteration":
        forward, backward = scenario.share.forward(), scenario.share.backward()
        yield 0, first, tuple(forward)
        if scenario.phase == "training":
            yield 1, "backward", tuple(backward)
        return
    if sites := _alone(scenario, FORWARD_SUBLAYERS):
        yield 0, first, sites
    if sites := _alone(scenario, BACKWARD_SUBLAYERS):
        yield 1, "backward", sites


def _alone(scenario: TensorParallelScenario, among: tuple[Sublayer, ...]) -> Sequence[Site]:
    """Those of ``among`` that are asked for, each after the one before it."""
    asked = scenario.sublayers
    sites: list[Site] = []
    for number, name in enumerate(asked):
        if name in among:
            before = (f"{asked[number - 1]}_all_gather",) if number else ()
            sites += scenario.share.sublayer(name, before)
    return sites


def _placed(site: Site, places: dict[str, int], phase: Phase, step: int) -> Op:
    """The op of a site, behind all that ``places`` has."""
    deps = tuple(places[name] for name in site.reads)
    index = places[site.name] = len(places)
    return replace(
        site.work, index=index, name=site.name, phase=phase, step=step, layer=0, deps=deps
    )


TENSOR_PARALLEL: Final = Kind(TensorParallelWorkload.kind, (TOML,), _load)
