"""The contract of a component, over every one that a registered system builds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from hwsim.errors import ProtocolError
from hwsim.sim import Component, In, Kernel, Out
from hwsim.units import METRIC_UNITS


@pytest.fixture
def kernel(case: Any, observe: Callable[..., Any]) -> Kernel:
    """The kernel of a run that simulated everything."""
    found: Kernel = observe(case, replay=False).kernel
    return found


@pytest.fixture
def components(kernel: Kernel) -> list[Component[Any]]:
    assert kernel.components
    return kernel.components


def section(component: Component[Any], title: str) -> list[str]:
    """The entry lines of a NumPy section of the component's docstring."""
    lines = inspect.cleandoc(type(component).__doc__ or "").splitlines()
    if title not in lines:
        return []
    start = lines.index(title) + 1
    assert re.fullmatch("-+", lines[start]), f"{type(component).__name__}: {title} has no underline"
    body: list[str] = []
    for line, following in zip(lines[start + 1 :], [*lines[start + 2 :], ""], strict=True):
        if re.fullmatch("-{3,}", following):
            break
        body.append(line)
    return [line for line in body if line and not line.startswith(" ")]


def attributes(names: Any) -> set[str]:
    """The attributes that hold these members: ``waits[LD]`` is of ``waits``."""
    return {name.partition("[")[0] for name in names}


def documented_ports(component: Component[Any]) -> Iterator[tuple[str, str]]:
    """Names before a `` : ``, with what follows it up to the next."""
    for line in section(component, "Ports"):
        for names, kind in re.findall(r"((?:\w+, )*\w+) : (.*?)(?=, \w+ : |$)", line):
            yield from ((name, kind) for name in names.split(", "))


def documented_stats(component: Component[Any]) -> Iterator[tuple[str, str]]:
    """``name (unit)``, any number in a line."""
    for line in section(component, "Stats"):
        yield from re.findall(r"(\w+) \(([^()]+)\)", line)


def test_configs_are_frozen(components: list[Component[Any]]) -> None:
    for component in components:
        cfg = component.cfg
        if isinstance(cfg, BaseModel):
            frozen = cfg.model_config.get("frozen")
        else:
            frozen = cfg is None or (is_dataclass(cfg) and cfg.__dataclass_params__.frozen)  # type: ignore[attr-defined]
        assert frozen, f"{component.name}: {type(cfg).__name__} must be frozen"


def test_names_are_unique(kernel: Kernel) -> None:
    names = [component.name for component in kernel.components]
    channels = [channel.name for channel in kernel.channels]

    assert len(set(names)) == len(names)
    assert len(set(channels)) == len(channels)


def test_all_ports_are_connected(components: list[Component[Any]]) -> None:
    loose = []
    for component in components:
        for name, port in component.ports().items():
            try:
                assert port.channel in component.kernel.channels
            except ProtocolError:
                loose.append(f"{component.name}.{name}")
    assert not loose


def test_ports_are_named_by_their_component(components: list[Component[Any]]) -> None:
    for component in components:
        for port in component.ports().values():
            assert port.path.startswith(f"{component.name}.")


def test_the_ports_section_names_the_ports_and_no_others(components: list[Component[Any]]) -> None:
    for component in components:
        documented = {name for name, _ in documented_ports(component)}
        assert documented == attributes(component.ports()), type(component).__name__


def test_the_ports_section_says_which_way_a_port_goes(components: list[Component[Any]]) -> None:
    for component in components:
        ports = component.ports()
        for name, kind in documented_ports(component):
            if name in ports:
                way = In if isinstance(ports[name], In) else Out
                assert kind.startswith(f"{way.__name__}["), f"{type(component).__name__}.{name}"


def test_the_stats_section_names_the_counters_with_their_units(
    components: list[Component[Any]],
) -> None:
    for component in components:
        documented = set(documented_stats(component))
        counters = component.counters().items()
        actual = {(name.partition("[")[0], counter.unit) for name, counter in counters}
        assert documented == actual, type(component).__name__


def test_every_counter_has_a_unit_and_an_exact_value(components: list[Component[Any]]) -> None:
    for component in components:
        for name, counter in component.counters().items():
            assert counter.unit in METRIC_UNITS, f"{component.name}.{name}"
            assert not isinstance(counter.value, float), f"{component.name}.{name}"


def test_stage_accounts_add_up_to_the_elapsed_time(components: list[Component[Any]]) -> None:
    for component in components:
        for name, stage in component.stages().items():
            assert stage.times().total == component.kernel.now, f"{component.name}.{name}"


def test_some_stage_was_busy_and_some_counter_counted(components: list[Component[Any]]) -> None:
    assert any(s.times().busy for c in components for s in c.stages().values())
    assert any(counter.value for c in components for counter in c.counters().values())


def test_all_are_at_rest_after_the_run(components: list[Component[Any]]) -> None:
    assert [component.name for component in components if not component.at_rest()] == []


def test_a_component_that_remembers_can_recall(components: list[Component[Any]]) -> None:
    for component in components:
        memory = component.memory()
        hash(memory)
        component.recall(memory)
        assert component.memory() == memory


def test_channels_hold_at_the_end_what_they_held_at_the_start(
    case: Any, observe: Callable[..., Any]
) -> None:
    """Start tokens, or nothing."""
    seen = observe(case, replay=False)

    assert {c.name: c.contents() for c in seen.kernel.channels} == seen.at_start


def test_nothing_is_scheduled_after_the_run(kernel: Kernel) -> None:
    assert kernel.quiet
