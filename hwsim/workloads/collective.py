"""One exchange among devices, alone.

A file says what is asked of it (``.toml``, ``kind = "collective"``); how many devices there are is
the machine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final, Literal

from pydantic import model_validator

from hwsim.config import Config, Quantity, quantity
from hwsim.workloads.kind import TOML, Kind, Overrides, ScenarioWorkload, read_scenario, scenario_of
from hwsim.workloads.ops import Collective, Dtype
from hwsim.workloads.sources import Source
from hwsim.workloads.step import Step
from hwsim.workloads.trace import Trace

__all__ = ["COLLECTIVE", "CollectiveScenario", "CollectiveWorkload"]

BUILDER: Final = "hwsim.workloads.collective 1"
"""Part of a trace's digest: raised when the builder makes other ops of the same scenario."""
DTYPE: Final[Dtype] = "fp16"
ELEMENT_BYTES: Final = 2
MAX_BYTES: Final = 2**40
DEVICES: Final = 8
"""Of the trace that belongs to no machine."""


class CollectiveScenario(Config):
    """Which exchange, and how.

    Parameters
    ----------
    collective : what is exchanged.
    algorithm : who sends what to whom; a system refuses one that does no such exchange.
    message_bytes : the whole vector on each device, of FP16 elements.
    """

    collective: Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all"] = "all_reduce"
    algorithm: Literal["ring", "direct", "tree", "star"] = "ring"
    message_bytes: Annotated[int, Quantity("B", positive=True, bare=True)] = quantity("64 MiB")

    @model_validator(mode="after")
    def _message_is_of_whole_elements(self) -> CollectiveScenario:
        if self.message_bytes % ELEMENT_BYTES:
            raise ValueError(
                f"message_bytes must be a multiple of {ELEMENT_BYTES} B, the size of an element, "
                f"got '{self.message_bytes} B'"
            )
        return self

    @model_validator(mode="after")
    def _message_has_an_end(self) -> CollectiveScenario:
        if self.message_bytes > MAX_BYTES:
            raise ValueError(f"message_bytes must be at most '1 TiB', got '{self.message_bytes} B'")
        return self


class CollectiveWorkload(ScenarioWorkload[CollectiveScenario]):
    """An exchange."""

    kind = "collective"

    @property
    def trace(self) -> Trace:
        """The op, among 8 devices."""
        return self.trace_on(DEVICES)

    def trace_on(self, devices: int) -> Trace:
        """The op, among the devices that a machine has."""
        scenario = self.scenario.model_dump(mode="json")
        meta = {"builder": BUILDER, "scenario": scenario, "devices": devices}
        return Trace.from_steps(self.name, meta, partial(_steps, self.scenario, devices))


def _load(source: Source, overrides: Overrides) -> CollectiveWorkload:
    scenario, given = scenario_of(CollectiveScenario, read_scenario(source), overrides)
    return CollectiveWorkload(source.name, scenario, given, source.where)


def _steps(scenario: CollectiveScenario, devices: int) -> Iterator[Step]:
    op = Collective(
        index=0,
        name=scenario.collective,
        phase="forward",
        step=0,
        layer=None,
        deps=(),
        kind=scenario.collective,
        bytes=scenario.message_bytes,
        devices=devices,
        role="message",
        dtype=DTYPE,
    )
    yield Step(0, "forward", 1, None, (op,))


COLLECTIVE: Final = Kind(CollectiveWorkload.kind, (TOML,), _load)
