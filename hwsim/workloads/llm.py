"""Traces of decoder-only language models: a shape and a scenario become steps of ops.

Prefill takes the whole prompt through the model, a decode step one new token of each sequence.
Projections see the rows of all sequences together, attention each sequence by itself. The head of
the prefill covers every row of the prompt, as published accelerator programs have it, though only
the last row decides the next token. Sampling is no op: the embedding of a decode step depends on
the head of the step before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from hwsim.errors import Problem, WorkloadError
from hwsim.workloads.decoder import STREAM, DecoderPass
from hwsim.workloads.ops import Phase
from hwsim.workloads.scenario import LlmScenario, Numerics
from hwsim.workloads.shapes import LlmShape
from hwsim.workloads.sites import Site
from hwsim.workloads.step import Step
from hwsim.workloads.template import Slot, Template, TemplateOps
from hwsim.workloads.trace import Trace

__all__ = ["build_trace", "check_positions"]

BUILDER: Final = "hwsim.workloads.llm 1"
"""Part of a trace's digest: raised when the builder makes other ops of the same scenario."""


def build_trace(
    shape: LlmShape,
    scenario: LlmScenario,
    numerics: Numerics | None = None,
    name: str = "llm",
) -> Trace:
    """The trace of a model in a scenario, built a step at a time.

    Of LLaMA2-7B, a decode step is an embedding and 770 ops, a prefill an embedding and 706.

    Raises
    ------
    WorkloadError
        The scenario goes beyond the learned positions of the model.
    """
    check_positions(shape, scenario, name)
    numerics = numerics or Numerics()
    meta = {
        "builder": BUILDER,
        "model": shape.model_dump(mode="json"),
        "scenario": scenario.model_dump(mode="json"),
        "numerics": numerics.model_dump(mode="json"),
    }
    return Trace.from_steps(name, meta, partial(_steps, shape, scenario, numerics))


def check_positions(shape: LlmShape, scenario: LlmScenario, name: str) -> None:
    """Refuse a scenario that is longer than the table of positions; rotary embedding has no end."""
    if not shape.rope and scenario.attended > shape.max_positions:
        rule = f"must be at most {shape.max_positions}, its learned positions"
        problem = Problem(name, scenario.attended_key, rule, scenario.attended)
        raise WorkloadError(str(problem))


def _steps(shape: LlmShape, scenario: LlmScenario, numerics: Numerics) -> Iterator[Step]:
    templates: dict[tuple[Phase, bool], Template] = {}
    first = 0
    for index, phase, queries, context in _passes(scenario):
        run = DecoderPass(shape, numerics, phase, scenario.batch, queries, context)
        blocks = [tuple(block) for block in (run.embedding(), run.layer(), run.head())]
        follows = first > 0
        if (phase, follows) not in templates:
            templates[phase, follows] = _template(blocks, shape.layers, follows)
        works = tuple(site.work for site in chain(*blocks))
        ops = TemplateOps(templates[phase, follows], works, first, phase, index)
        yield Step(index, phase, run.rows, context, ops)
        first += len(ops)


def _passes(scenario: LlmScenario) -> Iterator[tuple[int, Phase, int, int]]:
    """Step index, phase, new tokens of a sequence, and positions after them, pass by pass."""
    prompt = scenario.prompt_tokens
    if scenario.phase == "decode_step":
        yield 1, "decode", 1, scenario.attended
        return
    yield 0, "prefill", prompt, prompt
    if scenario.phase == "generate":
        for index in range(1, scenario.output_tokens + 1):
            yield index, "decode", 1, prompt + index


def _template(blocks: Sequence[Sequence[Site]], layers: int, follows: bool) -> Template:
    """The ops of a pass: embedding, ``layers`` times the layer, head.

    ``follows`` says that a step goes before, whose last op is the head that gives the token.
    """
    embedding, layer, head = blocks
    slots: list[Slot] = []
    _place(slots, embedding, "", None, (-1,) if follows else ())
    for number in range(layers):
        _place(slots, layer, f"layers.{number}.", number, first_work=len(embedding))
    _place(slots, head, "", None, first_work=len(embedding) + len(layer))
    return Template(tuple(slots))


def _place(
    slots: list[Slot],
    block: Sequence[Site],
    prefix: str,
    layer: int | None,
    stream: tuple[int, ...] | None = None,
    first_work: int = 0,
) -> None:
    """Add the ops of a block; the stream it reads comes from the last op before, if not given."""
    entering = (len(slots) - 1,) if stream is None else stream
    places: dict[str, tuple[int, ...]] = {STREAM: entering}
    for work, site in enumerate(block, first_work):
        needs = tuple(place for name in site.reads for place in places[name])
        places[site.name] = (len(slots),)
        slots.append(Slot(prefix + site.name, layer, work, needs))
