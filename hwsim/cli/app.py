"""The commands by name, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import hwsim
from hwsim.cli import INTERRUPTED
from hwsim.cli.bench import bench
from hwsim.cli.compare import compare
from hwsim.cli.list import list_registered
from hwsim.cli.program import program
from hwsim.cli.report import report
from hwsim.cli.rtl import rtl
from hwsim.cli.run import run
from hwsim.cli.sweep import sweep
from hwsim.cli.terminal import discard_output, print_error, print_text
from hwsim.cli.trace import trace
from hwsim.cli.validate import validate
from hwsim.errors import HwsimError

__all__ = ["app", "dispatch", "main"]

BAD_INPUT = 2
TERMINATED = 143

app = typer.Typer(
    name="hwsim",
    help="Simulate machine-learning accelerators, cycle by cycle.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_registered)
app.command("run")(run)
app.command("compare")(compare)
app.command("report")(report)
app.command("sweep")(sweep)
app.command("validate")(validate)
app.command("bench")(bench)
app.add_typer(trace, name="trace")
app.add_typer(program, name="program")
app.add_typer(rtl, name="rtl")


def _print_version(wanted: bool) -> None:
    if wanted:
        print_text(f"hwsim {hwsim.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of ``hwsim`` itself."""


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    # Unwinds, so that what was being written aside is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(dispatch(sys.argv[1:]))


def dispatch(words: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Wrong input becomes one message on standard error; what is no :class:`HwsimError` is a bug and
    keeps its traceback.
    """
    try:
        code = app(list(words) or ["--help"], prog_name="hwsim", standalone_mode=False) or 0
    except HwsimError as error:
        print_error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        print_error(_usage_message(error))
        return BAD_INPUT
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        if error.filename is None:  # help, which Typer writes
            discard_output()
        print_error(f"{error.filename or 'standard output'}: {error.strerror}")
        return BAD_INPUT
    except KeyboardInterrupt:  # outside of a command
        code = INTERRUPTED
    if code == INTERRUPTED:
        print_error("interrupted")
    return int(code)


def _usage_message(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "hwsim"
    return f"{error.format_message().rstrip('.')} (see '{command} --help')"
