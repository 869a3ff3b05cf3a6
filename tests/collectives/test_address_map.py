"""Address-space configurations: where the chunks of a fused GEMM go."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from hwsim.collectives import make_schedule
from hwsim.collectives.address_map import ADDRESS_MAPS, Route, fully_connected, ring, stagger_order
from hwsim.errors import ConfigError


def test_the_map_of_the_published_example() -> None:
    # T3 facts, 3.2: GPU 0 starts with chunk 1, which goes to GPU 3 as remote updates
    assert ring(4, 0) == (
        Route(1, "remote", 3, 0),
        Route(2, "dma", 3, 2),
        Route(3, "dma", 3, 2),
        Route(0, "own", None, 2),
    )
    assert fully_connected(4, 1) == (
        Route(2, "remote", 2, 0),
        Route(3, "remote", 3, 0),
        Route(0, "remote", 0, 0),
        Route(1, "own", None, 4),
    )


def test_two_devices_have_nothing_to_pass_on() -> None:
    assert ring(2, 0) == (Route(1, "remote", 1, 0), Route(0, "own", None, 2))


@pytest.mark.parametrize("devices", [2, 3, 8, 16, 32])
@pytest.mark.parametrize("name", list(ADDRESS_MAPS))
def test_the_updates_that_arrive_are_those_that_are_counted(name: str, devices: int) -> None:
    arriving: Counter[tuple[int, int]] = Counter()
    counted: dict[tuple[int, int], int] = {}
    for device in range(devices):
        routes = ADDRESS_MAPS[name](devices, device)
        assert tuple(route.chunk for route in routes) == stagger_order(devices, device)
        for route in routes:
            if route.kind != "remote":
                arriving[device, route.chunk] += 1  # the GEMM's own
                counted[device, route.chunk] = route.updates
            if route.peer is not None:
                arriving[route.peer, route.chunk] += 1
    assert arriving == counted


@pytest.mark.parametrize(("name", "algorithm"), [("ring", "ring"), ("fully_connected", "direct")])
@pytest.mark.parametrize("devices", [2, 3, 8])
def test_a_map_sends_what_the_reduce_scatter_sends(name: str, algorithm: str, devices: int) -> None:
    schedule = make_schedule("reduce_scatter", algorithm, devices)  # type: ignore[arg-type]
    sent = {(t.source, t.destination, t.chunk) for t in schedule.transfers}
    routes = [(d, route) for d in range(devices) for route in ADDRESS_MAPS[name](devices, d)]
    assert {(d, r.peer, r.chunk) for d, r in routes if r.peer is not None} == sent


@pytest.mark.parametrize(
    ("devices", "device", "message"),
    [
        (1, 0, "devices must be at least 2, got 1"),
        (4, 4, "device must be from 0 to 3, got 4"),
        (4, -1, "device must be from 0 to 3, got -1"),
    ],
)
def test_a_device_that_is_none_has_no_map(devices: int, device: int, message: str) -> None:
    for address_map in ADDRESS_MAPS.values():
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            address_map(devices, device)
