"""Instruction programs in a folder: ``PROGRAM/coreN.bin`` each, and ``programs.json`` over them.

A ``.bin`` holds the encoded instructions, 32-bit words, little endian.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from hwsim.errors import HwsimError
from hwsim.models.registry import load as load_reference
from hwsim.replace import replaced_folder
from hwsim.run import load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ProgramFile", "load_programs", "write_programs"]

INDEX: Final = "programs.json"


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


def load_programs(
    machine: str, workload: str, overrides: Sequence[str] = ()
) -> tuple[tuple[str, str], Iterator[ProgramFile]]:
    """The names of machine and workload, and the programs that the workload needs there.

    Raises
    ------
    HwsimError
        For a machine that runs no instruction programs, or as :func:`hwsim.run.load` does.
    """
    built, work = load(machine, workload, overrides)
    if built.entry.program is None:
        raise HwsimError(f"{built.name}: {built.entry.name} machines run no instruction programs")
    programs: Iterator[ProgramFile] = load_reference(built.entry.program)(built.config, work)
    return (built.name, work.name), programs


def write_programs(
    names: tuple[str, str], programs: Iterable[ProgramFile], folder: Path
) -> list[tuple[str, int, int]]:
    """Write all programs, or nothing; name, core and bytes of each file.

    Raises
    ------
    HwsimError
        For a file of that name, and a folder of somebody else's files.
    """
    _check(folder)
    with replaced_folder(folder) as new:
        sizes = {(file.name, file.core): _write(file, new) for file in programs}
        rows = [(name, core, size) for (name, core), size in sizes.items()]
        _write_index(names, rows, new)
    return rows


def _check(folder: Path) -> None:
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
    text = json.dumps(index, indent=2, allow_nan=False) + "\n"
    (folder / INDEX).write_text(text, encoding="utf-8", newline="\n")
