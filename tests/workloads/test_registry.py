from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hwsim.config import Config, shipped
from hwsim.errors import ConfigError, HwsimError, WorkloadError
from hwsim.workloads import (
    KINDS,
    CollectiveScenario,
    LlmScenario,
    LlmWorkload,
    TensorParallelScenario,
    TraceWorkload,
    load_workload,
    workload_kind,
    workload_names,
    write_trace,
)

NAMES = (
    "llama2_13b",
    "llama2_7b",
    "llama3_1_8b",
    "mistral_7b",
    "opt_6_7b",
    "qwen2_5_7b",
    "tinyllama_1_1b",
)
TOML_KINDS = [kind.name for kind in KINDS.values() if ".toml" in kind.suffixes]


def scenario(*overrides: tuple[str, str]) -> LlmScenario:
    workload = load_workload("llama2_7b", overrides)
    assert isinstance(workload, LlmWorkload)
    return workload.scenario


def message_of(workload: str | Path, *overrides: tuple[str, str]) -> str:
    with pytest.raises(HwsimError) as caught:
        load_workload(str(workload), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_promised_models_are_shipped() -> None:
    assert set(NAMES) <= set(workload_names())
    assert {workload_kind(name) for name in NAMES} == {"llm"}


def test_every_shipped_workload_loads_and_keeps_the_rules_of_traces() -> None:
    short = {"llm": [("prompt_tokens", "3"), ("output_tokens", "2")]}
    for name in workload_names():
        workload = load_workload(name, short.get(workload_kind(name), []))
        assert (workload.name, workload.kind) == (name, workload_kind(name))
        workload.trace.check()


def test_each_kind_is_under_its_name_and_no_two_share_a_suffix_that_does_not_say_which() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    owned = [suffix for kind in KINDS.values() for suffix in kind.suffixes if suffix != ".toml"]
    assert len(owned) == len(set(owned))


def test_every_shipped_file_is_of_a_kind_and_a_name_of_its_own() -> None:
    files = [path for path in shipped("workloads").glob("*/*") if path.is_file()]
    assert {path.parent.name for path in files} <= set(KINDS)
    assert sorted(path.stem for path in files) == list(workload_names())


def test_scenario_keys_default_as_documented() -> None:
    assert scenario() == LlmScenario(
        phase="generate", prompt_tokens=128, output_tokens=512, kv_length=None, batch=1
    )


def test_overrides_are_read_by_the_type_of_the_key() -> None:
    given = scenario(("phase", "decode_step"), ("kv_length", "77"), ("batch", "2"))
    assert (given.phase, given.kv_length, given.batch, given.attended) == ("decode_step", 77, 2, 77)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([("kv_length", "9")], "kv_length must be left out with phase = generate, got 9"),
        (
            [("phase", "prefill"), ("kv_length", "9")],
            "kv_length must be left out with phase = prefill, got 9",
        ),
        (
            [("phase", "prefill"), ("output_tokens", "9")],
            "output_tokens must be left out with phase = prefill, got 9",
        ),
        (
            [("phase", "decode_step"), ("output_tokens", "9")],
            "output_tokens must be left out with phase = decode_step, got 9",
        ),
        (
            [("phase", "decode_step"), ("output_tokens", "512")],  # the default, but given
            "output_tokens must be left out with phase = decode_step, got 512",
        ),
        (
            [("phase", "decode_step"), ("kv_length", "9"), ("prompt_tokens", "128")],
            "prompt_tokens must be left out with kv_length = 9, got 128",
        ),
        (
            [("phase", "decode_step"), ("kv_length", "9"), ("prompt_tokens", "9")],
            "prompt_tokens must be left out with kv_length = 9, got 9",
        ),
    ],
)
def test_a_key_that_means_nothing_in_its_phase_is_refused(
    overrides: list[tuple[str, str]], message: str
) -> None:
    assert message_of("llama2_7b", *overrides) == f"--set: {message}"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("output_tokens", "0"),
        ("prompt_tokens", "0"),
        ("prompt_tokens", "-5"),
        ("prompt_tokens", "1.5"),
        ("prompt_tokens", "many"),
        ("prompt_tokens", str(2**31 + 1)),
        ("prompt_tokens", "9" * 30),
        ("batch", "0"),
        ("batch", "true"),
        ("phase", "training"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_key_and_value(key: str, text: str) -> None:
    (line,) = message_of("llama2_7b", (key, text)).splitlines()
    assert line.startswith(f"--set: {key} must be ")
    assert text in line


def test_a_run_of_steps_without_end_is_refused() -> None:
    assert message_of("llama2_7b", ("output_tokens", "1000000000")) == (
        "--set: output_tokens must be a whole number from 1 to 131072, got '1000000000'"
    )


def test_an_unknown_key_is_told_what_there_is() -> None:
    assert message_of("llama2_7b", ("kv_lenght", "9")) == (
        "--set: kv_lenght must be a known key (did you mean 'kv_length'?), got 'kv_lenght'"
    )


def test_all_wrong_keys_come_at_once() -> None:
    message = message_of("llama2_7b", ("batch", "0"), ("phase", "x"), ("nosuch", "1"))
    assert len(message.splitlines()) == 3


def test_prompt_tokens_and_kv_length_may_agree() -> None:
    given = scenario(("phase", "decode_step"), ("kv_length", "10"), ("prompt_tokens", "9"))
    assert given.attended == 10


def test_a_config_json_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "some-llama"
    folder.mkdir()
    model = json.loads((shipped("workloads") / "llm" / "llama2_7b.json").read_text())
    path = folder / "config.json"
    path.write_text(json.dumps(model | {"architectures": ["LlamaForCausalLM"]}))
    workload = load_workload(str(path))
    assert isinstance(workload, LlmWorkload)
    assert workload.name == "some-llama"
    assert workload.sha256 == load_workload("llama2_7b").sha256
    assert message_of(folder).endswith(f"did you mean {path}?")


@pytest.mark.parametrize("stated", ["", 'kind = "llm"\n'])
def test_a_scenario_file_names_a_model_and_sets_its_keys(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "chat.toml"
    text = 'model = "tinyllama_1_1b"\ndescription = "a chat"\nprompt_tokens = 64\n'
    path.write_text(stated + text)
    workload = load_workload(str(path), [("output_tokens", "32")])
    assert isinstance(workload, LlmWorkload)
    assert (workload.name, workload.kind, workload_kind(str(path))) == ("chat", "llm", "llm")
    given = {value.key: (value.value_text, value.kind) for value in workload.parameters}
    assert given["output_tokens"] == ("32", "override")
    assert given["prompt_tokens"] == ("64", "unstated")
    assert workload.scenario == LlmScenario(prompt_tokens=64, output_tokens=32)
    assert workload.shape == load_workload("tinyllama_1_1b").shape
    assert workload.raw.provenance == {"output_tokens": "override: --set"}


def test_a_scenario_file_may_name_a_model_file_beside_it(tmp_path: Path) -> None:
    source = shipped("workloads") / "llm" / "opt_6_7b.json"
    (tmp_path / "own.json").write_text(source.read_text())
    (tmp_path / "chat.toml").write_text('model = "own.json"\n')
    workload = load_workload(str(tmp_path / "chat.toml"))
    assert isinstance(workload, LlmWorkload)
    assert workload.shape == load_workload("opt_6_7b").shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt_tokens = 3\n", "model is missing; it must be the name or path of a model"),
        ("model = 3\n", "model must be the name or path of a model, got 3"),
        ('model = "chat.toml"\n', "model must be a .json model or the name of one, got"),
        (
            'model = "lama2_7b"\n',
            "model must be a .json model or the name of one; did you mean llama2_7b?, got",
        ),
        (
            'kind = "lmm"\nmodel = "llama2_7b"\n',
            f"kind must be one of {', '.join(map(repr, TOML_KINDS))}, got 'lmm'",
        ),
        ("kind = 3\n", f"kind must be one of {', '.join(map(repr, TOML_KINDS))}, got 3"),
        (
            'model = "llama2_7b"\n[provenance]\nbatch = "assumed: x"\n',
            "provenance.batch must name a key of this file, got 'batch'",
        ),
        ('model = "llama2_7b"\nprompt_token = 3\n', "prompt_token must be a known key (did you"),
        ('model = "llama2_7b"\nprompt_tokens = "3"\n', "prompt_tokens must be "),
        ('model = "llama2_7b"\nkv_length = 3\n', "kv_length must be left out with phase"),
    ],
)
def test_a_wrong_scenario_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "chat.toml"
    path.write_text(text)
    assert message_of(path).startswith(f"{path}: {message}")


