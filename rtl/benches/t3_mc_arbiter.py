"""``t3.mc_arbiter``: every admission, whose it is and its cycle, against the law's choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from random import Random

import numpy as np

from hwsim.golden.t3_mc_arbiter import admitted
from hwsim.laws.t3_arbiter import (
    COMMUNICATION,
    COMPUTE,
    COMPUTE_FIRST,
    NOBODY,
    ROUND_ROBIN,
    UNLIMITED,
)
from hwsim.laws.t3_mc_arbiter import (
    LATENCY,
    ArbiterGeometry,
    Decision,
    Report,
    Settings,
    Traffic,
    Transfers,
    transfers,
)
from rtl.benches.stimulus import STALLS, alternated, gaps, pack, ready_pattern
from rtl.block import Block, Case, Mode, Mutant, Offer, Proof
from rtl.blocks.t3_mc_arbiter import MemoryArbiter
from rtl.ports.t3_mc_arbiter import PORTS
from rtl.proofs.t3_mc_arbiter import Admission, Passage

__all__ = ["BLOCK", "recorded", "replayed"]

CYCLES = 10000
THRESHOLDS = (0, 1, 5, 10, 30, UNLIMITED)
"""Those that T3 chooses from, and the least."""
LIMITS = (0, 1, 2, 7, 40, UNLIMITED)
POLICIES = {ROUND_ROBIN: "round robin", COMPUTE_FIRST: "compute first"}
CHOICES = {NOBODY: "nobody", COMPUTE: "computing", COMMUNICATION: "communication"}
KEPT_OUT = {
    "computing does not fit": (True, False),
    "communication does not fit": (False, True),
    "neither fits": (True, True),
}
MANY_BITS = 12
"""Up to which a count of cycles is run until it stays."""
ALWAYS_TAKEN = "settings and reports are always taken"


def _cases(geometry: ArbiterGeometry, rng: Random) -> Iterator[Case]:
    """The short ones first: a fault that they show needs no long run."""
    yield from alternated(_cut(geometry, rng), _whole(geometry, rng))


def _cut(geometry: ArbiterGeometry, rng: Random) -> Iterator[Case]:
    for cut in (1, 3, 20, 90):
        traffic = _random(geometry, rng, "both", cut)
        name, ready = f"reset after {cut}", ready_pattern(rng, "both")
        yield replayed(geometry, rng, name, traffic, ready, cut)


def _whole(geometry: ArbiterGeometry, rng: Random) -> Iterator[Case]:
    yield _without_settings(geometry, rng)
    if geometry.wait_bits <= MANY_BITS:
        yield _starved(geometry, rng)
    for stalls in STALLS:
        traffic = _random(geometry, rng, stalls, CYCLES)
        yield replayed(geometry, rng, stalls, traffic, ready_pattern(rng, stalls))


def _random(geometry: ArbiterGeometry, rng: Random, stalls: str, cycles: int) -> Traffic:
    """About as many cycles of settings and reports; then whoever is left comes through."""
    requests = cycles * 9 // 32
    settings_gaps = _up_to_cycle(cycles, [0, *rng.choices((0, 5, 20, 60, 90), k=cycles)])
    report_gaps = _up_to_cycle(cycles, gaps(rng, cycles, stalls))
    rules = [_settings(geometry, rng) for _ in settings_gaps]
    rules[-1] = Settings(ROUND_ROBIN, UNLIMITED, UNLIMITED, UNLIMITED)
    return Traffic(
        compute_gaps=_bursts(rng, requests, stalls),
        communication_gaps=_bursts(rng, requests, stalls),
        settings=rules,
        settings_gaps=settings_gaps,
        reports=[*_walk(geometry, rng, len(report_gaps) - 1), Report(0)],
        report_gaps=report_gaps,
    )


def _up_to_cycle(cycles: int, pauses: list[int]) -> list[int]:
    """As many items with these pauses before them as come in ``cycles``, and one more."""
    at = accumulate(pause + 1 for pause in pauses)
    return pauses[: 1 + sum(cycle <= cycles for cycle in at)]


def _bursts(rng: Random, requests: int, stalls: str) -> list[int]:
    """Pauses between requests; long ones too, so that the other stream is alone for a while."""
    return [30 if rng.random() < 0.01 else pause for pause in gaps(rng, requests, stalls)]


def _settings(geometry: ArbiterGeometry, rng: Random) -> Settings:
    most = geometry.most_entries
    return Settings(
        policy=rng.choice((ROUND_ROBIN, COMPUTE_FIRST, COMPUTE_FIRST)),
        threshold=rng.choice(_up_to(THRESHOLDS, most)),
        capacity=rng.choice((*[UNLIMITED] * 5, rng.randint(0, most))),
        limit=rng.choice(_up_to(LIMITS, geometry.most_waited)),
    )


def _up_to(values: Sequence[int], most: int) -> list[int]:
    """Those that the hardware can be told, and unlimited."""
    return [value for value in values if value <= most or value == UNLIMITED]


def _walk(geometry: ArbiterGeometry, rng: Random, cycles: int) -> list[Report]:
    """Entries that rise and fall by little, and now and then jump to a threshold's edge."""
    edges = [t + d for t in _up_to(THRESHOLDS, geometry.most_entries) for d in (-1, 0)]
    reports, entries = [], 0
    for _ in range(cycles):
        entries += rng.choice((-2, -1, -1, 0, 1, 1, 2))
        if rng.random() < 0.05:
            entries = rng.choice([0, geometry.most_entries, *edges])
        entries = min(max(entries, 0), geometry.most_entries)
        reports.append(Report(entries, rng.random() < 0.95, rng.random() < 0.95))
    return reports


