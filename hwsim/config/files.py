"""Reading TOML files, with every way a file can be wrong told in one line."""

from __future__ import annotations

import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hwsim.errors import ConfigError, Problem

__all__ = ["MAX_BYTES", "SET", "RawConfig", "read_text", "read_toml"]

SET: Final = "--set"
"""What origins and messages call the command line."""
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 32
TABLE_LINE: Final = re.compile(r"\s*\[\[?\s*(?P<key>[^\[\],]+?)\s*\]\]?\s*(?:#.*)?$")
INLINE_KEY: Final = re.compile(r"inline table key '(?P<key>.*)'")
PLACE: Final = re.compile(
    r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
)
TWICE: Final = ("Cannot overwrite", "Cannot declare", "Duplicate inline table key", "Cannot mutate")


@dataclass(frozen=True)
class RawConfig:
    """What a file says, before it is checked against a config class.

    Parameters
    ----------
    data : the values, as TOML holds them.
    where : the file as shown in messages.
    provenance : dotted key -> ``"published: ..."``; a prefix covers what is below it.
    origins : dotted key -> where a value not from ``where`` comes from: ``"--set"``, a base file.
    problems : found while reading; :func:`hwsim.config.build` reports them with its own.
    """

    data: dict[str, Any]
    where: str
    provenance: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    system: str = ""
    description: str = ""
    problems: tuple[Problem, ...] = ()


def read_toml(path: Path, where: str | None = None) -> RawConfig:
    """The content of a TOML file; ``where`` is its name in messages.

    Raises
    ------
    ConfigError
        The file is missing, a directory, not text, empty, too large, or not valid TOML.
    """
    shown = where or str(path)
    text = read_text(path, shown)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise _refused(shown, "must be nested less deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(shown, text, str(error))]) from None
    except ValueError:
        raise _refused(shown, "must be valid TOML, with numbers below 2**63") from None
    if not data:
        raise _refused(shown, "must hold at least one key, the file is empty")
    if _is_deep(data):
        raise _refused(shown, "must be nested less deeply")
    return RawConfig(data, shown)


def read_text(path: Path, where: str | None = None) -> str:
    """The text of a regular UTF-8 file of at most 16 MB, a byte-order mark removed.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds something else.
    """
    shown = where or str(path)
    try:
        mode = path.stat()
        if stat.S_ISDIR(mode.st_mode):
            raise _refused(shown, "must be a file, this is a directory")
        if not stat.S_ISREG(mode.st_mode):
            raise _refused(shown, "must be a regular file")
        if mode.st_size > MAX_BYTES:
            raise _refused(
                shown, f"must be at most {MAX_BYTES} bytes long, this has {mode.st_size}"
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _refused(shown, _unreadable(error)) from None
    return _decoded(content, shown)


def _is_deep(data: dict[str, Any]) -> bool:
    """Whether tables and lists nest deeper than :data:`MAX_DEPTH`."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        tables = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for table in tables for item in table if isinstance(item, dict | list)]
    return bool(level)


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "must be an existing file"
    if isinstance(error, PermissionError):
        return "must be readable, permission denied"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"must be a readable file ({reason})"


def _decoded(content: bytes, shown: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise _refused(
            shown, f"must be UTF-8 text, byte {error.start} is 0x{byte:02x} (a binary file?)"
        ) from None
    if "\0" in text:
        raise _refused(
            shown, f"must be UTF-8 text, byte {content.index(0)} is 0x00 (a binary file?)"
        )
    return text


def _syntax_problem(shown: str, text: str, message: str) -> Problem:
    """What ``tomllib`` found, in our words, with the line."""
    place = PLACE.search(message)
    reason = PLACE.sub("", message)
    lines = text.split("\n")
    if place and place["line"]:
        number, column = int(place["line"]), f", column {place['column']}"
    else:
        number, column = len(text.rstrip().split("\n")), ""
    if reason.startswith(TWICE):
        return _duplicate(shown, lines, number, reason)
    return Problem(
        f"{shown}, line {number}{column}", "", f"must be valid TOML: {_uncapital(reason)}"
    )


def _duplicate(shown: str, lines: list[str], number: int, reason: str) -> Problem:
    """The key that is given again by the statement ending on line ``number``."""
    first = next(line for line in range(number, 0, -1) if _is_whole(lines[: line - 1]))
    inner = INLINE_KEY.search(reason)
    name = _key_on(lines, first) + (f".{inner['key']}" if inner else "")
    return Problem(f"{shown}, line {first}", name, "must be given only once")


def _is_whole(lines: list[str]) -> bool:
    """Whether these lines are TOML by themselves, so that a statement ends with the last."""
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _key_on(lines: list[str], number: int) -> str:
    """The key that line ``number`` gives, with the table it stands in."""
    line = lines[number - 1]
    if table := TABLE_LINE.match(line):
        return table["key"]
    headers = (TABLE_LINE.match(above) for above in reversed(lines[: number - 1]))
    table_above = next((f"{header['key']}." for header in headers if header), "")
    return table_above + line.partition("=")[0].strip()


def _uncapital(text: str) -> str:
    return text[:1].lower() + text[1:]


def _refused(shown: str, rule: str) -> ConfigError:
    return ConfigError([Problem(shown, "", rule)])
