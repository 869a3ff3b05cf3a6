"""``flightllm.vpu``: whole instructions on tiles that are loaded while others are computed.

The bench does the instruction scheduler's part. Rows go round each buffer, tile after tile: a
tile's rows are written once the tile before the last is read no more, and its instructions are
offered once they are all there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.golden.flightllm_vpu import Operands, results, split_sums
from hwsim.laws.flightllm_vpu import (
    SUM_BITS,
    Clock,
    Instruction,
    VPUGeometry,
    block_beats,
    block_rows,
    dense_code,
    fill,
    issue_cycles,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.flightllm_vpu import VPU, instruction_layout, row_layouts
from rtl.ports.flightllm_vpu import PORTS
from rtl.primitives.dsp48e2 import MODEL
from rtl.proofs.flightllm_vpu import CONTROL

__all__ = ["BLOCK"]

Ints = NDArray[np.int64]
OUTPUTS = 4000
"""Values of a case at the ends of passes; the splits between them give half as many again."""
SPARSE, TINY, PLAIN = 0.7, 0.3, 0.7
"""Shares of tiles: sparse; of those, one block of the least density; of operands, not extreme."""
EXTREMES = (-128, -127, -1, 0, 1, 127)
DEEP_BITS = 26
LONG = 128
"""Blocks of K that an instruction of the published models works through, kept or not."""
LONG_BIN = f"K of {LONG} blocks"
CUTS = (20, 90, 151, 260)
KINDS = ("empty", "dense", "sparse")
HELD = "the drain holds all stages"


@dataclass
class _Tile:
    """Operands that are in the buffers together; ``activations`` of several passes."""

    sparse: bool
    codes: Ints
    positions: Ints
    weights: Ints
    indices: Ints
    activations: Ints
    whole: bool = False
    """Whether an instruction is on all its blocks, never on a split."""
    base: Mapping[str, int] = field(default_factory=dict)

    def rows(self, geometry: VPUGeometry) -> dict[str, list[tuple[Ints, int]]]:
        """For each buffer the fields of what is written, with the bits of an element."""
        entry = row_layouts(geometry)["table"][0]
        listed = len(self.codes) if self.sparse else 0
        return {
            "table": [
                (self.positions[:listed], entry["k"].width),
                (self.codes[:listed], entry["density"].width),
            ],
            "weights": [(self.weights, 8)],
            "indices": [(self.indices[self._indexed(geometry)], geometry.index_bits)],
            "activations": [(self.activations.reshape(-1, 2, geometry.chain_length), 8)],
        }

    def _indexed(self, geometry: VPUGeometry) -> NDArray[np.bool_]:
        """The beats that take a row of indices."""
        dense = np.array([density.dense for density in geometry.densities])
        return np.repeat(~dense[self.codes], self._beats(geometry))

    def _beats(self, geometry: VPUGeometry) -> Ints:
        return np.array(block_rows(geometry), np.int64)[self.codes]

    def operands(self, geometry: VPUGeometry, pass_: int, first: int, last: int) -> Operands:
        """What an instruction on blocks ``first`` to ``last`` reads."""
        ends = np.concatenate(([0], np.cumsum(self._beats(geometry))))
        beats = slice(int(ends[first]), int(ends[last]))
        return Operands(
            self.codes[first:last].tolist(),
            self.activations[pass_, self.positions[first:last]],
            self.weights[beats],
            self.indices[beats],
        )

    def instruction(
        self, geometry: VPUGeometry, pass_: int, first: int, last: int, output: bool
    ) -> Instruction:
        """The instruction on those blocks."""
        before = int(self._beats(geometry)[:first].sum())
        depth = self.activations.shape[1]
        return Instruction(
            output=output,
            sparse=self.sparse,
            blocks=last - first,
            table=self.base["table"] + first,
            weights=self.base["weights"] + before,
            indices=self.base["indices"] + int(self._indexed(geometry)[:before].sum()),
            activations=self.base["activations"] + pass_ * depth + (0 if self.sparse else first),
        )


@dataclass
class _Work:
    """An instruction, the tile that it works on, and what it reads."""

    tile: int
    instruction: Instruction
    operands: Operands


@dataclass
class _Program:
    """Tiles, the rows to write for each and the instructions on them, both in order."""

    writes: Mapping[str, list[tuple[int, int, int]]]
    """For each buffer: tile, address, row."""
    work: list[_Work]
    tiles: int


@dataclass
class _Seen:
    """What the law says happens: cycles of transfers, and what was covered on the way."""

    offered: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    written: dict[str, list[int]] = field(default_factory=dict)
    drained: list[int] = field(default_factory=list)
    """Cycles in which a column goes into the output FIFO."""
    covers: set[str] = field(default_factory=set)

    def draining(self, columns: int) -> int:
        """A cycle in which a result has left in part, and two columns or more are to be drained."""
        return next(
            cycle
            for number, cycle in enumerate(self.drained)
            if cycle > self.left[0] and number % columns < columns - 1
        )


def _cases(geometry: VPUGeometry, rng: Random) -> Iterator[Case]:
    yield from alternated(_cut(geometry, rng), _whole(geometry, rng))


def _cut(geometry: VPUGeometry, rng: Random) -> Iterator[Case]:
    cuts: dict[str, Callable[[_Seen], int]] = {
        f"reset after {at}": lambda _, at=at: at for at in CUTS
    }
    cuts["reset while draining"] = lambda seen: seen.draining(geometry.columns)
    for name, cut in cuts.items():
        yield _case(geometry, rng, name, "both", _tiles(geometry, rng, 400), cut)


def _whole(geometry: VPUGeometry, rng: Random) -> Iterator[Case]:
    for stalls in STALLS:
        yield _case(geometry, rng, stalls, stalls, _tiles(geometry, rng, OUTPUTS))
    yield _case(geometry, rng, "deep sums", "none", [_deep(geometry)])
    if _holds_long(geometry):
        yield _case(
            geometry, rng, "long K", "both", [_long(geometry, rng), _tile(geometry, _draw(rng))]
        )


def _case(
    geometry: VPUGeometry,
    rng: Random,
    name: str,
    stalls: str,
    tiles: list[_Tile],
    cut: Callable[[_Seen], int] | None = None,
) -> Case:
    program = _program(geometry, rng, tiles)
    ready = ready_pattern(rng, stalls)
    seen = _Core(geometry, rng, program, stalls).run(ready)
    sums = [split_sums(geometry, work.operands) for work in program.work]
    output = [work.instruction.output for work in program.work]
    values = np.array(results(zip(sums, output, strict=True))).reshape(-1, 2)
    cycles = seen.left[-1] + 1 if cut is None else cut(seen)
    left = bisect_left(seen.left, cycles)
    sent = _words(geometry, [work.instruction for work in program.work])
    expected = {
        "instructions": zip(seen.taken, sent, strict=True),
        "results": zip(seen.left, pack([(values, SUM_BITS)]), strict=True),
    }
    inputs = {"instructions": Offer(sent, _since(seen.offered, seen.taken))}
    for buffer, writes in program.writes.items():
        bits = (row_layouts(geometry)[buffer][1] - 1).bit_length()
        words = [address | row << bits for _, address, row in writes]
        inputs[buffer] = Offer(words, _since(seen.written[buffer], seen.written[buffer]))
        expected[buffer] = zip(seen.written[buffer], words, strict=True)
    return Case(
        name=name,
        inputs=inputs,
        ready={"results": ready},
        expected={s: [(c, w) for c, w in of if c < cycles] for s, of in expected.items()},
        cycles=cycles,
        cut=cut is not None,
        owed=geometry.columns * sum(output[: bisect_left(seen.taken, cycles)]) - left,
        outputs=2 * left,
        covers=_covered(geometry, program, values) | seen.covers,
    )


def _since(offered: Sequence[int], taken: Sequence[int]) -> list[int]:
    """Gaps by which items are offered in those cycles."""
    return [o - t - 1 for o, t in zip(offered, [-1, *taken], strict=False)]


def _words(geometry: VPUGeometry, instructions: list[Instruction]) -> list[int]:
    layout = instruction_layout(geometry)
    return [layout.const(_wrapped(layout, i)).as_bits() for i in instructions]


def _wrapped(layout: Any, instruction: Instruction) -> dict[str, int]:
    """Its fields, with addresses that have gone round the buffer."""
    fields = instruction._asdict()
    for name in ("table", "weights", "indices", "activations"):
        fields[name] %= 1 << layout[name].width
    return {name: int(value) for name, value in fields.items()}


# --- programs ---


def _draw(rng: Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(64))


def _tiles(geometry: VPUGeometry, rng: Random, outputs: int) -> list[_Tile]:
    """Tiles of as many passes as give about that many values."""
    draw = _draw(rng)
    tiles, values = [], 0
    while values < outputs:
        tiles.append(_tile(geometry, draw))
        values += 2 * geometry.columns * len(tiles[-1].activations)
    return tiles


def _tile(geometry: VPUGeometry, draw: np.random.Generator) -> _Tile:
    """A tile of a few blocks and up to three passes, often of one cycle a pass."""
    length, dense = geometry.chain_length, dense_code(geometry)
    half = geometry.activation_blocks // 2
    most = min(
        6,
        half,
        geometry.table_entries // 2,
        geometry.weight_rows // 2 // geometry.columns,
        geometry.index_rows // 2 // max(block_rows(geometry)),
    )
    blocks, sparse = int(draw.integers(1, most + 1)), bool(draw.random() < SPARSE)
    codes = draw.integers(len(geometry.densities), size=blocks)
    if not sparse:
        codes = np.full(min(blocks, 3), dense)
    elif draw.random() < TINY:
        codes = np.full(1, int(np.argmin(block_rows(geometry))))
    depth = min(len(codes) + 2, half)
    passes = int(draw.integers(1, min(3, half // depth) + 1))
    beats = int(np.array(block_rows(geometry))[codes].sum())
    weights, activations = (
        draw.integers(-128, 128, size=size)
        if draw.random() < PLAIN
        else draw.choice(EXTREMES, size=size)
        for size in ((beats, length), (passes, depth, 2, length))
    )
    return _Tile(
        sparse,
        codes,
        draw.integers(depth, size=len(codes)) if sparse else np.arange(len(codes)),
        weights,
        draw.integers(1 << geometry.index_bits, size=(beats, length)),
        activations,
    )


def _deep(geometry: VPUGeometry) -> _Tile:
    """Dense blocks of the greatest products, for sums of many splits."""
    code, length = dense_code(geometry), geometry.chain_length
    beats = block_rows(geometry)[code]
    blocks = min(64, geometry.weight_rows // beats, geometry.activation_blocks)
    blocks = min(blocks, geometry.table_entries)
    return _Tile(
        False,
        np.full(blocks, code),
        np.arange(blocks),
        np.full((blocks * beats, length), -128),
        np.zeros((blocks * beats, length), np.int64),
        np.full((1, blocks, 2, length), -128),
    )


def _holds_long(geometry: VPUGeometry) -> bool:
    """Whether a sparse tile of ``LONG`` blocks finds room, and as much again."""
    rows = LONG * max(block_rows(geometry))
    blocks = min(geometry.table_entries, geometry.activation_blocks)
    return blocks >= 2 * LONG and min(geometry.weight_rows, geometry.index_rows) >= 2 * rows


def _long(geometry: VPUGeometry, rng: Random) -> _Tile:
    """A sparse tile of one pass over ``LONG`` kept blocks of all densities."""
    draw, length = _draw(rng), geometry.chain_length
    codes = draw.integers(len(geometry.densities), size=LONG)
    beats = int(np.array(block_rows(geometry))[codes].sum())
    return _Tile(
        True,
        codes,
        draw.integers(LONG, size=LONG),
        draw.integers(-128, 128, size=(beats, length)),
        draw.integers(1 << geometry.index_bits, size=(beats, length)),
        draw.integers(-128, 128, size=(1, LONG, 2, length)),
        whole=True,
    )


def _program(geometry: VPUGeometry, rng: Random, tiles: list[_Tile]) -> _Program:
    layouts = row_layouts(geometry)
    next_row = {name: rows - rng.randrange(1, 9) for name, (_, rows) in layouts.items()}
    writes: dict[str, list[tuple[int, int, int]]] = {name: [] for name in layouts}
    work: list[_Work] = []
    for number, tile in enumerate(tiles):
        tile.base = dict(next_row)
        for name, fields in tile.rows(geometry).items():
            for row in pack(fields) if len(fields[0][0]) else ():
                writes[name].append((number, next_row[name] % layouts[name][1], row))
                next_row[name] += 1
        if len(tiles) == 1:
            work += _deep_work(geometry, tile)
        else:
            work += _passes(geometry, rng, number, tile, number == len(tiles) - 1)
    return _Program(writes, work, len(tiles))


def _passes(
    geometry: VPUGeometry, rng: Random, number: int, tile: _Tile, closes: bool
) -> Iterator[_Work]:
    """Each pass in one to three splits, some of them empty, or whole; most results at its end.

    The one that ``closes`` the program leaves no sums behind.
    """
    blocks = len(tile.codes)
    for pass_ in range(len(tile.activations)):
        splits = 0 if tile.whole else rng.choice((0, 0, 1, 2))
        cuts = sorted(rng.randrange(blocks + 1) for _ in range(splits))
        for first, last in pairwise((0, *cuts, blocks)):
            output = rng.random() < (0.9 if last == blocks else 0.3)
            instruction = tile.instruction(geometry, pass_, first, last, output)
            yield _Work(number, instruction, tile.operands(geometry, pass_, first, last))
    if rng.random() < 0.4 or closes:
        nothing = tile.instruction(geometry, 0, 0, 0, True)
        yield _Work(number, nothing, tile.operands(geometry, 0, 0, 0))


def _deep_work(geometry: VPUGeometry, tile: _Tile) -> Iterator[_Work]:
    """As many splits as take the sums beyond ``DEEP_BITS``."""
    blocks = len(tile.codes)
    splits = 2**DEEP_BITS // (2**14 * geometry.chain_length * blocks) + 1
    for split in range(splits):
        instruction = tile.instruction(geometry, 0, 0, blocks, split == splits - 1)
        yield _Work(0, instruction, tile.operands(geometry, 0, 0, blocks))


# --- cycles ---


class _Writer:
    """Writes a buffer's rows in order, tile by tile as the tiles before are freed."""

    def __init__(self, writes: list[tuple[int, int, int]], pauses: Sequence[int]) -> None:
        self._tiles = [tile for tile, _, _ in writes]
        self._pauses, self._at = pauses, pauses[0] if pauses else 0
        self.cycles: list[int] = []

    def step(self, cycle: int, freed: int) -> bool:
        """Whether a row is written; ``freed`` tiles are no longer read."""
        done = len(self.cycles)
        writes = done < len(self._tiles) and cycle >= self._at and self._tiles[done] < freed + 2
        if writes:
            self.cycles.append(cycle)
            self._at = cycle + 1 + (self._pauses[done + 1] if done + 1 < len(self._pauses) else 0)
        return writes

    def holds(self, tile: int) -> bool:
        """Whether all rows of ``tile`` are written."""
        done = len(self.cycles)
        return done == len(self._tiles) or self._tiles[done] > tile


