"""Verifies blocks: values, the cycle of every transfer, coverage, and that faults are caught."""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from random import Random

from hwsim.config import Config
from hwsim.replace import replaced_file
from rtl.block import LEAVING, MID_STREAM, Block, Case, Mutant
from rtl.flow.cache import cache_folder, digest, digest_of, sources
from rtl.flow.emit import StaleMutantError, emit, emit_mutant
from rtl.flow.label import label, module_name
from rtl.flow.simulate import Design, SimulationError, run_cases
from rtl.flow.tools import Simulator, versions
from rtl.parameters import config_of
from rtl.registry import BLOCKS, block

__all__ = ["BlockReport", "Run", "Setting", "Target", "ingredients", "verify"]

Job = tuple["Target", Mutant | None]

INPUT_BINS = ("back to back", "paused", "stalled")
OUTPUT_BINS = ("back to back", "starved", "stalled")
RULES = ("hwsim/config", "hwsim/golden", "hwsim/laws", "hwsim/units.py", "hwsim/errors.py")
BENCH = (
    *RULES,
    "rtl/benches/stimulus.py",
    "rtl/block.py",
    "rtl/flow/replay.py",
    "rtl/flow/runner.py",
    "rtl/flow/simulate.py",
    "rtl/flow/tools.py",
    "rtl/flow/verify.py",
)
"""What says, beside the bench itself, what a design must do, and how it is asked."""
HARDWARE = (*RULES, "rtl")
"""What the Verilog of a design can depend on."""


@dataclass(frozen=True)
class Target:
    """A block and one of its parameter sets."""

    name: str
    config: Config
    mutate: bool = True


@dataclass(frozen=True)
class Setting:
    """How to simulate, the same for every job."""

    simulator: Simulator
    seed: int
    fresh: bool


@dataclass(frozen=True)
class Run:
    """What one simulation of a block showed."""

    outputs: int
    """Values compared with the golden function's."""
    transfers: int
    """Transfers whose cycle was compared with the law's."""
    cycles: int
    covered: tuple[str, ...]
    wrong: str
    """The first difference, or nothing."""
    inputs: tuple[str, ...] = ()
    """Streams that items are offered to."""
    ready: tuple[str, ...] = ()
    """Streams that items are taken from."""
    broken: str = ""
    """Why there was no simulation to compare, or nothing."""
    seconds: float = 0.0
    """Time that the cycles took, without the build and the making of the cases."""


