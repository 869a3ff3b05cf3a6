"""``ops.csv``, and which ops took the cycles: both made in one pass over the rows."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from hwsim.outcome import FUSED, OpRow

__all__ = ["OPS_COLUMNS", "OpGroup", "OpTotals", "slowest", "write_ops"]

OPS_COLUMNS = (
    "index",
    "name",
    "type",
    "phase",
    "layer",
    "start_cycle",
    "end_cycle",
    "cycles",
    "bytes_read",
    "bytes_written",
    "macs",
    "bound_by",
)
ROW_CELLS = attrgetter(*OPS_COLUMNS)
OTHERS, FUSED_OPS = "all others", "all fused ops"
SPECIAL = re.compile(r'[",\r\n]')
NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class OpGroup:
    """Ops alike but for their numbers (``layers.*.q_proj``) in one phase, added up."""

    name: str
    phase: str
    count: int
    cycles: int
    bytes_read: int
    bytes_written: int
    macs: int
    bound_by: str
    """What bound most of the group's cycles."""


Totals = list[int]  # count, cycles, bytes read, bytes written, MACs


class OpTotals:
    """Adds up op rows that stream by."""

    def __init__(self) -> None:
        self._totals: defaultdict[tuple[str, str, str], Totals] = defaultdict(lambda: [0] * 5)
        self.count = 0

    def lines(self, rows: Iterable[OpRow]) -> Iterator[str]:
        """The line of each row in ``ops.csv``, its figures added to the totals on the way.

        Written by hand because a million rows pass here: :mod:`csv` takes twice the time.
        """
        totals, count = self._totals, self.count
        for cells in map(ROW_CELLS, rows):
            index, name, kind, phase, layer, start, end, cycles, read, written, macs, bound_by = (
                cells
            )
            total = totals[_pattern(name), phase, bound_by]
            total[0] += 1
            total[1] += cycles
            total[2] += read
            total[3] += written
            total[4] += macs
            count += 1
            yield (
                f"{index},{_quoted(name)},{_quoted(kind)},{_quoted(phase)},"
                f"{'' if layer is None else layer},{start},{end},{cycles},{read},{written},{macs},"
                f"{_quoted(bound_by)}\n"
            )
        self.count = count

    def groups(self) -> list[OpGroup]:
        """Every group, the one with the most cycles first."""
        parts: defaultdict[tuple[str, str], dict[str, Totals]] = defaultdict(dict)
        for (name, phase, bound_by), total in self._totals.items():
            parts[name, phase][bound_by] = total
        groups = [_group(name, phase, part) for (name, phase), part in parts.items()]
        return sorted(groups, key=lambda group: (-group.cycles, group.name, group.phase))


def write_ops(rows: Iterable[OpRow], path: Path) -> OpTotals:
    """Write ``ops.csv``, a line a row, without holding the rows; returns their totals."""
    totals = OpTotals()
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(OPS_COLUMNS) + "\n")
        file.writelines(totals.lines(rows))
    return totals


def slowest(groups: Sequence[OpGroup], count: int) -> list[OpGroup]:
    """The first ``count`` groups, and the rest as one group, so that nothing is left out.

    Fused ops, which run under others and would be counted twice, are one group of their own, last.
    """
    whole = [group for group in groups if group.bound_by != FUSED]
    fused = [group for group in groups if group.bound_by == FUSED]
    top = whole[:count]
    if whole[count:]:
        top.append(_union(OTHERS, "", whole[count:]))
    return [*top, _union(FUSED_OPS, FUSED, fused)] if fused else top


@functools.lru_cache(maxsize=65536)
def _pattern(name: str) -> str:
    """An op's name with its numbers starred: ``layers.3.q_proj`` is ``layers.*.q_proj``."""
    return NUMBER.sub("*", name)


@functools.lru_cache(maxsize=65536)
def _quoted(text: str) -> str:
    """A text cell as :mod:`csv` writes it."""
    return '"{}"'.format(text.replace('"', '""')) if SPECIAL.search(text) else text


def _group(name: str, phase: str, parts: dict[str, Totals]) -> OpGroup:
    bound_by = max(parts, key=lambda part: (parts[part][1], part))
    return _sum(name, phase, bound_by, parts.values())


def _union(name: str, bound_by: str, groups: Sequence[OpGroup]) -> OpGroup:
    parts = [[g.count, g.cycles, g.bytes_read, g.bytes_written, g.macs] for g in groups]
    return _sum(name, "", bound_by, parts)


def _sum(name: str, phase: str, bound_by: str, parts: Iterable[Totals]) -> OpGroup:
    count, cycles, read, written, macs = (sum(column) for column in zip(*parts, strict=True))
    return OpGroup(name, phase, count, cycles, read, written, macs, bound_by)
