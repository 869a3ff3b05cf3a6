"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hwsim.errors import ConfigError, Problem

__all__ = [
    "JsonOption",
    "MachineArgument",
    "OutOption",
    "SetOption",
    "WorkersOption",
    "WorkloadArgument",
    "folder",
]


def folder(given: str | Path) -> Path:
    """The folder of an option, which must not be empty: that would be the current one."""
    if not str(given).strip():
        raise ConfigError([Problem("", "--out", "must be a folder", str(given))])
    return Path(given)


MachineArgument: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="MACHINE", help="A machine's name (see 'hwsim list') or a .toml file."),
]
WorkloadArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD",
        help="A workload's name, or a file: "
        "a scenario (.toml), a Hugging Face config (.json), a trace (.jsonl, .parquet).",
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override one value, "
        "such as machine.hbm.bandwidth='920 GB/s' or workload.prompt_tokens=256.",
        show_default=False,
    ),
]
OutOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", parser=folder, help="The folder to write.", show_default=False
    ),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Simulations at a time, each in a process of its own; as many as cores by default. "
        "Changes no result.",
        show_default=False,
    ),
]