@dataclass
class BlockReport:
    """What was found out about one block, over its parameter sets."""

    name: str
    outputs_checked: int = 0
    cycles_checked: int = 0
    cycles_simulated: int = 0
    seconds_simulated: float = 0.0
    missing_bins: list[str] = field(default_factory=list)
    bins: int = 0
    mutants: int = 0
    survivors: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    waveforms: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Share of the declared bins that were reached; 0 when no simulation got to its end."""
        return 1 - len(self.missing_bins) / self.bins if self.bins else 0.0

    @property
    def cycles_per_second(self) -> float:
        """How fast a core simulated it, faults aside; 0 when no simulation got to its end."""
        return self.cycles_simulated / self.seconds_simulated if self.seconds_simulated else 0.0

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not (self.failures or self.missing_bins or self.survivors)

    def problems(self) -> list[str]:
        """All that kept it from passing, in words."""
        return [
            *self.failures,
            *(f"waveform in {path}" for path in self.waveforms),
            *(f"not covered: {bin_}" for bin_ in self.missing_bins),
            *(f"fault not caught: {mutant}" for mutant in self.survivors),
        ]

    def to_json(self) -> dict[str, object]:
        """As ``hwsim rtl verify --json`` prints it."""
        return {
            "name": self.name,
            "passed": self.passed,
            "outputs_checked": self.outputs_checked,
            "cycles_checked": self.cycles_checked,
            "cycles_simulated": self.cycles_simulated,
            "cycles_per_second": self.cycles_per_second,
            "coverage": self.coverage,
            "missing_bins": self.missing_bins,
            "mutants": self.mutants,
            "mutants_killed": self.mutants - len(self.survivors),
            "survivors": self.survivors,
            "failures": self.failures,
            "waveforms": self.waveforms,
        }


def verify(
    targets: Sequence[Target],
    simulator: Simulator,
    *,
    seed: int = 0,
    waves: Path | None = None,
    fresh: bool = False,
    processes: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> list[BlockReport]:
    """Run every target and its mutants, on all cores; the answers of before are used again.

    The waveform of each target that fails is left in the folder ``waves``. ``fresh`` asks for no
    answer of before. ``processes`` is the
    number of workers: one a core unless given, and 0 for none but this process.
    """
    reports = {target.name: BlockReport(target.name) for target in targets}
    jobs = list(_jobs(targets))
    runs = _runs(jobs, Setting(simulator, seed, fresh), processes)
    for done, (target, mutant, run) in enumerate(runs, start=1):
        _note(reports[target.name], target, mutant, run)
        if progress is not None:
            what = target.name if mutant is None else f"{target.name}: {mutant.name}"
            progress(done / len(jobs), what)
    if waves is not None:
        for target in targets:
            _leave_waveform(reports[target.name], target, simulator, seed, waves)
    return list(reports.values())


def _runs(
    jobs: Sequence[Job], setting: Setting, processes: int | None
) -> Iterator[tuple[Target, Mutant | None, Run]]:
    """Every job with its run, as they end."""
    if processes == 0:
        for target, mutant in jobs:
            yield target, mutant, _run(target.name, target.config, mutant, setting)
        return
    with ProcessPoolExecutor(processes or os.cpu_count(), initializer=_ends_when_told) as pool:
        waiting: dict[Future[Run], Job] = {
            pool.submit(_run, target.name, target.config, mutant, setting): (target, mutant)
            for target, mutant in jobs
        }
        try:
            for future in as_completed(waiting):
                yield *waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ends_when_told() -> None:
    """Leave an interrupt to the process that asked for the work, and end when it says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave_waveform(
    report: BlockReport, target: Target, simulator: Simulator, seed: int, folder: Path
) -> None:
    """Run a target that failed once more, with every signal recorded."""
    if not any(failed.startswith(label(target.config)) for failed in report.failures):
        return
    block_ = block(target.name)
    module = module_name(block_, target.config)
    design = Design(module, emit(block_, target.config), block_.models, waves=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{design.content[:8]}.vcd"
    try:
        run_cases(design, simulator, list(block_.cases(target.config, Random(seed))), waves=path)
    except SimulationError:
        return  # without an answer there is no waveform either; the failure says why
    report.waveforms.append(str(path))


def _jobs(targets: Sequence[Target]) -> Iterator[Job]:
    """The designs themselves first: they take longest."""
    yield from ((target, None) for target in targets)
    for target in targets:
        for mutant in block(target.name).mutants if target.mutate else ():
            config = config_of(block(target.name), mutant.settings) if mutant.settings else None
            yield replace(target, config=config or target.config), mutant


def _note(report: BlockReport, target: Target, mutant: Mutant | None, run: Run) -> None:
    if run.broken:
        what = label(target.config) if mutant is None else f"mutant {mutant.name!r}"
        report.failures.append(f"{what}: {run.broken}")
    if mutant is not None:
        report.mutants += 1
        if not run.wrong:
            report.survivors.append(mutant.name)
    if mutant is not None or run.broken:
        return
    block_ = block(target.name)
    report.outputs_checked += run.outputs
    report.cycles_checked += run.transfers
    report.cycles_simulated += run.cycles
    report.seconds_simulated += run.seconds
    if run.wrong:
        report.failures.append(f"{label(target.config)}: {run.wrong}")
        return
    bins, exempt = _all_bins(block_, target.config, run), set(block_.exempt(target.config))
    report.bins += len(bins)
    report.missing_bins += sorted(bins - set(run.covered))
    reached = sorted(exempt & set(run.covered))
    report.failures += [f"{label(target.config)}: {bin_}: exempt, but reached" for bin_ in reached]


def _all_bins(block_: Block, config: Config, run: Run) -> frozenset[str]:
    """The block's own bins, what every stream must go through, and resets under way."""
    inputs = {f"{name}: {what}" for name in run.inputs for what in INPUT_BINS}
    outputs = {f"{name}: {what}" for name in run.ready for what in OUTPUT_BINS}
    streams = (inputs | outputs) - set(block_.exempt(config))
    return block_.bins(config) | streams | {MID_STREAM, LEAVING}


def _run(name: str, config: Config, mutant: Mutant | None, setting: Setting) -> Run:
    """Simulate one design, or take the answer of the last time that nothing differed.

    An answer is known by the sources that it came from, and by the Verilog, which outlives a change
    of another block's source but takes seconds to write.
    """
    block_ = block(name)
    by_source = _kept(ingredients(block_, config, mutant, setting))
    if by_source.exists() and not setting.fresh:
        return _read(by_source)
    try:
        verilog = emit(block_, config) if mutant is None else emit_mutant(block_, config, mutant)
        design = Design(module_name(block_, config), verilog, block_.models)
        by_verilog = _kept(ingredients(block_, config, None, setting, design))
        if by_verilog.exists() and not setting.fresh:
            run = _read(by_verilog)
        else:
            run = _simulate(block_, config, design, setting)
    except (StaleMutantError, SimulationError) as error:
        return Run(0, 0, 0, (), "", broken=str(error))
    for path in (by_source, by_verilog):
        with replaced_file(path) as aside:
            aside.write_text(json.dumps(asdict(run)))
    return run


def ingredients(
    block_: Block,
    config: Config,
    mutant: Mutant | None,
    setting: Setting,
    design: Design | None = None,
) -> dict[str, str]:
    """All that an answer depends on: of the design, its Verilog, or else every source there is."""
    fault = () if mutant is None else (mutant.source, mutant.old, mutant.new)
    return {
        "block": block_.name,
        "parameters": config.model_dump_json(),
        "fault": json.dumps(fault),
        "seed": str(setting.seed),
        "tools": "\n".join(versions(setting.simulator)),
        "design": design.content if design is not None else digest_of(sources(HARDWARE)),
        "bench": digest_of([bench_file(block_), *sources(BENCH)]),
    }


def _kept(depends_on: Mapping[str, str]) -> Path:
    """Where the answer is kept that depends on these."""
    return cache_folder("answers") / f"{digest(map(':'.join, depends_on.items()))[:32]}.json"


def _read(path: Path) -> Run:
    values = json.loads(path.read_text())
    return Run(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def bench_file(block_: Block) -> Path:
    """Where the block's cases come from."""
    return Path(str(importlib.import_module(BLOCKS[block_.name]).__file__))


def _simulate(block_: Block, config: Config, design: Design, setting: Setting) -> Run:
    cases = list(block_.cases(config, Random(setting.seed)))
    _need_whole_cases(cases)
    answer = run_cases(design, setting.simulator, cases)
    played = (case.covers for case in cases if not case.cut)
    covered = frozenset[str]().union(*played, answer["bins"])
    return Run(
        outputs=sum(case.outputs for case in cases),
        transfers=sum(len(seen) for case in cases for seen in case.expected.values()),
        cycles=answer["cycles"],
        covered=tuple(sorted(covered)),
        wrong=answer["wrong"],
        inputs=tuple(cases[0].inputs),
        ready=tuple(cases[0].ready),
        seconds=answer["seconds"],
    )


def _need_whole_cases(cases: Sequence[Case]) -> None:
    """Refuse cases of which one that is cut has none behind it to see all that its reset left."""
    for case, after in zip_longest(cases, cases[1:]):
        if case.cut and (after is None or after.cut):
            found = "nothing" if after is None else repr(after.name)
            raise SimulationError(
                f"case {case.name!r}: what follows must be a case that is not cut, got {found}"
            )
