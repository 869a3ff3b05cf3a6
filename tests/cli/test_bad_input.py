"""Whatever is wrong with the input: exit code 2, one message that names the place, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.config import machine_names

MACHINE = "flightllm/u280"
WORKLOAD = "tinyllama_1_1b"
MODEL = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 256,
}


def mine(*lines: str) -> str:
    """A machine of somebody's own, on top of a shipped one."""
    return "\n".join([f'extends = "{MACHINE}"', *lines, ""])


FILES: dict[str, str | bytes] = {
    "empty.toml": "",
    "prose.toml": "the clock runs at 225 MHz\n",
    "binary.toml": b"\x7fELF\x02\x01\x01\x00\xff\xfe",
    "twice.toml": mine('clock = "225 MHz"', 'clock = "300 MHz"'),
    "homeless.toml": 'clock = "225 MHz"\n',
    "stranger.toml": 'system = "abacus"\nclock = "225 MHz"\n',
    "bare.toml": mine("clock = 225"),
    "bits.toml": mine("[hbm]", 'bandwidth = "460 Gb/s"'),
    "case.toml": mine("[hbm]", 'capacity = "8 KB"'),
    "negative.toml": mine("[hbm]", 'capacity = "-8 GiB"'),
    "endless.toml": mine("[hbm]", 'bandwidth = "inf GB/s"'),
    "unknown.toml": mine("[hbm]", 'bandwith = "460 GB/s"'),
    "text.toml": mine('cores = "three"'),
    "half.toml": mine("cores = 1.5"),
    "none.toml": mine("cores = 0"),
    "crowded.toml": mine("cores = 60"),
    "orphan.toml": 'extends = "flightllm/u281"\n',
    "loop.toml": 'extends = "loop.toml"\n',
    "doubtful.toml": mine("[provenance]", '"clock" = "somewhere"'),
    "incomplete.toml": 'system = "flightllm"\nclock = "225 MHz"\n',
    "model.json": json.dumps(MODEL),
    "truncated.json": json.dumps(MODEL)[:40],
    "list.json": "[1, 2, 3]",
    "binary.json": b"\x00\x01\x02\xff",
    "empty.json": "",
    "other.json": json.dumps({**MODEL, "model_type": "mamba"}),
    "headless.json": json.dumps({k: v for k, v in MODEL.items() if k != "num_attention_heads"}),
    "negative.json": json.dumps({**MODEL, "hidden_size": -64}),
    "fraction.json": json.dumps({**MODEL, "num_hidden_layers": 2.5}),
    "twice.json": '{"model_type": "llama", "model_type": "opt"}',
    "nan.json": json.dumps({**MODEL, "hidden_size": float("nan")}),
    "uneven.json": json.dumps({**MODEL, "num_attention_heads": 5}),
    "scenario.toml": 'model = "no_such_model"\n',
    "notes.txt": "not a workload\n",
    "a_file": "",
    "model.onnx.exe": "",
}

