"""The project keeps its own rules: dependencies, imports, docs, packaging."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hwsim
from hwsim.config import build, load_machine_file

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
SETTINGS: dict[str, Any] = tomllib.loads(PYPROJECT)
SOURCES = sorted((ROOT / "hwsim").rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("hwsim/**/*.md")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def distribution(requirement: str) -> str:
    """The normalised name in a requirement or a pin."""
    name = re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def runtime_requirements() -> list[str]:
    found: list[str] = SETTINGS["project"]["dependencies"]
    return found


def optional_requirements() -> list[str]:
    extras: dict[str, list[str]] = SETTINGS["project"]["optional-dependencies"]
    return [requirement for extra in extras.values() for requirement in extra]


# Version


def test_the_installed_version_is_the_one_in_the_source() -> None:
    assert importlib.metadata.version("hwsim") == hwsim.__version__


def test_the_changelog_has_a_section_for_the_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert any(hwsim.__version__ in heading for heading in headings)


# Dependencies


@pytest.mark.parametrize(
    "requirement",
    [*SETTINGS["build-system"]["requires"], *runtime_requirements(), *optional_requirements()],
)
def test_each_dependency_has_its_reason_beside_it(requirement: str) -> None:
    lines = [line for line in PYPROJECT.splitlines() if f'"{requirement}"' in line]
    assert lines
    assert all(re.search(r"  # \S.{8,}", line) for line in lines)


def test_each_ruff_rule_that_is_ignored_has_its_reason_beside_it() -> None:
    rules = SETTINGS["tool"]["ruff"]["lint"]
    ignored = [*rules["ignore"], *(r for rs in rules["per-file-ignores"].values() for r in rs)]
    for rule in ignored:
        assert re.search(rf'^    "{rule}",\s+# \S', PYPROJECT, re.MULTILINE), rule


def test_every_third_party_import_is_a_declared_dependency() -> None:
    known = {"hwsim", "rtl", *sys.stdlib_module_names}
    modules = {name.split(".")[0] for path in SOURCES for name in imported(path)}
    used = {distribution(module) for module in modules - known}
    declared = {distribution(r) for r in [*runtime_requirements(), *optional_requirements()]}
    assert used <= declared
    assert {distribution(r) for r in runtime_requirements()} <= used, "declared but never imported"


def test_constraints_are_exact_pins_that_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+]+", pin) for pin in pins)
    assert len({distribution(pin) for pin in pins}) == len(pins)
    asked = {distribution(r) for r in [*runtime_requirements(), *optional_requirements()]}
    assert asked <= {distribution(pin) for pin in pins}


# Imports


def test_the_ladder_covers_every_module_and_is_strict() -> None:
    contracts = {c["id"]: c for c in SETTINGS["tool"]["importlinter"]["contracts"]}
    assert {"ladder", "systems", "simpy", "rtl"} <= set(contracts)
    assert contracts["ladder"]["exhaustive"] is True
    assert "ignore_imports" not in contracts["ladder"]


def test_only_the_kernel_imports_simpy() -> None:
    kernel = ROOT / "hwsim" / "sim"
    outside = [path for path in SOURCES if not path.is_relative_to(kernel)]
    offenders = {relative(p) for p in outside for n in imported(p) if n.split(".")[0] == "simpy"}
    assert offenders == set()


def test_reading_a_report_does_not_load_the_kernel() -> None:
    code = "import sys, hwsim.report; print({'simpy', 'hwsim.sim'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr


def test_importing_hwsim_imports_nothing_else() -> None:
    assert list(imported(ROOT / "hwsim" / "__init__.py")) == []


# Modules


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_module_has_a_docstring_and_says_what_it_exports(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned


def test_nothing_is_left_to_do_without_a_reason() -> None:
    """``TO-DO(who): why`` is fine (without the dash); a bare one is not."""
    bare = re.compile(r"#.*\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b(?!\(\w+\): \S)")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    offenders = [relative(path) for path in [*SOURCES, *tests] if bare.search(path.read_text())]
    assert offenders == []


# Documents


def blocks(document: Path, *languages: str) -> list[str]:
    """The fenced blocks of a document whose fence names one of the languages ("" is none)."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    return [body for language, body in fenced if language in languages]


