"""The other commands: what they print and write."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim as package
from hwsim.config import machine_names
from hwsim.models import registry
from hwsim.models.registry import systems

WORKLOAD = "tinyllama_1_1b"
STEP = ("--set", "workload.phase=decode_step")
HEAVY = {"numpy", "pandas", "matplotlib", "simpy", "pyarrow", "jinja2", "scipy"}


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["run", "--help"]])
def test_what_only_tells_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom hwsim.cli import dispatch\n"
        f"assert dispatch({words!r}) == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_run_that_prints_json_alone_imports_nothing_that_writes_or_draws() -> None:
    words = ["run", "flightllm/u280", WORKLOAD, *STEP, "--json"]
    unused = HEAVY - {"numpy", "simpy"} | {"hwsim.report", "rich"}
    script = (
        "import sys\nfrom hwsim.cli import dispatch\n"
        f"assert dispatch({words!r}) == 0\n"
        f"print(sorted({unused!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_no_words_at_all_print_the_help(hwsim: Callable[..., Any]) -> None:
    done = hwsim()
    assert (done.code, done.err) == (0, "")
    for command in ("list", "run", "compare", "report", "program", "trace", "validate", "bench"):
        assert command in done.out
    assert hwsim("--help") == done


def test_version_is_that_of_the_package(hwsim: Callable[..., Any]) -> None:
    assert hwsim("--version").out == f"hwsim {package.__version__}\n"


def test_list_names_every_system_with_its_machines_and_workloads(hwsim: Callable[..., Any]) -> None:
    listed = json.loads(hwsim("list", "--json").out)
    assert listed["schema"] == 1
    assert [entry["name"] for entry in listed["systems"]] == [entry.name for entry in systems()]
    for entry in listed["systems"]:
        assert entry["machines"] == list(machine_names(entry["name"]))
        assert entry["workloads"]


def test_list_prints_every_name_for_people(hwsim: Callable[..., Any]) -> None:
    done = hwsim("list")
    names = json.loads(hwsim("list", "--json").out)["systems"]
    for entry in names:
        for name in (entry["name"], *entry["machines"], *entry["workloads"]):
            assert name in done.out
    for system in systems():
        assert f"{system.name}: {system.title}\n" in done.out


def test_list_gives_a_system_the_workloads_of_the_kinds_it_takes(
    hwsim: Callable[..., Any], toy: Any
) -> None:
    for kinds, expected in (
        (("tensor_parallel",), ["gpt3", "mega_gpt2", "mt_nlg", "palm", "t_nlg"]),
        (("collective", "trace"), ["collective"]),
    ):
        toy.SYSTEM = replace(toy.SYSTEM, workload_kinds=kinds)
        registry.systems.cache_clear()
        (listed,) = json.loads(hwsim("list", "--json").out)["systems"]
        assert listed["workloads"] == expected


@pytest.mark.usefixtures("toy")
def test_compare_puts_runs_side_by_side_with_ratios_and_settings(
    hwsim: Callable[..., Any], machine: str
) -> None:
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "one")
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "two", "--set", "machine.cycles_per_op=20")
    done = hwsim("compare", "one", "two")
    assert (done.code, done.err) == (0, "")
    latency = next(line for line in done.out.splitlines() if "latency" in line)
    assert latency.split() == ["latency", "300", "ns", "600", "ns", "2x"]
    setting = next(line for line in done.out.splitlines() if "cycles_per_op" in line)
    assert setting.split() == ["machine.cycles_per_op", "10", "20"]
    assert "Note:" not in done.out


@pytest.mark.usefixtures("toy")
def test_compare_tells_different_workloads(hwsim: Callable[..., Any], machine: str) -> None:
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "one")
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "two", "--set", "workload.prompt_tokens=64")
    done = hwsim("compare", "one", "two")
    assert (done.code, done.err) == (0, "")
    setting = next(line for line in done.out.splitlines() if "prompt_tokens" in line)
    assert setting.split() == ["workload.prompt_tokens", "128", "64"]
    assert "Note: Not the workload of one: two (workload_sha256 differs)." in done.out
    assert "No setting differs." in hwsim("compare", "one", "one/").out


def test_compare_tells_a_file_that_changed_under_its_name(
    hwsim: Callable[..., Any], toy: Any, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = property(lambda _: {"cycles_per_op": "cycles.npz"})
    monkeypatch.setattr(toy.ToyConfig, "input_files", named)
    for folder in ("one", "two"):
        Path("cycles.npz").write_text(folder)
        hwsim("run", machine, WORKLOAD, *STEP, "--out", folder)
    out = hwsim("compare", "one", "two").out
    setting = next(line for line in out.splitlines() if "cycles_per_op" in line)
    digests = [hashlib.sha256(text).hexdigest()[:16] for text in (b"one", b"two")]
    words = ["machine.cycles_per_op", "(content)", "sha256", digests[0], "sha256", digests[1]]
    assert setting.split() == words


@pytest.mark.usefixtures("toy")
def test_report_is_rebuilt_from_the_folder(hwsim: Callable[..., Any], machine: str) -> None:
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "here")
    page = Path("here", "report.html")
    written = page.read_bytes()
    page.unlink()
    done = hwsim("report", "here")
    assert (done.code, done.err, done.out) == (0, "", f"{page}\n")
    assert page.read_bytes() == written


@pytest.mark.usefixtures("toy")
def test_program_build_writes_a_file_a_core_little_endian(
    hwsim: Callable[..., Any], machine: str
) -> None:
    done = hwsim("program", "build", machine, WORKLOAD)
    assert (done.code, done.err) == (0, "")
    folder = Path("programs", f"mine-{WORKLOAD}")
    assert done.out.endswith(f"2 files, 32 bytes: {folder}\n")
    words = np.frombuffer((folder / "decode_0016" / "core1.bin").read_bytes(), dtype="<u4")
    assert words.tolist() == [1, 2, 3, 4]
    index = json.loads((folder / "programs.json").read_text())
    assert index["programs"][0] == {"name": "decode_0016", "core": 0, "bytes": 16}


@pytest.mark.usefixtures("toy")
def test_program_build_replaces_its_own_folder(hwsim: Callable[..., Any], machine: str) -> None:
    for _ in range(2):
        assert hwsim("program", "build", machine, WORKLOAD, "--out", "here").code == 0
    assert sorted(path.name for path in Path("here").iterdir()) == ["decode_0016", "programs.json"]


def test_an_interrupted_program_build_leaves_nothing(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    programs = toy.programs

    def interrupted(*given: Any) -> Any:
        yield next(programs(*given))
        raise KeyboardInterrupt

    toy.programs = interrupted
    assert hwsim("program", "build", machine, WORKLOAD, "--out", "deep/here").code == 130
    assert [path.name for path in Path().iterdir()] == [machine]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(("limit", "lines"), [("3", 3), ("0", 10), ("100", 10)])
def test_program_show_prints_the_first_lines(
    hwsim: Callable[..., Any], machine: str, limit: str, lines: int
) -> None:
    done = hwsim("program", "show", machine, WORKLOAD, "--limit", limit)
    assert done.code == 0
    assert len(done.out.splitlines()) == lines
    assert done.out.startswith("# decode_0016, core 0: 16 bytes\nNOP 0\n")
    assert done.err == ("... and more: --limit 0 prints all\n" if limit == "3" else "")


def test_a_system_without_programs_says_so(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    toy.SYSTEM = replace(toy.SYSTEM, program=None)
    done = hwsim("program", "show", machine, WORKLOAD)
    assert (done.code, done.out) == (2, "")
    assert done.err == "hwsim: mine: toy machines run no instruction programs\n"


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.parquet"])
@pytest.mark.parametrize(
    "words",
    [
        (WORKLOAD, *STEP),
        ("t_nlg", "--set", "workload.scope=iteration"),
        ("collective", "--set", "workload.message_bytes=6 MB"),
    ],
)
def test_a_built_trace_shows_the_same_as_the_workload(
    hwsim: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    path = tmp_path / name
    done = hwsim("trace", "build", *words, "--out", str(path))
    assert (done.code, done.err, done.out) == (0, "", f"{path}\n")
    built = json.loads(hwsim("trace", "show", str(path), "--json").out)
    direct = json.loads(hwsim("trace", "show", *words, "--json").out)
    for key in ("schema", "totals", "ops"):
        assert built[key] == direct[key]


def test_trace_show_adds_up_and_lists_the_first_ops(hwsim: Callable[..., Any]) -> None:
    done = hwsim("trace", "show", WORKLOAD, *STEP, "--limit", "2")
    assert (done.code, done.err) == (0, "")
    shown = json.loads(hwsim("trace", "show", WORKLOAD, *STEP, "--limit", "2", "--json").out)
    assert [op["index"] for op in shown["ops"]] == [0, 1]
    assert {total["type"] for total in shown["totals"]} >= {"Gemm", "Attention", "Embedding"}
    for op in shown["ops"]:
        assert op["name"] in done.out
    gemm = next(total for total in shown["totals"] if total["type"] == "Gemm")
    assert f"{gemm['macs']:,}" in done.out


PAPER = """
paper = "A paper"
[scenarios.one]
machine = "MACHINE"
workload = "tinyllama_1_1b"
[[claims]]
id = "latency"
title = "Latency"
metric = "latency"
unit = "s"
published = 3.1e-7
simulated = "one.metrics.latency"
tolerance = TOLERANCE
kind = "validate"
status = "hit"
source = "Table 1"
"""


@pytest.fixture
def toy_paper(machine: str, toy: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Writes the toy's ``paper.toml``, with one claim of that tolerance."""
    monkeypatch.setattr("hwsim.validate.paper.resources.files", lambda _package: Path())
    assert toy

    def write(tolerance: float) -> None:
        text = PAPER.replace("MACHINE", machine).replace("TOLERANCE", str(tolerance))
        Path("paper.toml").write_text(text)

    return write


