"""``hwsim report``: draw a run again from what it left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.terminal import print_text

__all__ = ["report"]


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="A folder that 'hwsim run' wrote.")
    ],
) -> None:
    """Rebuild the report and the figures of a run."""
    from hwsim.report import rebuild_report

    print_text(f"{rebuild_report(folder)}\n")
