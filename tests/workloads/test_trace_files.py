from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.errors import WorkloadError
from hwsim.workloads import (
    Gemm,
    LlmScenario,
    LlmShape,
    Numerics,
    Step,
    Trace,
    build_trace,
    read_trace,
    total,
    write_trace,
)
from hwsim.workloads.records import RECORD_TYPES, columns
from hwsim.workloads.stream import assembled, items_of

SUFFIXES = [".jsonl", ".parquet"]
SHAPE = LlmShape(
    layers=2,
    hidden_size=16,
    intermediate_size=24,
    heads=4,
    kv_heads=2,
    head_dim=4,
    vocab_size=50,
    max_positions=64,
)
HEAD = {"hwsim_trace": 1, "name": "mine", "meta": {}}
STEP = {"type": "Step", "index": 1, "phase": "decode", "tokens": 1, "kv_length": 8}
NEXT = {**STEP, "index": 2}
GEMM = {
    "type": "Gemm",
    "index": 0,
    "name": "head",
    "phase": "decode",
    "step": 1,
    "layer": None,
    "deps": [],
    "m": 1,
    "n": 8,
    "k": 8,
    "role": "lm_head",
}
ATTENTION = {
    **{key: GEMM[key] for key in ("index", "name", "phase", "step", "layer", "deps")},
    "type": "Attention",
    "kind": "scores",
    "queries": 2,
    "kv_length": 8,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 4,
}
COLLECTIVE = {
    **{key: GEMM[key] for key in ("index", "name", "phase", "step", "layer", "deps")},
    "type": "Collective",
    "kind": "all_reduce",
    "bytes": 64,
    "devices": 4,
    "role": "fc2",
}


END = {"type": "End", "steps": 1, "ops": 1}


def built(prompt: int = 5, output: int = 3) -> Trace:
    scenario = LlmScenario(prompt_tokens=prompt, output_tokens=output)
    return build_trace(SHAPE, scenario, Numerics(density={"q_proj": 0.7}), "tiny")


def written(path: Path, *records: Any) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines) + "\n")
    return path


def message_of(path: Path) -> str:
    with pytest.raises(WorkloadError) as caught:
        list(read_trace(path).steps())
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_trace_read_back_is_the_trace_written(tmp_path: Path, suffix: str) -> None:
    trace, path = built(), tmp_path / f"t{suffix}"
    write_trace(trace, path)
    back = read_trace(path)
    assert (back.name, back.meta) == (trace.name, trace.meta)
    assert list(back.steps()) == list(trace.steps())
    assert total(back) == total(trace)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.booleans())
