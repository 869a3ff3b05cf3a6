"""``hwsim trace``: workload traces, to files and to people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.options import JsonOption, SetOption, WorkloadArgument
from hwsim.cli.terminal import print_json, print_rich, print_text, progress, table

if TYPE_CHECKING:
    from hwsim.workloads import Trace

__all__ = ["trace"]

COMMON_FIELDS = ("index", "name", "type", "phase", "step", "layer", "deps")

trace = typer.Typer(help="Build or show workload traces.")


@trace.command("build")
def build(
    workload: WorkloadArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="A .jsonl or .parquet file to write.")
    ],
    set_: SetOption = None,
) -> None:
    """Write the trace of a workload to a file."""
    from hwsim.workloads import write_trace

    built = _trace_of(workload, set_)
    with progress(f"trace of {workload}"):
        write_trace(built, out)
    print_text(f"{out}\n")


@trace.command("show")
def show(
    workload: WorkloadArgument,
    set_: SetOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="List the first N ops too.")
    ] = 20,
    json: JsonOption = False,
) -> None:
    """Print what a trace adds up to, and its first ops."""
    from hwsim.workloads.summary import summary

    shown = _trace_of(workload, set_)
    with progress(f"trace of {workload}"):
        found = summary(shown, limit)
    if json:
        print_json(found)
    else:
        _print_summary(found)


def _trace_of(workload: str, overrides: list[str] | None) -> Trace:
    from hwsim.config import parse_overrides
    from hwsim.workloads import load_workload

    given = parse_overrides(overrides or ())
    _refuse_machine(given["machine"])
    return load_workload(workload, given["workload"]).trace


def _refuse_machine(overrides: list[tuple[str, str]]) -> None:
    from hwsim.errors import ConfigError, Problem

    if overrides:
        rule = "must not be set: a trace belongs to no machine"
        raise ConfigError(Problem("--set", f"machine.{path}", rule) for path, _ in overrides)


def _print_summary(summary: dict[str, Any]) -> None:
    from hwsim.units import format_quantity

    def row(total: dict[str, Any]) -> tuple[str, ...]:
        sizes = (format_quantity(total[key], "B") for key in ("bytes_read", "bytes_written"))
        return total["phase"], total["type"], f"{total['ops']:,}", f"{total['macs']:,}", *sizes

    totals = [row(total) for total in summary["totals"]]
    ops = [(op["index"], op["name"], op["type"], op["phase"], _work(op)) for op in summary["ops"]]
    print_rich(
        f"{summary['workload']}  (sha256 {summary['sha256'][:16]})",
        table(("phase", "type", "ops", "MACs", "read", "written"), totals),
        *([table(("index", "name", "type", "phase", "work"), ops)] if ops else []),
    )


def _work(op: dict[str, Any]) -> str:
    """What is particular to an op: ``m=1 n=4096 k=4096``."""
    return " ".join(f"{key}={value}" for key, value in op.items() if key not in COMMON_FIELDS)
