"""What holds for every test: no display, no colour, the same random inputs on every machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before any test imports matplotlib or rich.
os.environ["MPLBACKEND"] = "Agg"
os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "120"
for name in ("CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TTY_COMPATIBLE"):
    os.environ.pop(name, None)

# A failure seen once is seen by everybody: inputs are derived from the test, not from the clock.
settings.register_profile(
    "hwsim",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# For hunting: HYPOTHESIS_PROFILE=hunt draws new inputs each time, and many more.
settings.register_profile("hunt", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "hwsim"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the source tree."""
    return Path(__file__).resolve().parents[1]