def _without_settings(geometry: ArbiterGeometry, rng: Random) -> Case:
    """Nobody is admitted as long as no settings have come."""
    rule = Settings(ROUND_ROBIN, UNLIMITED, UNLIMITED, UNLIMITED)
    traffic = _steady([0, 0], [0, 0], [rule], [15])
    return replayed(geometry, rng, "without settings", traffic, [True])


def _starved(geometry: ArbiterGeometry, rng: Random) -> Case:
    """Communication waits until the count stays; then a limit comes that has long been reached."""
    most = geometry.most_waited
    never = Settings(COMPUTE_FIRST, threshold=0, capacity=UNLIMITED, limit=UNLIMITED)
    late, at_last = never._replace(limit=most), never._replace(policy=ROUND_ROBIN)
    traffic = _steady([0] * (most + 10), [0, 0], [never, late, at_last], [0, most + 5, 20])
    return replayed(geometry, rng, "starved", traffic, [True])


def _steady(
    compute: list[int], communication: list[int], rules: list[Settings], pauses: list[int]
) -> Traffic:
    """Traffic to a queue that stays empty."""
    return Traffic(
        compute_gaps=compute,
        communication_gaps=communication,
        settings=rules,
        settings_gaps=pauses,
        reports=[Report(0)],
        report_gaps=[0],
    )


def recorded(geometry: ArbiterGeometry, rng: Random, decisions: Sequence[Decision]) -> Case:
    """Decisions of a simulated memory, played to the arbiter, whose choices must be the same.

    ``decisions`` are of one channel, in order, of those cycles in which it looked at its streams;
    in the others nobody can be chosen. Their ``full`` is ignored: a queue that is always ready
    never fills the buffer.
    """
    first = decisions[0].cycle - decisions[0].waited - 2  # the settings have come, and rule
    rows = [each._replace(cycle=each.cycle - first) for each in decisions]
    reports = [Report(r.entries, r.compute_waits, r.communication_waits) for r in rows]
    at = [r.cycle for r in rows]
    before = [cycle - 1 for cycle in at]
    traffic = Traffic(
        compute_gaps=_pauses(_offers(rows, COMPUTE), _admissions(rows, COMPUTE)),
        communication_gaps=_pauses(_offers(rows, COMMUNICATION), _admissions(rows, COMMUNICATION)),
        settings=[r.settings for r in rows],
        settings_gaps=_pauses(before, before),
        reports=reports,
        report_gaps=_pauses(at, at),
    )
    return replayed(geometry, rng, "recorded", traffic, [True], at[-1] + LATENCY + 1)


