"""What is proven of ``flightllm.instruction_scheduler``: its tokens, its order, that it goes on.

The harnesses hold a small scheduler: queues of two instructions, counters of three tokens. Every
input is free, reset too, but for what a stream promises: that an offer stands until it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from hwsim.laws.flightllm_isa import (
    FORMATS,
    OPCODE_BITS,
    TOKEN_BITS,
    UNITS,
    WORD_BITS,
    Opcode,
    token_mask,
)
from hwsim.laws.flightllm_scheduler import START_TOKEN, SchedulerGeometry
from rtl.block import Proof
from rtl.blocks.flightllm_instruction_scheduler import LONGEST, InstructionScheduler

__all__ = ["IN_ORDER", "NO_HANG", "TOKENS", "GoesOn", "InOrder", "TokensKept"]

SMALL = SchedulerGeometry(queue_depth=2, token_counter_depth=3)
SYS = Opcode.SYS
RUNNING = tuple(unit for unit in UNITS if unit is not SYS)
PAIRS = tuple((a, b) for a in UNITS for b in UNITS if a is not b)
HEAD_BITS = OPCODE_BITS + 2 * TOKEN_BITS


class _Harness(wiring.Component):
    """The scheduler with its ports, and what its environment promises."""

    def __init__(self, geometry: SchedulerGeometry, **more: wiring.Member) -> None:
        self.geometry = geometry
        self.dut = InstructionScheduler(geometry)
        super().__init__({**dict(self.dut.signature.members), **more})

    def _around(self, *, operands: bool = True) -> Module:
        """The scheduler connected; without ``operands`` all but opcodes and masks is 0."""
        m = Module()
        m.submodules.dut = self.dut
        for name in self.dut.signature.members:
            mine, its = getattr(self, name), getattr(self.dut, name)
            if name == "fault":
                m.d.comb += mine.eq(its)
            elif name == "words" and not operands:
                head = mine.payload & ((1 << HEAD_BITS) - 1) << WORD_BITS - HEAD_BITS
                m.d.comb += [
                    its.payload.eq(head),
                    its.valid.eq(mine.valid),
                    mine.ready.eq(its.ready),
                ]
            else:
                wiring.connect(m, wiring.flipped(mine), its)
        _stands(m, self.words.valid, self.words.ready, self.words.payload, Assume, "words")
        for unit in RUNNING:
            done = self.done(unit)
            _stands(m, done.valid, done.ready, done.valid, Assume, f"{unit.name} done")
        return m

    def port(self, unit: Opcode) -> stream.Interface:
        """Where a unit takes its instructions."""
        return getattr(self, unit.name.lower())

    def done(self, unit: Opcode) -> wiring.PureInterface:
        """Where a unit says that it is done."""
        return getattr(self, f"{unit.name.lower()}_done")

    def issues(self, unit: Opcode) -> Value:
        """Whether a unit takes an instruction in this cycle."""
        return self.port(unit).valid & self.port(unit).ready

    def takes(self) -> Value:
        """Whether a word is taken in this cycle."""
        return self.words.valid & self.words.ready


def _stands(m: Module, valid: Value, ready: Value, payload: Value, says: type, name: str) -> None:
    """What is offered and not taken is offered again."""
    stalled, before = Signal(), Signal.like(Value.cast(payload))
    m.d.sync += [stalled.eq(valid & ~ready), before.eq(payload)]
    with m.If(stalled):
        m.d.comb += says(valid & (Value.cast(payload) == before), f"{name} stands")


def _names(unit: Opcode, mask: Value, other: Opcode) -> Value:
    """Whether a mask of ``unit`` names ``other``."""
    return (mask & token_mask(unit, (other,))).any()


class TokensKept(_Harness):
    """Counts every pair's tokens from what is seen at the ports, beside the scheduler."""

    def elaborate(self, _platform: object) -> Module:
        """Tokens are there before they are taken, and there is room before they are given."""
        m = self._around()
        gives = {SYS: (self.issues(SYS), self.port(SYS).payload.release)}
        for unit in UNITS:
            port = self.port(unit)
            _stands(m, port.valid, port.ready, port.payload, Assert, unit.name)
            if unit is not SYS:
                gives[unit] = self._runs(m, unit)
        full, both = [], []
        for giver, taker in PAIRS:
            when, mask = gives[giver]
            give = when & _names(giver, mask, taker)
            take = self.issues(taker) & _names(taker, self.port(taker).payload.wait, giver)
            full.append(self._pair(m, giver, taker, give, take))
            both.append(give & take)
        held = [self.done(u).valid & ~self.done(u).ready & self.dut.lanes[u].runs for u in RUNNING]
        m.d.comb += [
            Cover(Cat(full).any(), "a counter is full"),
            Cover(Cat(both).any(), "a token is given while another is taken"),
            Cover(Cat(held).any(), "a unit that is done is held back"),
        ]
        return m

    def _runs(self, m: Module, unit: Opcode) -> tuple[Value, Value]:
        """When a unit gives tokens, and to whom: what it was told when it took its instruction."""
        lane, port, done = self.dut.lanes[unit], self.port(unit), self.done(unit)
        runs, release = Signal(), Signal(TOKEN_BITS)
        ends = done.valid & done.ready
        with m.If(self.issues(unit)):
            m.d.sync += [runs.eq(1), release.eq(port.payload.release)]
        with m.Elif(ends):
            m.d.sync += runs.eq(0)
        m.d.comb += [
            Assert(lane.runs == runs, f"{unit.name} runs"),
            Assert(~runs | (lane.held == release), f"{unit.name} gives what it was told"),
            Assert(~(runs & port.valid), f"{unit.name} has one instruction at a time"),
            Assert(~ends | runs, f"{unit.name} is done once"),
        ]
        return ends, release

    def _pair(self, m: Module, giver: Opcode, taker: Opcode, give: Value, take: Value) -> Value:
        """The tokens of a pair; whether there is room for no more."""
        depth, counter = self.geometry.token_counter_depth, self.dut.counters[giver, taker]
        tokens = Signal(range(depth + 2), init=int((giver, taker) == START_TOKEN))
        name = f"{giver.name} -> {taker.name}"
        m.d.sync += tokens.eq(tokens + give - take)
        m.d.comb += [
            Assert(~take | (tokens != 0), f"{name}: a token is there when it is taken"),
            Assert(~give | (tokens < depth), f"{name}: there is room when one is given"),
            Assert(counter.count == tokens, f"{name}: none lost, none made"),
            Assert(counter.there == (tokens != 0), f"{name}: there"),
            Assert(counter.room == (tokens < depth), f"{name}: room"),
        ]
        return tokens == depth


