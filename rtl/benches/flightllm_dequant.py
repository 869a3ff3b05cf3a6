"""``flightllm.dequant``: packed weights to signed bytes, against golden values and the law."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from math import gcd
from random import Random

import numpy as np
from numpy.typing import NDArray

from hwsim.golden.flightllm_dequant import dequantise
from hwsim.laws.flightllm_dequant import LATENCY, SHIFT_BITS, DequantGeometry, Run, transfers
from rtl.benches.stimulus import STALLS, alternated, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer, Proof
from rtl.blocks.flightllm_dequant import Dequant
from rtl.ports.flightllm_dequant import PORTS
from rtl.proofs.flightllm_dequant import NothingLost

__all__ = ["BLOCK"]

BLOCKS = 3000
RUN_LENGTHS = (1, 1, 1, 2, 3, 7)
KINDS = ("random", "zero", "minus one", "least", "greatest")


def _cases(geometry: DequantGeometry, rng: Random) -> Iterator[Case]:
    cuts = ((1, "both"), (LATENCY, "both"), (LATENCY + 1, "both"), (20, "both"), (40, "none"))
    yield from alternated(
        (
            _case(geometry, rng, f"reset after {at}", stalls, _runs(geometry, rng, 99), at)
            for at, stalls in cuts
        ),
        _whole(geometry, rng),
    )


def _whole(geometry: DequantGeometry, rng: Random) -> Iterator[Case]:
    for stalls in STALLS:
        yield _case(geometry, rng, stalls, stalls, _runs(geometry, rng, BLOCKS), None)
    longest = Run(width=min(geometry.widths), blocks=geometry.run_blocks)
    yield _case(geometry, rng, "longest run", "none", [longest, *_runs(geometry, rng, 9)], None)


def _runs(geometry: DequantGeometry, rng: Random, blocks: int) -> list[Run]:
    """Runs of at least ``blocks`` blocks in all."""
    runs: list[Run] = []
    while blocks > 0:
        run = Run(
            width=rng.choice(geometry.widths),
            blocks=min(rng.choice(RUN_LENGTHS), geometry.run_blocks),
            shift=rng.randrange(1 << SHIFT_BITS),
            scale=rng.getrandbits(geometry.scale_bits),
        )
        runs.append(run)
        blocks -= run.blocks
    return runs


def _case(
    geometry: DequantGeometry,
    rng: Random,
    name: str,
    stalls: str,
    runs: Sequence[Run],
    cut: int | None,
) -> Case:
    kinds = [rng.choice(KINDS) for _ in runs]
    bits = _bits(geometry, rng, runs, kinds)
    beats = pack([(bits.reshape(-1, geometry.beat_bits), 1)])
    words = _control(geometry, rng, runs)
    golden = dequantise(geometry, runs, bits)
    blocks = pack([(golden.weights, 8), (golden.scales, geometry.scale_bits), (golden.last, 1)])
    beat_gaps, run_gaps = gaps(rng, len(beats), stalls), gaps(rng, len(words), stalls)
    ready = ready_pattern(rng, stalls)
    law = transfers(geometry, runs, beat_gaps, run_gaps, lambda c: ready[c % len(ready)])
    cycles = max(*law.beats, *law.runs, *law.blocks) + 1 if cut is None else cut
    streams = {
        "beats": (law.beats, beats),
        "runs": (law.runs, words),
        "blocks": (law.blocks, blocks),
    }
    seen = {
        stream: [(c, w) for c, w in zip(due, sent, strict=False) if c < cycles]
        for stream, (due, sent) in streams.items()
    }
    return Case(
        name=name,
        inputs={"beats": Offer(beats, beat_gaps), "runs": Offer(words, run_gaps)},
        ready={"blocks": ready},
        expected=seen,
        cycles=cycles,
        cut=cut is not None,
        owed=_complete(geometry, runs[: len(seen["runs"])], len(seen["beats"]))
        - len(seen["blocks"]),
        outputs=geometry.block_weights * len(seen["blocks"]),
        covers=_covered(geometry, runs, kinds),
    )


def _complete(geometry: DequantGeometry, runs: Sequence[Run], beats: int) -> int:
    """The blocks of ``runs`` whose words are in the first ``beats``."""
    ends = accumulate(run.width for run in runs for _ in range(run.blocks))
    return sum(end <= beats * geometry.beat_words for end in ends)


def _bits(
    geometry: DequantGeometry, rng: Random, runs: Sequence[Run], kinds: Sequence[str]
) -> NDArray[np.uint8]:
    """The packed stream: the runs' weights, and random bits up to some beats beyond."""
    draw = np.random.default_rng(rng.getrandbits(64))
    parts = []
    for run, kind in zip(runs, kinds, strict=True):
        shape = run.blocks * geometry.block_weights, run.width
        top = np.arange(run.width) == run.width - 1
        choices = {
            "random": lambda shape=shape: draw.integers(2, size=shape),
            "zero": lambda shape=shape: np.zeros(shape),
            "minus one": lambda shape=shape: np.ones(shape),
            "least": lambda shape=shape, top=top: np.broadcast_to(top, shape),
            "greatest": lambda shape=shape, top=top: np.broadcast_to(~top, shape),
        }
        parts.append(choices[kind]().astype(np.uint8).ravel())
    used = sum(map(len, parts))
    beyond = -used % geometry.beat_bits + 9 * geometry.beat_bits
    return np.concatenate([*parts, draw.integers(2, size=beyond).astype(np.uint8)])


