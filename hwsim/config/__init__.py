"""Machines and workloads as frozen, strict, typed configs, read from TOML and the command line.

Every error names the file, the dotted key, the rule and the value, and all of a file come at once.
"""

from __future__ import annotations

from hwsim.config.base import Config, config_sha256, input_sha256
from hwsim.config.build import build
from hwsim.config.fields import (
    MAX_INT,
    Bytes,
    BytesPerSecond,
    Dollars,
    Femtoseconds,
    FlopsPerSecond,
    Hertz,
    PositiveInt,
    Quantity,
    Share,
    Text,
    Watts,
    quantity,
)
from hwsim.config.files import RawConfig, read_text, read_toml
from hwsim.config.machines import load_machine_file, locate_files, machine_names
from hwsim.config.overrides import apply_overrides, parse_overrides
from hwsim.config.paths import shipped
from hwsim.config.provenance import Parameter, parameter_table, take_provenance

__all__ = [
    "MAX_INT",
    "Bytes",
    "BytesPerSecond",
    "Config",
    "Dollars",
    "Femtoseconds",
    "FlopsPerSecond",
    "Hertz",
    "Parameter",
    "PositiveInt",
    "Quantity",
    "RawConfig",
    "Share",
    "Text",
    "Watts",
    "apply_overrides",
    "build",
    "config_sha256",
    "input_sha256",
    "load_machine_file",
    "locate_files",
    "machine_names",
    "parameter_table",
    "parse_overrides",
    "quantity",
    "read_text",
    "read_toml",
    "shipped",
    "take_provenance",
]
