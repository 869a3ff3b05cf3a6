"""What is seen: text and JSON on standard output, messages and progress on standard error."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "discard_output",
    "json_text",
    "print_error",
    "print_json",
    "print_note",
    "print_rich",
    "print_table",
    "print_text",
    "progress",
]

Report = Callable[[float, str], None]

PIPE_COLUMNS = 160
READER_LEFT = 141


def print_text(text: str) -> None:
    """Write to standard output; when its reader has gone, end quietly, as ``cat`` does.

    Raises
    ------
    HwsimError
        Standard output is a file on a full disk, or can't be written for another reason.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(READER_LEFT) from None
    except OSError as error:
        discard_output()
        raise HwsimError(f"standard output can't be written: {error.strerror}") from None


def discard_output() -> None:
    """Let what is still buffered go nowhere, so that leaving doesn't try to write it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_text(data: Any) -> str:
    """One JSON document, indented, as every command and file writes it."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def print_json(data: Any) -> None:
    """Write one JSON document to standard output."""
    print_text(json_text(data))


def print_rich(*parts: RenderableType) -> None:
    """Write Rich renderables, as wide as the terminal, or as a page in a pipe."""
    from rich.console import Console

    watched = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),  # only print_text writes to standard output
        force_terminal=watched,
        width=None if watched else PIPE_COLUMNS,
        highlight=False,
    )
    with console.capture() as rendered:
        console.print(*parts, sep="\n", markup=False, emoji=False)
    lines = (line.rstrip() for line in rendered.get().splitlines())
    print_text("\n".join(lines).strip("\n") + "\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None
) -> None:
    """Write a table; a column whose cells are all numbers is set to the right."""
    print_rich(table(columns, rows, title))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None
) -> RenderableType:
    """A Rich table of plain cells."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(_starts_as_number(row[index]) for row in rows)
        made.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def _starts_as_number(cell: object) -> bool:
    text = str(cell).lstrip("+-")
    return text == "" or text[:1].isdigit()


def print_note(message: str) -> None:
    """Tell the person at the terminal, not the script."""
    sys.stderr.write(f"{message}\n")


def print_error(message: str) -> None:
    """Write the one message of a command that failed."""
    sys.stderr.write(f"hwsim: {message}\n")


@contextmanager
def progress(what: str) -> Iterator[Report | None]:
    """A progress bar on standard error while a terminal watches, and None in a pipe.

    What is yielded takes the fraction done and a few words on what is being done.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, words: bar.update(task, completed=done, total=1.0, description=words)
