"""Pictures of a block for its docs: what it is made of, and a few of its cycles as simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from hwsim.config import Config
from rtl.block import Block
from rtl.flow.emit import emit
from rtl.flow.label import module_name
from rtl.flow.simulate import Design, run_cases
from rtl.flow.tools import Simulator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Trace", "draw_diagram", "draw_waveform"]

INK, FILL, FAINT = "#1f3b57", "#e8eef4", "#8a97a3"
MOST_CYCLES = 64
SHOWN_DIGITS = 4


@dataclass(frozen=True)
class Trace:
    """A port's value in each clock cycle."""

    name: str
    values: list[int]


def draw_diagram(block: Block, path: Path) -> None:
    """The parts of a block from its inputs on the left to its outputs on the right."""
    from matplotlib.figure import Figure

    columns = block.diagram
    figure = Figure(figsize=(1.75 * len(columns), 0.7 + 0.75 * max(map(len, columns))), dpi=120)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.88))
    axes.set_axis_off()
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, max(map(len, columns)) - 0.5)
    axes.set_title(f"{block.name}: {block.title}", color=INK, fontsize=10)
    for x, (here, there) in enumerate(zip(columns, [*columns[1:], []], strict=True)):
        for y, label in _placed(here, columns):
            _box(axes, x, y, label)
            for y_next, _ in _placed(there, columns):
                arrow = {"arrowstyle": "-|>", "color": FAINT, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (x + 0.61, y_next), (x + 0.39, y), arrowprops=arrow)
    figure.savefig(path, metadata={"Software": None})


def _placed(labels: Sequence[str], columns: Sequence[Sequence[str]]) -> Iterator[tuple[float, str]]:
    """The labels of a column with their heights, in the middle of the picture."""
    tallest = max(map(len, columns))
    top = (tallest - 1 + len(labels) - 1) / 2
    for i, label in enumerate(labels):
        yield top - i, label


def _box(axes: Axes, x: float, y: float, label: str) -> None:
    box = {"boxstyle": "round,pad=0.4", "facecolor": FILL, "edgecolor": INK}
    axes.text(x, y, label, ha="center", va="center", fontsize=8, color=INK, bbox=box, zorder=3)


def draw_waveform(block: Block, config: Config, simulator: Simulator, path: Path) -> None:
    """The streams of a block over the first cycles of a case that stalls both sides."""
    from matplotlib.figure import Figure

    traces = _simulated(block, config, simulator)
    figure = Figure(figsize=(12, 0.5 + 0.36 * len(traces)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for row, trace in enumerate(traces):
        _draw_trace(axes, trace, len(traces) - 1 - row)
    cycles = len(traces[0].values)
    axes.set_yticks(range(len(traces)), [trace.name for trace in reversed(traces)], fontsize=8)
    axes.set_xticks(range(0, cycles + 1, 5), range(0, cycles + 1, 5), fontsize=8)
    axes.set_xlim(0, cycles)
    axes.set_xlabel("cycle after reset", fontsize=8)
    axes.grid(axis="x", color=FILL, linewidth=0.8)
    axes.tick_params(length=0, labelcolor=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})


def _draw_trace(axes: Axes, trace: Trace, y: int) -> None:
    if not trace.name.endswith(".payload") and max(trace.values) <= 1:
        levels = [y - 0.3 + 0.6 * value for value in trace.values]
        axes.step(range(len(levels) + 1), [*levels, levels[-1]], where="post", color=INK, lw=1.2)
        return
    start = 0
    for cycle in range(1, len(trace.values) + 1):
        if cycle < len(trace.values) and trace.values[cycle] == trace.values[start]:
            continue
        xs = [start, start + 0.15, cycle - 0.15, cycle]
        axes.fill_between(xs, [y, y - 0.3, y - 0.3, y], [y, y + 0.3, y + 0.3, y], fc=FILL, ec=INK)
        text = f"{trace.values[start]:x}"[-SHOWN_DIGITS:]
        if cycle - start >= 2:
            axes.text((start + cycle) / 2, y, text, ha="center", va="center", fontsize=6, color=INK)
        start = cycle


def _simulated(block: Block, config: Config, simulator: Simulator) -> list[Trace]:
    """Every port over the first cycles of the case that stalls both sides."""
    cases = list(block.cases(config, Random(0)))
    stalled = next((case for case in cases if case.name == "both"), cases[0])
    shown = min(MOST_CYCLES, stalled.cycles)
    short = replace(stalled, cycles=shown, cut=True, expected=dict.fromkeys(stalled.expected, ()))
    design = Design(module_name(block, config), emit(block, config), block.models)
    record = run_cases(design, simulator, [short], record=True)["record"]
    return [Trace(name, values) for name, values in record.items()]
