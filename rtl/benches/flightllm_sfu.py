"""``flightllm.sfu``: the special function unit against its golden words and its traffic law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from hwsim.golden import fp16
from hwsim.golden.flightllm_sfu import compute
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import (
    BLOCK_LANES,
    OPERATIONS,
    Command,
    SFUGeometry,
    Traffic,
    emits,
    latency,
    two_pass,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.flightllm_sfu import SFU
from rtl.blocks.flightllm_sfu_lane import OPERATION_BITS
from rtl.ports.flightllm_sfu import PORTS
from rtl.proofs.flightllm_sfu import CONTROL

__all__ = ["BLOCK"]

Words = NDArray[np.int64]
Draw = np.random.Generator
COMMANDS = 160
LONG = tuple(Command(operation, 1200) for operation in (MiscOp.ADD, MiscOp.SOFTMAX, MiscOp.RMSNORM))
"""As long as vectors are: K beyond eight bits, for each way that an operation can go."""
LONG_BIN = "K beyond 255"
CORNERS = (0x0000, 0x0001, 0x03FF, 0x0400, 0x3BFF, 0x3C00, 0x7800, 0x7BFF)
"""Magnitudes: zero, the ends of the subnormals, the least normal, about one, the greatest."""
NEGATIVE, MAGNITUDE = 0x8000, 0x7FFF


def _halves(values: NDArray[np.float64]) -> Words:
    clipped = np.clip(values, -65504, 65504).astype(np.float16)
    return clipped.view(np.uint16).astype(np.int64)


def _any_word(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    return draw.integers(1 << 16, size=shape), draw.integers(1 << 16, size=shape)


def _scaled(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    scale = 10.0 ** draw.uniform(-4, 4)
    return _halves(draw.normal(size=shape) * scale), _halves(draw.normal(size=shape) * 2)


def _corner(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    signs = draw.integers(2, size=(2, *shape)) * NEGATIVE
    a, b = draw.choice(CORNERS, size=(2, *shape)) + signs
    return a, b


def _special(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    a, b = _corner(draw, shape)
    words = (fp16.INFINITY, fp16.INFINITY + NEGATIVE, fp16.NAN, 0, NEGATIVE)
    a.flat[draw.integers(a.size, size=2)] = draw.choice(words[:3], size=2)
    return a, np.where(draw.random(shape) < 0.3, draw.choice(words, size=shape), b)


def _close(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    """B is minus a, or next to it, or some binary places away: sums cancel, exactly and nearly."""
    a = draw.integers(0x7800, size=shape)
    near = a + draw.integers(-2, 3, size=shape)
    far = a - 1024 * draw.integers(0, 14, size=shape) + draw.integers(-1, 2, size=shape)
    b = np.clip(np.where(draw.random(shape) < 0.5, near, far), 0, 0x7BFF)
    signs = draw.integers(2, size=(2, *shape)) * NEGATIVE
    return a + signs[0], b + np.where(draw.random(shape) < 0.8, NEGATIVE - signs[0], signs[1])


def _rising(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    """Ever greater in magnitude and value: each beat changes the reference of the sum."""
    a, b = _scaled(draw, shape)
    return np.sort(a & MAGNITUDE, axis=None).reshape(shape), b


def _masked(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    """Minus infinity in places, sometimes everywhere."""
    a, b = _scaled(draw, shape)
    hidden = draw.random(shape) < draw.choice((0.3, 0.9, 1.0))
    return np.where(hidden, fp16.INFINITY + NEGATIVE, a), b


def _equal(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    words = draw.choice(CORNERS, size=2) + draw.integers(2, size=2) * NEGATIVE
    return np.full(shape, words[0]), np.full(shape, words[1])


def _peaked(draw: Draw, shape: tuple[int, int]) -> tuple[Words, Words]:
    """One element far above the others, whose exponentials are subnormal or nothing."""
    a, b = _halves(draw.normal(size=shape) - draw.uniform(8, 18)), _scaled(draw, shape)[1]
    a.flat[draw.integers(a.size)] = 0
    return a, b


OPERANDS: dict[str, Callable[[Draw, tuple[int, int]], tuple[Words, Words]]] = {
    "random words": _any_word,
    "scaled": _scaled,
    "corner": _corner,
    "special": _special,
    "close": _close,
    "rising": _rising,
    "masked": _masked,
    "equal": _equal,
    "peaked": _peaked,
}


def _cases(geometry: SFUGeometry, rng: Random) -> Iterator[Case]:
    first = latency(geometry)
    cuts = ((1, "both"), (first - 1, "both"), (first + 40, "both"))
    yield from alternated(
        (
            _case(geometry, rng, f"reset after {at}", stalls, _commands(geometry, rng, 20), at)
            for at, stalls in cuts
        ),
        _whole(geometry, rng),
    )


def _whole(geometry: SFUGeometry, rng: Random) -> Iterator[Case]:
    commands = COMMANDS if geometry.lanes == BLOCK_LANES else 2 * COMMANDS
    for stalls in STALLS:
        yield _case(geometry, rng, stalls, stalls, _commands(geometry, rng, commands), None)
    yield _case(geometry, rng, "long commands", "none", LONG, None)


def _case(
    geometry: SFUGeometry,
    rng: Random,
    name: str,
    stalls: str,
    commands: Sequence[Command],
    cut: int | None,
) -> Case:
    draw = np.random.default_rng(rng.getrandbits(64))
    work = [_with_operands(geometry, draw, command) for command in commands]
    passes = [2 if two_pass(c.operation) else 1 for c in commands]
    a, b = (
        np.concatenate([item[n] for item, p in zip(work, passes, strict=True) for _ in range(p)])
        for n in (2, 3)
    )
    results = [compute(geometry, command.operation, a, b) for command, _, a, b in work]
    codes = np.array([[c.operation, c.blocks] for c in commands])
    asked = pack([(codes[:, :1], OPERATION_BITS), (codes[:, 1:], 14)])
    sent, seen = pack([(a, 16), (b, 16)]), pack([(np.concatenate(results), 16)])
    ready = ready_pattern(rng, stalls)
    traffic = Traffic(
        geometry,
        commands,
        gaps(rng, len(commands), stalls),
        gaps(rng, len(sent), stalls),
        lambda c: ready[c % len(ready)],
    )
    emitting = [one for command in commands for one in emits(geometry, command)]
    cycles = traffic.left[-1] + 1 if cut is None else cut
    times = ((traffic.taken, asked), (traffic.entered, sent), (traffic.left, seen))
    taken, entered, left = (
        [(c, w) for c, w in zip(at, words, strict=False) if c < cycles] for at, words in times
    )
    return Case(
        name=name,
        inputs={
            "command": Offer(asked, traffic.command_gaps),
            "i": Offer(sent, traffic.gaps),
        },
        ready={"o": ready},
        expected={"command": taken, "i": entered, "o": left},
        cycles=cycles,
        outputs=geometry.lanes * len(left),
        cut=cut is not None,
        owed=sum(emitting[: len(entered)]) - len(left),
        covers=_covered([(c, kind, r) for (c, kind, *_), r in zip(work, results, strict=True)]),
    )


def _commands(geometry: SFUGeometry, rng: Random, count: int) -> list[Command]:
    """Short ones, of about as many beats whatever the lanes."""
    lengths = [n * geometry.lanes // BLOCK_LANES or 1 for n in (1, 1, 2, 3, 5, 9)]
    return [Command(rng.choice(OPERATIONS), rng.choice(lengths)) for _ in range(count)]


def _with_operands(
    geometry: SFUGeometry, draw: Draw, command: Command
) -> tuple[Command, str, Words, Words]:
    """A command, the kind of its operands, and they: [beats of a pass, lanes]."""
    kind = str(draw.choice(list(OPERANDS)))
    shape = (command.blocks * BLOCK_LANES // geometry.lanes, geometry.lanes)
    return command, kind, *OPERANDS[kind](draw, shape)


def _covered(work: list[tuple[Command, str, Words]]) -> frozenset[str]:
    names = [command.operation.name for command, *_ in work]
    return frozenset(
        {f"{new} after {old}" for new, old in zip(names[1:], names[:-1], strict=True)}
        | {f"{kind} operands of {command.operation.name}" for command, kind, _ in work}
        | {
            f"{result} result of {command.operation.name}"
            for command, _, words in work
            for result in _kinds_of(words)
        }
        | {
            f"{command.operation.name} of {'one beat' if len(words) == 1 else 'many beats'}"
            for command, _, words in work
        }
        | {f"{c.operation.name}: {LONG_BIN}" for c, *_ in work if c.blocks > 255}
    )


RESULTS = ("zero", "minus zero", "subnormal", "normal", "infinite", "NaN")


def _kinds_of(words: Words) -> set[str]:
    magnitude = words & MAGNITUDE
    found = (
        words == 0,
        words == NEGATIVE,
        (magnitude > 0) & (magnitude < 0x400),
        (magnitude >= 0x400) & (magnitude < fp16.INFINITY),
        magnitude == fp16.INFINITY,
        words == fp16.NAN,
    )
    return {name for name, there in zip(RESULTS, found, strict=True) if there.any()}


def _bins(geometry: SFUGeometry) -> frozenset[str]:
    names = [operation.name for operation in OPERATIONS]
    never = {("minus zero", "SOFTMAX"), ("infinite", "SOFTMAX")}
    lengths = ["many beats", *(["one beat"] if geometry.lanes == BLOCK_LANES else [])]
    return frozenset(
        {f"{new} after {old}" for new in names for old in names}
        | {f"{kind} operands of {name}" for kind in OPERANDS for name in names}
        | {f"{r} result of {name}" for r in RESULTS for name in names if (r, name) not in never}
        | {f"{name} of {length}" for name in names for length in lengths}
        | {f"{command.operation.name}: {LONG_BIN}" for command in LONG}
    )


def _exempt(geometry: SFUGeometry) -> dict[str, str]:
    if geometry.lanes == BLOCK_LANES:
        return {}
    return {"command: back to back": "the shortest command has several beats"}


def _timing(geometry: SFUGeometry) -> list[Mode]:
    beats = BLOCK_LANES // geometry.lanes
    return [
        Mode(
            operation.name.lower(),
            latency(geometry),
            f"1 a beat, {beats * (2 if two_pass(operation) else 1)} a block",
        )
        for operation in OPERATIONS
    ]


def _mutant(name: str, source: str, old: str, new: str) -> Mutant:
    """A fault, tried on the narrowest unit: every lane would have it."""
    return Mutant(name, source, old, new, settings={"lanes": "2"})


_TOP = "rtl.blocks.flightllm_sfu"
_LANE = "rtl.blocks.flightllm_sfu_lane"
_SUM = "rtl.blocks.flightllm_sfu_sum"
_HALF = "rtl.blocks.fp16"

BLOCK = Block(
    name="flightllm.sfu",
    title="special function unit",
    parameters=SFUGeometry,
    component=SFU,
    modes=_timing,
    ports=PORTS,
    codes=lambda _: {"command.operation": {op.name.lower(): op.value for op in OPERATIONS}},
    cases=_cases,
    bins=_bins,
    exempt=_exempt,
    diagram=(
        ("command:\noperation, K", "operands\na, b"),
        ("sequencer", "adder, multiplier,\n$2^f$ table,\none a lane"),
        ("tree of maxima,\nalignment,\ntree of sums", "delay line\nof terms"),
        ("running sum", "delay line\nof terms"),
        ("1 / sum, or\n1 / root of mean", "delay line\nof terms"),
        ("multiplier,\nrounder,\none a lane",),
        ("results",),
    ),
    sweep=({}, {"lanes": "2", "epsilon": "1e-6"}, {"lanes": "8", "epsilon": "0.01"}),
    mutants=(
        _mutant("one cycle late", _TOP, "self.emits[end]", "self.emits[end + 1]"),
        _mutant("stall ignored", _TOP, "moves.eq(self.o.ready | ~self.o.valid)", "moves.eq(1)"),
        _mutant("results outlive a reset", _TOP, "~self.gather, reset=True)", "~self.gather)"),
        _mutant(
            "command taken between passes", _TOP, "taken & last & ~self.gather", "taken & last"
        ),
        _mutant(
            "K cut to five bits",
            _TOP,
            "self.command.blocks * self._beats_a_block",
            "self.command.blocks[:5] * self._beats_a_block",
        ),
        _mutant("second pass a beat short", _TOP, "left.eq(again)", "left.eq(again - 1)"),
        _mutant("terms a cycle early", _TOP, "meets - FRONT_STAGES]", "meets - 10]"),
        _mutant("emitted beats gathered", _SUM, "with m.If(self.at_sum.gathers):", "with m.If(1):"),
        _mutant(
            "sum of the vector before kept",
            _SUM,
            "Mux(first, 0, total.sum >> shift)",
            "(total.sum >> shift)",
        ),
        _mutant("sum not realigned", _SUM, "total.sum >> shift", "total.sum"),
        _mutant(
            "maximum of the vector before kept",
            _SUM,
            "Mux(self.at_reference.first, LEAST_EXPONENT, reference)",
            "reference",
        ),
        _mutant("epsilon left out", _SUM, "great + (small >> distance)", "great + 0"),
        _mutant("exponent taken as even", _SUM, "NORMAL - 1], odd)", "NORMAL - 1], Const(0, 1))"),
        _mutant("scalar cut, not rounded", _SUM, "(value + 4) >> 3", "value >> 3"),
        _mutant("mask ignored", _LANE, "Mux(nothing, 0, mantissa)", "mantissa"),
        _mutant(
            "power without its sign", _LANE, "Mux(negative, -magnitude, magnitude)", "magnitude"
        ),
        _mutant("opposed infinities added", _LANE, "Mux(add, opposed, undefined)", "undefined"),
        _mutant("weights squared", _LANE, "Mux(square, self.a, self.b)", "self.b"),
        _mutant("ties rounded up", _HALF, "kept[2] & (kept[3] | kept[:2].any())", "kept[2]"),
        _mutant("sum without sticky", _HALF, "shifted[15:] | shifted[:15].any()", "shifted[15:]"),
        _mutant(
            "result without sticky", _HALF, "shifted[13:] | shifted[:13].any()", "shifted[13:]"
        ),
        _mutant("subnormals flushed", _HALF, "Mux(field < -12, 13, (1 - field)[:4])", "13"),
    ),
    proofs=(CONTROL,),
)
