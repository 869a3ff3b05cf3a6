"""From raw values to a checked config."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from hwsim.config.base import Config
from hwsim.config.files import RawConfig
from hwsim.config.problems import problems_of
from hwsim.errors import ConfigError

__all__ = ["build"]

C = TypeVar("C", bound=Config)


def build(cls: type[C], raw: RawConfig) -> C:
    """The config of ``cls`` that ``raw`` describes.

    Raises
    ------
    ConfigError
        Every problem of the file at once.
    """
    problems = list(raw.problems)
    try:
        config = cls.model_validate(raw.data)
    except ValidationError as error:
        problems += problems_of(cls, raw, error)
    if problems:
        raise ConfigError(problems)
    return config
