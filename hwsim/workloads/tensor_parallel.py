"""Transformer layers whose tensors several devices share: the sub-layers that end in an exchange.

A file is a model and what is asked of it (``.toml``, ``kind = "tensor_parallel"``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
    GRADIENT,
    STREAM,
    LayerShare,
    Sublayer,
)

__all__ = [
    "TENSOR_PARALLEL",
    "TensorParallelScenario",
    "TensorParallelWorkload",
    "TransformerShape",
]

BUILDER: Final = "hwsim.workloads.tensor_parallel 2"
"""Part of a trace's digest: raised when the builder makes other ops of the same scenario."""
MAX_TOKENS: Final = 2**24
"""Most tokens of an iteration: above what any training step gives one group of devices."""


class TransformerShape(Config):
    """A stack of equal layers, each attention and then a feed-forward block, norms first.

    Parameters
    ----------
    hidden_size : width of the residual stream, and of all heads together.
    layers : of the whole model.
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
    scope : ``sublayer`` is the products that end in an exchange, each with it; ``iteration`` is all
        layers with everything in them.
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
    def passes(self) -> Sequence[tuple[int, Phase, tuple[Sublayer, ...]]]:
        """Index and phase of each pass, and the sub-layers that it has."""
        if self.phase == "prompt":
            return [(0, "prefill", FORWARD_SUBLAYERS)]
        return [(0, "forward", FORWARD_SUBLAYERS), (1, "backward", BACKWARD_SUBLAYERS)]

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
    prompt = scenario.phase == "prompt"
    kv_length = scenario.sequence_length if prompt else None
    passes = _iteration if scenario.scope == "iteration" else _alone
    for index, phase, ops in passes(scenario):
        yield Step(index, phase, scenario.share.tokens, kv_length, tuple(ops))


Pass = tuple[int, Phase, Sequence[Op]]
"""Index, phase and ops of a pass."""
Places = dict[str, tuple[int, ...]]
"""The op, if any, that each name stands for."""


def _alone(scenario: TensorParallelScenario) -> Iterator[Pass]:
    """The sub-layers that are asked for, each after the one before it."""
    share, places, asked, first = scenario.share, Places(), scenario.sublayers, 0
    before: tuple[str, ...] = ()
    for index, phase, among in scenario.passes:
        ops: list[Op] = []
        for name in (name for name in among if name in asked):
            sites = share.sublayer(name, before)
            ops += _Block(phase, index, 0).placed(sites, places, first + len(ops))
            before = (f"{name}_all_gather",)
        if ops:
            yield index, phase, ops
        first += len(ops)


def _iteration(scenario: TensorParallelScenario) -> Iterator[Pass]:
    """Forward through all layers, then backward from the last to the first."""
    layers = range(scenario.model.layers)
    (_, phase, _), *backward = scenario.passes
    sites = tuple(scenario.share.forward())
    ops: list[Op] = []
    places: list[Places] = []
    entering: tuple[int, ...] = ()
    for layer in layers:
        here: Places = {STREAM: entering}
        ops += _Block.of_layer(phase, 0, layer).placed(sites, here, len(ops))
        entering = here["ffn_add"]
        places.append(here)
    yield 0, phase, ops
    if backward:
        yield 1, "backward", list(_backward(scenario, places, len(ops)))


def _backward(scenario: TensorParallelScenario, places: list[Places], first: int) -> Iterator[Op]:
    """The backward of all layers, where the forward has left ``places``; the loss has no op."""
    sites = tuple(scenario.share.backward())
    entering = places[-1]["ffn_add"]
    for layer, forward in reversed(tuple(enumerate(places))):
        here: Places = {**forward, GRADIENT: entering}
        yield from _Block.of_layer("backward", 1, layer).placed(sites, here, first)
        entering = here["attention_add_gradient"]
        first += len(sites)


@dataclass(frozen=True)
class _Block:
    """Where in the trace the ops of a block stand."""

    phase: Phase
    step: int
    layer: int
    prefix: str = ""

    @classmethod
    def of_layer(cls, phase: Phase, step: int, layer: int) -> _Block:
        """One of many layers, whose ops have its number in their names."""
        return cls(phase, step, layer, f"layers.{layer}.")

    def placed(self, sites: Iterable[Site], places: Places, first: int) -> Iterator[Op]:
        """The ops of sites from index ``first`` on, behind those that ``places`` has."""
        for index, site in enumerate(sites, first):
            deps = tuple(place for name in site.reads for place in places[name])
            places[site.name] = (index,)
            yield replace(
                site.work,
                index=index,
                name=self.prefix + site.name,
                phase=self.phase,
                step=self.step,
                layer=self.layer,
                deps=deps,
            )


TENSOR_PARALLEL: Final = Kind(TensorParallelWorkload.kind, (TOML,), _load)
