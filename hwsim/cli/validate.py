"""``hwsim validate``: published claims against simulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import JsonOption, OutOption, WorkersOption
from hwsim.cli.terminal import json_text, print_json, print_note, print_table, progress
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.validate import Validation

__all__ = ["validate"]

CHECK_FAILED = 1


def validate(
    systems: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SYSTEM]...", help="Which systems; all by default."),
    ] = None,
    json: JsonOption = False,
    out: OutOption = None,
    workers: WorkersOption = None,
) -> None:
    """Simulate what was published and print both, with the errors; misses stay listed.

    Exit code 1 when a claim's status differs from the one recorded, or a miss has no reason.
    """
    from hwsim.validate import validate as simulate_claims
    from hwsim.workers import cores

    if out is not None:
        _check(out)
    with progress("validate") as show:
        found = simulate_claims(systems or (), show, workers or cores())
    if out is not None:
        _write(found, out)
    if json:
        print_json(found.to_json())
    else:
        print_table(*found.table())
    for failure in found.failures:
        print_note(failure)
    if found.failures:
        raise typer.Exit(CHECK_FAILED)


def _check(folder: Path) -> None:
    """Refuse, before minutes of simulation, a folder that can't be written."""
    from hwsim.replace import check_writable

    try:
        check_writable(folder)
    except OSError as error:
        raise HwsimError(f"{folder}: can't be written: {error.strerror}") from None


def _write(found: Validation, folder: Path) -> None:
    from hwsim.replace import replaced_file

    folder.mkdir(parents=True, exist_ok=True)
    files = {"validation.json": json_text(found.to_json()), "validation.md": found.markdown()}
    for name, text in files.items():
        with replaced_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
