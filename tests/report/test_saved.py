"""Folders that hold no run, or a broken one: one message that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import ConfigError
from hwsim.report import load_run, rebuild_report


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def _message(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        rebuild_report(folder)
    return str(caught.value)


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert _message(tmp_path / "none") == f"{tmp_path / 'none'}: doesn't exist"


def test_a_file_in_place_of_a_folder(folder: Path) -> None:
    file = folder / "metrics.json"

    assert _message(file) == f"{file}: must be the folder of a run, and is a file"


def test_a_folder_without_metrics(tmp_path: Path) -> None:
    assert _message(tmp_path) == f"{tmp_path}: holds no hwsim run: it has no metrics.json"


@pytest.mark.parametrize("name", ["run.json", "tables/mix.csv", "stalls.csv", "ops.csv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    assert _message(folder) == f"{folder / name}: can't be read: No such file or directory"


@pytest.mark.parametrize("name", ["metrics.json", "run.json"])
def test_truncated_json_is_named_with_the_place(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text('{"schema": 1,')

    assert _message(folder) == (
        f"{path}: must be JSON: EOF while parsing a value at line 1 column 13"
    )


def test_binary_in_place_of_json(folder: Path) -> None:
    (folder / "metrics.json").write_bytes(bytes(range(256)))

    assert _message(folder).startswith(f"{folder / 'metrics.json'}: must be JSON: ")


def test_another_schema_is_refused(folder: Path) -> None:
    _edit(folder / "metrics.json", lambda data: data.update(schema=2))

    assert _message(folder) == f"{folder / 'metrics.json'}: schema must be 1, got 2"


def test_every_wrong_field_is_told_at_once(folder: Path) -> None:
    def spoil(data: Any) -> None:
        del data["machine"]
        data["metrics"]["throughput"]["value"] = "fast"
        data["metrics"]["cycles"]["unit"] = "furlong"

    path = folder / "metrics.json"
    _edit(path, spoil)

    units = "'s', 'B', 'J', 'W', '1', 'cycle', 'token/s', 'token/J', 'op/s' or 'B/s'"
    lines = _message(folder).splitlines()
    assert lines[0] == f"{path}: machine is missing"
    assert f"{path}: metrics.cycles.unit must be {units}, got 'furlong'" in lines
    assert any(line.startswith(f"{path}: metrics.throughput.value.") for line in lines)
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_a_figure_of_a_table_that_is_not_there(folder: Path) -> None:
    _edit(folder / "run.json", lambda data: data["figures"][0].update(table="nosuch"))

    assert _message(folder) == (
        f"{folder / 'run.json'}: figures.staircase must draw one of the run's tables "
        "(staircase, units, mix), got 'nosuch'"
    )


def test_a_figure_of_a_column_that_is_not_there(folder: Path) -> None:
    path = folder / "tables" / "staircase.csv"
    path.write_text("kv_length,minutes\n128,1\n")

    assert _message(folder) == (
        f"{path}: must have the column 'seconds' that figure 'staircase' draws"
    )


def test_text_where_a_figure_draws_numbers(folder: Path) -> None:
    path = folder / "tables" / "staircase.csv"
    path.write_text("kv_length,seconds\n128,quick\n")

    assert _message(folder) == (
        f"{path}: column seconds must hold the numbers that figure 'staircase' draws, got 'quick'"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"",
            "must be CSV with a header: not enough values to unpack (expected at least 1, got 0)",
        ),
        (b"a,b\n1\n", "line 2 must have 2 cells, as the header has, got 1"),
        (b'a,b\n"1"x,2\n', "must be CSV with a header: ',' expected after '\"'"),
    ],
)
def test_a_broken_table_is_named(folder: Path, content: bytes, problem: str) -> None:
    path = folder / "tables" / "mix.csv"
    path.write_bytes(content)

    assert _message(folder) == f"{path}: {problem}"


STALLS = b"component,busy,starved,blocked,idle,total\n"
OPS = (
    b"index,name,type,phase,layer,start_cycle,end_cycle,cycles,bytes_read,bytes_written,macs,"
    b"bound_by\n"
)
OP = b"0,op,Gemm,decode,0,0,90,90,64,8,512,memory\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("stalls.csv", b"", f"must begin with the header {STALLS.decode().strip()!r}, got ''"),
        ("stalls.csv", STALLS, "must have 1 rows below its header, as metrics.json says, got 0"),
        (
            "stalls.csv",
            STALLS + b"core.ld,1,2,3,4,10\n",
            (
                "line 2 must be 'core.ld,2800000,0,1000000,138850,3938850', "
                "as metrics.json has it, got 'core.ld,1,2,3,4,10'"
            ),
        ),
        (
            "ops.csv",
            b"garbage",
            f"must begin with the header {OPS.decode().strip()!r}, got 'garbage'",
        ),
        (
            "tables/mix.csv",
            b"unit,count\nLD,89554\n",
            "must have 2 rows below its header, as run.json says, got 1",
        ),
        ("ops.csv", OPS, "must have 4 rows below its header, as run.json says, got 0"),
        ("ops.csv", OPS + OP + b"1,op\n", "row 2 must have 12 cells, as the header has, got 2"),
        (
            "ops.csv",
            OPS + OP.replace(b",64,", b",many,"),
            "row 1, bytes_read must be a whole number, got 'many'",
        ),
        ("ops.csv", OPS + OP.replace(b"op", b'"op"x'), "must be CSV: ',' expected after '\"'"),
    ],
)
def test_accounts_tables_and_ops_are_held_to_the_run(
    folder: Path, name: str, content: bytes, problem: str
) -> None:
    (folder / name).write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    assert _message(folder) == f"{folder / name}: {problem}"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_binary_in_place_of_ops(folder: Path) -> None:
    (folder / "ops.csv").write_bytes(bytes(range(256)))

    assert _message(folder).startswith(f"{folder / 'ops.csv'}: must be CSV: ")


def test_a_run_from_before_table_rows_were_counted_is_drawn_again(folder: Path) -> None:
    _edit(folder / "run.json", lambda data: data.pop("table_rows"))

    assert rebuild_report(folder) == folder / "report.html"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden"])
def test_names_that_lead_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    path = folder / "run.json"
    _edit(path, lambda data: data["tables"].append(name))

    assert _message(folder) == (
        f"{path}: tables must have names of letters, digits, '_', '-' and '.', got {name!r}"
    )


def test_cells_are_numbers_only_when_written_as_numbers_are(folder: Path) -> None:
    (folder / "tables" / "mix.csv").write_text("a,b,c,d,e\n7,0.5,007,1e5,\n")

    assert load_run(folder).tables["mix"].rows == [[7, 0.5, "007", "1e5", ""]]


def test_a_broken_run_keeps_its_report(folder: Path) -> None:
    before = (folder / "report.html").read_bytes()
    (folder / "run.json").write_text("{}")
    _message(folder)

    assert (folder / "report.html").read_bytes() == before
