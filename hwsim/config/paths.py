"""Where the files that come with hwsim are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["shipped"]

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(folder: Literal["arch_configs", "workloads"]) -> Path:
    """The folder of shipped machines or workloads: package data, else the source tree's."""
    installed = PACKAGE / "_data" / folder
    return installed if installed.is_dir() else PACKAGE.parent / folder
