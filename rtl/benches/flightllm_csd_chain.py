"""``flightllm.csd_chain``: the sparse DSP chain against its golden sums and its latency."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray

from hwsim.golden.flightllm_chain import chain_sums
from hwsim.laws.flightllm_chain import RUN, ChainGeometry, beats, latency, segment
from hwsim.laws.pipeline import rigid_pipeline
from rtl.benches.stimulus import STALLS, alternated, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.flightllm_csd_chain import CSDChain
from rtl.ports.flightllm_csd_chain import PORTS
from rtl.primitives.dsp48e2 import MODEL
from rtl.proofs.flightllm_csd_chain import CONTROL

__all__ = ["BLOCK"]

Ints = NDArray[np.int64]
BEATS = 6000
EXTREMES = (-128, -127, -1, 0, 1, 127)
OPERANDS = ("random", "extreme", "least", "greatest", "alternating")
"""Least: every product -128 x 127; greatest: every product -128 x -128, the lane's 2^17."""


def _cases(geometry: ChainGeometry, rng: Random) -> Iterator[Case]:
    first = latency(geometry)
    cuts = ((1, "both"), (first - 1, "both"), (first + 3, "none"), (first + 20, "both"))
    yield from alternated(
        (_case(geometry, rng, f"reset after {at}", stalls, 50, at) for at, stalls in cuts),
        (_case(geometry, rng, stalls, stalls, BEATS, None) for stalls in STALLS),
    )