def test_validate_passes_when_all_is_as_recorded(
    hwsim: Callable[..., Any], toy_paper: Callable[[float], None]
) -> None:
    toy_paper(0.05)
    done = hwsim("validate", "--json", "--out", "deep/here")
    assert (done.code, done.err) == (0, "")
    (claim,) = json.loads(done.out)["claims"]
    assert (claim["system"], claim["status"], claim["simulated"]) == ("toy", "hit", 3e-7)
    assert json.loads(Path("deep/here/validation.json").read_text()) == json.loads(done.out)
    assert "| toy | Latency |" in Path("deep/here/validation.md").read_text()


def test_validate_refuses_a_folder_it_cannot_write_before_it_simulates(
    hwsim: Callable[..., Any], toy_paper: Callable[[float], None], toy: Any
) -> None:
    toy_paper(0.05)
    toy.simulate = pytest.fail
    Path("file").touch()
    for out in ("file", "file/below"):
        done = hwsim("validate", "--out", out)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"hwsim: {out}: can't be written: Not a directory\n"
    assert Path("file").is_file()


def test_validate_fails_when_a_status_is_not_the_recorded_one(
    hwsim: Callable[..., Any], toy_paper: Callable[[float], None]
) -> None:
    toy_paper(0.01)
    done = hwsim("validate", "toy")
    assert done.code == 1
    assert done.err == "toy: latency is a miss, recorded as a hit\n"
    assert "Latency" in done.out
    assert "-3.23%" in done.out


def test_validate_names_the_place_of_a_wrong_paper(
    hwsim: Callable[..., Any], toy_paper: Callable[[float], None]
) -> None:
    toy_paper(-1)
    done = hwsim("validate")
    assert (done.code, done.out) == (2, "")
    assert "paper.toml: claims[0].tolerance must be" in done.err


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_bench_measures_the_toolkit_and_every_system(hwsim: Callable[..., Any]) -> None:
    done = hwsim("bench", "--json")
    assert (done.code, done.err) == (0, "")
    measured = json.loads(done.out)
    assert measured["schema"] == 1
    speeds = {entry["name"]: entry for entry in measured["benchmarks"]}
    assert speeds.keys() >= {"help_start_up", "list_start_up", "toy_speed"}
    assert all(set(entry) == {"name", "value", "unit"} for entry in speeds.values())
    assert all(entry["value"] > 0 for entry in speeds.values())
