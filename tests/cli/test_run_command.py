"""``hwsim run``: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hwsim.errors import DeadlockError
from hwsim.outcome import Metric
from hwsim.workloads import load_workload

WORKLOAD = "tinyllama_1_1b"
STEP = ("--set", "workload.phase=decode_step")
LONG = ("--set", "workload.output_tokens=16")  # more ops than are checked at once
pytestmark = pytest.mark.usefixtures("toy")


def names(folder: str = ".") -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in Path(folder).iterdir())


def test_json_is_alone_on_standard_output_and_nothing_is_written(
    hwsim: Callable[..., Any], machine: str
) -> None:
    done = hwsim("run", machine, WORKLOAD, "--json")
    result = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert list(result) == [
        "schema",
        "system",
        "machine",
        "workload",
        "metrics",
        "phases",
        "stages",
        "provenance",
        "host",
    ]
    assert result["metrics"]["latency"] == {"value": 3e-7, "unit": "s"}
    assert result["stages"] == {"alu": {"busy": 28, "starved": 1, "blocked": 0, "idle": 1}}
    assert names() == [machine]


def test_the_summary_tells_headline_bounds_notes_and_where_the_report_is(
    hwsim: Callable[..., Any], machine: str
) -> None:
    done = hwsim("run", machine, WORKLOAD, *STEP, "--out", "here")
    assert (done.code, done.err) == (0, "")
    for words in ("latency", "300 ns", "25 %", "memory", "75 %", "Nothing is modelled."):
        assert words in done.out
    assert done.out.index("memory") < done.out.index("Nothing is modelled.")
    assert done.out.endswith(f"Report: {Path('here', 'report.html')}\n")
    assert Path("here", "report.html").is_file()


def test_json_with_a_folder_writes_the_same_json(hwsim: Callable[..., Any], machine: str) -> None:
    done = hwsim("run", machine, WORKLOAD, *STEP, "--json", "--out", "here")
    assert json.loads(done.out) == json.loads(Path("here", "metrics.json").read_text())


def test_without_a_folder_each_setting_has_its_own(hwsim: Callable[..., Any], machine: str) -> None:
    assert hwsim("run", machine, WORKLOAD, *STEP).code == 0
    assert hwsim("run", machine, WORKLOAD, *STEP, "--set", "machine.cycles_per_op=20").code == 0
    assert hwsim("run", machine, WORKLOAD, *STEP, "--set", "workload.batch=2").code == 0
    assert len(names("runs")) == 3
    assert all(name.startswith(f"mine-{WORKLOAD}-") for name in names("runs"))


def test_a_folder_that_holds_a_run_is_replaced_and_it_says_so(
    hwsim: Callable[..., Any], machine: str
) -> None:
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "here")
    done = hwsim("run", machine, WORKLOAD, *STEP, "--out", "here", "--set", "machine.clock=50 MHz")
    assert (done.code, done.err) == (0, "here holds an earlier run: replacing it\n")
    written = json.loads(Path("here", "metrics.json").read_text())
    assert written["metrics"]["latency"]["value"] == 6e-7


def test_the_seed_and_the_replay_reach_the_system(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    simulate = Mock(side_effect=toy.simulate)
    toy.simulate = simulate
    done = hwsim("run", machine, WORKLOAD, "--json", "--seed", "5", "--no-replay")
    options = simulate.call_args.args[2]
    assert (options.seed, options.replay, options.timeline) == (5, False, False)
    provenance = json.loads(done.out)["provenance"]
    assert (provenance["seed"], provenance["replay"]) == (5, False)


def test_a_timeline_without_a_folder_is_refused(hwsim: Callable[..., Any], machine: str) -> None:
    done = hwsim("run", machine, WORKLOAD, "--json", "--timeline")
    assert (done.code, done.out) == (2, "")
    assert done.err == "hwsim: --timeline writes a file: with --json it needs --out DIR too\n"


def test_a_deadlock_ends_with_code_3(hwsim: Callable[..., Any], machine: str, toy: Any) -> None:
    def stuck(*_: object) -> None:
        raise DeadlockError("deadlock at 5 fs: a waits on b")

    toy.simulate = stuck
    done = hwsim("run", machine, WORKLOAD)
    assert (done.code, done.out) == (3, "")
    assert done.err == "hwsim: deadlock at 5 fs: a waits on b\n"
    assert names() == [machine]


def test_a_run_whose_books_do_not_close_is_no_result(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    simulate = toy.simulate

    def dishonest(*given: Any) -> Any:
        outcome = simulate(*given)
        return replace(outcome, metrics={**outcome.metrics, "energy": Metric(float("nan"), "J")})

    toy.simulate = dishonest
    done = hwsim("run", machine, WORKLOAD, "--json")
    assert (done.code, done.out) == (3, "")
    assert "metric energy must be finite, got nan" in done.err


@pytest.mark.parametrize(("words", "written"), [(STEP, "--json"), (LONG, "--out=here")])
def test_a_system_that_loses_an_op_is_found_out(
    hwsim: Callable[..., Any], machine: str, toy: Any, words: tuple[str, ...], written: str
) -> None:
    """At once in a short trace, when its rows are written in a long one."""
    simulate = toy.simulate

    def forgetful(*given: Any) -> Any:
        outcome = simulate(*given)
        return replace(outcome, ops=lambda: islice(outcome.ops(), 1, None))

    toy.simulate = forgetful
    key, _, value = words[1].removeprefix("workload.").partition("=")
    ops = sum(1 for _ in load_workload(WORKLOAD, [(key, value)]).trace)
    done = hwsim("run", machine, WORKLOAD, *words, written)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "hwsim: the run's books do not close: "
        f"op rows must be as many as the trace's {ops} ops, got {ops - 1}\n"
    )
    assert names() == [machine]


def test_a_bug_keeps_its_traceback(machine: str, toy: Any) -> None:
    from hwsim.cli import dispatch

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    toy.simulate = broken
    with pytest.raises(ZeroDivisionError):
        dispatch(["run", machine, WORKLOAD])
    assert names() == [machine]


def test_an_interrupt_leaves_nothing_and_says_one_line(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    toy.simulate = interrupted
    done = hwsim("run", machine, WORKLOAD, "--out", "here")
    assert (done.code, done.out) == (130, "")
    assert done.err == "hwsim: interrupted\n"
    assert names() == [machine]


def test_an_interrupt_while_writing_leaves_nothing(
    hwsim: Callable[..., Any], machine: str, toy: Any
) -> None:
    simulate = toy.simulate

    def interrupted() -> Any:
        raise KeyboardInterrupt

    toy.simulate = lambda *given: replace(simulate(*given), ops=interrupted)
    assert hwsim("run", machine, WORKLOAD, "--out", "here").code == 130
    assert names() == [machine]


def test_the_same_run_twice_gives_the_same_json_but_for_the_host(
    hwsim: Callable[..., Any], machine: str
) -> None:
    one, two = (json.loads(hwsim("run", machine, WORKLOAD, "--json").out) for _ in range(2))
    assert one.pop("host").keys() == two.pop("host").keys()
    assert one == two


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX here")
def test_a_terminated_process_cleans_up(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "import hwsim.cli.app as app\n"
        "from hwsim.replace import replaced_folder\n"
        "def slow(words):\n"
        "    with replaced_folder(Path('here')) as folder:\n"
        "        (folder / 'half').write_text('half')\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "app.dispatch = slow\n"
        "app.main()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX here")
@pytest.mark.parametrize(
    "module", ["typer", "hwsim.errors", "hwsim.config", "hwsim.models.registry"]
)
def test_an_interrupt_while_modules_load_is_one_line(module: str) -> None:
    """The signal comes as the module is looked for, at the top of the process or in a command."""
    script = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from hwsim.cli import main\n"
        "sys.argv = ['hwsim', 'list']\n"
        "main()\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (130, "hwsim: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk is always full here")
@pytest.mark.parametrize("words", [["list"], ["compare", "one", "one/"], ["--help"]])
@pytest.mark.usefixtures("toy")
def test_a_full_disk_under_standard_output_is_one_line(
    words: list[str], hwsim: Callable[..., Any], machine: str
) -> None:
    hwsim("run", machine, WORKLOAD, *STEP, "--out", "one")
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "hwsim", *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert found.returncode == 2
    assert re.fullmatch(
        "hwsim: standard output(:| can't be written:) No space left on device\n", found.stderr
    )


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "hwsim", "list"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait(timeout=20) == 141


def test_a_workload_of_any_kind_runs_on_a_system_that_takes_it(
    hwsim: Callable[..., Any], toy: Any, machine: str
) -> None:
    toy.SYSTEM = replace(toy.SYSTEM, workload_kinds=("tensor_parallel", "collective"))
    for name, key in (("t_nlg", "model.hidden_size"), ("collective", "message_bytes")):
        assert hwsim("run", machine, name, "--out", name).code == 0
        assert key in Path(name, "report.html").read_text()
    assert "Note: t_nlg has 28 heads, padded to 32" in hwsim("run", machine, "t_nlg").out


@pytest.mark.usefixtures("toy")
def test_a_workload_of_a_kind_that_the_system_does_not_take_is_refused(
    hwsim: Callable[..., Any], machine: str
) -> None:
    done = hwsim("run", machine, "t_nlg", "--json")
    message = "hwsim: t_nlg: must be of kind llm for mine, is tensor_parallel\n"
    assert (done.code, done.out, done.err) == (2, "", message)