def test_both_formats_hold_the_same_steps(
    tmp_path_factory: pytest.TempPathFactory,
    prompt: int,
    output: int,
    batch: int,
    rope: bool,
    windowed: bool,
) -> None:
    changes = {"rope": rope, "position_rows": 0 if rope else 66}
    shape = SHAPE.model_copy(update=changes | {"sliding_window": 4 if windowed else None})
    scenario = LlmScenario(prompt_tokens=prompt, output_tokens=output, batch=batch)
    trace = build_trace(shape, scenario)
    folder = tmp_path_factory.mktemp("traces")
    for suffix in SUFFIXES:
        write_trace(trace, folder / f"t{suffix}")
        assert list(read_trace(folder / f"t{suffix}").steps()) == list(trace.steps())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_the_same_byte_for_byte_each_time(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        write_trace(built(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_trace(paths[0]).sha256() == read_trace(paths[1]).sha256()


def test_a_jsonl_file_is_a_header_and_one_record_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trace(built(output=1), path)
    header, step, op, *_ = [json.loads(line) for line in path.read_text().splitlines()]
    assert (header["hwsim_trace"], header["name"]) == (1, "tiny")
    assert step == {"type": "Step", "index": 0, "phase": "prefill", "tokens": 5, "kv_length": 5}
    assert op["type"] == "Embedding"
    assert list(op)[:7] == ["type", "index", "name", "phase", "step", "layer", "deps"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_steps_are_read_and_written_lazily(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    trace = built(output=40)
    asked: list[int] = []

    def watched() -> Iterator[Step]:
        for step in trace.steps():
            asked.append(step.index)
            yield step

    write_trace(Trace.from_steps("watched", {}, watched), path)
    assert asked == list(range(41))
    assert [step.index for step in islice(read_trace(path).steps(), 2)] == [0, 1]


def test_fields_with_defaults_and_nulls_may_be_left_out(tmp_path: Path) -> None:
    short = {key: value for key, value in GEMM.items() if key != "layer"}
    (step,) = read_trace(written(tmp_path / "t.jsonl", HEAD, STEP, short, END)).steps()
    assert step.ops == (Gemm(0, "head", "decode", 1, None, (), m=1, n=8, k=8, role="lm_head"),)


def test_blank_lines_are_skipped_and_still_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", "", HEAD, "", STEP, "", {**GEMM, "m": 0})
    assert message_of(path) == f"{path}:6: Gemm.m must be an integer from 1 to 2**62, got 0"


TYPES = ", ".join(RECORD_TYPES)
GEMM_FIELDS = ", ".join(columns("Gemm"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({**GEMM, "type": "Conv9d"}, f"type must be one of {TYPES}, got 'Conv9d'"),
        ({**GEMM, "type": None}, f"type must be one of {TYPES}"),
        ([1, 2], "a record must be an object, got [1, 2]"),
        ({**GEMM, "rows": 3}, f"Gemm has no field rows; it has {GEMM_FIELDS}"),
        (
            {key: GEMM[key] for key in GEMM if key != "n"},
            "Gemm.n is missing; it must be an integer from 1 to 2**62",
        ),
        ({**GEMM, "m": -1}, "Gemm.m must be an integer from 1 to 2**62, got -1"),
        ({**GEMM, "m": 1.0}, "Gemm.m must be an integer from 1 to 2**62, got 1.0"),
        ({**GEMM, "m": True}, "Gemm.m must be an integer from 1 to 2**62, got True"),
        ({**GEMM, "m": None}, "Gemm.m must be an integer from 1 to 2**62, got null"),
        ({**GEMM, "m": 2**63}, f"Gemm.m must be an integer from 1 to 2**62, got {2**63}"),
        ({**GEMM, "bias": 1}, "Gemm.bias must be true or false, got 1"),
        ({**GEMM, "density": 1.5}, "Gemm.density must be a number from 0 to 1, got 1.5"),
        (
            {**GEMM, "name": ""},
            "Gemm.name must be a text that is not empty, of printable characters, got ''",
        ),
        (
            {**GEMM, "role": "a\x1b[2Jb"},
            "Gemm.role must be a text that is not empty, of printable characters, got 'a\\x1b[2Jb'",
        ),
        (
            {**GEMM, "phase": "prefil"},
            ("Gemm.phase must be one of prefill, decode, forward, backward, update, got 'prefil'"),
        ),
        (
            {**GEMM, "operand": "weights"},
            "Gemm.operand must be one of parameters, activations, got 'weights'",
        ),
        (
            {**COLLECTIVE, "kind": "broadcast"},
            (
                "Collective.kind must be one of reduce_scatter, all_gather, all_reduce, "
                "all_to_all, got 'broadcast'"
            ),
        ),
        (
            {**COLLECTIVE, "devices": 1},
            "Collective.devices must be an integer from 2 to 2**62, got 1",
        ),
        ({**COLLECTIVE, "bytes": 0}, "Collective.bytes must be an integer from 1 to 2**62, got 0"),
        (
            {**GEMM, "layer": -1},
            "Gemm.layer must be an integer from 0 to 2**62, or null, got -1",
        ),
        (
            {**GEMM, "deps": 0},
            "Gemm.deps must be a list, of which each must be an integer from 0 to 2**62, got 0",
        ),
        ({**GEMM, "deps": [0]}, "Gemm.deps must all be earlier ops, below 0, got 0"),
        ({**GEMM, "deps": [7]}, "Gemm.deps must all be earlier ops, below 0, got 7"),
        ({**GEMM, "index": 1}, "Gemm.index must be 0, as ops are numbered in order, got 1"),
        ({**GEMM, "step": 2}, "Gemm.step must be that of its step, 1, got 2"),
        (
            {**GEMM, "phase": "prefill"},
            "Gemm.phase must be that of its step, decode, got 'prefill'",
        ),
        (
            {**ATTENTION, "kv_heads": 3},
            "Attention.heads must be a multiple of kv_heads = 3, got 4",
        ),
        (
            {**ATTENTION, "queries": 9},
            "Attention.queries must be at most kv_length = 8, got 9",
        ),
        ({**STEP, "index": 1}, "step 1 must hold at least one op"),
    ],
)
def test_a_wrong_record_is_named_with_line_key_rule_and_value(
    tmp_path: Path, record: Any, message: str
) -> None:
    path = written(tmp_path / "t.jsonl", HEAD, STEP, record)
    assert message_of(path) == f"{path}:3: {message}"


def test_a_cyclic_trace_is_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.jsonl", HEAD, STEP, {**GEMM, "deps": [1]}, {**GEMM, "index": 1, "deps": [0]}
    )
    assert message_of(path) == f"{path}:3: Gemm.deps must all be earlier ops, below 0, got 1"


def test_an_index_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", HEAD, STEP, GEMM, GEMM)
    assert message_of(path).endswith("Gemm.index must be 1, as ops are numbered in order, got 0")


def test_steps_go_up_and_ops_come_after_one(tmp_path: Path) -> None:
    again = written(tmp_path / "again.jsonl", HEAD, STEP, GEMM, STEP)
    assert (
        message_of(again)
        == f"{again}:4: Step.index must be above that of the step before, 1, got 1"
    )
    early = written(tmp_path / "early.jsonl", HEAD, GEMM)
    assert message_of(early) == f"{early}:2: Gemm must come after a Step"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], '1: must be the header of a trace, {"hwsim_trace": 1, ...}'),
        ([STEP], '1: must be the header of a trace, {"hwsim_trace": 1, ...}'),
        ([{**HEAD, "hwsim_trace": 2}], "1: hwsim_trace must be 1, got 2"),
        ([{**HEAD, "name": ""}], "1: name must be a text that is not empty, got ''"),
        ([{**HEAD, "meta": 3}], "1: meta must be an object, got 3"),
        (['{"hwsim_trace": 1, "na'], "1: must be valid JSON: unterminated string starting at "),
        ([HEAD], " must hold at least one step"),
        ([HEAD, STEP, END], "3: step 1 must hold at least one op"),
        ([HEAD, END], "2: End.steps must be 0, as many as there are, got 1"),
        ([HEAD, STEP, json.dumps(GEMM)[:40]], "3: must be valid JSON: "),
        ([HEAD, STEP, '{"type": "Gemm", "m": NaN}'], "3: must hold finite numbers only, not NaN"),
        ([HEAD, STEP, " " * 2**20 + "1"], "3: must have lines of at most 1048576 bytes"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, lines: list[Any], message: str
) -> None:
    path = written(tmp_path / "t.jsonl", *lines)
    assert message_of(path).startswith(f"{path}:{message}")


@pytest.mark.parametrize("lines", [[HEAD, STEP], [HEAD, STEP, GEMM], [HEAD, STEP, GEMM, NEXT]])
def test_a_file_cut_at_the_end_of_a_line_is_refused(tmp_path: Path, lines: list[Any]) -> None:
    path = written(tmp_path / "t.jsonl", *lines)
    steps, ops = sum("tokens" in line for line in lines), sum("deps" in line for line in lines)
    assert message_of(path) == (
        f"{path}:{len(lines)}: must not be the last record (a file cut short?): "
        f'a trace ends with {{"type": "End", "steps": {steps}, "ops": {ops}}}'
    )


def test_every_cut_between_records_is_refused() -> None:
    """Whatever wrote the file: here, a stream of items that stops."""
    items = list(items_of("t", built(prompt=1, output=1).steps()))
    assert len(list(assembled(items, "t"))) == 2
    for kept in range(len(items)):
        with pytest.raises(WorkloadError):
            list(assembled(items[:kept], "t"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{**END, "steps": 2}], "4: End.steps must be 1, as many as there are, got 2"),
        ([{**END, "ops": 3}], "4: End.ops must be 1, as many as there are, got 3"),
        ([END, NEXT], "5: must not be there: the trace has ended before it"),
        ([END, {**GEMM, "index": 1}], "5: must not be there: the trace has ended before it"),
        ([END, END], "5: must not be there: the trace has ended before it"),
    ],
)
def test_the_end_counts_what_was_read_and_nothing_comes_after(
    tmp_path: Path, lines: list[Any], message: str
) -> None:
    path = written(tmp_path / "t.jsonl", HEAD, STEP, GEMM, *lines)
    assert message_of(path) == f"{path}:{message}"


