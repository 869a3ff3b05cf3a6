"""The ``hwsim`` command: parses arguments, prints results, nothing else.

A command's own imports stand inside it, so that ``hwsim --help`` and ``hwsim list`` start quickly.
This module imports next to nothing, so that an interrupt is answered before the rest is there.
"""

import os
import signal
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["INTERRUPTED", "dispatch", "main"]

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not one that ignores it
        signal.signal(signal.SIGINT, _leave)
    from hwsim.cli.app import main as run

    run()


def _leave(*_: object) -> NoReturn:
    """Leave at once: while modules load, nothing is open, and an exception could be swallowed."""
    os.write(2, b"hwsim: interrupted\n")
    os._exit(INTERRUPTED)


def dispatch(words: Sequence[str]) -> int:
    """Run one command line and return its exit code; see :func:`hwsim.cli.app.dispatch`."""
    from hwsim.cli.app import dispatch as run

    return run(words)
