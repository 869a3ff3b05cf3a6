"""JSON as its standard has it: no NaN, no infinity, no key given twice."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

__all__ = ["parse_json", "shown"]


class _Null:
    """Stands in a message for the value ``null``."""

    def __repr__(self) -> str:
        return "null"


def shown(value: object) -> object:
    """A JSON value as a :class:`~hwsim.errors.Problem` takes it, where None stands for no value."""
    return _Null() if value is None else value


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        With a rule that reads on after the name of the file or line: ``must be ...``.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""
        place = f"{line}column {error.colno}"
        raise ValueError(f"must be valid JSON: {_reason(error)} at {place}") from None
    except RecursionError:
        raise ValueError("must be nested less deeply") from None
    except _Refused as error:
        raise ValueError(error.rule) from None
    except ValueError:
        raise ValueError("must hold no number of thousands of digits") from None


class _Refused(ValueError):
    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def _reason(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()):
        return "it ends too early"
    return error.msg[:1].lower() + error.msg[1:]


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"must hold finite numbers only, not {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in unique if names.count(name) > 1)
        raise _Refused(f"must give each key only once, {twice!r} is given again")
    return unique


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