def _admissions(rows: Sequence[Decision], stream: int) -> list[int]:
    return [row.cycle for row in rows if row.choice == stream]


def _offers(rows: Sequence[Decision], stream: int) -> list[int]:
    """The cycle from which each request of a stream is offered.

    Of communication it is known by how long it has waited; of computing, whose waiting nobody
    counts, the first cycle in which it was seen to wait will do.
    """
    offers: list[int] = []
    since: int | None = None
    for row in rows:
        if stream == COMMUNICATION and row.communication_waits:
            since = row.cycle - row.waited
        elif stream == COMPUTE and row.compute_waits and since is None:
            since = row.cycle
        if row.choice == stream and since is not None:
            offers.append(since)
            since = None
    return offers if since is None else [*offers, since]


def _pauses(offered: Sequence[int], taken: Sequence[int]) -> list[int]:
    """From one transfer to the next offer."""
    free = [0, *(cycle + 1 for cycle in taken)]
    return [at - since for at, since in zip(offered, free, strict=False)]


def replayed(
    geometry: ArbiterGeometry,
    rng: Random,
    name: str,
    traffic: Traffic,
    ready: list[bool],
    cut: int | None = None,
) -> Case:
    """Some traffic up to its end, or to ``cut``, with random requests."""
    law = transfers(geometry, traffic, lambda c: ready[c % len(ready)], cut)
    requests = [
        [rng.getrandbits(geometry.request_bits) for _ in pauses]
        for pauses in (traffic.compute_gaps, traffic.communication_gaps)
    ]
    inputs = {
        "compute": Offer(requests[0], traffic.compute_gaps),
        "communication": Offer(requests[1], traffic.communication_gaps),
        "settings": Offer(_rules(geometry, traffic.settings), traffic.settings_gaps),
        "occupancy": Offer(_reports(geometry, traffic.reports), traffic.report_gaps),
    }
    taken = {
        "compute": law.compute,
        "communication": law.communication,
        "settings": law.settings,
        "occupancy": law.occupancy,
    }
    expected = {n: list(zip(c, inputs[n].payloads, strict=False)) for n, c in taken.items()}
    golden = admitted(np.array(law.choices, int) - COMPUTE)
    words = [
        requests[s][i] | int(s) << geometry.request_bits
        for s, i in zip(golden.stream, golden.position, strict=True)
    ]
    expected["queue"] = list(zip(law.queue, words, strict=False))
    return Case(
        name=name,
        inputs=inputs,
        ready={"queue": ready},
        expected=expected,
        cycles=len(law.decisions),
        cut=cut is not None,
        owed=len(law.choices) - len(law.queue),
        outputs=len(law.queue),
        covers=_covered(geometry, law),
    )


def _rules(geometry: ArbiterGeometry, rules: Sequence[Settings]) -> list[int]:
    """The settings' payloads: a number beyond its count is the greatest bit alone."""
    policy, threshold, capacity, limit = np.array(rules).T
    level, wait = geometry.entry_bits + 1, geometry.wait_bits + 1
    return pack(
        [
            (policy, 1),
            (np.minimum(threshold, geometry.most_entries + 1), level),
            (np.minimum(capacity, geometry.most_entries + 1), level),
            (np.minimum(limit, geometry.most_waited + 1), wait),
        ]
    )


def _reports(geometry: ArbiterGeometry, reports: Sequence[Report]) -> list[int]:
    entries, compute, communication = np.array(reports, int).T
    return pack([(entries, geometry.entry_bits), (compute, 1), (communication, 1)])


