"""A block's parameters from the command line's ``K=V`` texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwsim.config import Config, RawConfig, apply_overrides, build
from hwsim.errors import ConfigError, Problem
from rtl.block import Block

__all__ = ["config_of", "split_settings"]

SET = "--set"


def config_of(block: Block, settings: Mapping[str, str]) -> Config:
    """The block's parameters with ``settings`` read by the type of each field.

    Raises
    ------
    ConfigError
        Every unknown name and every value that its field, or the block, can't have.
    """
    raw = apply_overrides(RawConfig({}, block.name), block.parameters, settings.items())
    return build(block.parameters, raw)


def split_settings(texts: Sequence[str]) -> dict[str, str]:
    """``K=V`` texts as a mapping.

    Raises
    ------
    ConfigError
        Each text of another form, and each name given twice.
    """
    settings: dict[str, str] = {}
    problems: list[Problem] = []
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            problems.append(Problem(SET, "", "must be K=VALUE, such as chain_length=16", text))
        elif name in settings:
            problems.append(Problem(SET, "", f"must give {name} only once", text))
        settings[name] = value
    if problems:
        raise ConfigError(problems)
    return settings