class InOrder(_Harness):
    """Follows any one instruction from its first word to its issue.

    ``follow`` chooses it, and the solver tries every choice.
    """

    NOWHERE, COMING, DECODED, QUEUED, FIRST = range(5)

    def __init__(self, geometry: SchedulerGeometry) -> None:
        super().__init__(geometry, follow=In(1))
        self.where = Signal(range(5))
        self.word = [Signal(WORD_BITS, name=f"word{i}") for i in range(LONGEST)]
        self.slot = Signal(range(geometry.queue_depth))
        self.ahead = Signal(range(geometry.queue_depth + 2))
        """Instructions of the same unit before it, that are not issued."""

    def elaborate(self, _platform: object) -> Module:
        """It is where it should be, behind as many as it should, and as it was written."""
        m = self._around()
        decoder = self.dut.decoder
        opcode = self.words.payload[WORD_BITS - OPCODE_BITS :]
        m.d.comb += [
            Assert(~decoder.full | (decoder.at == 0), "decoder: full between instructions"),
            Assert(self.where <= self.FIRST, "it is somewhere"),
        ]
        with m.If((self.where == self.NOWHERE) & self.takes() & (decoder.at == 0) & self.follow):
            m.d.sync += self.word[0].eq(self.words.payload)
            for unit in UNITS:
                with m.If(opcode == unit):
                    self._begins(m, unit)
        for unit in UNITS:
            self._queue(m, unit)
            with m.If(self.word[0][WORD_BITS - OPCODE_BITS :] == unit):
                self._goes(m, unit)
        return m

    def _begins(self, m: Module, unit: Opcode) -> None:
        queue = self.dut.queues[unit]
        lone = FORMATS[unit].words == 1
        before = queue.level + queue.valid + queue.push - self.issues(unit)
        m.d.sync += [self.where.eq(self.DECODED if lone else self.COMING), self.ahead.eq(before)]

    def _queue(self, m: Module, unit: Opcode) -> None:
        """What holds of a queue at all times."""
        queue, depth = self.dut.queues[unit], self.geometry.queue_depth
        held = self._wrapped(queue.oldest + queue.level)
        m.d.comb += [
            Assert(queue.level <= depth, f"{unit.name} queue: level"),
            Assert((queue.oldest < depth) & (queue.newest < depth), f"{unit.name} queue: places"),
            Assert(queue.newest == held, f"{unit.name} queue: as many as its level"),
            Assert(~queue.push | (queue.level != depth), f"{unit.name} queue: room"),
        ]

    def _wrapped(self, place: Value) -> Value:
        depth = self.geometry.queue_depth
        return Mux(place >= depth, place - depth, place)

    def _goes(self, m: Module, unit: Opcode) -> None:
        """The way of an instruction of this unit."""
        queue, decoder, words = self.dut.queues[unit], self.dut.decoder, FORMATS[unit].words
        stored = queue.items.read_port(domain="comb")
        operands = self._operands(unit)
        moves = (queue.level != 0) & (~queue.valid | queue.pop)
        distance = Signal(range(2 * self.geometry.queue_depth))
        m.d.comb += [
            stored.addr.eq(self.slot),
            distance.eq(self._wrapped(self.slot + self.geometry.queue_depth - queue.oldest)),
        ]
        with m.If((self.where != self.NOWHERE) & self.issues(unit)):
            m.d.sync += self.ahead.eq(self.ahead - 1)
            m.d.comb += Assert(
                (self.ahead != 0) | (self.where == self.FIRST), f"{unit.name}: not overtaken"
            )
        with m.Switch(self.where):
            with m.Case(self.COMING):
                self._collects(m, unit)
                m.d.comb += Assert(self.ahead == queue.level + queue.valid, f"{unit.name}: turn")
            with m.Case(self.DECODED):
                same = [a == b for a, b in zip(self.word[:words], decoder.held, strict=False)]
                m.d.comb += [
                    Assert(decoder.full & Cat(same).all(), f"{unit.name}: decoded"),
                    Assert(self.ahead == queue.level + queue.valid, f"{unit.name}: its turn"),
                ]
                with m.If(queue.push):
                    m.d.sync += [self.where.eq(self.QUEUED), self.slot.eq(queue.newest)]
            with m.Case(self.QUEUED):
                m.d.comb += [
                    Assert(self.slot < self.geometry.queue_depth, f"{unit.name}: a slot"),
                    Assert(distance < queue.level, f"{unit.name}: queued"),
                    Assert(Value.cast(stored.data) == operands, f"{unit.name}: as it was written"),
                    Assert(self.ahead == distance + queue.valid, f"{unit.name}: in its place"),
                ]
                with m.If(moves & (self.slot == queue.oldest)):
                    m.d.sync += self.where.eq(self.FIRST)
            with m.Case(self.FIRST):
                payload = Value.cast(self.port(unit).payload)
                m.d.comb += [
                    Assert(queue.valid & (self.ahead == 0), f"{unit.name}: first"),
                    Assert(payload == operands, f"{unit.name}: its operands are offered"),
                ]
                with m.If(self.issues(unit)):
                    m.d.sync += self.where.eq(self.NOWHERE)
                    m.d.comb += Cover(Const(1), f"{unit.name} is issued")
                    if unit is not Opcode.LD:  # two of which take long to come
                        m.d.comb += Cover(queue.level != 0, f"{unit.name}: one is behind it")

    def _collects(self, m: Module, unit: Opcode) -> None:
        decoder, words = self.dut.decoder, FORMATS[unit].words
        m.d.comb += Assert(
            (decoder.at != 0) & (decoder.at + decoder.left == words - 1) & ~decoder.full,
            f"{unit.name}: coming",
        )
        for i in range(words):
            with m.If(decoder.at > i):
                m.d.comb += Assert(decoder.held[i] == self.word[i], f"{unit.name}: word {i}")
            with m.If((decoder.at == i) & self.takes()):
                m.d.sync += self.word[i].eq(self.words.payload)
        with m.If((decoder.at == words - 1) & self.takes()):
            m.d.sync += self.where.eq(self.DECODED)

    def _operands(self, unit: Opcode) -> Value:
        return Cat(
            self.word[part.word][part.lsb : part.msb + 1]
            for field in FORMATS[unit].operands
            for part in field.parts
        )