def _bins(geometry: ArbiterGeometry) -> frozenset[str]:
    thresholds = _up_to(THRESHOLDS, geometry.most_entries)
    limits = _up_to(LIMITS, geometry.most_waited)
    return frozenset(
        {_met(POLICIES[p], True, True, c) for p in POLICIES for c in (COMPUTE, COMMUNICATION)}
        | {_met(POLICIES[p], True, False, COMPUTE) for p in POLICIES}
        | {_met(POLICIES[p], False, True, COMMUNICATION) for p in POLICIES}
        | {_met(POLICIES[COMPUTE_FIRST], False, True, NOBODY)}
        | {f"{POLICIES[new]} after {POLICIES[old]}" for new in POLICIES for old in POLICIES}
        | {f"threshold {_said(t)}" for t in thresholds}
        | {f"limit {_said(limit)}" for limit in limits}
        | {f"entries {d} of threshold {t}" for t in thresholds[1:-1] for d in ("short", "at")}
        | {f"waited {d} of limit {w}" for w in limits[1:-1] for d in ("short", "at")}
        | {"buffer full", "at capacity", "forced beyond the threshold"}
        | set(KEPT_OUT)
        | ({"count stays"} if geometry.wait_bits <= MANY_BITS else set())
    )


def _met(policy: str, compute: bool, communication: bool, choice: int) -> str:
    waits = [n for n, w in (("computing", compute), ("communication", communication)) if w]
    return f"{policy}: {CHOICES[choice]} of {' and '.join(waits)}"


def _said(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)


def _covered(geometry: ArbiterGeometry, law: Transfers) -> frozenset[str]:
    bins = set[str]()
    for seen in law.decisions:
        waits = seen.compute_waits or seen.communication_waits
        if seen.full and waits:
            bins.add("buffer full")
        elif seen.entries >= seen.settings.capacity and waits:
            bins.add("at capacity")
        elif waits:
            bins |= _decided(geometry, seen)
        kept_out = seen.compute_kept_out, seen.communication_kept_out
        bins |= {name for name, kept in KEPT_OUT.items() if kept == kept_out}
    set_at = set(law.settings)
    for before, after in pairwise(law.decisions):
        if before.cycle in set_at:
            old, new = before.settings.policy, after.settings.policy
            bins.add(f"{POLICIES[new]} after {POLICIES[old]}")
    return frozenset(bins)


def _decided(geometry: ArbiterGeometry, seen: Decision) -> set[str]:
    rule, policy = seen.settings, POLICIES[seen.settings.policy]
    bins = {_met(policy, seen.compute_waits, seen.communication_waits, seen.choice)}
    if rule.policy == COMPUTE_FIRST and seen.communication_waits:
        bins |= {f"threshold {_said(rule.threshold)}", f"limit {_said(rule.limit)}"}
        if not seen.compute_waits and seen.waited < rule.limit:
            bins |= _edge("entries", seen.entries, "threshold", rule.threshold)
        if seen.compute_waits or seen.entries >= rule.threshold:
            bins |= _edge("waited", seen.waited, "limit", rule.limit)
        if seen.choice == COMMUNICATION and seen.entries >= rule.threshold:
            bins.add("forced beyond the threshold")
    if seen.waited == geometry.most_waited:
        bins.add("count stays")
    return bins


def _edge(count: str, value: int, bound: str, at: int) -> set[str]:
    """That a count stands on one side of its bound, or on the other."""
    sides = {at - 1: "short", at: "at"}
    return {f"{count} {sides[value]} of {bound} {at}"} if value in sides else set()


def _timing(_geometry: ArbiterGeometry) -> list[Mode]:
    return [Mode(policy, LATENCY, "1") for policy in POLICIES.values()]


_SOURCE = "rtl.blocks.t3_mc_arbiter"


def _mutant(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, _SOURCE, old, new)


