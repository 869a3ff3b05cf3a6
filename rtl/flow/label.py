"""A parameter set in few words, as tables and messages name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwsim.config import Config

__all__ = ["DEFAULT", "label"]

DEFAULT = "default"


def label(config: Config) -> str:
    """What differs from the defaults: ``chain_length=8 densities=2:8,8:8``, or ``default``."""
    changed = config.model_dump(exclude_defaults=True, mode="json")
    return " ".join(f"{name}={_short(value)}" for name, value in changed.items()) or DEFAULT


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ":".join(_short(part) for part in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_short(part) for part in value)
    return str(value)
