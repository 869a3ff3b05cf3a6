"""Runs side by side."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.config import Parameter
from hwsim.errors import ConfigError
from hwsim.report import compare_notes, compare_runs, compare_settings, write_run
from hwsim.run import Result


@pytest.fixture(scope="module")
def two(saved: Path, faster: Result, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return saved, write_run(faster, tmp_path_factory.mktemp("compare") / "twice")


@pytest.fixture
def folders(two: tuple[Path, Path], tmp_path: Path) -> list[Path]:
    names = ("base", "twice")
    return [
        Path(shutil.copytree(folder, tmp_path / name))
        for name, folder in zip(names, two, strict=True)
    ]


def test_metrics_stand_side_by_side_with_ratios_to_the_first(folders: list[Path]) -> None:
    compared = compare_runs(folders)

    assert compared.columns == ("metric", "base", "twice", "ratio")
    assert list(compared.rows) == [
        ["decode_step_latency", "17.5 ms", "8.75 ms", "0.5x"],
        ["memory_bandwidth_utilization", "65.9 %", "65.9 %", "1x"],
        ["cycles", "3,938,850 cycle", "3,938,850 cycle", "1x"],
        ["bytes_read", "3.25 GB", "3.2 J", "-"],
        ["throughput", "57.2 token/s", "-", "-"],
        ["energy", "-", "700 mJ", "-"],
    ]


def test_three_runs_have_two_ratios(folders: list[Path]) -> None:
    compared = compare_runs([*folders, folders[0]])

    assert compared.columns[0] == "metric"
    assert compared.columns.count("ratio") == 2
    assert compared.columns[1] == str(folders[0])  # names alone don't tell the runs apart
    assert compared.rows[0][2:] == ["8.75 ms", "0.5x", "17.5 ms", "1x"]


def test_only_metrics_json_is_needed(folders: list[Path]) -> None:
    (folders[1] / "run.json").unlink()

    assert len(compare_runs(folders).rows) == 6


def test_settings_that_differ_are_listed(folders: list[Path]) -> None:
    compared = compare_settings(folders)

    assert compared.columns == ("setting", "base", "twice")
    assert list(compared.rows) == [("machine.clock", "225 MHz", "450 MHz")]
    assert compare_notes(folders) == []


def test_runs_of_different_work_are_told_with_what_differs(
    result: Result, folders: list[Path], tmp_path: Path
) -> None:
    longer = replace(
        result,
        workload="llama2_13b",
        scenario=[result.scenario[0], replace(result.scenario[1], value_text="512")],
        provenance=replace(result.provenance, workload_sha256="56" * 32),
    )
    folders.append(write_run(longer, tmp_path / "longer"))

    assert list(compare_settings(folders).rows) == [
        ("workload", "llama2_7b", "llama2_7b", "llama2_13b"),
        ("workload.kv_length", "128", "128", "512"),
        ("machine.clock", "225 MHz", "450 MHz", "225 MHz"),
    ]
    assert compare_notes(folders) == [
        (
            "Not the workload of base: longer (workload_sha256 differs). "
            "Unless a trace file holds the same ops, which its digest doesn't tell, "
            "these ratios are not of the machine alone."
        )
    ]


def test_a_file_of_another_content_differs_under_the_same_name(
    result: Result, tmp_path: Path
) -> None:
    named = replace(
        result, parameters=[*result.parameters, Parameter("map", "map.npz", "override", "--set")]
    )
    runs = [replace(named, input_sha256={"map": digit * 64}) for digit in "aab"]
    one, same, other = (write_run(run, tmp_path / str(n)) for n, run in enumerate(runs))

    assert list(compare_settings([one, same]).rows) == []
    assert list(compare_settings([one, other]).rows) == [
        ("machine.map (content)", f"sha256 {'a' * 16}", f"sha256 {'b' * 16}")
    ]


def test_a_run_from_before_scenarios_were_kept_compares_too(folders: list[Path]) -> None:
    path = folders[0] / "run.json"
    data = json.loads(path.read_text())
    del data["scenario"], data["input_sha256"]
    path.write_text(json.dumps(data))

    assert ("workload.kv_length", "-", "128") in compare_settings(folders).rows


def test_a_folder_without_a_run_is_named(folders: list[Path], tmp_path: Path) -> None:
    message = f"{tmp_path}: holds no hwsim run: it has no metrics.json"
    with pytest.raises(ConfigError, match=re.escape(message)):
        compare_runs([*folders, tmp_path])
