"""``t3.trigger_table``: every request of every block that triggers make ready, and its cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

from amaranth.lib import data

from hwsim.golden.t3_trigger import ready_order, requests
from hwsim.laws.t3_trigger import (
    LATENCY,
    STORE,
    UPDATE,
    Output,
    Program,
    Timetable,
    TriggerGeometry,
    block_of,
    timetable,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.t3_trigger_table import (
    TriggerTable,
    output_layout,
    program_layout,
    request_layout,
    trigger_layout,
)
from rtl.ports.t3_trigger_table import PORTS
from rtl.proofs.t3_trigger_table import PROOFS

__all__ = ["BLOCK"]

REQUESTS = 5300
"""Of each long case."""
FOREVER = 10**6


@dataclass
class _Traffic:
    """What is offered, each with the gap before it; programs and triggers by kernel too."""

    kernels: list[tuple[Output, int]] = field(default_factory=list)
    programs: list[tuple[Program, int]] = field(default_factory=list)
    triggers: list[tuple[tuple[int, int], int]] = field(default_factory=list)
    by_kernel: list[tuple[list[Program], list[tuple[int, int]]]] = field(default_factory=list)


def _cases(geometry: TriggerGeometry, rng: Random) -> Iterator[Case]:
    """The short ones first: a fault that they show needs no long run."""
    yield _at_once(geometry, rng)
    yield _close(geometry, rng)
    yield _one_entry(geometry, rng)
    yield from _faults(geometry, rng)
    yield _one_after_another(geometry, rng)
    yield from alternated(_cut(geometry, rng), _whole(geometry, rng))


def _cut(geometry: TriggerGeometry, rng: Random) -> Iterator[Case]:
    begins = geometry.start_cycles + 3 * geometry.entries
    for cut in (geometry.start_cycles + 9, begins + LATENCY, begins + 90, begins + 250):
        traffic = _long(geometry, rng, "output")
        yield _case(geometry, rng, f"reset after {cut}", traffic, "output", cut=cut)


def _whole(geometry: TriggerGeometry, rng: Random) -> Iterator[Case]:
    for stalls in STALLS:
        yield _case(geometry, rng, stalls, _long(geometry, rng, stalls), stalls)


def _case(
    geometry: TriggerGeometry,
    rng: Random,
    name: str,
    traffic: _Traffic,
    stalls: str,
    *,
    cut: int | None = None,
    fault: int | None = None,
) -> Case:
    """What is offered, played to its end, to ``cut``, or to ``fault`` where there is one."""
    pattern = ready_pattern(rng, stalls)
    offered = (traffic.kernels, traffic.programs, traffic.triggers)
    law = timetable(
        geometry, *offered, lambda c: pattern[c % len(pattern)], cycles=fault or FOREVER
    )
    cycles = cut or law.cycles
    golden = [
        row
        for (output, _), (programs, triggers) in zip(
            traffic.kernels, traffic.by_kernel, strict=True
        )
        for row in requests(
            geometry, output, ready_order(geometry, output, programs, triggers)
        ).tolist()
    ]
    words = {
        "kernels": [_output_bits(geometry, output) for output, _ in traffic.kernels],
        "programs": [_program_bits(geometry, program) for program, _ in traffic.programs],
        "triggers": [_bits(trigger_layout(geometry), *trigger) for trigger, _ in traffic.triggers],
        "requests": [_bits(request_layout(geometry), *row) for row in golden],
    }
    due = {
        "kernels": law.kernels,
        "programs": law.programs,
        "triggers": law.triggers,
        "requests": law.requests,
    }
    if law.fault is None and any(len(due[stream]) != len(words[stream]) for stream in due):
        raise ValueError(f"{name}: law and golden must agree on how many transfers there are")
    seen = {
        stream: [
            (c, word) for c, word in zip(due[stream], words[stream], strict=False) if c < cycles
        ]
        for stream in due
    }
    inputs = {
        stream: Offer(words[stream], [gap for _, gap in items])
        for stream, items in zip(due, offered, strict=False)
    }
    return Case(
        name=name,
        inputs=inputs,
        ready={"requests": pattern},
        expected=seen,
        cycles=cycles,
        outputs=len(seen["requests"]),
        levels={"fault": [] if law.fault is None else [(law.fault, 1)]},
        cut=cut is not None,
        owed=_owed(geometry, traffic, law, cycles),
        covers=_covered(geometry, traffic, law, golden),
    )


def _owed(geometry: TriggerGeometry, traffic: _Traffic, law: Timetable, cut: int) -> int:
    """Requests still to come of the first kernel's blocks whose triggers were taken by ``cut``."""
    output, (programs, triggers) = traffic.kernels[0][0], traffic.by_kernel[0]
    taken = triggers[: sum(cycle < cut for cycle in law.triggers)]
    blocks = ready_order(geometry, output, programs, taken)
    return sum(b.tiles for b in blocks) * output.columns - sum(c < cut for c in law.requests)


