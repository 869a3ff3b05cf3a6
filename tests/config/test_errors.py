"""The errors: their text, their exit codes, their way between processes."""

from __future__ import annotations

import pickle

import pytest

from hwsim.errors import (
    ConfigError,
    DeadlockError,
    HwsimError,
    InvariantError,
    MissingToolError,
    Problem,
    ProtocolError,
    WorkloadError,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("a.toml", "hbm.bandwidth", "must be a bandwidth", "460 GiB"),
            "a.toml: hbm.bandwidth must be a bandwidth, got '460 GiB'",
        ),
        (Problem("a.toml", "clock", "must be given"), "a.toml: clock must be given"),
        (Problem("a.toml", "", "must be an existing file"), "a.toml: must be an existing file"),
        (Problem("", "machine", "must be a name", ""), "machine must be a name, got ''"),
        (Problem("", "n", "must be even", 0), "n must be even, got 0"),
    ],
)
def test_a_problem_reads_as_place_key_rule_and_value(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_long_value_is_cut_to_a_line() -> None:
    text = str(Problem("", "x", "must be short", "a" * 10_000))
    assert len(text) < 120
    assert text.endswith("aaa...")


def test_a_number_python_refuses_to_write_is_told_in_words() -> None:
    assert str(Problem("", "x", "must be small", 16**6000)).startswith("x must be small, got a num")


def test_a_value_of_several_lines_stays_on_one() -> None:
    assert str(Problem("", "x", "must be y", "a\nb")) == "x must be y, got 'a\\nb'"


def test_a_config_error_is_one_problem_a_line() -> None:
    problems = [Problem("f", "a", "must be b"), Problem("f", "c", "must be d", 1)]
    error = ConfigError(iter(problems))
    assert error.problems == tuple(problems)
    assert str(error) == "f: a must be b\nf: c must be d, got 1"


def test_a_config_error_survives_the_way_from_a_worker_process() -> None:
    error = ConfigError([Problem("f", "a", "must be b", 1)])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (ConfigError, str(error))


def test_bad_input_exits_with_2_and_a_broken_run_with_3() -> None:
    assert {error.exit_code for error in (ConfigError, WorkloadError, MissingToolError)} == {2}
    assert {error.exit_code for error in (ProtocolError, DeadlockError, InvariantError)} == {3}
    assert issubclass(ProtocolError, HwsimError)
