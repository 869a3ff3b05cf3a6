"""Machine files: the shipped ones by name, others by path, ``extends`` resolved."""

from __future__ import annotations

import copy
import difflib
import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwsim.config.base import Config
from hwsim.config.files import RawConfig, read_toml
from hwsim.config.keys import covering, join_key, leaves
from hwsim.config.paths import shipped
from hwsim.config.provenance import take_provenance, unknown_entries
from hwsim.errors import ConfigError, Problem

__all__ = ["load_machine_file", "locate_files", "machine_names"]


def machine_names(system: str | None = None) -> tuple[str, ...]:
    """The shipped machines as ``system/name``, sorted; of one system if given."""
    files = shipped("arch_configs").glob(f"{system or '*'}/*.toml")
    return tuple(sorted(f"{path.parent.name}/{path.stem}" for path in files))


def load_machine_file(machine: str | os.PathLike[str]) -> RawConfig:
    """A machine by shipped name (which wins) or path, with the values of what it ``extends``.

    ``system``, ``description``, ``extends`` and ``provenance`` are taken out of the data.

    Raises
    ------
    ConfigError
        No such machine, a file that cannot be read, no ``system``, a wrong ``extends``.
    """
    source = _find(os.fspath(machine), Path(), Problem("", "machine", "", os.fspath(machine)))
    raw = _load(source, ())
    if not raw.system:
        missing = Problem(raw.where, "system", "must be given: the system this machine is of")
        raise ConfigError([missing, *raw.problems])
    return raw


def locate_files(raw: RawConfig, cls: type[Config]) -> RawConfig:
    """``raw`` with the files it names, if relative, below the folder of the file that says so."""
    data = copy.deepcopy(raw.data)
    for key, words in cls.file_keys.items():
        *tables, last = key.split(".")
        table = functools.reduce(_table, tables, data)
        name = table.get(last)
        if isinstance(name, str) and name and name not in words:
            given_in = covering(raw.origins, (*tables, last)) or raw.where
            table[last] = str(Path(given_in).parent / name)
    return replace(raw, data=data)


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    """The table under ``key``; an empty one where there is none."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class _Source:
    """A machine file and its name in messages."""

    path: Path
    where: str


def _find(name: str, folder: Path, blame: Problem) -> _Source:
    """The file of a shipped name, or of a path below ``folder``; ``blame`` is who named it."""
    if name in machine_names():
        return _Source(shipped("arch_configs") / f"{name}.toml", f"arch_configs/{name}.toml")
    if name.endswith(".toml"):
        return _Source(folder / name, str(folder / name))
    if name and (folder / name).is_dir():
        return _Source(folder / name, str(folder / name))
    close = difflib.get_close_matches(name, machine_names(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = ", ".join(machine_names()) or "none are shipped"
    rule = f"must be a .toml file or the name of a machine ({known}{hint})"
    raise ConfigError([replace(blame, rule=rule)])


def _load(source: _Source, above: tuple[_Source, ...]) -> RawConfig:
    """One file with its bases merged in; ``above`` are the files that extend it."""
    raw = _own(source)
    base_name = raw.data.pop("extends", None)
    if base_name is None:
        return replace(raw, problems=(*raw.problems, *unknown_entries(raw)))
    blame = Problem(raw.where, "extends", "must be the name or path of a machine", base_name)
    if not isinstance(base_name, str):
        raise ConfigError([blame])
    base = _find(base_name, source.path.parent, blame)
    chain = (*above, source)
    if any(_same(base, other) for other in chain):
        names = " -> ".join(item.where for item in (*chain, base))
        raise ConfigError([replace(blame, rule=f"must not lead back to itself ({names})")])
    return _merged(_load(base, chain), raw)


def _same(one: _Source, other: _Source) -> bool:
    return one.path.resolve() == other.path.resolve()


def _own(source: _Source) -> RawConfig:
    """What the file itself says; ``extends`` is still in the data."""
    raw = take_provenance(read_toml(source.path, source.where))
    texts = {key: raw.data.pop(key, "") for key in ("system", "description")}
    problems = [
        Problem(raw.where, key, "must be text", value)
        for key, value in texts.items()
        if not isinstance(value, str)
    ]
    if problems:
        raise ConfigError([*problems, *raw.problems])
    return replace(raw, **texts)


def _merged(base: RawConfig, own: RawConfig) -> RawConfig:
    """``base`` with the values of ``own`` put over it, and who said what kept apart."""
    if own.system and base.system and own.system != base.system:
        rule = f"must be that of the machine it extends, {base.system!r}"
        raise ConfigError([Problem(own.where, "system", rule, own.system)])
    given = {join_key(parts): own.where for parts, value in leaves(own.data) if value != {}}
    kept = [parts for parts, _ in leaves(base.data) if covering(given, parts) is None]
    stated = {join_key(parts): covering(base.provenance, parts) for parts in kept}
    data = _over(base.data, own.data)
    unknown = unknown_entries(replace(own, data=data))
    return replace(
        own,
        data=data,
        provenance={key: entry for key, entry in stated.items() if entry} | own.provenance,
        origins={join_key(parts): covering(base.origins, parts) or base.where for parts in kept},
        system=own.system or base.system,
        description=own.description or base.description,
        problems=(*base.problems, *own.problems, *unknown),
    )


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``own`` put over it, table by table."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged
