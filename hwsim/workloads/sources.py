"""Where workloads come from: the shipped files by name, and people's own by path.

A shipped workload is a file in ``workloads/<kind>/``; its name is the file's without suffix.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path

from hwsim.config import shipped

__all__ = ["Source", "find", "shipped_sources", "similar"]


@dataclass(frozen=True)
class Source:
    """A workload's file.

    Parameters
    ----------
    path : of the file.
    where : its name in messages.
    name : of the workload.
    kind : of a shipped workload; empty for a file of one's own, which says so itself.
    """

    path: Path
    where: str
    name: str
    kind: str = ""


@functools.cache
def shipped_sources() -> dict[str, Source]:
    """The shipped workloads by name, sorted."""
    folder = shipped("workloads")
    paths = sorted((path for path in folder.glob("*/*") if path.suffix), key=lambda p: p.stem)
    return {
        path.stem: Source(
            path, f"workloads/{path.relative_to(folder).as_posix()}", path.stem, path.parent.name
        )
        for path in paths
    }


def find(workload: str, folder: Path = Path()) -> Source:
    """The file of a shipped name (which wins), or of a path relative to ``folder``.

    Nobody has looked whether there is such a file.
    """
    if workload in shipped_sources():
        return shipped_sources()[workload]
    path = folder / workload
    return Source(path, str(path), _name_of(path))


def similar(workload: str) -> str:
    """``; did you mean llama2_7b?`` for a name like a shipped one; else nothing."""
    close = difflib.get_close_matches(workload, shipped_sources(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _name_of(path: Path) -> str:
    """The name of a file, or of its folder where the file has the name every model's has."""
    return path.absolute().parent.name or path.stem if path.name == "config.json" else path.stem
