"""A small node that runs in a second what the published one does in ten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwsim.config import apply_overrides, build, load_machine_file
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.tiles import GemmShape

SMALL = (("compute.units", "8"), ("cache.capacity", "1 MiB"))

Machine = Callable[..., T3Config]


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The published machine with 8 compute units and 1 MiB of cache, and what is given."""

    def make(**given: str) -> T3Config:
        keys = [(key.replace("__", "."), text) for key, text in given.items()]
        raw = apply_overrides(load_machine_file("t3/gpu80"), T3Config, [*SMALL, *keys])
        return build(T3Config, raw)

    return make


@pytest.fixture(scope="session")
def shape() -> GemmShape:
    """64 workgroups, 4 stages; 2 MiB of output."""
    return GemmShape(1024, 1024, 256)