CASES: dict[str, tuple[list[str], list[str]]] = {
    "no such machine": (["run", "nosuch/machine", WORKLOAD], ["nosuch/machine", MACHINE]),
    "a misspelt machine": (["run", "flightllm/u208", WORKLOAD], ["flightllm/u208", MACHINE]),
    "no such workload": (["run", MACHINE, "nosuch"], ["nosuch", WORKLOAD]),
    "machine and workload swapped": (["run", WORKLOAD, MACHINE], [WORKLOAD]),
    "a missing machine file": (["run", "gone.toml", WORKLOAD], ["gone.toml"]),
    "a missing workload file": (["run", MACHINE, "gone.json"], ["gone.json"]),
    "a machine that is a folder": (["run", "folder", WORKLOAD], ["folder"]),
    "a workload that is a folder": (["run", MACHINE, "folder"], ["folder"]),
    "a machine that is a device": (["run", "/dev/null", WORKLOAD], ["/dev/null"]),
    "a workload that is a device": (["run", MACHINE, "/dev/null"], ["/dev/null"]),
    "a machine name that is empty": (["run", "", WORKLOAD], ["machine"]),
    "a workload name that is empty": (["run", MACHINE, ""], ["workload"]),
    "a file of another kind": (["run", MACHINE, "notes.txt"], ["notes.txt"]),
    "an empty machine file": (["run", "empty.toml", WORKLOAD], ["empty.toml"]),
    "a machine file that is no TOML": (["run", "prose.toml", WORKLOAD], ["prose.toml", "line 1"]),
    "a binary machine file": (["run", "binary.toml", WORKLOAD], ["binary.toml", "0xff"]),
    "a key given twice": (["run", "twice.toml", WORKLOAD], ["twice.toml", "line 3", "clock"]),
    "a machine of no system": (["run", "homeless.toml", WORKLOAD], ["homeless.toml", "system"]),
    "a machine of an unknown system": (
        ["run", "stranger.toml", WORKLOAD],
        ["stranger.toml", "system", "flightllm", "'abacus'"],
    ),
    "a frequency without a unit": (
        ["run", "bare.toml", WORKLOAD],
        ["bare.toml", "clock", "must be a frequency with a unit, such as '225 MHz', got 225"],
    ),
    "bits for bytes": (["run", "bits.toml", WORKLOAD], ["bits.toml", "hbm.bandwidth", "Gb/s"]),
    "a prefix in the wrong case": (["run", "case.toml", WORKLOAD], ["hbm.capacity", "'Ki", "8 KB"]),
    "a negative size": (["run", "negative.toml", WORKLOAD], ["hbm.capacity", "'-8 GiB'"]),
    "an infinite bandwidth": (["run", "endless.toml", WORKLOAD], ["hbm.bandwidth", "'inf GB/s'"]),
    "an unknown key": (["run", "unknown.toml", WORKLOAD], ["hbm.bandwith", "bandwidth"]),
    "text for a number": (["run", "text.toml", WORKLOAD], ["cores", "'three'"]),
    "a fraction of a core": (["run", "half.toml", WORKLOAD], ["cores", "1.5"]),
    "no core at all": (["run", "none.toml", WORKLOAD], ["cores", "0"]),
    "more cores than channels": (["run", "crowded.toml", WORKLOAD], ["hbm.channels"]),
    "an unknown base machine": (["run", "orphan.toml", WORKLOAD], ["extends", "flightllm/u281"]),
    "a machine that extends itself": (["run", "loop.toml", WORKLOAD], ["extends", "loop.toml"]),
    "a provenance of no kind": (["run", "doubtful.toml", WORKLOAD], ["provenance.clock"]),
    "a machine with parts missing": (["run", "incomplete.toml", WORKLOAD], ["hbm", "cores"]),
    "truncated JSON": (["run", MACHINE, "truncated.json"], ["truncated.json"]),
    "JSON that is no object": (["run", MACHINE, "list.json"], ["list.json"]),
    "binary JSON": (["run", MACHINE, "binary.json"], ["binary.json"]),
    "empty JSON": (["run", MACHINE, "empty.json"], ["empty.json"]),
    "a model of another family": (
        ["run", MACHINE, "other.json"],
        ["other.json", "'mamba'", "llama"],
    ),
    "a model with a key missing": (
        ["run", MACHINE, "headless.json"],
        ["headless.json", "num_attention_heads"],
    ),
    "a model of negative size": (["run", MACHINE, "negative.json"], ["hidden_size", "-64"]),
    "a model of 2.5 layers": (["run", MACHINE, "fraction.json"], ["num_hidden_layers", "2.5"]),
    "a JSON key given twice": (["run", MACHINE, "twice.json"], ["twice.json", "model_type"]),
    "a model size that is no number": (["run", MACHINE, "nan.json"], ["nan.json"]),
    "heads that don't divide": (["run", MACHINE, "uneven.json"], ["uneven.json", "5"]),
    "a scenario of an unknown model": (["run", MACHINE, "scenario.toml"], ["no_such_model"]),
    "zero tokens": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.prompt_tokens=0"],
        ["--set", "prompt_tokens", "'0'"],
    ),
    "a negative number of tokens": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.output_tokens=-5"],
        ["--set", "output_tokens", "'-5'"],
    ),
    "an absurd length": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.prompt_tokens=99999999999999999999"],
        ["prompt_tokens"],
    ),
    "a length beyond the machine's": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.prompt_tokens=100000"],
        ["tokens"],
    ),
    "an unknown phase": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.phase=training"],
        ["--set", "phase", "decode_step", "'training'"],
    ),
    "an unknown machine key": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.nosuch=1"],
        ["--set", "nosuch"],
    ),
    "an unknown workload key": (
        ["run", MACHINE, WORKLOAD, "--set", "workload.nosuch=1"],
        ["--set", "nosuch"],
    ),
    "a --set without a value": (["run", MACHINE, WORKLOAD, "--set", "machine"], ["--set"]),
    "an empty --set": (["run", MACHINE, WORKLOAD, "--set", ""], ["--set"]),
    "a --set of neither machine nor workload": (
        ["run", MACHINE, WORKLOAD, "--set", "hbm.bandwidth=1 GB/s"],
        ["--set", "machine", "workload"],
    ),
    "a --set with an empty value": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.clock="],
        ["--set", "clock"],
    ),
    "a --set given twice": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.cores=1", "--set", "machine.cores=2"],
        ["--set", "machine.cores"],
    ),
    "a --set of a whole table": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.hbm=fast"],
        ["--set", "hbm"],
    ),
    "a --set with a wrong unit": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.clock=225 MB"],
        ["--set", "clock", "'225 MB'"],
    ),
    "a model too big for the machine": (
        ["run", MACHINE, WORKLOAD, "--set", "machine.hbm.capacity=1 MiB"],
        ["hbm"],
    ),
    "a seed that is no number": (["run", MACHINE, WORKLOAD, "--seed", "x"], ["--seed"]),
    "a negative seed": (["run", MACHINE, WORKLOAD, "--seed", "-1"], ["--seed"]),
    "an unknown option": (["run", MACHINE, WORKLOAD, "--fast"], ["--fast"]),
    "an unknown command": (["simulate", MACHINE, WORKLOAD], ["simulate"]),
    "a missing argument": (["run", MACHINE], ["WORKLOAD"]),
    "one argument too many": (["run", MACHINE, WORKLOAD, "more"], ["more"]),
    "an output folder that is a file": (
        ["run", MACHINE, WORKLOAD, "--out", "a_file"],
        ["a_file", "folder"],
    ),
    "an output folder under a file": (
        ["run", MACHINE, WORKLOAD, "--out", "a_file/here"],
        ["a_file"],
    ),
    "an output folder of somebody else": (
        ["run", MACHINE, WORKLOAD, "--out", "folder"],
        ["folder"],
    ),
    "a report of no run": (["report", "folder"], ["folder"]),
    "a report of a missing folder": (["report", "gone"], ["gone"]),
    "a comparison of one run": (["compare", "folder"], ["folder"]),
    "a comparison of no runs": (["compare", "folder", "gone"], ["folder"]),
    "a validation of an unknown system": (["validate", "abacus"], ["abacus", "flightllm"]),
    "a trace to an unknown format": (
        ["trace", "build", WORKLOAD, "--out", "trace.xml"],
        ["trace.xml", ".jsonl"],
    ),
    "a trace to a folder": (["trace", "build", WORKLOAD, "--out", "folder"], ["folder"]),
    "a trace to nowhere": (["trace", "build", WORKLOAD], ["--out"]),
    "a trace of a machine": (
        ["trace", "show", WORKLOAD, "--set", "machine.cores=1"],
        ["--set", "machine.cores"],
    ),
    "a cyclic trace": (["trace", "show", "cyclic.jsonl"], ["cyclic.jsonl:4", "deps"]),
    "a truncated trace": (["trace", "show", "cut.jsonl"], ["cut.jsonl:4"]),
    "a trace of an unknown op": (["trace", "show", "odd.jsonl"], ["odd.jsonl:4", "Convolve"]),
    "Parquet that is none": (["trace", "show", "text.parquet"], ["text.parquet"]),
    "a cyclic trace run on a machine": (["run", MACHINE, "cyclic.jsonl"], ["cyclic.jsonl"]),
    "programs into somebody's folder": (
        ["program", "build", MACHINE, WORKLOAD, "--out", "folder"],
        ["folder"],
    ),
    "programs into a file": (
        ["program", "build", MACHINE, WORKLOAD, "--out", "a_file"],
        ["a_file"],
    ),
    "a group without a command": (["trace"], ["trace --help"]),
}