def _control(geometry: DequantGeometry, rng: Random, runs: Sequence[Run]) -> list[int]:
    """The runs' payloads; codes that have no width of their own stand for the last."""
    last = len(geometry.widths) - 1
    codes = [geometry.widths.index(run.width) for run in runs]
    codes = [c if c < last else rng.randrange(last, 1 << geometry.code_bits) for c in codes]
    return pack(
        [
            (np.array(codes), geometry.code_bits),
            (np.array([run.blocks - 1 for run in runs]), geometry.count_bits),
            (np.array([run.shift for run in runs]), SHIFT_BITS),
            (np.array([run.scale for run in runs]), geometry.scale_bits),
        ]
    )


def _bins(geometry: DequantGeometry) -> frozenset[str]:
    widths = geometry.widths
    return frozenset(
        {f"width {new} after {old}" for new in widths for old in widths}
        | {f"{kind} at width {width}" for kind in KINDS for width in widths}
        | {
            f"shift {shift} at width {width}"
            for shift in range(1 << SHIFT_BITS)
            for width in widths
        }
        | {f"run of {n}" for n in {*RUN_LENGTHS, geometry.run_blocks} if n <= geometry.run_blocks}
        | _cuts(geometry)
    )


def _cuts(geometry: DequantGeometry) -> set[str]:
    """The widths whose blocks, and whose weights, a beat's end can cut."""
    bins = set()
    step = gcd(geometry.beat_words, *geometry.widths)
    for width in geometry.widths:
        for words in range(step, width, step):
            bins |= _cut(geometry, width, words)
    return bins


def _cut(geometry: DequantGeometry, width: int, words: int) -> set[str]:
    """What a beat's end ``words`` behind the start of a block cuts."""
    split = words * geometry.block_weights % width
    return {f"block of width {width} cut"} | ({f"weight of width {width} cut"} if split else set())


def _covered(
    geometry: DequantGeometry, runs: Sequence[Run], kinds: Sequence[str]
) -> frozenset[str]:
    bins, at, before = set[str](), 0, None
    for run, kind in zip(runs, kinds, strict=True):
        bins |= {f"{kind} at width {run.width}", f"shift {run.shift} at width {run.width}"}
        bins.add(f"run of {run.blocks}")
        for old in (before, run.width if run.blocks > 1 else None):
            if old is not None:
                bins.add(f"width {run.width} after {old}")
        for _ in range(run.blocks):
            for words in range(-at % geometry.beat_words, run.width, geometry.beat_words):
                if words:
                    bins |= _cut(geometry, run.width, words)
            at += run.width
        before = run.width
    return frozenset(bins)


def _timing(geometry: DequantGeometry) -> list[Mode]:
    return [
        Mode(f"{w} bit", LATENCY, f"{max(Fraction(1), Fraction(w, geometry.beat_words))} a block")
        for w in geometry.widths
    ]


_SOURCE = "rtl.blocks.flightllm_dequant"

