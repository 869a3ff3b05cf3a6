"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.replace import replaced_file, replaced_folder


def test_a_rename_that_fails_puts_the_earlier_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").touch()
    rename = Path.rename

    def fail_on_the_new(self: Path, to: Path) -> Path:
        if self.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail_on_the_new)
    with pytest.raises(KeyboardInterrupt), replaced_folder(target):
        pass

    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "run",
        "run/old",
    ]


def test_a_file_that_fails_half_way_keeps_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def stop_half_way() -> None:
        with replaced_file(target) as path:
            path.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()

    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"


def test_a_disk_that_refuses_is_told_as_it_is(tmp_path: Path) -> None:
    """Tidying up after a parent that is a file does not hide that it is one."""
    (tmp_path / "file").touch()

    with (
        pytest.raises(NotADirectoryError) as caught,
        replaced_file(tmp_path / "file" / "trace.jsonl") as path,
    ):
        path.write_text("")
    assert caught.value.__context__ is None