def write_traces(hwsim: Callable[..., Any]) -> None:
    """Three traces that are wrong in their fourth line, and text that calls itself Parquet."""
    scenario = ["--set", "workload.phase=decode_step"]
    assert hwsim("trace", "build", "model.json", *scenario, "--out", "good.jsonl").code == 0
    lines = Path("good.jsonl").read_text().splitlines()
    record = json.loads(lines[3])
    wrong = {
        "cyclic.jsonl": json.dumps({**record, "deps": [record["index"] + 1]}),
        "odd.jsonl": json.dumps({**record, "type": "Convolve"}),
        "cut.jsonl": lines[3][:25],
    }
    for name, line in wrong.items():
        Path(name).write_text("\n".join([*lines[:3], line, *lines[4:], ""]))
    Path("good.jsonl").unlink()
    Path("text.parquet").write_text("not columns at all")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all the wrong files, filled on first use."""
    return tmp_path_factory.mktemp("wrong")


@pytest.fixture
def wrong_files(prepared: Path, hwsim: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(prepared)
    if not (prepared / "folder").exists():
        for name, content in FILES.items():
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        write_traces(hwsim)
        Path("folder").mkdir()
        Path("folder", "precious").write_text("mine")
    return prepared


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, and the content of the files."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_with_one_message_that_names_the_place(
    case: str, hwsim: Callable[..., Any], wrong_files: Path
) -> None:
    words, fragments = CASES[case]
    before = tree(wrong_files)
    done = hwsim(*words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert done.err.startswith("hwsim: ")
    assert done.err.count("hwsim: ") == 1
    assert [fragment for fragment in fragments if fragment not in done.err] == []
    assert tree(wrong_files) == before


@pytest.mark.parametrize("machine", machine_names())
@pytest.mark.parametrize(
    "wrong", ["machine.nosuch=1", "workload.nosuch=1", "machine", "=", "x.y=1"]
)
def test_every_machine_refuses_a_wrong_override(
    machine: str, wrong: str, hwsim: Callable[..., Any]
) -> None:
    done = hwsim("run", machine, WORKLOAD, "--json", "--set", wrong)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("hwsim: --set")


def test_all_problems_of_a_file_are_told_at_once(hwsim: Callable[..., Any], tmp_path: Path) -> None:
    machine = tmp_path / "m.toml"
    machine.write_text(mine("cores = 0", 'clock = "fast"', "[hbm]", 'capacity = "8 KB"'))
    done = hwsim("run", str(machine), WORKLOAD)
    assert done.code == 2
    assert all(key in done.err for key in ("cores", "clock", "hbm.capacity"))