class _Core:
    """The VPU by its law, in a core that loads its tiles and offers its instructions."""

    def __init__(self, geometry: VPUGeometry, rng: Random, program: _Program, stalls: str) -> None:
        self._work = [
            (item.tile, issue_cycles(geometry, item.operands.codes), item.instruction.output)
            for item in program.work
        ]
        self._last_of = {tile: i for i, (tile, _, _) in enumerate(self._work)}
        self._pauses = gaps(rng, len(self._work), stalls)
        self._due = geometry.columns * sum(output for _, _, output in self._work)
        self._clock = Clock(geometry)
        self._writers = {
            name: _Writer(writes, gaps(rng, len(writes), stalls))
            for name, writes in program.writes.items()
        }
        self._at, self._ending, self._freed = self._pauses[0], -1, 0
        self.seen = _Seen(written={name: w.cycles for name, w in self._writers.items()})

    def run(self, ready: Sequence[bool]) -> _Seen:
        """All of the program."""
        cycle = 0
        while len(self.seen.left) < self._due:
            self._step(cycle, ready[cycle % len(ready)])
            cycle += 1
        return self.seen

    def _step(self, cycle: int, ready: bool) -> None:
        seen, clock = self.seen, self._clock
        self._offer(cycle)
        written = [name for name, w in self._writers.items() if w.step(cycle, self._freed)]
        seen.covers |= {f"{name} written while issuing" for name in written if clock.issuing}
        if not clock.moves:
            seen.covers.add(HELD)
        self._free()
        taken = None
        if clock.takes and len(seen.offered) > len(seen.taken):
            _, *taken = self._work[len(seen.taken)]
            seen.covers |= {"taken in the last cycle of issue"} if clock.issuing else set()
            seen.taken.append(cycle)
            if len(seen.taken) < len(self._work):
                self._at = cycle + 1 + self._pauses[len(seen.taken)]
        seen.drained += [cycle] * clock.drains
        emits = clock.emits and ready
        if emits:
            seen.left.append(cycle)
        clock.step(taken, emits)

    def _offer(self, cycle: int) -> None:
        """Offer the next instruction once its rows have been written in cycles before."""
        number = len(self.seen.taken)
        if number == len(self._work) or len(self.seen.offered) > number or cycle < self._at:
            return
        if all(writer.holds(self._work[number][0]) for writer in self._writers.values()):
            self.seen.offered.append(cycle)

    def _free(self) -> None:
        """The rows of a last beat are read in the move after the one that issues it."""
        if not self._clock.moves:
            return
        while self._freed in self._last_of and self._ending >= self._last_of[self._freed]:
            self._freed += 1
        if self._clock.issuing == 1:
            self._ending = len(self.seen.taken) - 1