def _bits(layout: data.StructLayout, *values: int) -> int:
    fields = (found for _, found in layout)
    return sum(value << each.offset for value, each in zip(values, fields, strict=True))


def _output_bits(geometry: TriggerGeometry, output: Output) -> int:
    return _bits(output_layout(geometry), *output._replace(columns=output.columns - 1))


def _program_bits(geometry: TriggerGeometry, program: Program) -> int:
    return _bits(program_layout(geometry), *program._replace(tiles=program.tiles - 1))


# What is offered


def _output(
    geometry: TriggerGeometry, rng: Random, columns: int, block_bits: int | None = None
) -> Output:
    most = min(3, geometry.block_bits) if block_bits is None else block_bits
    return Output(
        columns=min(columns, geometry.columns),
        column_bytes=rng.randint(1, geometry.column_bytes),
        source_pitch=rng.getrandbits(geometry.pitch_bits),
        destination_pitch=rng.getrandbits(geometry.pitch_bits),
        block_bits=rng.randint(0, most) if block_bits is None else block_bits,
    )


def _blocks(
    geometry: TriggerGeometry,
    rng: Random,
    output: Output,
    count: int,
    *,
    step: int = 1,
    tiles: int | None = None,
) -> list[Program]:
    """Programs of blocks in turn, from a random one on."""
    numbers, end = 1 << geometry.tile_bits - output.block_bits, (1 << geometry.address_bits) - 1
    first, most = rng.randrange(numbers), 1 << output.block_bits
    return [
        Program(
            block=(first + i * step) % numbers,
            source=rng.choice((rng.getrandbits(geometry.address_bits), end)),
            destination=rng.getrandbits(geometry.address_bits),
            tiles=min(most, tiles or rng.choice((most, rng.randint(1, most)))),
            operation=rng.choice((STORE, UPDATE)),
        )
        for i in range(min(count, numbers // step))
    ]


def _tiles(
    geometry: TriggerGeometry,
    rng: Random,
    output: Output,
    programs: Sequence[Program],
    spread: float,
) -> list[tuple[int, int]]:
    """The triggers of all tiles, in order but for ``spread`` blocks."""
    keyed = []
    for i, program in enumerate(programs):
        for tile in rng.sample(range(1 << output.block_bits), program.tiles):
            number = (program.block << output.block_bits) + tile
            trigger = divmod(number, geometry.wavefronts)
            keyed.append((i + rng.uniform(0, spread), trigger))
    return [trigger for _, trigger in sorted(keyed)]


def _traffic(
    output: Output,
    programs: list[Program],
    program_gaps: Sequence[int],
    triggers: list[tuple[int, int]],
    trigger_gaps: Sequence[int],
) -> _Traffic:
    return _Traffic(
        kernels=[(output, 0)],
        programs=list(zip(programs, program_gaps, strict=True)),
        triggers=list(zip(triggers, trigger_gaps, strict=True)),
        by_kernel=[(programs, triggers)],
    )


def _long(geometry: TriggerGeometry, rng: Random, stalls: str) -> _Traffic:
    """Many blocks, whose entries are programmed as soon as they are free."""
    output = _output(geometry, rng, rng.choice((2, 3, 5)))
    each = output.columns << output.block_bits
    programs = _blocks(geometry, rng, output, 4 * REQUESTS // (3 * each))
    triggers = _tiles(geometry, rng, output, programs, geometry.entries / 4)
    pauses = [pause * (rng.random() < 0.3) for pause in gaps(rng, len(programs), stalls)]
    pauses[: geometry.entries] = [0] * len(pauses[: geometry.entries])
    slower = 1 if stalls in {"input", "both"} and output.block_bits == 0 else 0
    waits = [pause + slower for pause in gaps(rng, len(triggers), stalls)]
    waits[0] = geometry.start_cycles + 3 * geometry.entries
    return _traffic(output, programs, pauses, triggers, waits)


def _at_once(geometry: TriggerGeometry, rng: Random) -> Case:
    """Blocks of one tile of one column: a program, a trigger and a request in every cycle or two.

    Each trigger comes half the entries behind its program.
    """
    output = _output(geometry, rng, 1, 0)
    programs = _blocks(geometry, rng, output, 4 * geometry.entries)
    triggers = _tiles(geometry, rng, output, programs, 0)
    waits = [geometry.start_cycles + geometry.entries, *[0] * (len(triggers) - 1)]
    traffic = _traffic(output, programs, [0] * len(programs), triggers, waits)
    return _case(geometry, rng, "all at once", traffic, "none")


def _close(geometry: TriggerGeometry, rng: Random) -> Case:
    """Each block's trigger is looked up in the cycle after its program."""
    output = _output(geometry, rng, 2, 0)
    programs = _blocks(geometry, rng, output, 30)
    triggers = _tiles(geometry, rng, output, programs, 0)
    waits = [geometry.start_cycles + 1, *[9] * (len(programs) - 1)]
    traffic = _traffic(output, programs, [9] * len(programs), triggers, waits)
    return _case(geometry, rng, "close behind", traffic, "none")


def _one_entry(geometry: TriggerGeometry, rng: Random) -> Case:
    """Blocks that all have one entry; each is programmed when the one before is ready."""
    output = _output(geometry, rng, 2, 1)
    programs = _blocks(geometry, rng, output, 40, step=geometry.entries, tiles=2)
    triggers = _tiles(geometry, rng, output, programs, 0)
    waits = [geometry.start_cycles + 9 if i == 0 else 9 * (1 - i % 2) for i in range(len(triggers))]
    traffic = _traffic(output, programs, [0] * len(programs), triggers, waits)
    return _case(geometry, rng, "one entry", traffic, "none")


def _one_after_another(geometry: TriggerGeometry, rng: Random) -> Case:
    """Kernels of every block size, each as soon as the one before has ended."""
    traffic = _Traffic()
    for block_bits in (geometry.block_bits, *range(geometry.block_bits + 1)):
        columns = 1 if traffic.kernels else geometry.columns
        output = _output(geometry, rng, columns, block_bits)
        many = 2 if block_bits == geometry.block_bits else 12
        tiles = 1 if not traffic.kernels else None
        programs = _blocks(geometry, rng, output, min(many, geometry.entries), tiles=tiles)
        _behind(geometry, rng, traffic, output, programs)
    return _case(geometry, rng, "kernels in turn", traffic, "none")


def _behind(
    geometry: TriggerGeometry,
    rng: Random,
    traffic: _Traffic,
    output: Output,
    programs: list[Program],
) -> None:
    """Append a kernel, offered around the last request of those before, and what is of it."""
    taken, gap, law = 0, 0, Timetable()
    if traffic.kernels:
        offered = (traffic.kernels, traffic.programs, traffic.triggers)
        law = timetable(geometry, *offered, lambda _cycle: True, cycles=FOREVER)
        last, late = law.requests[-1], (0, 1, 5)[len(traffic.kernels) % 3]
        taken, gap = last + max(1, late), last + late - law.kernels[-1] - 1
    traffic.kernels.append((output, gap))
    late = (geometry.entries + 5, 0, 1)[len(traffic.kernels) % 3]
    pause = taken + late - (law.programs[-1] if law.programs else -1) - 1
    traffic.programs += [(p, 0 if i else pause) for i, p in enumerate(programs)]
    triggers = _tiles(geometry, rng, output, programs, 2)
    late = geometry.start_cycles + late + 2 * len(programs) + 5
    pause = taken + late - (law.triggers[-1] if law.triggers else -1) - 1
    traffic.triggers += [(t, 0 if i else pause) for i, t in enumerate(triggers)]
    traffic.by_kernel.append((programs, triggers))


def _faults(geometry: TriggerGeometry, rng: Random) -> Iterator[Case]:
    """Triggers of what is not programmed, behind one that is, and what follows them."""
    output = _output(geometry, rng, 3, 0)
    programs = _blocks(geometry, rng, output, 3, step=geometry.entries + 1)
    numbers = 1 << geometry.tile_bits
    for name, number in {
        "unknown block": programs[0].block + 2,
        "another block of the entry": programs[1].block + geometry.entries,
        "a block that has been ready": programs[0].block,
    }.items():
        wrong = divmod(number % numbers, geometry.wavefronts)
        right = [divmod(program.block, geometry.wavefronts) for program in programs]
        triggers = [right[0], wrong, *right[1:]]
        waits = [geometry.start_cycles + 20, 4, 0, 0]
        traffic = _traffic(output, programs, [0] * len(programs), triggers[:1], waits[:1])
        traffic.triggers = list(zip(triggers, waits, strict=False))
        end = geometry.start_cycles + 60
        found = _case(geometry, rng, name, traffic, "none", fault=end)
        yield replace(found, covers=found.covers | {name})


# What was covered


def _bins(geometry: TriggerGeometry) -> frozenset[str]:
    held = ("a free entry", "a place", "a program", "a trigger")
    return frozenset(
        {f"held for {what}" for what in held}
        | {f"blocks of {1 << bits}" for bits in range(geometry.block_bits + 1)}
        | {"block not full", "store", "update", "one column", "most columns", "addresses wrap"}
        | {"a kernel after another", "a program taken with its kernel", "requests back to back"}
        | {"a trigger in the cycle after its program", "a block's triggers in consecutive cycles"}
        | {"a program in the cycle after its entry was ready", "blocks back to back"}
        | {"unknown block", "another block of the entry", "a block that has been ready"}
    )


def _covered(
    geometry: TriggerGeometry,
    traffic: _Traffic,
    law: Timetable,
    golden: Sequence[Sequence[int]],
) -> frozenset[str]:
    """What happened, by the law's cycles."""
    found = {f"held for {what}" for what, cycles in law.held.items() if cycles}
    found |= {"a kernel after another"} if len(law.kernels) > 1 else set()
    if set(law.kernels[1:]) & set(law.programs):
        found.add("a program taken with its kernel")
    for program, _ in traffic.programs:
        found.add("update" if program.operation == UPDATE else "store")
    for (output, _), (programs, _) in zip(traffic.kernels, traffic.by_kernel, strict=True):
        found.add(f"blocks of {1 << output.block_bits}")
        found |= {"one column"} if output.columns == 1 else set()
        found |= {"most columns"} if output.columns == geometry.columns else set()
        if any(program.tiles < 1 << output.block_bits for program in programs):
            found.add("block not full")
    for (one, other), (before, after) in zip(
        pairwise(golden), pairwise(law.requests), strict=False
    ):
        if after == before + 1:
            found.add("blocks back to back" if one[-1] else "requests back to back")
        if other[0] < one[0] and not one[-1]:
            found.add("addresses wrap")
    if len(law.kernels) == 1:
        found |= _next_cycle(geometry, traffic, law)
    return frozenset(found)


def _next_cycle(geometry: TriggerGeometry, traffic: _Traffic, law: Timetable) -> set[str]:
    """What met what had been written in the cycle before."""
    found: set[str] = set()
    output = traffic.kernels[0][0]
    steps = []
    for cycle, is_trigger, number in law.went:
        if is_trigger:
            steps.append((cycle, True, block_of(geometry, output, *traffic.triggers[number][0])))
        else:
            steps.append((cycle, False, traffic.programs[number][0].block))
    for (before, one, block), (after, other, its) in pairwise(steps):
        if after > before + 1 or (block - its) % geometry.entries:
            continue
        if not one and other:
            found.add("a trigger in the cycle after its program")
        elif one and other:
            found.add("a block's triggers in consecutive cycles")
        elif one:
            found.add("a program in the cycle after its entry was ready")
    return found


def _timing(geometry: TriggerGeometry) -> list[Mode]:
    return [
        Mode("last trigger to first request, and column to column", LATENCY, "1"),
        Mode("kernel to its first program", geometry.start_cycles, f"{geometry.start_cycles}"),
    ]


_SOURCE = "rtl.blocks.t3_trigger_table"

BLOCK = Block(
    name="t3.trigger_table",
    title="trigger and DMA table",
    parameters=TriggerGeometry,
    component=TriggerTable,
    modes=_timing,
    codes=lambda _geometry: {"programs.operation": {"store": STORE, "update": UPDATE}},
    cases=_cases,
    bins=_bins,
    exempt=lambda _geometry: {"kernels: back to back": "entries are cleared after each"},
    diagram=(
        ("triggers", "programs"),
        ("one of them\na cycle",),
        ("tiles awaited and\naddresses of\neach entry",),
        ("queue of blocks\nthat are ready",),
        ("source, destination:\na pitch a column",),
        ("requests",),
    ),
    sweep=(
        {},
        {"entries": "16", "block_tiles": "4", "queued": "2", "address_bits": "20"},
        {"entries": "32", "wavefronts": "2", "workgroup_bits": "12", "columns": "5", "queued": "5"},
    ),
    ports=PORTS,
    mutants=(
        Mutant(
            "a trigger does not see what was written in the cycle before",
            _SOURCE,
            "by_trigger = self.states.read_port(transparent_for=(state,))",
            "by_trigger = self.states.read_port()",
        ),
        Mutant(
            "a program does not see what was written in the cycle before",
            _SOURCE,
            "by_program = self.states.read_port(transparent_for=(state,))",
            "by_program = self.states.read_port()",
        ),
        Mutant(
            "addresses of the block before",
            _SOURCE,
            "ready = self.blocks.read_port(transparent_for=(block,))",
            "ready = self.blocks.read_port()",
        ),
        Mutant(
            "ready a tile early",
            _SOURCE,
            "(self.trigger_state.left == 1) & known",
            "(self.trigger_state.left <= 2) & known",
        ),
        Mutant(
            "one tile more awaited", _SOURCE, "program.tiles + 1, self", "program.tiles + 2, self"
        ),
        Mutant(
            "another block of the entry counts",
            _SOURCE,
            "((self.trigger_state.left == 0) | ~known)",
            "(self.trigger_state.left == 0)",
        ),
        Mutant(
            "a trigger of a free entry is no fault",
            _SOURCE,
            "((self.trigger_state.left == 0) | ~known)",
            "~known",
        ),
        Mutant(
            "an entry programmed over a block that is not ready",
            _SOURCE,
            "self.programming & (self.program_state.left == 0)",
            "self.programming",
        ),
        Mutant(
            "a program starves behind triggers",
            _SOURCE,
            "trigger_can & ~(self.passed & program_can)",
            "trigger_can",
        ),
        Mutant(
            "programs first",
            _SOURCE,
            "trigger_can & ~(self.passed & program_can)",
            "trigger_can & ~program_can",
        ),
        Mutant(
            "ready without a place", _SOURCE, "self.triggered & self.queue.room", "self.triggered"
        ),
        Mutant(
            "trigger taken over the one that is held",
            _SOURCE,
            "self.runs & (~valid | goes)",
            "self.runs",
        ),
        Mutant("a pause after each", _SOURCE, "self.runs & (~valid | goes)", "self.runs & ~valid"),
        Mutant("nothing is cleared", _SOURCE, "Mux(self.clearing, 0, left)", "left"),
        Mutant(
            "one entry too few is cleared",
            _SOURCE,
            "self.clear == self.geometry.entries - 1",
            "self.clear == self.geometry.entries - 2",
        ),
        Mutant("a kernel taken while requests are on offer", _SOURCE, "| self.requests.valid", ""),
        Mutant(
            "block size of a kernel ignored",
            _SOURCE,
            "Cat(trigger.wavefront, trigger.workgroup) >> self.kernel.block_bits",
            "Cat(trigger.wavefront, trigger.workgroup)",
        ),
        Mutant(
            "held trigger looked up elsewhere",
            _SOURCE,
            "Mux(takes_trigger, self._block(self.triggers.payload), self.trigger_block)",
            "self._block(self.triggers.payload)",
        ),
        Mutant(
            "a bubble between blocks",
            _SOURCE,
            "(~self.requests.valid | (taken & request.last))",
            "~self.requests.valid",
        ),
        Mutant(
            "request stall ignored",
            _SOURCE,
            "taken = self.requests.valid & self.requests.ready",
            "taken = self.requests.valid",
        ),
        Mutant(
            "destination by the source's pitch",
            _SOURCE,
            "destination + kernel.destination_pitch",
            "destination + kernel.source_pitch",
        ),
        Mutant(
            "one column a tile too few",
            _SOURCE,
            "Mux(tile_ends, kernel.columns, self.columns - 1)",
            "Mux(tile_ends, kernel.columns - 1, self.columns - 1)",
        ),
        Mutant(
            "last of every tile marked",
            _SOURCE,
            "request.last.eq(tile_ends & (self.tiles == 0))",
            "request.last.eq(tile_ends)",
        ),
    ),
    proofs=PROOFS,
)
