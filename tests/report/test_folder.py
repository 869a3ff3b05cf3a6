"""The run folder: what it holds, and that it is there whole or not at all."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.errors import ConfigError
from hwsim.outcome import OpRow
from hwsim.report import check_run_folder, load_run, rebuild_report, run_folder, write_run
from hwsim.run import Result

ALL_FILES = {
    "metrics.json",
    "run.json",
    "ops.csv",
    "stalls.csv",
    "report.html",
    "timeline.json.gz",
    "figures/staircase.png",
    "figures/units.png",
    "tables/mix.csv",
    "tables/staircase.csv",
    "tables/units.csv",
}


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def _failing(result: Result, error: BaseException) -> Result:
    def ops() -> Iterator[OpRow]:
        yield OpRow(0, "op", "Gemm", "decode", 0, 0, 1, 0, 0, 0, "memory")
        raise error

    return replace(result, outcome=replace(result.outcome, ops=ops))


# what it holds


def test_the_folder_holds_everything_and_nothing_else(result: Result, tmp_path: Path) -> None:
    assert write_run(result, tmp_path / "deep" / "run") == tmp_path / "deep" / "run"
    assert set(_contents(tmp_path)) == {f"deep/run/{name}" for name in ALL_FILES}


def test_metrics_json_is_what_the_command_line_prints(result: Result, saved: Path) -> None:
    assert json.loads((saved / "metrics.json").read_text()) == result.to_json()


def test_stalls_csv_accounts_for_all_cycles(saved: Path, tmp_path: Path) -> None:
    folder = _copy(saved, tmp_path)

    with (folder / "stalls.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["component", "busy", "starved", "blocked", "idle", "total"],
            ["core.ld", "2800000", "0", "1000000", "138850", "3938850"],
        ]


def test_a_run_without_timeline_leaves_no_timeline_file(result: Result, tmp_path: Path) -> None:
    bare = replace(result, outcome=replace(result.outcome, timeline=None))

    assert set(_contents(write_run(bare, tmp_path / "run"))) == ALL_FILES - {"timeline.json.gz"}


def test_a_run_of_metrics_alone_has_a_report_too(result: Result, tmp_path: Path) -> None:
    outcome = replace(
        result.outcome, tables={}, figures=(), stages={}, notes=(), ops=lambda: iter(())
    )
    bare = replace(result, outcome=replace(outcome, timeline=None), parameters=(), overrides=())
    folder = write_run(bare, tmp_path / "run")

    assert set(_contents(folder)) == {
        *("metrics.json", "run.json", "ops.csv", "stalls.csv", "report.html"),
    }


def test_the_timeline_opens_under_the_name_of_the_run(saved: Path, tmp_path: Path) -> None:
    folder = _copy(saved, tmp_path)

    events = json.loads(gzip.decompress((folder / "timeline.json.gz").read_bytes()))["traceEvents"]
    assert events[0]["args"] == {"name": "llama2_7b on flightllm/u280"}


def test_without_a_folder_the_name_says_machine_workload_and_a_hash_of_the_inputs(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_run(result)

    assert re.fullmatch(r"runs/flightllm-u280-llama2_7b-[0-9a-f]{8}", folder.as_posix())
    assert (folder / "metrics.json").is_file()
    assert folder == run_folder(replace(result, host=replace(result.host, events=1)))
    other_seed = replace(result.provenance, seed=8)
    assert folder != run_folder(replace(result, provenance=other_seed))


def test_a_machine_named_by_a_path_gives_a_plain_folder_name(result: Result) -> None:
    named = run_folder(replace(result, machine="../my machines/ü.toml", workload="/a/b.json"))

    assert re.fullmatch(r"runs/my-machines-.toml-a-b.json-[0-9a-f]{8}", named.as_posix())


# the same again


def test_equal_runs_give_equal_bytes_whatever_the_host_figures(
    result: Result, tmp_path: Path
) -> None:
    one = _contents(write_run(result, tmp_path / "one"))
    other = _contents(write_run(result, tmp_path / "two"))
    slower = replace(result, host=replace(result.host, wall_seconds=9.0))
    third = _contents(write_run(slower, tmp_path / "three"))

    assert one == other
    assert {name for name in one if one[name] != third[name]} == {"metrics.json", "report.html"}


def test_a_report_is_rebuilt_to_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    folder = _copy(saved, tmp_path)
    before = _contents(folder)
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "figures")

    assert rebuild_report(folder) == folder / "report.html"
    assert _contents(folder) == before


def test_a_rebuilt_report_drops_figures_that_are_no_longer_drawn(
    saved: Path, tmp_path: Path
) -> None:
    folder = _copy(saved, tmp_path)
    (folder / "figures" / "old.png").write_bytes(b"")
    rebuild_report(folder)

    assert set(_contents(folder)) == ALL_FILES


def test_a_saved_run_is_what_was_written(result: Result, tmp_path: Path) -> None:
    run = load_run(write_run(result, tmp_path / "run"))

    assert run.measured.metrics == result.outcome.metrics
    assert run.measured.stages == result.outcome.stages
    assert list(run.measured.phases) == list(result.outcome.phases)
    assert tuple(run.described.figures) == result.outcome.figures
    assert list(run.described.notes) == result.outcome.notes
    assert [setting.key for setting in run.described.settings] == ["clock", "hbm.bandwidth"]
    for name, table in result.outcome.tables.items():
        assert run.tables[name].columns == table.columns
        assert [tuple(row) for row in run.tables[name].rows] == list(table.rows)


# whole or not at all


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(143)])
def test_what_is_interrupted_leaves_nothing(
    result: Result, tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        write_run(_failing(result, error), tmp_path / "not" / "yet" / "run")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(143)])
def test_what_is_interrupted_keeps_the_earlier_run(
    result: Result, tmp_path: Path, error: BaseException
) -> None:
    before = _contents(write_run(result, tmp_path / "run"))
    with pytest.raises(type(error)):
        write_run(_failing(result, error), tmp_path / "run")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert _contents(tmp_path / "run") == before


def test_an_earlier_run_is_replaced_whole(result: Result, tmp_path: Path) -> None:
    write_run(result, tmp_path / "run")
    assert check_run_folder(tmp_path / "run")
    bare = replace(result, outcome=replace(result.outcome, timeline=None, figures=()))
    write_run(bare, tmp_path / "run")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not {"timeline.json.gz", "figures/units.png"} & set(_contents(tmp_path / "run"))


def test_a_link_to_a_folder_stays_a_link(result: Result, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_run(result, tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "metrics.json").is_file()


# folders that are refused


def _refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_run_folder(folder)
    return str(caught.value)


def test_new_and_empty_folders_are_taken(tmp_path: Path) -> None:
    assert not check_run_folder(tmp_path)
    assert not check_run_folder(tmp_path / "new" / "folder")


def test_a_folder_of_other_things_is_refused_and_kept(result: Result, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    message = (
        f"{tmp_path}: must be new, empty, or hold an earlier run of hwsim; it holds 'thesis.tex'"
    )

    assert _refused(tmp_path) == message
    with pytest.raises(ConfigError, match=re.escape(message)):
        write_run(result, tmp_path)
    assert _contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("name", ["notes.md", "figures/mine.svg", "tables/sub"])
def test_a_run_folder_with_something_of_the_users_is_refused(
    saved: Path, tmp_path: Path, name: str
) -> None:
    folder = _copy(saved, tmp_path)
    (folder / name).touch()

    assert (
        _refused(folder)
        == f"{folder}: holds an earlier run, and {name!r}, which hwsim did not write"
    )


def test_somebody_elses_metrics_json_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"loss": 0.1}')

    assert _refused(tmp_path) == (
        f"{tmp_path}: must be new, empty, or hold an earlier run of hwsim; it holds 'metrics.json'"
    )


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert _refused(file) == f"{file}: must be a folder, and is a file"
    assert _refused(file / "run") == f"{file / 'run'}: must be a folder, and {file} is a file"


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert _refused(Path()) == (
        ".: must not be the current folder or a mount: a run replaces the folder as a whole"
    )


def test_a_name_the_disk_refuses_is_one_message(result: Result, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)

    with pytest.raises(ConfigError) as caught:
        write_run(result, folder)
    assert str(caught.value) == f"{folder}: can't be used: File name too long"


def test_a_folder_that_refuses_though_permissions_do_not_is_known_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError) as caught:
        check_run_folder(tmp_path / "deep" / "run")
    message = f"{tmp_path / 'deep' / 'run'}: can't be written: Read-only file system"
    assert str(caught.value) == message


def test_a_full_disk_is_one_message_and_leaves_nothing(result: Result, tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")

    with pytest.raises(ConfigError) as caught:
        write_run(_failing(result, full), tmp_path / "run")
    assert str(caught.value) == f"{tmp_path / 'run'}: can't be written: No space left on device"
    assert list(tmp_path.iterdir()) == []