# --- coverage ---


def _bins(geometry: VPUGeometry) -> frozenset[str]:
    modes = range(len(geometry.densities))
    buffers = row_layouts(geometry)
    return frozenset(
        {f"density {new} after {old}" for new in modes for old in modes}
        | {f"{new} instruction after {old}" for new in KINDS for old in KINDS}
        | {f"{name} written while issuing" for name in buffers}
        | {f"{name} goes round" for name in buffers}
        | {f"{kept} splits kept" for kept in (0, 1, 2)}
        | {"taken in the last cycle of issue", "one cycle of issue", HELD}
        | {f"sum beyond 2^{DEEP_BITS}"}
        | ({LONG_BIN} if _holds_long(geometry) else set())
    )


def _covered(geometry: VPUGeometry, program: _Program, values: Ints) -> frozenset[str]:
    codes = [code for item in program.work for code in item.operands.codes]
    kinds = [_kind(item) for item in program.work]
    lengths = [len(item.operands.codes) for item in program.work]
    kept, splits = 0, set[int]()
    for item in program.work:
        splits |= {min(kept, 2)} if item.instruction.output else set()
        kept = 0 if item.instruction.output else kept + 1
    rounds = {name for name, writes in program.writes.items() if any(a == 0 for _, a, _ in writes)}
    beats = {issue_cycles(geometry, item.operands.codes) for item in program.work}
    return frozenset(
        {f"density {new} after {old}" for old, new in pairwise(codes)}
        | {f"{new} instruction after {old}" for old, new in pairwise(kinds)}
        | {f"{name} goes round" for name in rounds}
        | {f"{kept} splits kept" for kept in splits}
        | ({"one cycle of issue"} if 1 in beats else set())
        | ({f"sum beyond 2^{DEEP_BITS}"} if values.max() > 1 << DEEP_BITS else set())
        | ({LONG_BIN} if ("sparse", LONG) in zip(kinds, lengths, strict=True) else set())
    )