def test_a_name_is_given_once_in_a_step(tmp_path: Path) -> None:
    again = {**GEMM, "index": 1}
    twice = written(tmp_path / "twice.jsonl", HEAD, STEP, GEMM, again, {**END, "ops": 2})
    assert message_of(twice) == (
        f"{twice}:4: Gemm.name must differ from those of the earlier ops of its step, got 'head'"
    )
    records = (HEAD, STEP, GEMM, NEXT, {**again, "step": 2}, {**END, "steps": 2, "ops": 2})
    assert len(list(read_trace(written(tmp_path / "apart.jsonl", *records)).steps())) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_step_need_not_attend_anything(tmp_path: Path, suffix: str) -> None:
    (step,) = [Step(1, "decode", 1, None, tuple(next(built().steps()).ops[:1]))]
    op = replace(step.ops[0], phase="decode", step=1)
    path = tmp_path / f"t{suffix}"
    write_trace(Trace.from_steps("t", {}, lambda: iter([replace(step, ops=(op,))])), path)
    (back,) = read_trace(path).steps()
    assert back.kv_length is None
    with pytest.raises(WorkloadError, match=r"^step 1: kv_length is missing; it must be given"):
        _ = back.attended


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_trace_file_is_refused(tmp_path: Path, suffix: str) -> None:
    binary = tmp_path / f"binary{suffix}"
    binary.write_bytes(bytes(range(255, -1, -1)) * 9)
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    for path in (binary, folder, tmp_path / f"missing{suffix}"):
        message = message_of(path)
        assert message.startswith(str(path))
        assert "\n" not in message


