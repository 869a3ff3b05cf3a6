"""``hwsim compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.terminal import print_rich, table
from hwsim.errors import HwsimError

__all__ = ["compare"]


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_DIR RUN_DIR...", help="Folders that 'hwsim run' wrote."),
    ],
) -> None:
    """Print runs side by side: metrics with ratios to the first, and the inputs that differ."""
    from hwsim.report import compare_notes, compare_runs, compare_settings

    if len(folders) < 2:
        raise HwsimError(f"compare needs two run folders at least, got {folders[0]} alone")
    metrics, settings = compare_runs(folders), compare_settings(folders)
    print_rich(
        table(metrics.columns, metrics.rows),
        table(settings.columns, settings.rows) if settings.rows else "No setting differs.",
        *(f"Note: {note}" for note in compare_notes(folders)),
    )
