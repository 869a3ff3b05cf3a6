"""Dotted keys: ``hbm.bandwidth``, ``density."layers.3.q_proj"``, ``devices[1].memory``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["Part", "Parts", "contains", "covering", "join_key", "leaves", "split_key"]

Part = str | int
Parts = tuple[Part, ...]

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
STEP: Final = re.compile(
    r"""(?:^|(?<!^)\.)(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"))
    |(?<!^)\[(?P<index>[0-9]{1,6})\]""",
    re.VERBOSE,
)


def split_key(text: str) -> Parts:
    """The parts of a dotted key; a part with other characters than ``A-Za-z0-9_-`` is quoted.

    Raises
    ------
    ValueError
        The text is not a dotted key.
    """
    parts: list[Part] = []
    position = 0
    while match := STEP.match(text, position):
        parts.append(_part(match))
        position = match.end()
    if not parts or position != len(text):
        raise ValueError("must be a dotted key such as 'hbm.bandwidth'")
    return tuple(parts)


def _part(match: re.Match[str]) -> Part:
    if match["index"]:
        return int(match["index"])
    return match["bare"] or str(json.loads(match["quoted"], strict=False))


def join_key(parts: Sequence[Part]) -> str:
    """The dotted key of ``parts``; list positions read ``[1]``."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if BARE.fullmatch(part) else _quoted(part))
    return text


def _quoted(part: str) -> str:
    return json.dumps(part, ensure_ascii=not part.isprintable())


def covering(entries: Mapping[str, str], parts: Sequence[Part]) -> str | None:
    """The entry of the longest prefix of ``parts``, if any: ``hbm`` covers ``hbm.bandwidth``."""
    for length in range(len(parts), 0, -1):
        if (entry := entries.get(join_key(parts[:length]))) is not None:
            return entry
    return None


def leaves(data: object, at: Parts = ()) -> Iterator[tuple[Parts, object]]:
    """Every single value below ``data`` with its parts, in order.

    A list is one value unless it holds tables; an empty table is a value.
    """
    below: list[tuple[Part, Any]] = []
    if isinstance(data, Mapping):
        below = list(data.items())
    elif isinstance(data, list | tuple) and any(isinstance(item, Mapping) for item in data):
        below = list(enumerate(data))
    if not below:
        yield at, data
    for part, value in below:
        yield from leaves(value, (*at, part))


def contains(data: Any, parts: Sequence[Part]) -> bool:
    """Whether ``data`` holds a value at ``parts``."""
    for part in parts:
        in_table = isinstance(data, Mapping) and part in data
        in_list = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if not in_table and not in_list:
            return False
        data = data[part]
    return True
