"""The base class of every config: frozen, strict, keyword-only, unknown keys forbidden."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import operator
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from hwsim.config.schema import conform, fields_of

__all__ = ["Config", "config_sha256", "input_sha256"]

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _ConfigMeta(ModelMetaclass):
    """Makes ``SomeConfig(...)`` in code fail as a file does, with a ``ConfigError``."""

    if not TYPE_CHECKING:  # type checkers go on to read the keyword arguments from the fields

        def __call__(cls, **values: Any) -> Any:  # noqa: N805 - a metaclass calls its classes cls
            try:
                return super().__call__(**values)
            except ValidationError as error:
                from hwsim.config.problems import config_error  # knows Config

                raise config_error(cls, values, error) from None


class Config(BaseModel, metaclass=_ConfigMeta):
    """Frozen, strict, typed parameters of one thing; subclasses add fields and rules.

    Sequences are tuples (given as lists in files), tables of free keys are ``dict[str, X]``.
    A rule that involves several fields is a method ``@model_validator(mode="after")`` that raises
    ``ValueError("hbm.channels must be at least cores x channels_per_core = 36, got 32")``. Write
    one rule a method: all broken ones whose fields are right by themselves are reported at once.

    Raises
    ------
    ConfigError
        Naming every wrong value, when a config is made in code.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    file_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Dotted keys whose value names a file, each with the words that name none."""

    @property
    def input_files(self) -> dict[str, str]:
        """Files whose content is part of the config, by the dotted key that names each."""
        named = {key: attrgetter(key)(self) for key in self.file_keys}
        return {
            key: name
            for key, name in named.items()
            if name is not None and name not in self.file_keys[key]
        }

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        return conform(fields_of(cls)[info.field_name], value)


def config_sha256(config: Config) -> str:
    """Digest of every value, defaults included, where a file's content stands for its name.

    The same on any machine and in any key order; a file that can't be read counts by its name.
    """
    values = config.model_dump(mode="json")
    for key, digest in input_sha256(config).items():
        *tables, last = key.split(".")
        functools.reduce(operator.getitem, tables, values)[last] = {"sha256": digest}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def input_sha256(config: Config) -> dict[str, str]:
    """Digest of each input file by the key that names it; a file that can't be read has none."""
    digests = {}
    for key, name in config.input_files.items():
        with contextlib.suppress(OSError):
            digests[key] = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return digests
