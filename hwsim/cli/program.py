"""``hwsim program``: the instruction programs of a workload, as files and as text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import MachineArgument, OutOption, SetOption, WorkloadArgument
from hwsim.cli.terminal import print_note, print_table, print_text

if TYPE_CHECKING:
    from hwsim.report.programs import ProgramFile

__all__ = ["program"]

program = typer.Typer(help="Build or show instruction programs, for systems that have them.")


@program.command("build")
def build(
    machine: MachineArgument,
    workload: WorkloadArgument,
    set_: SetOption = None,
    out: OutOption = None,
) -> None:
    """Write DIR/PROGRAM/coreN.bin: the instruction words, little endian."""
    from hwsim.report.programs import load_programs, write_programs

    names, programs = load_programs(machine, workload, set_ or ())
    folder = out or Path("programs", "-".join(names).replace("/", "-"))
    rows = write_programs(names, programs, folder)
    print_table(("program", "core", "bytes"), [(n, c, f"{size:,}") for n, c, size in rows])
    print_text(f"{len(rows)} files, {sum(size for *_, size in rows):,} bytes: {folder}\n")


@program.command("show")
def show(
    machine: MachineArgument,
    workload: WorkloadArgument,
    set_: SetOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Print the first N lines; 0: all.")
    ] = 100,
) -> None:
    """Print instruction programs as text."""
    from hwsim.report.programs import load_programs

    _, programs = load_programs(machine, workload, set_ or ())
    lines = itertools.chain.from_iterable(_text(file) for file in programs)
    for line in itertools.islice(lines, limit or None):
        print_text(f"{line}\n")
    if limit and next(lines, None) is not None:
        print_note("... and more: --limit 0 prints all")


def _text(file: ProgramFile) -> Iterator[str]:
    yield f"# {file.name}, core {file.core}: {file.words.nbytes:,} bytes"
    yield from file.text()
