"""What hwsim raises when it refuses to go on, each with the exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "ConfigError",
    "DeadlockError",
    "HwsimError",
    "InvariantError",
    "MissingToolError",
    "Problem",
    "ProtocolError",
    "WorkloadError",
]

SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Problem:
    """One wrong value: where it stands, its dotted key, the rule it breaks, and the value.

    Reads as ``<where>: <key> <rule>, got <value!r>``. An empty ``where`` or ``key`` and a ``value``
    of ``None`` are left out.
    """

    where: str
    key: str
    rule: str
    value: object | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        subject = f"{self.key} " if self.key else ""
        got = "" if self.value is None else f", got {_shown(self.value)}"
        return f"{place}{subject}{self.rule}{got}"


class HwsimError(Exception):
    """A condition hwsim reports as one message, without a traceback."""

    exit_code: ClassVar[int] = 2


class ConfigError(HwsimError):
    """Wrong machine, workload or command-line values: every problem found, not just the first.

    The message is one problem a line.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class WorkloadError(HwsimError):
    """A workload or trace that cannot be read, or that a system cannot run."""


class MissingToolError(HwsimError):
    """An external tool or optional package that the command needs is not installed."""


class ProtocolError(HwsimError):
    """A component broke the rules of a port, a buffer or an instruction."""

    exit_code: ClassVar[int] = 3


class DeadlockError(HwsimError):
    """The simulation stopped before its work was done; the message says who waits on which port."""

    exit_code: ClassVar[int] = 3


class InvariantError(HwsimError):
    """A finished run whose own books do not close: counts, bytes, accounts or utilisation."""

    exit_code: ClassVar[int] = 3


def _shown(value: object) -> str:
    """The value as text, cut to a length that fits on a terminal line."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no decimal number of more than 4300 digits
        text = f"a number of {SHOWN_CHARACTERS}+ digits"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