def test_a_trace_file_is_a_workload_without_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    overrides = [("prompt_tokens", "3"), ("output_tokens", "2")]
    trace = load_workload("tinyllama_1_1b", overrides).trace
    write_trace(trace, path)
    workload = load_workload(str(path))
    assert isinstance(workload, TraceWorkload)
    assert (workload.kind, workload_kind(str(path))) == ("trace", "trace")
    assert list(workload.trace.steps()) == list(trace.steps())
    assert workload.sha256 == workload.trace.sha256()
    assert (workload.notes, workload.parameters) == ((), ())
    with pytest.raises(ConfigError) as caught:
        load_workload(str(path), [("batch", "2")])
    assert str(caught.value) == "--set: batch must be left out: a trace has no keys, got '2'"


def test_a_trace_file_is_checked_to_its_end_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    overrides = [("phase", "decode_step")]
    write_trace(load_workload("tinyllama_1_1b", overrides).trace, path)
    with path.open("a") as file:
        file.write("{\n")
    assert message_of(path).startswith(f"{path}:")


def test_an_unknown_workload_is_told_what_there_is() -> None:
    assert message_of("lama2_7b").endswith("did you mean llama2_7b?")
    assert message_of("nosuch").endswith(f"({', '.join(workload_names())})")
    for name in ("", "weights.bin", "net.onnx", "x" * 5000):
        assert message_of(name).startswith(f"{name}: must be a .toml, .json, .jsonl, .parquet file")


