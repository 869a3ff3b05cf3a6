"""FlightLLM's instruction scheduler: what a program may ask of it, and the cycle of every issue.

Instruction words come in at most one a cycle. Each instruction goes to the queue of its unit, and
leaves it when the unit is free and a token has come from every unit that it waits for; it takes
those tokens, one each, all at once. When the unit is done with it, every unit that it releases is
given a token. A counter for each ordered pair of units holds the tokens that were given and not yet
taken; the host's start token stands in SYS -> LD. SYS, the barrier, has no unit: it is done in the
cycle in which it is issued.

Law: an instruction is issued ``FETCH_CYCLES`` after its last word at the earliest, one cycle after
the last of its tokens was given and after its unit was done at the earliest, and then at once. A
unit that is busy for L cycles with an instruction issued in cycle c is done in cycle c + L - 1, so
that a token costs no time: what waits for it starts in cycle c + L.

:func:`check` accepts a program if it could run one instruction at a time, in its order. Such a
program never hangs, whatever the units' latencies and the depth of the queues: the oldest
instruction that is not done has its tokens, stands first in its queue, and has room for the tokens
it gives. Units of endless queues would finish some programs that it refuses; but words come in
order, so that a queue that is full of waiting instructions keeps those that they wait for out.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1; token semantics of the authors' public
artifact. The depths, and that words come one a cycle, are assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from hwsim.config import Config
from hwsim.errors import ProtocolError
from hwsim.laws.flightllm_isa import FORMATS, OPCODE_BITS, UNITS, WORD_BITS, Opcode, token_units
from hwsim.laws.pipeline import Ready

__all__ = [
    "FAULT_CYCLES",
    "FETCH_CYCLES",
    "MIN_CYCLES",
    "START_TOKEN",
    "Instruction",
    "SchedulerGeometry",
    "Timetable",
    "arrivals",
    "check",
    "instructions",
    "room_for",
    "there_for",
    "timetable",
]

Pair = tuple[Opcode, Opcode]
"""Who gives a token, and who takes it."""

START_TOKEN: Pair = (Opcode.SYS, Opcode.LD)
"""The token that stands ready before the first instruction: the host's."""

FETCH_CYCLES = 3
"""Cycles from an instruction's last word to its issue: assembled, queued, first in its queue."""

FAULT_CYCLES = 1
"""Cycles from a word with an unknown opcode to the fault that stays until reset."""

MIN_CYCLES = 2
"""The shortest time a unit is busy: it sees an instruction, and says in the next cycle: done."""


class SchedulerGeometry(Config):
    """How much the scheduler holds."""

    queue_depth: Annotated[int, Field(ge=2, le=1024)] = 64
    """Instructions that wait in a unit's queue, besides the one that is first."""
    token_counter_depth: Annotated[int, Field(ge=1, le=65536)] = 1023
    """Tokens from one unit to another that were given and not yet taken; the programs of the
    shipped models need 512 (the stores of a prefill's gate projection)."""


class Instruction(NamedTuple):
    """What the scheduler needs to know of an instruction."""

    unit: Opcode
    words: int
    wait: tuple[Opcode, ...]
    release: tuple[Opcode, ...]


_TOKENS = {(unit, mask): token_units(unit, mask) for unit in UNITS for mask in range(32)}
_LENGTHS = {int(unit): FORMATS[unit].words for unit in UNITS}


def instructions(words: Iterable[int]) -> list[Instruction]:
    """The instructions of a program of 32-bit words, the last of which may be cut short.

    Raises
    ------
    ProtocolError
        At the first unknown opcode.
    """
    found, left = [], 0
    for at, word in enumerate(words):
        if not left:
            opcode = word >> WORD_BITS - OPCODE_BITS
            if opcode not in _LENGTHS:
                raise ProtocolError(
                    f"opcode must be one of {', '.join(map(str, _LENGTHS))}, "
                    f"got {opcode} at word {at}"
                )
            unit, left = Opcode(opcode), _LENGTHS[opcode]
            masks = _TOKENS[unit, word >> 23 & 31], _TOKENS[unit, word >> 18 & 31]
            found.append(Instruction(unit, left, *masks))
        left -= 1
    return found


def there_for(takes: Any, tokens: Any) -> Any:
    """Whether ``tokens`` given before an instruction are enough for the ``takes`` that it takes.

    Of ints, or of values of hardware: :func:`check` and the proof of the RTL have one rule.
    """
    return takes <= tokens


def room_for(gives: Any, tokens: Any, token_counter_depth: int) -> Any:
    """Whether a counter that holds ``tokens`` has room for ``gives`` more; of ints, or hardware."""
    return tokens + gives <= token_counter_depth


