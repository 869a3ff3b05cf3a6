"""What blocks take of an FPGA, as a table and as bars, and beside published designs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rtl.flow.label import DEFAULT
from rtl.flow.synth import Synthesis

__all__ = ["NOT_COMPARABLE", "Published", "beside_published", "plot", "published", "table"]

INK = "#1f3b57"
PUBLISHED = Path(__file__).with_name("published.toml")

Count: TypeAlias = Callable[[Synthesis], float]

COLUMNS: Mapping[str, Count] = {
    "DSP": lambda s: s.counts["dsp"],
    "LUT": lambda s: s.counts["lut"],
    "SRL": lambda s: s.counts["srl"],
    "LUT RAM": lambda s: s.counts["lut_memory"],
    "FF": lambda s: s.counts["ff"],
    "CARRY4": lambda s: s.counts["carry"],
    "BRAM36": lambda s: s.bram36,
    "URAM": lambda s: s.counts["uram"],
}
TOTALS: Mapping[str, tuple[str, Count]] = {
    "dsp": ("DSP", lambda s: s.counts["dsp"]),
    "lut": ("LUT", lambda s: s.all_luts),
    "ff": ("FF", lambda s: s.counts["ff"]),
    "bram36": ("BRAM36", lambda s: s.bram36),
    "uram": ("URAM", lambda s: s.counts["uram"]),
}
"""What designs are published with, and what it is here."""
NOT_COMPARABLE = (
    "The published figures are of the whole design after place and route, with the shells of HBM "
    "and PCIe, all buffers, DMA and control; ours are of one block after mapping by yosys, not "
    "placed, not packed (two small LUTs share one LUT6 on the chip) and not optimised across "
    "blocks. A share of the published total is therefore a bound for what a block may take, not "
    "what the authors' block took."
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a published design takes, and how many of each block it holds."""

    title: str
    source: str
    used: Mapping[str, int]
    share_of_device: Mapping[str, float]
    instances: Mapping[str, Mapping[str, Any]]
    """By block: ``count``, and ``why``."""


def published() -> list[Published]:
    """Every design in ``published.toml``."""
    designs = tomllib.loads(PUBLISHED.read_text()).values()
    return [
        Published(
            title=design["title"],
            source=design["source"],
            used=design["used"],
            share_of_device=design["share_of_device"],
            instances=design["instances"],
        )
        for design in designs
    ]


def table(results: Sequence[Synthesis]) -> str:
    """A Markdown table, a row a block and parameter set."""
    rows = [
        (
            result.block,
            result.parameters,
            *(f"{count(result):,g}" for count in COLUMNS.values()),
            f"{result.depth}",
            _path(result.path),
        )
        for result in results
    ]
    header = ("block", "parameters", *COLUMNS, "depth", "longest path")
    return _markdown(header, rows, left={0, 1, len(header) - 1})


def beside_published(results: Sequence[Synthesis]) -> str:
    """Markdown: each published design split as its DSP count allows, and our blocks beside it.

    Only blocks that the split speaks of, at default parameters; nothing if there is none.
    """
    parts = [
        _split(design, result)
        for design in published()
        for result in results
        if result.parameters == DEFAULT and result.block in design.instances
    ]
    return "\n".join([*parts, NOT_COMPARABLE, ""]) if parts else ""


def _split(design: Published, result: Synthesis) -> str:
    split = design.instances[result.block]
    rows = []
    for field, (name, count) in TOTALS.items():
        total, one = design.used[field], count(result)
        rows.append(
            (
                name,
                f"{total:,}",
                f"{design.share_of_device[field]:.1%}",
                f"{total / split['count']:,.1f}",
                f"{one:,g}",
                f"{one * split['count']:,.0f}",
                f"{one * split['count'] / total:.0%}",
            )
        )
    header = (
        "resource", "published", "of the device", f"published / {split['count']}",
        "one of ours", f"{split['count']} of ours", "of published",
    )  # fmt: skip
    return (
        f"`{result.block}` beside {design.title} ({design.source}). "
        f"Split by {split['count']}: {split['why']}.\n\n{_markdown(header, rows, left={0})}"
    )


def plot(results: Sequence[Synthesis], path: Path) -> None:
    """Bars for each resource that any block takes, a bar a block and parameter set, as PNG."""
    from matplotlib.figure import Figure

    taken = {name: [count(r) for r in results] for name, count in COLUMNS.items()}
    taken = {name: counts for name, counts in taken.items() if any(counts)}
    labels = [f"{r.block}\n{r.parameters}" for r in results]
    height = 0.8 + len(taken) * (0.6 + 0.3 * len(results))
    figure = Figure(figsize=(8, height), dpi=120, layout="constrained")
    figure.suptitle("Resources after mapping, not placed", color=INK, fontsize=11)
    panels = figure.subplots(max(len(taken), 1), squeeze=False)[:, 0]
    for axes, (name, counts) in zip(panels, taken.items(), strict=False):
        bars = axes.barh(labels, counts, color=INK, height=0.6)
        axes.bar_label(bars, labels=[f"{n:,g}" for n in counts], padding=3, fontsize=8)
        axes.set_title(name, loc="left", color=INK, fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _path(cells: Sequence[str]) -> str:
    """``LUT4, 2 x LUT6, 8 x CARRY4``: cells in order, those alike in a row counted."""
    runs: list[tuple[str, int]] = []
    for cell in cells:
        if runs and runs[-1][0] == cell:
            runs[-1] = (cell, runs[-1][1] + 1)
        else:
            runs.append((cell, 1))
    return ", ".join(cell if times == 1 else f"{times} x {cell}" for cell, times in runs)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> str:
    lines = [header, [":--" if i in left else "--:" for i in range(len(header))], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