def test_a_wrong_row_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    wrong = {**GEMM, "m": -4, "layer": 0, "deps": [0]}
    table = pa.Table.from_pylist([dict.fromkeys(wrong) | STEP, wrong])
    pq.write_table(table.replace_schema_metadata({"hwsim_trace": json.dumps(HEAD)}), path)
    assert message_of(path) == f"{path}: row 2: Gemm.m must be an integer from 1 to 2**62, got -4"


def test_a_parquet_file_without_header_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    assert "must be the header of a trace" in message_of(path)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for attempt in (lambda: read_trace(path), lambda: write_trace(built(), path)):
        with pytest.raises(WorkloadError, match=r"t\.csv: must end in \.jsonl or \.parquet$"):
            attempt()


def failing(error: BaseException) -> Trace:
    def steps() -> Iterator[Step]:
        yield next(built().steps())
        raise error

    return Trace.from_steps("failing", {}, steps)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), WorkloadError("no")])
def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, suffix: str, error: BaseException
) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("earlier")
    with pytest.raises(type(error)):
        write_trace(failing(error), path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "earlier"


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_one_error_or_still_a_trace(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    path = tmp_path / f"t{suffix}"
    write_trace(built(prompt=1, output=1), path)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        list(read_trace(path).steps())
    except WorkloadError as error:
        message = str(error)
    else:
        message = str(path)
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "none" / f"t{suffix}"
    with pytest.raises(WorkloadError) as caught:
        write_trace(built(), path)
    assert str(caught.value).startswith(f"{path}: must be a file that can be written (")


def test_check_finds_what_code_built_wrong() -> None:
    def trace(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Trace:
        fields = {key: value for key, value in change(GEMM).items() if key != "type"}
        op = Gemm(**{**fields, "deps": tuple(fields["deps"])})
        return Trace.from_steps("mine", {}, lambda: iter([Step(1, "decode", 1, 8, (op,))]))

    trace(lambda gemm: gemm).check()
    for change, message in [
        ({"m": 0}, "mine: op head: Gemm.m must be an integer from 1 to 2**62, got 0"),
        ({"deps": [3]}, "mine: op head: Gemm.deps must all be earlier ops, below 0, got 3"),
        ({"input_dtype": "int7"}, "mine: op head: Gemm.input_dtype must be one of "),
    ]:
        with pytest.raises(WorkloadError) as caught:
            trace(lambda gemm, change=change: gemm | change).check()
        assert str(caught.value).startswith(message)


def test_importing_workloads_imports_no_array_library() -> None:
    import subprocess

    code = (
        "import sys, hwsim.workloads as w; w.load_workload('llama2_7b');"
        "print([m for m in ('numpy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
