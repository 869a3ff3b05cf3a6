"""What validation finds: a verdict a claim, as a table, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hwsim.units import format_quantity
from hwsim.validate.paper import Claim

__all__ = ["Validation", "Verdict"]

SCHEMA = 1
COLUMNS = ("system", "claim", "published", "simulated", "error", "tolerance", "kind", "status")


@dataclass(frozen=True)
class Verdict:
    """A claim, simulated."""

    system: str
    claim: Claim
    simulated: float | None

    @property
    def relative_error(self) -> float | None:
        """(simulated - published) / published; None where that means nothing."""
        if self.simulated is None or (self.claim.published == 0 and self.simulated != 0):
            return None
        if self.claim.published == 0:
            return 0.0
        return (self.simulated - self.claim.published) / self.claim.published

    @property
    def status(self) -> Literal["hit", "miss", "reference"]:
        """Whether the simulation lies within the tolerance of the published figure."""
        if self.claim.tolerance is None:
            return "reference"
        error = self.relative_error
        return "hit" if error is not None and abs(error) <= self.claim.tolerance else "miss"

    @property
    def failure(self) -> str | None:
        """What is wrong with the record of this claim, if anything."""
        where = f"{self.system}: {self.claim.id}"
        if self.claim.status and self.claim.status != self.status:
            return f"{where} is a {self.status}, recorded as a {self.claim.status}"
        if self.status == "miss" and self.claim.reason is None:
            return f"{where} is a miss without a reason"
        return None

    def to_json(self) -> dict[str, Any]:
        """One entry of the ``claims`` of ``hwsim validate --json``."""
        claim = self.claim
        return {
            "system": self.system,
            "id": claim.id,
            "title": claim.title,
            "metric": claim.metric,
            "unit": claim.unit,
            "published": claim.published,
            "simulated": self.simulated,
            "relative_error": self.relative_error,
            "tolerance": claim.tolerance,
            "kind": claim.kind,
            "status": self.status,
            "reason": claim.reason,
            "source": claim.source,
        }


@dataclass(frozen=True)
class Validation:
    """Every claim of the systems asked for, in the order of their files."""

    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each claim that isn't as recorded, or misses without a reason."""
        return tuple(verdict.failure for verdict in self.verdicts if verdict.failure)

    def to_json(self) -> dict[str, Any]:
        """The content of ``validation.json``."""
        return {"schema": SCHEMA, "claims": [verdict.to_json() for verdict in self.verdicts]}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns and rows for people."""
        return COLUMNS, [_row(verdict) for verdict in self.verdicts]

    def markdown(self) -> str:
        """The content of ``validation.md``: the table, reasons of misses, sources."""
        columns, rows = self.table()
        lines = [_markdown_row(cells) for cells in (columns, ["---"] * len(columns), *rows)]
        reasons = [
            _item(verdict, verdict.claim.reason or "no reason given")
            for verdict in self.verdicts
            if verdict.status == "miss"
        ]
        sources = [_item(verdict, verdict.claim.source) for verdict in self.verdicts]
        parts = ["\n".join(lines), _list("Misses", reasons), _list("Sources", sources)]
        return "\n\n".join(part for part in parts if part) + "\n"


def _row(verdict: Verdict) -> tuple[str, ...]:
    claim, error = verdict.claim, verdict.relative_error
    return (
        verdict.system,
        claim.title,
        _shown(claim.published, claim.unit),
        "" if verdict.simulated is None else _shown(verdict.simulated, claim.unit),
        "" if error is None else f"{error:+.2%}",
        "" if claim.tolerance is None else f"{claim.tolerance:.2%}",
        claim.kind,
        verdict.status if verdict.failure is None else f"{verdict.status} (!)",
    )


def _shown(value: float, unit: str) -> str:
    """Times as papers print them, with all their digits; other figures as everywhere."""
    return f"{1000 * value:.9g} ms" if unit == "s" else format_quantity(value, unit)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _item(verdict: Verdict, text: str) -> str:
    return f"- {verdict.claim.title} ({verdict.system}): {text}"


def _list(title: str, items: Sequence[str]) -> str:
    return "\n".join([f"**{title}**", "", *items]) if items else ""
