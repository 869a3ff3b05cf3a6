"""``t3.nmc_update``: every word read, and its cycle, after random stores and updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from hwsim.golden.t3_nmc import BF16, FP16, Format, Parts, add, answered, format_of
from hwsim.laws.t3_nmc import (
    LANE_BITS,
    READ_CYCLES,
    WRITE_CYCLES,
    NmcGeometry,
    Operation,
    Request,
    Transfers,
    transfers,
)
from rtl.benches.stimulus import STALLS, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer
from rtl.blocks.t3_nmc_update import NearMemoryUpdate
from rtl.ports.t3_nmc_update import PORTS
from rtl.proofs.t3_nmc_update import LATEST

__all__ = ["BLOCK"]

Ints = NDArray[np.int64]

READ, STORE = Operation.READ, Operation.STORE
UPDATES = (Operation.UPDATE_FP16, Operation.UPDATE_BF16)
FORMATS = {"FP16": FP16, "BF16": BF16}
STYLES = {"any": 4, "near": 4, "opposite": 4, "small": 4, "great": 2, "special": 1}
"""Of the numbers that a request brings: how often. A NaN stays until it is stored over."""
NEAR_REQUESTS = 40
"""Requests in a row to a few words."""
CUTS = (2, 9, 33, 61)
"""Cycles after which a reset comes, at the earliest."""
HAZARDS = WRITE_CYCLES + 1
"""Distances at which what a request finds depends on the one before, and one more."""


def _cases(geometry: NmcGeometry, rng: Random) -> Iterator[Case]:
    """Words keep what they hold from case to case, since no reset clears them: zeros at first."""
    count = max(1600, 22_000 // geometry.lanes)
    memory = np.zeros((geometry.words, geometry.lanes), np.int64)
    for stalls, cut in zip(STALLS, CUTS, strict=True):
        requests = [*_requests(geometry, rng, 90), Request(READ, 0)]
        case, memory = _case(geometry, rng, requests, memory, stalls="output", cut=cut)
        yield case
        every = [Request(READ, address) for address in range(geometry.words)]
        requests = [*every, *_requests(geometry, rng, count), *every]
        case, memory = _case(geometry, rng, requests, memory, stalls=stalls)
        yield case


def _case(
    geometry: NmcGeometry,
    rng: Random,
    requests: Sequence[Request],
    memory: Ints,
    *,
    stalls: str,
    cut: int | None = None,
) -> tuple[Case, Ints]:
    """Requests with random numbers, and what memory holds in the end."""
    numbers = _numbers(geometry, rng, requests, memory)
    words = pack(
        [
            (np.array([request.operation for request in requests]), 2),
            (np.array([request.address for request in requests]), geometry.address_bits),
            (numbers, LANE_BITS),
        ]
    )
    golden = answered(geometry, requests, numbers, memory)
    pauses, ready = gaps(rng, len(requests), stalls), ready_pattern(rng, stalls)
    law = transfers(requests, pauses, lambda c: ready[c % len(ready)])
    if cut is not None:
        cut = _owing(requests, law, cut)
    cycles = max(law.requests[-1], law.reads[-1]) + 1 if cut is None else cut
    taken = list(zip(law.requests, words, strict=True))
    left = list(zip(law.reads, pack([(golden.reads, LANE_BITS)]), strict=True))
    seen = {"requests": _before(cycles, taken), "reads": _before(cycles, left)}
    done = len(requests) if cut is None else len(_before(cut - WRITE_CYCLES + 1, taken))
    asked = sum(r.operation is READ for r in requests[: len(seen["requests"])])
    case = Case(
        name=stalls if cut is None else f"reset after {cut}",
        inputs={"requests": Offer(words, pauses)},
        ready={"reads": ready},
        expected=seen,
        cycles=cycles,
        cut=cut is not None,
        owed=asked - len(seen["reads"]),
        outputs=geometry.lanes * len(seen["reads"]),
        covers=_covered(requests, numbers, law.requests, memory),
    )
    return case, answered(geometry, requests[:done], numbers[:done], memory).memory


def _owing(requests: Sequence[Request], law: Transfers, cycle: int) -> int:
    """The first cycle from ``cycle`` on in which a read is owed."""
    asked = [c for c, r in zip(law.requests, requests, strict=True) if r.operation is READ]
    spans = zip(asked, law.reads, strict=True)
    return min(max(cycle, entered + 1) for entered, left in spans if left >= cycle)


def _before(cycle: int, transfers_: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [transfer for transfer in transfers_ if transfer[0] < cycle]


def _requests(geometry: NmcGeometry, rng: Random, count: int) -> list[Request]:
    """Stretches of requests, to few words or to many."""
    requests: list[Request] = []
    while len(requests) < count:
        few = rng.sample(range(geometry.words), rng.choice((1, 2, geometry.words)))
        weights = rng.choice(((4, 2, 4, 4), (1, 1, 6, 6), (6, 2, 1, 1)))
        operations = rng.choices(tuple(Operation), weights, k=rng.randint(1, NEAR_REQUESTS))
        requests += [Request(operation, rng.choice(few)) for operation in operations]
    return requests[:count]


def _numbers(geometry: NmcGeometry, rng: Random, requests: Sequence[Request], memory: Ints) -> Ints:
    """What each request brings; what the next updates of its word can meet, now and then."""
    draw = np.random.default_rng(rng.getrandbits(32))
    numbers = np.zeros((len(requests), geometry.lanes), np.int64)
    held = memory.copy()
    for i, (operation, address) in enumerate(requests):
        form = FORMATS[rng.choice(("FP16", "BF16"))] if operation is STORE else None
        form = form or format_of(operation)
        (style,) = rng.choices([*STYLES], [*STYLES.values()])
        numbers[i] = _styled(form, draw, style, held[address])
        if operation is STORE:
            held[address] = numbers[i]
        elif operation in UPDATES:
            held[address] = add(form, held[address], numbers[i])
    return numbers


def _styled(form: Format, draw: np.random.Generator, style: str, held: Ints) -> Ints:
    """Numbers of one style, beside the ones that are held."""
    size, unit = len(held), 1 << form.fraction_bits
    signs = draw.integers(2, size=size) << LANE_BITS - 1
    if style == "near":
        near = (held & 0x7FFF) + draw.integers(-4 * unit, 4 * unit + 1, size)
        return np.clip(near, 0, form.infinity - 1) | signs
    if style == "opposite":
        return (held ^ 1 << LANE_BITS - 1) + draw.integers(-2, 3, size) & 0xFFFF
    if style == "small":
        return draw.integers(3 * unit, size=size) | signs
    if style == "great":
        return form.infinity - 1 - draw.integers(3 * unit, size=size) | signs
    if style == "special":
        nans = form.infinity + 1 + draw.integers(unit - 1, size=size)
        infinities = np.full(size, form.infinity)
        kinds = np.stack([np.zeros(size, np.int64), infinities, nans])
        return kinds[draw.choice(3, size, p=(0.7, 0.2, 0.1)), np.arange(size)] | signs
    return draw.integers(1 << LANE_BITS, size=size)


def _bins(_geometry: NmcGeometry) -> frozenset[str]:
    return frozenset(
        {
            f"{needs.name} {distance} cycles after {writes.name}"
            for writes in (STORE, *UPDATES)
            for needs in (READ, *UPDATES)
            for distance in range(WRITE_CYCLES, HAZARDS + 1)
        }
        | {f"{needs.name} held back" for needs in (READ, *UPDATES)}
        | {"STORE 1 cycle after a write of the word", "UPDATE behind a read that waits"}
        | {
            f"{form}: {what}"
            for form in FORMATS
            for what in (
                "NaN in memory", "NaN brought", "infinity less infinity", "infinity stays",
                "too great", "subnormal", "subnormals make a normal", "all cancels", "minus zero",
                "tie down", "tie up", "far smaller", "carry into the field",
            )
        }
    )  # fmt: skip


def _covered(
    requests: Sequence[Request], numbers: Ints, entered: Sequence[int], memory: Ints
) -> frozenset[str]:
    bins, held = set[str](), memory.copy()
    last: dict[int, tuple[int, Operation]] = {}
    sums: dict[str, list[tuple[Ints, Ints]]] = {name: [] for name in FORMATS}
    before, read_before = -1, False
    for request, brought, cycle in zip(requests, numbers, entered, strict=True):
        operation, address = request
        if address in last:
            bins |= _distance(request, cycle, before, *last[address])
        if operation in UPDATES and read_before and cycle > before + 1:
            bins.add("UPDATE behind a read that waits")
        if operation is STORE:
            held[address] = brought
        elif operation in UPDATES:
            name = operation.name.removeprefix("UPDATE_")
            sums[name].append((held[address].copy(), brought))
            held[address] = add(FORMATS[name], held[address], brought)
        if operation is not READ:
            last[address] = cycle, operation
        before, read_before = cycle, operation is READ
    for name, pairs in sums.items():
        if pairs:
            a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
            bins |= {f"{name}: {what}" for what in _summed(FORMATS[name], a, b)}
    return frozenset(bins)


def _distance(
    request: Request, cycle: int, before: int, written: int, writes: Operation
) -> set[str]:
    """How close a request comes to the last store or update of its word."""
    distance = cycle - written
    if request.operation is STORE:
        return {"STORE 1 cycle after a write of the word"} if distance == 1 else set()
    bins = {f"{request.operation.name} {distance} cycles after {writes.name}"}
    if distance == WRITE_CYCLES and cycle > before + 1:
        bins.add(f"{request.operation.name} held back")
    return bins if distance <= HAZARDS else set()


def _summed(form: Format, a: Ints, b: Ints) -> set[str]:
    """What is to be seen among some sums."""
    total = add(form, a, b)
    x, y, z = Parts.of(form, a), Parts.of(form, b), Parts.of(form, total)
    finite = ~(x.nan | y.nan | x.infinite | y.infinite)
    normal = 1 << form.fraction_bits
    subnormal = finite & (z.significand < normal)
    exact = finite & ~z.infinite & (abs(x.exponent - y.exponent) < 40)
    tie = exact & _between(form, a, b, total)
    larger = abs(_value(form, total)) > abs(_value(form, a) + _value(form, b))
    nothing = (total & 0x7FFF) == 0
    shown = {
        "NaN in memory": x.nan,
        "NaN brought": y.nan,
        "infinity less infinity": x.infinite & y.infinite & (x.negative != y.negative),
        "infinity stays": x.infinite & ~y.nan & ~y.infinite,
        "too great": finite & z.infinite,
        "subnormal": subnormal & ~nothing,
        "subnormals make a normal": finite
        & (x.significand < normal) & (y.significand < normal) & (z.significand >= normal),
        "all cancels": finite & nothing & (x.significand > 0),
        "minus zero": total == 0x8000,
        "tie down": tie & ~larger,
        "tie up": tie & larger,
        "far smaller": finite & (abs(x.exponent - y.exponent) > form.fraction_bits + 4),
        "carry into the field": exact & larger & ((total & normal - 1) == 0),
    }  # fmt: skip
    return {what for what, where in shown.items() if where.any()}


def _between(form: Format, a: Ints, b: Ints, total: Ints) -> NDArray[np.bool_]:
    """Whether the exact sum is half way between its rounded one and a neighbour of that."""
    exact, rounded = _value(form, a) + _value(form, b), _value(form, total)
    neighbours = [_value(form, total + step) for step in (-1, 1)]
    halves = [exact - rounded == other - exact for other in neighbours]
    return (exact != rounded) & (halves[0] | halves[1])


def _value(form: Format, words: Ints) -> NDArray[np.float64]:
    """As numbers; infinities and NaNs as whatever comes."""
    parts = Parts.of(form, words)
    bias = (1 << form.exponent_bits - 1) - 1 + form.fraction_bits
    magnitude = np.ldexp(parts.significand.astype(np.float64), parts.exponent - bias)
    return np.where(parts.negative, -magnitude, magnitude)


def _timing(_geometry: NmcGeometry) -> list[Mode]:
    again = f"1; {WRITE_CYCLES} after a write of the same word"
    return [
        Mode("read", READ_CYCLES, again),
        Mode("store", WRITE_CYCLES, "1"),
        *(Mode(f"update {name}", WRITE_CYCLES, again) for name in FORMATS),
    ]


_UPDATE, _LANE = "rtl.blocks.t3_nmc_update", "rtl.blocks.t3_nmc_lane"

BLOCK = Block(
    name="t3.nmc_update",
    title="op-and-store near a bank",
    parameters=NmcGeometry,
    component=NearMemoryUpdate,
    modes=_timing,
    ports=PORTS,
    codes=lambda _geometry: {
        "requests.operation": {op.name.lower().replace("_", " "): int(op) for op in Operation}
    },
    cases=_cases,
    bins=_bins,
    diagram=(
        ("requests:\noperation, address,\nnumbers",),
        ("rows", "past the rows:\nwritten just now", "hazard:\nnot yet written"),
        ("order by\nmagnitude",),
        ("align, add",),
        ("normalise",),
        ("round,\nwrite", "reads"),
    ),
    sweep=(
        {},
        {"words": "2", "lanes": "4"},
        {"words": "256", "lanes": "8"},
        {"words": "16", "lanes": "32"},
    ),
    mutants=(
        Mutant(
            "let in a cycle too soon",
            _UPDATE,
            "for i in range(STAGES)]",
            "for i in range(STAGES - 1)]",
        ),
        Mutant(
            "let in a cycle too late",
            _UPDATE,
            "for i in range(STAGES)]",
            "for i in range(STAGES + 1)]",
        ),
        Mutant(
            "a request is let in right behind",
            _UPDATE,
            "for i in range(STAGES)]",
            "for i in range(1, STAGES)]",
        ),
        Mutant(
            "stores held back",
            _UPDATE,
            "(request.operation != Operation.STORE) & Cat(same).any()",
            "Cat(same).any()",
        ),
        Mutant(
            "hazard of any address",
            _UPDATE,
            "writing[i] & (address[i] == request.address)",
            "writing[i]",
        ),
        Mutant(
            "nothing comes past the memory",
            _UPDATE,
            "past.eq(self.write.en & (self.write.addr == wanted))",
            "past.eq(0)",
        ),
        Mutant(
            "what comes past is of any address",
            _UPDATE,
            "past.eq(self.write.en & (self.write.addr == wanted))",
            "past.eq(self.write.en)",
        ),
        Mutant(
            "what is held up is looked up again", _UPDATE, "stored.en.eq(takes)", "stored.en.eq(1)"
        ),
        Mutant(
            "read stall ignored",
            _UPDATE,
            "reads_free.eq(reads.ready | ~reads.valid)",
            "reads_free.eq(1)",
        ),
        Mutant(
            "bubble behind a read",
            _UPDATE,
            "reads_free.eq(reads.ready | ~reads.valid)",
            "reads_free.eq(~reads.valid)",
        ),
        Mutant(
            "updates wait for reads too",
            _UPDATE,
            "moves.eq(~reads_here | reads_free)",
            "moves.eq(reads_free)",
        ),
        Mutant(
            "reset writes what is under way",
            _UPDATE,
            'Delayed(m, "writing", writes_here, reset=True)',
            'Delayed(m, "writing", writes_here)',
        ),
        Mutant(
            "read on offer outlives a reset",
            _UPDATE,
            "with m.If(reads_free):\n            m.d.sync += [reads.valid.eq(reads_here),",
            "valid = Signal(reset_less=True)\n        m.d.comb += reads.valid.eq(valid)\n"
            "        with m.If(reads_free):\n            m.d.sync += [valid.eq(reads_here),",
        ),
        Mutant(
            "a store adds", _UPDATE, "Mux(stores[STAGES], numbers[STAGES], Cat(sums))", "Cat(sums)"
        ),
        Mutant(
            "always FP16",
            _UPDATE,
            "lane.bf16.eq(self.here.operation == Operation.UPDATE_BF16)",
            "lane.bf16.eq(0)",
        ),
        Mutant("ties away from zero", _LANE, "(value[drop] | value[: drop - 1].any())", "1"),
        Mutant(
            "sticky bit lost",
            _LANE,
            "shifted[FARTHEST:] | shifted[:FARTHEST].any()",
            "shifted[FARTHEST:]",
        ),
        Mutant(
            "far numbers come near",
            _LANE,
            "Mux(distance[4:].any(), FARTHEST, distance[:4])",
            "distance[:4]",
        ),
        Mutant("subnormals shifted too far", _LANE, "zeros & (free | most[bit])", "zeros"),
        Mutant("subnormals as normals", _LANE, "Cat(field[0] | ~normal, field[1:])", "field"),
        Mutant(
            "minus zero lost",
            _LANE,
            "Mux(total.any(), signs[2][1], signs[2][0])",
            "total.any() & signs[2][1]",
        ),
        Mutant(
            "too great is no infinity",
            _LANE,
            "special[STAGES][1] | too_great",
            "special[STAGES][1]",
        ),
        Mutant(
            "infinity less infinity",
            _LANE,
            "great.nan | (great.infinite & small.infinite & subtract)",
            "great.nan",
        ),
        Mutant("BF16 rounded as FP16", _LANE, "SPARE_BITS + 1 + PADDING)", "SPARE_BITS + 1)"),
    ),
    proofs=(LATEST,),
)