def _kind(item: _Work) -> str:
    if not item.operands.codes:
        return "empty"
    return "sparse" if item.instruction.sparse else "dense"


def _exempt(geometry: VPUGeometry) -> dict[str, str]:
    return {f"{name}: stalled": "a row is always taken" for name in row_layouts(geometry)}


def _timing(geometry: VPUGeometry) -> list[Mode]:
    """Latency: from a result's last cycle of issue to its first column."""
    return [
        Mode(f"{d.n}:{d.m}", fill(geometry), f"{beats} a block of K")
        for d, beats in zip(geometry.densities, block_beats(geometry), strict=True)
    ]


def _codes(geometry: VPUGeometry) -> dict[str, dict[str, int]]:
    densities = {f"{d.n}:{d.m}": code for code, d in enumerate(geometry.densities)}
    return {"table.row.density": densities}


_SOURCE = "rtl.blocks.flightllm_vpu"

SMALL = {
    "chain_length": "8",
    "densities": "[{n=2, m=8}, {n=4, m=8}, {n=8, m=8}, {n=2, m=4}]",
    "columns": "4",
    "weight_rows": "64",
    "index_rows": "64",
    "activation_blocks": "64",
    "table_entries": "16",
    "output_columns": "3",
}
ROOMY = SMALL | {
    "weight_rows": "1024",
    "index_rows": "1024",
    "activation_blocks": "256",
    "table_entries": "256",
}
"""As small a VPU as has room for a long K."""


