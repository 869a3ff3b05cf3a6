"""Folders and files that appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_writable", "replaced_file", "replaced_folder"]


def check_writable(folder: Path) -> None:
    """Raise ``OSError`` if nothing can be written below ``folder``, which need not exist yet.

    It is tried, in the nearest folder that exists: what permissions say doesn't hold everywhere.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    probe = _sibling(nearest / "probe", "new")
    probe.mkdir()
    probe.rmdir()


@contextlib.contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A new, empty sibling of ``target`` that takes its place when the block ends.

    When the block raises anything, the sibling goes away, ``target`` stays as it was, and parents
    made for it are removed again.
    """
    target = target.resolve()
    made = _make_parents(target)
    aside, retired = _sibling(target, "new"), _sibling(target, "old")
    try:
        aside.mkdir()
        yield aside
        _swap(aside, target, retired)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        _remove_empty(made)
        raise
    finally:
        if target.exists():
            shutil.rmtree(retired, ignore_errors=True)


@contextlib.contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """A sibling path to write to; it takes the place of ``target`` unless the block raises."""
    aside = _sibling(target, "new")
    try:
        yield aside
        aside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _swap(aside: Path, target: Path, retired: Path) -> None:
    try:
        if target.exists():
            target.rename(retired)
        aside.rename(target)
    except BaseException:
        if retired.exists() and not target.exists():
            retired.rename(target)
        raise


def _sibling(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.{role}")


def _make_parents(target: Path) -> list[Path]:
    """Make the missing parents; returns them, the innermost first."""
    missing = [parent for parent in target.parents if not parent.exists()]
    for made, parent in enumerate(reversed(missing)):
        try:
            parent.mkdir(exist_ok=True)
        except OSError:
            _remove_empty(missing[len(missing) - made :])
            raise
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            os.rmdir(folder)  # noqa: PTH106  # refuses a folder that somebody else has used meanwhile
        except OSError:
            return