def _case(
    geometry: ChainGeometry, rng: Random, name: str, stalls: str, items: int, cut: int | None
) -> Case:
    draw = np.random.default_rng(rng.getrandbits(64))
    length = geometry.chain_length
    kinds = draw.integers(len(OPERANDS), size=items)
    modes = _modes(draw, items, len(geometry.densities))
    weights = _operands(draw, kinds, (items, length), greatest=-128, least=127)
    activations = _operands(draw, kinds, (items, 2, length), greatest=-128, least=-128)
    indices = draw.integers(1 << geometry.index_bits, size=(items, length))
    sums = np.zeros((items, geometry.nodes, 2), np.int64)
    for code, density in enumerate(geometry.densities):
        at = modes == code
        sums[at] = chain_sums(geometry, density, activations[at], weights[at], indices[at])
    sent = pack(
        [
            (activations, 8),
            (weights, 8),
            (indices, geometry.index_bits),
            (modes, max(1, (len(geometry.densities) - 1).bit_length())),
        ]
    )
    seen = pack([(sums, geometry.sum_bits)])
    pauses, ready = gaps(rng, items, stalls), ready_pattern(rng, stalls)
    entered, left = rigid_pipeline(latency(geometry), pauses, lambda c: ready[c % len(ready)])
    cycles = left[-1] + 1 if cut is None else cut
    columns = np.array([length // segment(geometry, d) for d in geometry.densities])
    emitted = sum(1 for cycle in left if cycle < cycles)
    return Case(
        name=name,
        inputs={"i": Offer(sent, pauses)},
        ready={"o": ready},
        expected={
            "i": [(c, w) for c, w in zip(entered, sent, strict=True) if c < cycles],
            "o": [(c, w) for c, w in zip(left, seen, strict=True) if c < cycles],
        },
        cycles=cycles,
        cut=cut is not None,
        owed=sum(cycle < cycles for cycle in entered) - emitted,
        outputs=2 * int(columns[modes[:emitted]].sum()),
        covers=_covered(geometry, modes, kinds),
    )


def _bins(geometry: ChainGeometry) -> frozenset[str]:
    modes = range(len(geometry.densities))
    return frozenset(
        {f"density {new} after {old}" for new in modes for old in modes}
        | {f"{kind} operands at density {mode}" for kind in OPERANDS for mode in modes}
        | ({"lane sum 2^17 in one run"} if geometry.chain_length >= RUN else set())
    )


def _modes(draw: np.random.Generator, items: int, count: int) -> Ints:
    """Codes of density that stay for some beats and change at once."""
    stay = draw.integers(1, 5, size=items)
    return np.repeat(draw.integers(count, size=items), stay)[:items]


def _operands(
    draw: np.random.Generator, kinds: Ints, shape: tuple[int, ...], *, greatest: int, least: int
) -> Ints:
    """Signed bytes of each beat's kind."""
    values = draw.integers(-128, 128, size=shape)
    extreme = draw.choice(EXTREMES, size=shape)
    sign = np.where(np.arange(shape[-1]) % 2, -128, 127)
    choices = (
        values,
        extreme,
        np.full(shape, least),
        np.full(shape, greatest),
        np.broadcast_to(sign, shape),
    )
    for kind, chosen in enumerate(choices):
        values[kinds == kind] = chosen[kinds == kind]
    return values


def _covered(geometry: ChainGeometry, modes: Ints, kinds: Ints) -> frozenset[str]:
    changes = set(zip(modes[1:].tolist(), modes[:-1].tolist(), strict=True))
    drawn = set(zip(kinds.tolist(), modes.tolist(), strict=True))
    full = [c for c, d in enumerate(geometry.densities) if segment(geometry, d) >= RUN]
    greatest = np.isin(modes, full) & (kinds == OPERANDS.index("greatest"))
    return frozenset(
        {f"density {new} after {old}" for new, old in changes}
        | {f"{OPERANDS[kind]} operands at density {mode}" for kind, mode in drawn}
        | ({"lane sum 2^17 in one run"} if greatest.any() else set())
    )


def _timing(geometry: ChainGeometry) -> list[Mode]:
    return [
        Mode(f"{d.n}:{d.m}", latency(geometry), f"1 a beat, {beats(geometry, d, 1)} a column")
        for d in geometry.densities
    ]


LONG = {"chain_length": "32", "densities": "[{n=2, m=16}, {n=8, m=16}, {n=16, m=16}, {n=2, m=4}]"}
"""Four runs of eight: what is passed on is passed on again."""
SHORT = {"chain_length": "8", "densities": "[{n=2, m=8}, {n=4, m=8}, {n=8, m=8}, {n=2, m=4}]"}
"""One run, which shows whatever has nothing to do with what is passed on."""
_SOURCE = "rtl.blocks.flightllm_csd_chain"


def _short(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, _SOURCE, old, new, settings=SHORT)


BLOCK = Block(
    name="flightllm.csd_chain",
    title="configurable sparse DSP chain",
    parameters=ChainGeometry,
    component=CSDChain,
    modes=_timing,
    ports=PORTS,
    codes=lambda g: {"i.density": {f"{d.n}:{d.m}": code for code, d in enumerate(g.densities)}},
    cases=_cases,
    bins=_bins,
    diagram=(
        ("beat:\nactivations,\nweights, indices,\ndensity",),
        ("sparse\nmultiplexers",),
        ("skew, a cycle\na DSP",),
        ("run of 8 DSPs,\ntwo lanes, Z cut", "run of 8 DSPs,\ntwo lanes, Z cut"),
        ("overflow\nadjust unit", "reduction nodes,\none a group"),
        ("alignment",),
        ("sums",),
    ),
    sweep=(
        {},
        SHORT,
        LONG,
    ),
    mutants=(
        _short(
            "one cycle late",
            "stages, moves = chain_depth(self.geometry), Signal()",
            "stages, moves = chain_depth(self.geometry) + 1, Signal()",
        ),
        _short(
            "beats outlive a reset",
            "valid = Signal(stages)",
            "valid = Signal(stages, reset_less=True)",
        ),
        _short(
            "result on offer outlives a reset",
            "valid = Signal(stages)",
            'valid = Cat(Signal(stages - 1, name="valid"), Signal(reset_less=True, name="last"))',
        ),
        _short("stall ignored", "moves.eq(self.o.ready | ~self.o.valid)", "moves.eq(1)"),
        _short(
            "low lane's borrow dropped",
            "p[LANE_BITS:].as_signed() + negative",
            "p[LANE_BITS:].as_signed()",
        ),
        _short(
            "2^17 read as negative",
            "p[LANE_BITS - 1] & p[PASSED_BITS : LANE_BITS - 1].any()",
            "p[LANE_BITS - 1]",
        ),
        Mutant(
            "excess not carried",
            _SOURCE,
            "(low >> PASSED_BITS) + excess",
            "(low >> PASSED_BITS)",
            settings=LONG,
        ),
        Mutant("excess lost", _SOURCE, "(excess << PASSED_BITS) if excess is not None else 0", "0"),
        _short("cut a cycle early", "density[3 + skew(dsp)]", "density[2 + skew(dsp)]"),
        _short("node gated a cycle late", "density[5 + skew(dsp)]", "density[6 + skew(dsp)]"),
        _short("cascade never cut", "m.d.comb += z.eq(Z.ZERO)", "m.d.comb += z.eq(Z.PCIN)"),
        Mutant(
            "one more bit passed on",
            _SOURCE,
            "Cat(p[:PASSED_BITS], Const(0, LANE_BITS - PASSED_BITS), high)",
            "Cat(p[: PASSED_BITS - 1], Const(0, LANE_BITS - PASSED_BITS + 1), high)",
        ),
        _short("index taken for dense", "if mode.dense:", "if False:"),
        _short("place without its group", "kept // mode.n * mode.m + within", "within"),
        _short(
            "lanes swapped",
            "self.beat.activations[lane][place]",
            "self.beat.activations[1 - lane][place]",
        ),
    ),
    proofs=(CONTROL,),
    models=(MODEL,),
)