def _mutant(name: str, old: str, new: str) -> Mutant:
    """A fault, tried on a small VPU, which has every part that the large ones have."""
    return Mutant(name, _SOURCE, old, new, settings=SMALL)


BLOCK = Block(
    name="flightllm.vpu",
    title="vector processing unit",
    parameters=VPUGeometry,
    component=VPU,
    modes=_timing,
    ports=PORTS,
    codes=_codes,
    cases=_cases,
    bins=_bins,
    exempt=_exempt,
    diagram=(
        ("instructions",),
        ("sequencer,\nblock table",),
        ("weight\nbuffer", "index\nbuffer", "activation\nbuffer"),
        ("sparse\nDSP chain",),
        ("column\naccumulators",),
        ("drain,\noutput FIFO",),
        ("results: a\ncolumn a cycle",),
    ),
    sweep=(
        {},
        SMALL,
        {
            "chain_length": "32",
            "densities": "[{n=2, m=16}, {n=8, m=16}, {n=16, m=16}, {n=2, m=4}]",
            "weight_rows": "512",
            "index_rows": "256",
            "activation_blocks": "128",
            "table_entries": "64",
            "output_columns": "40",
        },
    ),
    mutants=(
        _mutant(
            "one cycle late",
            "chain_depth(geometry) + 2",
            "chain_depth(geometry) + 3",
        ),
        _mutant("stall ignored", "moves.eq(~sums.complete | drain.takes)", "moves.eq(1)"),
        _mutant(
            "a bubble between instructions",
            "takes.eq(~running | empty | (block_ends & (now.blocks == 1)))",
            "takes.eq(~running | empty)",
        ),
        _mutant(
            "drain not refilled at its last column",
            "self.takes.eq((left == 0) | ((left == 1) & fifo.w_rdy))",
            "self.takes.eq(left == 0)",
        ),
        _mutant(
            "columns outlive a reset",
            "self.left = Signal(range(geometry.columns + 1))",
            "self.left = Signal(range(geometry.columns + 1), reset_less=True)",
        ),
        _mutant(
            "output FIFO a column short",
            "depth=geometry.output_columns)",
            "depth=geometry.output_columns - 1)",
        ),
        _mutant("sums never begun anew", "running & begins", "0"),
        _mutant("an empty instruction adds", "running & ~empty", "running"),
        _mutant(
            "table read for dense blocks",
            "Mux(now.sparse, self.entry.k, position)",
            "self.entry.k",
        ),
        _mutant(
            "indices taken by dense beats",
            "if not self.geometry.densities[code].dense:",
            "if True:",
        ),
        Mutant(
            "blocks counted to 64",
            _SOURCE,
            "now.blocks.eq(now.blocks - 1)",
            "now.blocks.eq((now.blocks - 1)[:6])",
            settings=ROOMY,
        ),
        _mutant("activation base ignored", "now.activations + block.k", "block.k"),
        _mutant(
            "beat not counted anew",
            "m.d.sync += [beat.eq(0), now.blocks",
            "m.d.sync += [now.blocks",
        ),
        _mutant(
            "accumulator of 26 bits",
            "Mux(begins, 0, total) + addends[lane]",
            "(Mux(begins, 0, total) + addends[lane])[:26].as_signed()",
        ),
        _mutant(
            "lanes swapped",
            "addends[lane].eq(node[lane])",
            "addends[lane].eq(node[1 - lane])",
        ),
        _mutant(
            "column of the beat before",
            "self.steps.beat == beat",
            "self.steps.beat == (beat ^ 1)",
        ),
    ),
    proofs=(CONTROL,),
    models=(MODEL,),
)