def commands(document: Path) -> Iterator[tuple[str, ...]]:
    """The ``hwsim`` command lines in a document's code blocks, without prompts and comments."""
    for block in blocks(document, "", "console", "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.removeprefix("$ ").startswith("hwsim "):
                yield tuple(shlex.split(line.removeprefix("$ "), comments=True)[1:])


def documented() -> list[tuple[str, ...]]:
    """Each command line of the documents once, in order."""
    return list(dict.fromkeys(line for document in DOCUMENTS for line in commands(document)))


def verbs(words: tuple[str, ...]) -> tuple[str, ...]:
    """``trace build x --out y`` -> ``("trace", "build")``: the words that name a command."""
    groups = {"program", "rtl", "trace"}
    return words[: 2 if words[0] in groups else 1]


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    asked = [sys.executable, "-m", "hwsim", *command, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_every_documented_command_exists_with_its_options(words: tuple[str, ...]) -> None:
    told = help_of(verbs(words))
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert {option for option in options if option not in told} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_python_and_toml_in_documents_are_valid(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of a document runs from top to bottom, as one program, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "document.py"
    script.write_text("\n".join(blocks(document, "python")))
    runpy.run_path(str(script))
    for block in blocks(document, "toml"):
        tomllib.loads(block)


def test_the_machine_in_the_accelerator_guide_loads(tmp_path: Path) -> None:
    guide = ROOT / "docs" / "add_an_accelerator.md"
    script = tmp_path / "guide.py"
    script.write_text("\n".join(blocks(guide, "python")))
    config = runpy.run_path(str(script))["MineConfig"]
    (text,) = (block for block in blocks(guide, "toml") if block.startswith("system ="))
    (tmp_path / "small.toml").write_text(text)
    machine = build(config, load_machine_file(str(tmp_path / "small.toml")))
    assert (machine.clock, machine.rows * machine.columns) == (225_000_000, 256)


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    inside = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in inside if not (document.parent / target).exists()] == []


# Packaging


def test_the_wheel_carries_machines_workloads_and_package_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    sources = [*(ROOT / "hwsim").rglob("*"), *(ROOT / "rtl").rglob("*")]
    wanted = {relative(p) for p in sources if p.is_file() and shipped(p)}
    for folder in ("arch_configs", "workloads"):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and shipped(p)]
        assert files, f"{folder} is empty"
        wanted |= {f"hwsim/_data/{relative(p)}" for p in files}
    assert wanted - packed == set()


def shipped(path: Path) -> bool:
    return "__pycache__" not in path.parts and not path.name.startswith(".")


# Set-up


def set_up(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up script on a tree that holds only what the script reads."""
    for name in ("pyproject.toml", "constraints.txt", "hwsim/__init__.py", "tools/setup_venv.sh"):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    command = ["sh", "tools/setup_venv.sh"]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)


def fake_python(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_set_up_without_a_new_enough_python_says_what_is_needed(tmp_path: Path) -> None:
    done = set_up(tmp_path, PYTHON=fake_python(tmp_path / "old", "exit 1"))
    assert done.returncode == 2
    assert done.stderr == (
        f"hwsim: needs Python 3.11 or newer as {tmp_path}/old, and found none.\n"
        "Name one with: make PYTHON=/path/to/python3\n"
    )
    assert not (tmp_path / ".venv").exists()


def test_set_up_without_venv_and_pip_names_the_package(tmp_path: Path) -> None:
    bare = fake_python(tmp_path / "bare", 'case "$2" in "import sys"*) exit 0;; *) exit 1;; esac')
    done = set_up(tmp_path, PYTHON=bare)
    assert done.returncode == 2
    assert done.stderr == (
        f"hwsim: {tmp_path}/bare has neither venv with ensurepip nor pip.\n"
        "On Debian and Ubuntu: apt install python3-venv\n"
    )


def test_an_interrupted_set_up_leaves_no_stamp_and_starts_again(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    dies = f'case "$2" in venv) touch {tmp_path}/tried; exit 1;; esac'
    assert set_up(tmp_path, PYTHON=fake_python(tmp_path / "dies", dies)).returncode == 1
    assert (tmp_path / "tried").exists()
    assert not (tmp_path / ".venv" / ".hwsim-stamp").exists()