def check(program: Iterable[Instruction], token_counter_depth: int) -> None:
    """Refuse a program that could not run one instruction at a time, in its order.

    Raises
    ------
    ProtocolError
        Naming the first instruction that waits for a token which none before it has given, or gives
        one for which there is no room.
    """
    tokens: Counter[Pair] = Counter([START_TOKEN])
    for i, (unit, _, wait, release) in enumerate(program):
        for other in wait:
            if not there_for(1, tokens[other, unit]):
                raise ProtocolError(
                    f"instruction {i} ({unit.name}): wait must name units whose token an earlier "
                    f"instruction has given, got {other.name}"
                )
            tokens[other, unit] -= 1
        for other in release:
            if not room_for(1, tokens[unit, other], token_counter_depth):
                raise ProtocolError(
                    f"instruction {i} ({unit.name}): release must leave at most "
                    f"{token_counter_depth} tokens for {other.name}, "
                    f"got {tokens[unit, other] + 1}"
                )
            tokens[unit, other] += 1


def arrivals(program: Iterable[Instruction]) -> list[int]:
    """The first cycle in which each instruction can be issued, if no queue is ever full.

    Law: words fetched up to its last, less one, + ``FETCH_CYCLES``: cycle 9 for a load that comes
    first.
    """
    fetched, found = 0, []
    for each in program:
        fetched += each.words
        found.append(fetched - 1 + FETCH_CYCLES)
    return found


@dataclass(frozen=True)
class Timetable:
    """Cycles of a run: of every word taken, and of each instruction in program order."""

    taken: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    issued: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)


class _Unit:
    """A unit's queue and what it runs."""

    def __init__(self, queue_depth: int) -> None:
        self._depth = queue_depth
        self._left: list[int] = []
        """When each instruction left the queue for the place from which it is issued."""
        self.issued = self.done = -1

    def room(self) -> int:
        """The first cycle in which one more can be queued."""
        count = len(self._left)
        return self._left[count - self._depth] + 1 if count >= self._depth else 0

    def first(self, queued: int) -> int:
        """The first cycle in which an instruction queued in ``queued`` is first in its queue."""
        self._left.append(max(queued + 1, self.issued))
        return self._left[-1] + FETCH_CYCLES - 2  # less the ones it was assembled and queued in


class _Tokens:
    """When each token of a pair was given and when it was taken."""

    def __init__(self, depth: int, at_start: bool) -> None:
        self._depth = depth
        self.given = [-1] if at_start else []
        self.taken: list[int] = []

    def there(self) -> int:
        """The first cycle in which the next token can be taken."""
        return self.given[len(self.taken)] + 1

    def room(self) -> int:
        """The first cycle in which one more can be given."""
        count = len(self.given)
        return self.taken[count - self._depth] + 1 if count >= self._depth else 0


def timetable(
    geometry: SchedulerGeometry,
    program: Sequence[Instruction],
    busy: Sequence[int],
    *,
    gaps: Sequence[int] = (),
    ready: Mapping[Opcode, Ready] = MappingProxyType({}),
) -> Timetable:
    """The cycles of everything that happens to ``program``.

    Instruction i keeps its unit busy for ``busy[i]`` cycles, ``MIN_CYCLES`` at least; SYS, for 1.
    Word j is offered ``gaps[j]`` cycles after the word before it was taken; a unit takes its
    instructions in the cycles in which it is ``ready``. Without them nobody ever stalls.

    Raises
    ------
    ProtocolError
        As :func:`check` does.
    """
    check(program, geometry.token_counter_depth)
    units = {unit: _Unit(geometry.queue_depth) for unit in UNITS}
    pairs = {
        (a, b): _Tokens(geometry.token_counter_depth, (a, b) == START_TOKEN)
        for a in UNITS
        for b in UNITS
        if a is not b
    }
    found = Timetable()
    for each, cycles in zip(program, busy, strict=True):
        unit = units[each.unit]
        _fetch(found, each.words, gaps)
        found.queued.append(max(found.taken[-1] + 1, unit.room()))
        waits = [pairs[other, each.unit] for other in each.wait]
        gives = [pairs[each.unit, other] for other in each.release]
        room = max((tokens.room() for tokens in gives), default=0)
        free = [unit.first(found.queued[-1]), unit.done + 1, *(t.there() for t in waits)]
        barrier = each.unit is Opcode.SYS
        unit.issued = _next(ready.get(each.unit), max(*free, room if barrier else 0))
        unit.done = unit.issued if barrier else max(unit.issued + max(cycles, MIN_CYCLES) - 1, room)
        for tokens in waits:
            tokens.taken.append(unit.issued)
        for tokens in gives:
            tokens.given.append(unit.done)
        found.issued.append(unit.issued)
        found.done.append(unit.done)
    return found


def _fetch(found: Timetable, words: int, gaps: Sequence[int]) -> None:
    """Take the words of the next instruction; the first once the one before is queued."""
    queued = found.queued[-1] if found.queued else 0
    for word in range(words):
        gap = gaps[len(found.taken)] if gaps else 0
        offered = (found.taken[-1] if found.taken else -1) + 1 + gap
        found.taken.append(offered if word else max(offered, queued))


def _next(ready: Callable[[int], bool] | None, cycle: int) -> int:
    """The first cycle from ``cycle`` on in which the consumer is ready."""
    while ready is not None and not ready(cycle):
        cycle += 1
    return cycle