class GoesOn(_Harness):
    """A program without end, of which a word is always on offer, and units that answer in time.

    ``lawful`` says whether the program is one that the law accepts. That a program which is not
    can hang is covered.
    """

    CYCLES = 20
    BUSY = 3
    """Cycles within which a unit is done."""
    SILENT = 5
    """Cycles in which nothing is taken or issued that are called a hang."""

    def __init__(self, geometry: SchedulerGeometry) -> None:
        super().__init__(geometry, lawful=In(1))

    def elaborate(self, _platform: object) -> Module:
        """Never so many cycles in a row without a word taken or an instruction issued."""
        m = self._around(operands=False)
        cycle = Signal(range(self.CYCLES + 1), reset_less=True)
        m.d.sync += cycle.eq(Mux(cycle == self.CYCLES, cycle, cycle + 1))
        was = Signal()
        m.d.sync += was.eq(self.lawful)
        m.d.comb += [
            Assume(self.words.valid),
            Assume((cycle == 0) | (was == self.lawful)),
            Assume(~self.lawful | self._accepted(m)),
        ]
        for unit in UNITS:
            m.d.comb += Assume(self.port(unit).ready)
        for unit in RUNNING:
            self._answers(m, unit)
        silent = Signal(range(self.SILENT + 1))
        moves = self.takes() | Cat(self.issues(unit) for unit in UNITS).any()
        with m.If(moves):
            m.d.sync += silent.eq(0)
        with m.Elif(silent != self.SILENT):
            m.d.sync += silent.eq(silent + 1)
        hangs = silent == self.SILENT
        m.d.comb += [
            Assert(~(hangs & self.lawful), "goes on"),
            Cover(hangs & ~self.lawful, "a program that is refused hangs"),
            Cover(self.lawful & (silent == 0) & (cycle == self.CYCLES - 1), "a program runs"),
        ]
        return m

    def _answers(self, m: Module, unit: Opcode) -> None:
        lane, since = self.dut.lanes[unit], Signal(range(self.BUSY + 1))
        with m.If(~lane.runs):
            m.d.sync += since.eq(0)
        with m.Elif(since != self.BUSY):
            m.d.sync += since.eq(since + 1)
        m.d.comb += Assume(self.done(unit).valid | (since < self.BUSY - 2))

    def _accepted(self, m: Module) -> Value:
        """Whether the word on offer goes on with a program that the law's check accepts.

        Accepted or not, its opcodes are known.
        """
        decoder, word = self.dut.decoder, self.words.payload
        opcode = word[WORD_BITS - OPCODE_BITS :]
        wait, release = word[23 : 23 + TOKEN_BITS], word[18 : 18 + TOKEN_BITS]
        known = Cat(opcode == unit for unit in UNITS).any()
        right = []
        for giver, taker in PAIRS:
            tokens = Signal(
                range(self.geometry.token_counter_depth + 1),
                init=int((giver, taker) == START_TOKEN),
            )
            take = (opcode == taker) & _names(taker, wait, giver)
            give = (opcode == giver) & _names(giver, release, taker)
            right += [~take | (tokens != 0), ~give | (tokens != self.geometry.token_counter_depth)]
            with m.If(self.takes() & (decoder.at == 0)):
                m.d.sync += tokens.eq(tokens + give - take)
        m.d.comb += Assume((decoder.at != 0) | known)
        return (decoder.at != 0) | Cat(right).all()


def _small(harness: type[_Harness]) -> Callable[[Any], wiring.Component]:
    return lambda _config: harness(SMALL)


TOKENS = Proof(
    name="tokens",
    harness=_small(TokensKept),
    depth=16,
    statement=(
        "No instruction is issued before a token from every unit it waits for is there; no token "
        "is lost or made; none is given to a full counter; a unit has one instruction at a time."
    ),
)
IN_ORDER = Proof(
    name="in order",
    harness=_small(InOrder),
    depth=10,
    statement=(
        "Any instruction is issued with the operands of its words, after those of its unit that "
        "came before it and before those that came after it."
    ),
)
NO_HANG = Proof(
    name="no hang",
    harness=_small(GoesOn),
    depth=GoesOn.CYCLES,
    bounded=True,
    statement=(
        f"In the first {GoesOn.CYCLES} cycles of any program that the law's check accepts, with "
        f"units that are done within {GoesOn.BUSY} cycles, no {GoesOn.SILENT} pass in which no "
        "word is taken and no instruction issued."
    ),
)
