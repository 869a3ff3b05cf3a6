"""A parameter set in few words: as tables, messages and the command line say it, and as a name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hwsim.config import Config
from rtl.block import Block
from rtl.flow.cache import digest

__all__ = ["DEFAULT", "label", "module_name", "written"]

DEFAULT = "default"
LONGEST = 80
"""Characters of what follows a block's name, so that no file system refuses the file."""


def label(config: Config) -> str:
    """What differs from the defaults: ``chain_length=8 densities=2:8,8:8``, or ``default``."""
    return " ".join(f"{name}={_short(value)}" for name, value in _changed(config)) or DEFAULT


def module_name(block: Block, config: Config) -> str:
    """The Verilog module, which is also its file, of a block with parameters.

    ``flightllm_csd_chain``, or ``flightllm_csd_chain_chain_length_8`` when one differs from its
    default, so that two parameter sets can be in one folder and in one design.
    """
    words = [f"{name}={_short(value)}" for name, value in _changed(config)]
    suffix = "_".join(re.sub(r"\W+", "_", word) for word in words)
    if len(suffix) > LONGEST:
        suffix = f"{suffix[: LONGEST - 9]}_{digest(words)[:8]}"
    return "_".join(filter(None, (block.name.replace(".", "_"), suffix)))


def written(value: Any) -> str:
    """A value as ``--set`` takes it: ``[{n=2, m=16}, {n=16, m=16}]``."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}={written(part)}' for name, part in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(written, value))}]"
    return str(value) if isinstance(value, str) else json.dumps(value)


def _changed(config: Config) -> Sequence[tuple[str, Any]]:
    return list(config.model_dump(exclude_defaults=True, mode="json").items())


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ":".join(_short(part) for part in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_short(part) for part in value)
    return str(value)
