"""``hwsim rtl``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtl.registry import BLOCKS

pytestmark = pytest.mark.rtl

CHAIN = "flightllm.csd_chain"
Command = Callable[..., Any]


def test_every_block_is_listed(hwsim: Command) -> None:
    done = hwsim("rtl", "list", "--json")
    assert done.code == 0
    assert [block["name"] for block in json.loads(done.out)["blocks"]] == list(BLOCKS)


def test_generating_twice_writes_the_same_bytes(hwsim: Command, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        words = ("rtl", "generate", CHAIN, "--set", "chain_length=16", "--out")
        assert hwsim(*words, str(tmp_path / folder)).code == 0
    one, two = sorted((tmp_path / "one").iterdir()), sorted((tmp_path / "two").iterdir())
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    manifest = json.loads((tmp_path / "one" / "flightllm_csd_chain.json").read_text())
    assert manifest["parameters"]["chain_length"] == 16
    assert {port["name"] for port in manifest["ports"]} >= {"clk", "rst", "i__payload", "o__ready"}


def test_verifying_prints_the_contract(hwsim: Command, tmp_path: Path) -> None:
    words = ("rtl", "verify", CHAIN, "--no-mutate", "--json", "--out", str(tmp_path))
    done = hwsim(*words)
    assert (done.code, done.err) == (0, "")
    (block,) = json.loads(done.out)["blocks"]
    assert block["name"] == CHAIN
    assert block["passed"] is True
    assert block["coverage"] == 1
    assert block["outputs_checked"] >= 100_000
    assert block["cycles_checked"] > 40_000
    assert (block["mutants"], block["mutants_killed"]) == (0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["verify", "flightllm.nope"],
            f"block must be one of {', '.join(BLOCKS)}, got 'flightllm.nope'",
        ),
        (
            ["generate", CHAIN, "--set", "chain_length=15", "--set", "densities=[]"],
            (
                "--set: chain_length must be a power of two, got 15: "
                "the chain is made of DSP groups of 2 and spans one block"
            ),
        ),
        (
            ["synth", CHAIN, "--set", "densities=[{n=3, m=16}]"],
            "--set: densities[0].n must divide m = 16, got 3",
        ),
        (["prove", "flightllm.sfu"], "block must be one with proofs, got 'flightllm.sfu'"),
        (["prove", "--set", "chain_length=8"], "--set: must go with exactly one BLOCK"),
        (
            ["generate", CHAIN, "--set", "chain_length"],
            "--set: must be K=VALUE, such as chain_length=16, got 'chain_length'",
        ),
    ],
)
def test_wrong_input_is_one_message(
    words: list[str], message: str, hwsim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = hwsim("rtl", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("hwsim: ")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "cocotb" else found(name)
    )
    done = hwsim("rtl", "list")
    assert (done.code, done.err) == (2, "hwsim: cocotb is missing: install hwsim[rtl]\n")


def test_a_missing_compiler_is_named(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **more: None if name == "c++" else found(name, **more)
    )
    done = hwsim("rtl", "verify", CHAIN)
    assert (done.code, done.err) == (2, "hwsim: c++ is missing: install the Debian package g++\n")