BLOCK = Block(
    name="flightllm.dequant",
    title="dequantiser of mixed precision",
    parameters=DequantGeometry,
    component=Dequant,
    modes=_timing,
    ports=PORTS,
    codes=lambda g: {"runs.code": {f"{w} bit": code for code, w in enumerate(g.widths)}},
    cases=_cases,
    bins=_bins,
    diagram=(
        ("beats", "runs:\nwidth, blocks,\nshift, scale"),
        ("gearbox:\nring of slots", "run in work\nand the next"),
        ("turned to the\noldest word", "release:\nwords, run, room"),
        ("packed block,\nits run",),
        ("sign extension,\nshift",),
        ("blocks:\nINT8, scale, last",),
    ),
    sweep=(
        {},
        {"beat_bits": "64", "widths": "[4, 3, 8]", "run_blocks": "5", "scale_bits": "8"},
        {"beat_bits": "256", "block_weights": "32", "widths": "[2, 4]", "run_blocks": "300"},
        {"beat_bits": "24", "block_weights": "8", "widths": "[7]", "run_blocks": "1"},
    ),
    mutants=(
        Mutant(
            "block stall ignored",
            _SOURCE,
            "block_free.eq(self.blocks.ready | ~self.blocks.valid)",
            "block_free.eq(1)",
        ),
        Mutant(
            "block outlives a reset",
            _SOURCE,
            "self.picked = Signal()",
            "self.picked = Signal(reset_less=True)",
        ),
        Mutant(
            "block on offer outlives a reset",
            _SOURCE,
            "with m.If(block_free):\n            m.d.sync += [\n"
            "                self.blocks.valid.eq(self.picked),",
            "valid = Signal(reset_less=True)\n        m.d.comb += self.blocks.valid.eq(valid)\n"
            "        with m.If(block_free):\n            m.d.sync += [\n"
            "                valid.eq(self.picked),",
        ),
        Mutant(
            "bubble between the registers",
            _SOURCE,
            "picked_free.eq(block_free | ~self.picked)",
            "picked_free.eq(block_free & ~self.picked)",
        ),
        Mutant(
            "registers stop as one",
            _SOURCE,
            "picked_free.eq(block_free | ~self.picked)",
            "picked_free.eq(block_free)",
        ),
        Mutant(
            "released without its words",
            _SOURCE,
            "releases.eq(picked_free & queue.active & gearbox.complete)",
            "releases.eq(picked_free & queue.active)",
        ),
        Mutant(
            "one word more awaited",
            _SOURCE,
            "self.complete.eq(self.level >= need)",
            "self.complete.eq(self.level > need)",
        ),
        Mutant(
            "last slot never filled",
            _SOURCE,
            "self.level <= places - beat",
            "self.level < places - beat",
        ),
        Mutant(
            "beat taken a word too early",
            _SOURCE,
            "self.level <= places - beat",
            "self.level <= places - beat + 1",
        ),
        Mutant(
            "sign not extended",
            _SOURCE,
            "bits.word_select(i, width).as_signed()",
            "bits.word_select(i, width)",
        ),
        Mutant(
            "shift of the run at the gearbox",
            _SOURCE,
            "(extended << packed.run.shift)[:8]",
            "(extended << self.queue.run.shift)[:8]",
        ),
        Mutant(
            "width of the run at the gearbox",
            _SOURCE,
            "with m.Switch(packed.run.code):",
            "with m.Switch(self.queue.run.code):",
        ),
        Mutant(
            "a run one block short",
            _SOURCE,
            "self.last.eq(self.run.blocks == 0)",
            "self.last.eq(self.run.blocks <= 1)",
        ),
        Mutant(
            "no run taken ahead",
            _SOURCE,
            "self.runs.ready.eq(~self.waiting)",
            "self.runs.ready.eq(~self.active)",
        ),
        Mutant(
            "run taken ahead is lost",
            _SOURCE,
            "Mux(self.waiting, self.after, self.runs.payload)",
            "self.runs.payload",
        ),
        Mutant(
            "ring does not wrap",
            _SOURCE,
            "Mux(beyond >= places, beyond - places, beyond)",
            "beyond",
        ),
        Mutant(
            "ring turned without wrapping",
            _SOURCE,
            "words[(i + step) % places]",
            "words[min(i + step, places - 1)]",
        ),
        Mutant(
            "words removed are not counted while a beat comes",
            _SOURCE,
            "- Mux(self.remove, need, 0)",
            "- Mux(self.remove & ~takes, need, 0)",
        ),
    ),
    proofs=(
        Proof(
            name="nothing lost",
            harness=NothingLost,
            depth=6,
            statement=(
                "Every word of a beat goes into one block, at its place and unchanged; every run "
                "makes as many blocks as it says, under its own width, shift and scale; every "
                "block released is offered once, no offer is withdrawn, and the ring neither "
                "overflows nor underflows. Whatever the data, widths, stalls and resets."
            ),
        ),
    ),
)
