"""``hwsim program``: the instruction programs of a workload, as files and as text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from hwsim.cli.options import MachineArgument, OutOption, SetOption, WorkloadArgument
from hwsim.cli.terminal import json_text, print_note, print_table, print_text
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["program"]

INDEX = "programs.json"
WORD_BYTES = 4

program = typer.Typer(help="Build or show instruction programs, for systems that have them.")


class ProgramFile(Protocol):
    """One core's instructions for one stretch of the work."""

    @property
    def name(self) -> str:
        """What the program runs, such as ``decode_0144``."""

    @property
    def core(self) -> int:
        """The core that runs it."""

    @property
    def words(self) -> NDArray[np.uint32]:
        """The encoded instructions."""

    def text(self) -> Iterator[str]:
        """The instructions, disassembled, one a line."""


@program.command("build")
def build(
    machine: MachineArgument,
    workload: WorkloadArgument,
    set_: SetOption = None,
    out: OutOption = None,
) -> None:
    """Write DIR/PROGRAM/coreN.bin: the instruction words, little endian."""
    from hwsim.replace import replaced_folder

    names, programs = _programs(machine, workload, set_)
    folder = out or Path("programs", "-".join(names).replace("/", "-"))
    _check(folder)
    with replaced_folder(folder) as new:
        sizes = {(file.name, file.core): _write(file, new) for file in programs}
        rows = [(name, core, size) for (name, core), size in sizes.items()]
        _write_index(names, rows, new)
    print_table(("program", "core", "bytes"), [(n, c, f"{size:,}") for n, c, size in rows])
    print_text(f"{len(rows)} files, {sum(sizes.values()):,} bytes: {folder}\n")


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
    _, programs = _programs(machine, workload, set_)
    lines = itertools.chain.from_iterable(_text(file) for file in programs)
    for line in itertools.islice(lines, limit or None):
        print_text(f"{line}\n")
    if limit and next(lines, None) is not None:
        print_note("... and more: --limit 0 prints all")


def _programs(
    machine: str, workload: str, overrides: list[str] | None
) -> tuple[tuple[str, str], Iterator[ProgramFile]]:
    from hwsim.models.registry import load as load_reference
    from hwsim.run import load

    built, work = load(machine, workload, overrides or ())
    if built.entry.program is None:
        raise HwsimError(f"{built.name}: {built.entry.name} machines run no instruction programs")
    programs: Iterator[ProgramFile] = load_reference(built.entry.program)(built.config, work)
    return (built.name, work.name), programs


def _check(folder: Path) -> None:
    """Refuse a file, and a folder of somebody else's files."""
    if folder.exists() and not folder.is_dir():
        raise HwsimError(f"{folder}: must be a folder, and is a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / INDEX).is_file():
        raise HwsimError(f"{folder}: must be new, empty, or hold programs that hwsim wrote")


def _write(file: ProgramFile, folder: Path) -> int:
    path = folder / file.name / f"core{file.core}.bin"
    path.parent.mkdir(exist_ok=True)
    return path.write_bytes(file.words.astype("<u4").tobytes())


def _write_index(names: tuple[str, str], rows: list[tuple[str, int, int]], folder: Path) -> None:
    machine, workload = names
    programs = [{"name": name, "core": core, "bytes": size} for name, core, size in rows]
    index = {"schema": 1, "machine": machine, "workload": workload, "programs": programs}
    (folder / INDEX).write_text(json_text(index), encoding="utf-8")


def _text(file: ProgramFile) -> Iterator[str]:
    yield f"# {file.name}, core {file.core}: {len(file.words) * WORD_BYTES:,} bytes"
    yield from file.text()
