"""``hwsim sweep``: many simulations from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import JsonOption, OutOption, WorkersOption
from hwsim.cli.terminal import print_json, print_note, print_table, progress

__all__ = ["sweep"]


def sweep(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="What to vary and what to look at (.toml).")
    ],
    out: OutOption = None,
    workers: WorkersOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take what an interrupted sweep has finished.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Simulate every point of a sweep and write the table and its figures.

    A point that fails has its error in the table. Exit code of the first error when all fail.
    """
    from hwsim.explore import (
        Sweep,
        check_sweep_folder,
        open_points,
        plan_of,
        read_spec,
        run_sweep,
        sweep_folder,
        write_sweep,
    )
    from hwsim.workers import cores

    described = read_spec(spec)
    plan = plan_of(described, spec)
    folder = out or (None if json and not resume else sweep_folder(spec))
    if folder is not None:
        check_sweep_folder(folder)
    points = None if folder is None else open_points(folder, resume)
    with progress(f"sweep of {len(plan.jobs)}") as show:
        found = run_sweep(plan, workers or cores(), points, resume, show)
    done = Sweep(spec.stem, str(spec), described, plan, found)
    if json:
        print_json(done.to_json())
    else:
        print_table(*done.table())
    if folder is not None:
        write_sweep(done, folder)
        print_note(f"Written to {folder}")
    for note in done.notes:
        print_note(note)
    if done.exit_code:
        raise typer.Exit(done.exit_code)