BLOCK = Block(
    name="t3.mc_arbiter",
    title="memory controller arbiter",
    parameters=ArbiterGeometry,
    component=MemoryArbiter,
    modes=_timing,
    ports=PORTS,
    codes=lambda _geometry: {
        "settings.policy": {name: code for code, name in POLICIES.items()},
        "queue.communication": {"computing": 0, "communication": 1},
    },
    cases=_cases,
    bins=_bins,
    exempt=lambda _geometry: dict.fromkeys(
        ("settings: stalled", "occupancy: stalled"), ALWAYS_TAKEN
    ),
    diagram=(
        ("compute", "communication", "occupancy", "settings"),
        ("cycles waited,\nlast admitted,\nreport, rule",),
        ("choice:\nat most one",),
        ("register,\nand one to spare",),
        ("queue:\nrequest, whose",),
    ),
    sweep=(
        {},
        {"request_bits": "1", "entry_bits": "1", "wait_bits": "1"},
        {"request_bits": "320", "entry_bits": "6", "wait_bits": "5"},
        {"request_bits": "40", "entry_bits": "16", "wait_bits": "16"},
    ),
    mutants=(
        _mutant("queue stall ignored", "queue.valid & ~queue.ready", "0"),
        _mutant("admitted into a full buffer", "room.eq(~self.spare_full & (", "room.eq(("),
        _mutant(
            "one more than the capacity",
            "report.entries < rule.capacity",
            "report.entries <= rule.capacity",
        ),
        _mutant(
            "threshold is one more",
            "report.entries < rule.threshold",
            "report.entries <= rule.threshold",
        ),
        _mutant("forced a cycle late", "self.waited >= rule.limit", "self.waited > rule.limit"),
        _mutant(
            "forced only at the limit", "self.waited >= rule.limit", "self.waited == rule.limit"
        ),
        _mutant(
            "forced in vain",
            "self.compute.ready.eq(room & compute & ~forced)",
            "self.compute.ready.eq(room & compute)",
        ),
        _mutant(
            "communication not held back",
            "forced | (communication & below)",
            "forced | (communication & ~compute)",
        ),
        _mutant("count of cycles wraps", "with m.Elif(~self.waited.all()):", "with m.Else():"),
        _mutant(
            "waited in spite of an admission",
            "~self.communication.valid | takes_communication",
            "~self.communication.valid",
        ),
        _mutant(
            "last report counts, not this one",
            "self.occupancy.payload, self.kept))",
            "self.kept, self.kept))",
        ),
        _mutant("a report counts once", "self.kept.eq(report)", "self.kept.eq(self.kept)"),
        _mutant(
            "computing turns forgotten",
            "self.after_compute.eq(takes_compute)",
            "self.after_compute.eq(1)",
        ),
        _mutant(
            "turn taken from a lone stream", "self.after_compute | ~compute", "self.after_compute"
        ),
        _mutant(
            "turn moves with every cycle",
            "with m.If(takes_compute | takes_communication):",
            "with m.If(1):",
        ),
        _mutant(
            "room for computing ignored",
            "self.compute.valid & report.compute_fits",
            "self.compute.valid",
        ),
        _mutant(
            "room for communication ignored",
            "self.communication.valid & report.communication_fits",
            "self.communication.valid",
        ),
        _mutant("spare overtaken", "Mux(self.spare_full, self.spare, admitted)", "admitted"),
    ),
    proofs=(
        Proof(
            name="admission",
            harness=Admission,
            depth=6,
            statement=(
                "At most one request is admitted a cycle, none that is not offered, does not fit "
                "or comes at the capacity. Where communication waits, compute first passes it over "
                "in at most limit open cycles; where computing waits, at most one communication "
                "passes it in any limit + 1 cycles, and while all cycles are open and the limit is "
                "not 0 it waits for at most one. Round robin passes neither over twice in a row. "
                "Nobody is left waiting in an open cycle but communication, at the threshold and "
                "within the limit. Whatever the traffic, settings, reports, stalls and resets."
            ),
        ),
        Proof(
            name="passage",
            harness=Passage,
            depth=5,
            statement=(
                "Every admitted request is offered to the queue once, unchanged, as its stream's, "
                "and in the order of admission; no offer is withdrawn."
            ),
        ),
    ),
)