def test_unreadable_files_are_one_line_that_names_the_file(tmp_path: Path) -> None:
    for suffix in (".toml", ".json", ".jsonl", ".parquet"):
        folder = tmp_path / f"folder{suffix}"
        folder.mkdir()
        binary = tmp_path / f"binary{suffix}"
        binary.write_bytes(b"\x93\x00\xff" * 50)
        for path in (folder, binary, tmp_path / f"missing{suffix}"):
            (line,) = message_of(path).splitlines()
            assert line.startswith(str(path))


def test_a_registered_name_wins_over_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("llama2_7b").mkdir()
    assert load_workload("llama2_7b").name == "llama2_7b"


def test_going_beyond_the_positions_of_a_model_is_noted() -> None:
    long = [("prompt_tokens", "2048"), ("output_tokens", "512")]
    workload = load_workload("tinyllama_1_1b", long)
    assert workload.notes == (
        "tinyllama_1_1b was made for 2048 positions; this scenario attends 2560.",
    )
    assert load_workload("tinyllama_1_1b").notes == ()
    with pytest.raises(WorkloadError, match="its learned positions, got 2560"):
        load_workload("opt_6_7b", long)


def test_the_readme_lists_each_shipped_workload_as_it_is() -> None:
    text = (shipped("workloads") / "README.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \|.*?\| ([\d.]+e9) \|", text, re.MULTILINE))
    assert listed == {
        name: f"{load_workload(name).shape.parameters / 1e9:.3f}e9"
        for name in workload_names()
        if workload_kind(name) == "llm"
    }


def test_the_files_of_the_readme_load(tmp_path: Path) -> None:
    text = (shipped("workloads") / "README.md").read_text()
    path = tmp_path / "own.toml"
    kinds = []
    for example in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        path.write_text(re.sub(r"^  ", "", example, flags=re.MULTILINE))
        workload = load_workload(str(path))
        workload.trace.check()
        kinds.append(workload.kind)
    assert kinds == ["llm", "tensor_parallel"]


def test_the_readme_lists_the_kinds_and_the_files_they_read() -> None:
    text = (shipped("workloads") / "README.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| ((?:`\.\w+`(?:, )?)+) \|", text, re.MULTILINE)
    found = {name: set(re.findall(r"\.\w+", suffixes)) for name, suffixes in listed}
    assert found == {kind.name: set(kind.suffixes) for kind in KINDS.values()}


@pytest.mark.parametrize("cls", [LlmScenario, TensorParallelScenario, CollectiveScenario])
def test_the_readme_tells_every_key_of_a_scenario(cls: type[Config]) -> None:
    text = (shipped("workloads") / "README.md").read_text()
    assert [key for key in cls.model_fields if f"`workload.{key}" not in text] == []
