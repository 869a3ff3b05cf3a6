"""A block's parameters: what they are, and what the command line's ``K=V`` texts make them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hwsim.config import Config, RawConfig, apply_overrides, build
from hwsim.config.schema import FieldType, fields_of
from hwsim.errors import ConfigError, Problem
from rtl.block import Block

__all__ = ["Parameter", "config_of", "parameters_of", "split_settings"]

SET = "--set"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a block, as ``hwsim rtl list`` tells it."""

    name: str
    default: Any
    rule: str
    """What its value must be; what it must be beside others, the block says when it is not."""
    description: str


def parameters_of(block: Block) -> list[Parameter]:
    """All parameters, in the order of their declaration."""
    described = dict(_described(block.parameters))
    defaults = block.parameters().model_dump(mode="json")
    return [
        Parameter(name, defaults[name], _rule(kind), described.get(name, ""))
        for name, kind in fields_of(block.parameters).items()
    ]


def _rule(kind: FieldType) -> str:
    """The rule of a value, or of a list and of what it holds."""
    item = kind.child(0)
    if item is None:
        return str(kind)
    if item.model is None:
        return f"{kind}, each {item}"
    keys = (f"{name}={part}" for name, part in fields_of(item.model).items())
    return f"{kind}, each {{{', '.join(keys)}}}"


def _described(parameters: type[Config]) -> Iterator[tuple[str, str]]:
    """Each field with the docstring below it, which only the source has."""
    for cls in parameters.__mro__[::-1]:
        if not issubclass(cls, Config) or cls is Config:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        for field, below in pairwise(ast.iter_child_nodes(tree)):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    yield name, " ".join(text.split())


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
