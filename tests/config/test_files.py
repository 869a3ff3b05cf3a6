"""Every way a file can be wrong, told in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwsim.config import read_toml
from hwsim.config.files import MAX_BYTES
from hwsim.errors import ConfigError


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_toml(path, "m.toml")
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "machine.toml"


def test_a_file_is_read_as_toml_holds_it(path: Path) -> None:
    path.write_text('clock = "225 MHz"\n[hbm]\nchannels = 32\n')
    raw = read_toml(path)
    assert raw.data == {"clock": "225 MHz", "hbm": {"channels": 32}}
    assert raw.where == str(path)


def test_a_byte_order_mark_does_no_harm(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path).data == {"a": 1}


def test_a_missing_file_is_named(path: Path) -> None:
    assert refusal(path) == "m.toml: must be an existing file"


def test_a_directory_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "m.toml: must be a file, this is a directory"


def test_a_path_through_a_file_is_named(path: Path) -> None:
    path.write_text("a = 1")
    assert refusal(path / "b.toml") == "m.toml: must be a readable file (Not a directory)"


def test_a_path_with_a_null_byte_is_refused() -> None:
    assert refusal(Path("a\0b")) == "m.toml: must be a readable file (embedded null byte)"


def test_a_name_beyond_the_file_system_is_refused() -> None:
    assert refusal(Path("x" * 5000)) == "m.toml: must be a readable file (File name too long)"


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "m.toml: must be a regular file"


def test_a_file_without_permission_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path.write_text("a = 1")
    monkeypatch.setattr(Path, "read_bytes", deny)
    assert refusal(path) == "m.toml: must be readable, permission denied"


def test_a_file_above_16_mb_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert refusal(path) == "m.toml: must be at most 16777216 bytes long, this has 16777217"


@pytest.mark.parametrize("content", [b"", b"  \n", b"# only a comment\n"])
def test_an_empty_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert refusal(path) == "m.toml: must hold at least one key, the file is empty"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\x89PNG\r\n\x1a\n", "byte 0 is 0x89"),
        (b"a = 1\0", "byte 5 is 0x00"),
        (b"\xff\xfea\0", "byte 0 is 0xff"),
        (b"a = '\xe9'", "byte 5 is 0xe9"),
    ],
)
def test_a_binary_file_is_told_by_its_first_odd_byte(
    path: Path, content: bytes, place: str
) -> None:
    path.write_bytes(content)
    assert refusal(path) == f"m.toml: must be UTF-8 text, {place} (a binary file?)"


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a", "line 1", "expected '=' after a key in a key/value pair"),
        ("a = 1\nb = \n", "line 2, column 5", "invalid value"),
        ("a = nope", "line 1, column 5", "invalid value"),
        ("a = 'x", "line 1", 'expected "\'"'),
        ("a = [1, 2", "line 1", "unclosed array"),
        ("{", "line 1, column 1", "invalid statement"),
        ('{"system": "flightllm"', "line 1, column 1", "invalid statement"),
    ],
)
def test_broken_toml_is_named_with_its_line(path: Path, text: str, place: str, reason: str) -> None:
    path.write_text(text)
    assert refusal(path) == f"m.toml, {place}: must be valid TOML: {reason}"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a = 1\na = 2", 2, "a"),
        ("a = 1\n\na = 2\n# end\n\n", 3, "a"),
        ("[hbm]\nx = 1\n\n[hbm]\ny = 2\n", 4, "hbm"),
        ("[hbm]\nx = 1\ny = 1\nx = 2\n", 4, "hbm.x"),
        ("x = 1\n[hbm]\nx = [\n  1,\n  2]\nx = [\n  3]\nz = 1\n", 6, "hbm.x"),
        ("x = 1\n[hbm]  # here\nx = 1\nx = [\n  [2]\n]\n", 4, "hbm.x"),
        ("[t]\na = {x = 1, x = 2}", 2, "t.a.x"),
        ("a = 1\n[a]\n", 2, "a"),
        ("a.b = 1\na.b.c = 2\n", 2, "a.b.c"),
        ("[[a]]\n[a]\n", 2, "a"),
        ('"a b" = 1\n"a b" = 2 # again\n', 2, '"a b"'),
    ],
)
def test_a_key_given_twice_is_named_with_its_line(
    path: Path, text: str, line: int, key: str
) -> None:
    path.write_text(text)
    assert refusal(path) == f"m.toml, line {line}: {key} must be given only once"


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, ".".join("a" * 5000) + " = 1", "a = " + "[" * 40 + "]" * 40]
)
def test_absurd_nesting_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    assert refusal(path) == "m.toml: must be nested less deeply"


def test_an_absurd_number_is_refused(path: Path) -> None:
    path.write_text("a = " + "9" * 5000)
    assert refusal(path) == "m.toml: must be valid TOML, with numbers below 2**63"
