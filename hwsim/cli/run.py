"""``hwsim run``: simulate one workload on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import JsonOption, MachineArgument, OutOption, SetOption, WorkloadArgument
from hwsim.cli.terminal import print_json, print_note, print_rich, progress, table
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.run import Result

__all__ = ["run"]


def run(
    machine: MachineArgument,
    workload: WorkloadArgument,
    set_: SetOption = None,
    out: OutOption = None,
    json: JsonOption = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Write timeline.json.gz too; it opens in Perfetto.")
    ] = False,
    no_replay: Annotated[
        bool,
        typer.Option("--no-replay", help="Simulate repeated intervals too: same result, slower."),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Recorded with the result, and part of the folder's name. "
            "Changes no result: nothing is drawn at random but, in tests, the order of "
            "simultaneous events.",
        ),
    ] = 0,
) -> None:
    """Simulate a workload on a machine and write the report."""
    from hwsim.outcome import SimOptions
    from hwsim.run import simulate

    written = out is not None or not json
    if timeline and not written:
        raise HwsimError("--timeline writes a file: with --json it needs --out DIR too")
    if out is not None:
        _check(out)
    with progress(f"{workload} on {machine}") as show:
        options = SimOptions(replay=not no_replay, seed=seed, timeline=timeline, progress=show)
        result = simulate(machine, workload, set_ or (), options)
    folder = _write(result, out) if written else None
    if json:
        print_json(result.to_json())
    else:
        _print_summary(result, folder)


def _check(out: Path) -> None:
    from hwsim.report import check_run_folder

    check_run_folder(out)


def _write(result: Result, out: Path | None) -> Path:
    from hwsim.report import check_run_folder, run_folder, write_run

    folder = out or run_folder(result)
    if check_run_folder(folder):
        print_note(f"{folder} holds an earlier run: replacing it")
    return write_run(result, folder)


def _print_summary(result: Result, folder: Path | None) -> None:
    from hwsim.report.text import measure, percent, words

    outcome = result.outcome
    headline = {name: outcome.metrics[name] for name in outcome.headline}
    shares = sorted(outcome.bound_by.items(), key=lambda item: -item[1])
    print_rich(
        table(
            (f"{result.workload} on {result.machine}", ""),
            [(words(name), measure(name, metric)) for name, metric in headline.items()],
        ),
        table(
            ("bound by", "of the time"), [(words(name), percent(share)) for name, share in shares]
        ),
        *(f"Note: {note}" for note in outcome.notes),
        f"Report: {folder / 'report.html'}" if folder else "",
    )
