"""What is proven of ``flightllm.instruction_scheduler``: its tokens, its order, that it goes on.

Every input is free, reset too, but for what a stream promises: that an offer stands until it is
taken. Tokens and order are proven at the parameters that are asked for. That it goes on is proven
of a small scheduler, whose queues and counters fill within the cycles that a solver can look ahead.
"""

from __future__ import annotations

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
from hwsim.laws.flightllm_scheduler import (
    START_TOKEN,
    SchedulerGeometry,
    room_for,
    there_for,
)
from rtl.block import Proof
from rtl.blocks.flightllm_instruction_scheduler import LONGEST, InstructionScheduler

__all__ = ["IN_ORDER", "NO_HANG", "TOKENS", "GoesOn", "InOrder", "TokensKept"]

SYS = Opcode.SYS
RUNNING = tuple(unit for unit in UNITS if unit is not SYS)
PAIRS = tuple((a, b) for a in UNITS for b in UNITS if a is not b)


class _Harness(wiring.Component):
    """The scheduler with its ports, and what its environment promises."""

    def __init__(self, geometry: SchedulerGeometry, **more: wiring.Member) -> None:
        self.geometry = geometry
        self.dut = InstructionScheduler(geometry)
        super().__init__({**dict(self.dut.signature.members), **more})

    def _around(self) -> Module:
        """The scheduler connected."""
        m = Module()
        m.submodules.dut = self.dut
        for name in self.dut.signature.members:
            mine, its = getattr(self, name), getattr(self.dut, name)
            if name == "fault":
                m.d.comb += mine.eq(its)
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

    FILLED = 3
    """Tokens that can come together in a counter within the proof's depth."""

    def elaborate(self, _platform: object) -> Module:
        """Tokens are there before they are taken, and there is room before they are given."""
        m = self._around()
        gives = {SYS: (self.issues(SYS), self.port(SYS).payload.release)}
        for unit in UNITS:
            port = self.port(unit)
            masks = Cat(port.payload.wait, port.payload.release)
            _stands(m, port.valid, port.ready, masks, Assert, unit.name)
            if unit is not SYS:
                gives[unit] = self._runs(m, unit)
        filled, both = [], []
        for giver, taker in PAIRS:
            when, mask = gives[giver]
            give = when & _names(giver, mask, taker)
            take = self.issues(taker) & _names(taker, self.port(taker).payload.wait, giver)
            filled.append(self._pair(m, giver, taker, give, take))
            both.append(give & take)
        held = [self.done(u).valid & ~self.done(u).ready & self.dut.lanes[u].runs for u in RUNNING]
        depth = self.geometry.token_counter_depth
        m.d.comb += Cover(Cat(filled).any(), f"a counter holds {min(depth, self.FILLED)}")
        if depth > 1:  # at 1, one that can be taken leaves no room
            m.d.comb += Cover(Cat(both).any(), "a token is given while another is taken")
        if depth <= self.FILLED:
            m.d.comb += Cover(Cat(held).any(), "a unit that is done is held back")
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
        """The tokens of a pair; whether as many came together as can be seen, or as there may."""
        depth, counter = self.geometry.token_counter_depth, self.dut.counters[giver, taker]
        tokens = Signal(range(depth + 2), init=int((giver, taker) == START_TOKEN))
        name = f"{giver.name} -> {taker.name}"
        m.d.sync += tokens.eq(tokens + give - take)
        m.d.comb += [
            Assert(tokens <= depth, f"{name}: no more than a counter holds"),
            Assert(~take | (tokens != 0), f"{name}: a token is there when it is taken"),
            Assert(~give | (tokens < depth), f"{name}: there is room when one is given"),
            Assert(counter.count == tokens, f"{name}: none lost, none made"),
            Assert(counter.there == (tokens != 0), f"{name}: there"),
            Assert(counter.room == (tokens < depth), f"{name}: room"),
        ]
        return tokens == min(depth, self.FILLED)


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
    """A program without end, and consumers and producers that answer in time.

    ``lawful`` says whether the program is one that the law accepts. That a program which is not
    can hang is covered.
    """

    GEOMETRY = SchedulerGeometry(queue_depth=2, token_counter_depth=3)
    CYCLES = 18
    PAUSE = 1
    """Cycles in a row for which the program offers no word, or a unit takes no instruction."""
    BUSY = 3
    """Cycles within which a unit is done."""
    SILENT = 5
    """Cycles in which nothing is taken or issued that are called a hang."""

    def __init__(self, geometry: SchedulerGeometry) -> None:
        super().__init__(geometry, lawful=In(1))

    def elaborate(self, _platform: object) -> Module:
        """Never so many cycles in a row without a word taken or an instruction issued."""
        m = self._around()
        cycle = Signal(range(self.CYCLES + 1), reset_less=True)
        m.d.sync += cycle.eq(Mux(cycle == self.CYCLES, cycle, cycle + 1))
        was = Signal()
        m.d.sync += was.eq(self.lawful)
        m.d.comb += [
            Assume((cycle == 0) | (was == self.lawful)),
            Assume(~self.lawful | self._accepted(m)),
        ]
        self._soon(m, Const(1), self.words.valid, self.PAUSE)
        for unit in UNITS:
            self._soon(m, self.port(unit).valid, self.port(unit).ready, self.PAUSE)
        for unit in RUNNING:
            self._soon(m, self.dut.lanes[unit].runs, self.done(unit).valid, self.BUSY - 1)
        silent = Signal(range(self.SILENT + 1))
        moves = self.takes() | Cat(self.issues(unit) for unit in UNITS).any()
        with m.If(moves):
            m.d.sync += silent.eq(0)
        with m.Elif(silent != self.SILENT):
            m.d.sync += silent.eq(silent + 1)
        hangs = silent == self.SILENT
        full = Cat(queue.level == queue.depth for queue in self.dut.queues.values()).any()
        m.d.comb += [
            Assert(~(hangs & self.lawful), "goes on"),
            Cover(hangs & ~self.lawful, "a program that is refused hangs"),
            Cover(self.lawful & (silent == self.SILENT - 1), "a program just goes on"),
            Cover(self.lawful & full, "a queue is full"),
        ]
        return m

    def _soon(self, m: Module, waits: Value, answered: Value, cycles: int) -> None:
        """What waits is answered after at most ``cycles`` cycles in which it is not."""
        late = Signal(range(cycles + 1))
        with m.If(~waits | answered):
            m.d.sync += late.eq(0)
        with m.Elif(late != cycles):
            m.d.sync += late.eq(late + 1)
        m.d.comb += Assume(~waits | answered | (late != cycles))

    def _accepted(self, m: Module) -> Value:
        """Whether the word on offer goes on with a program that the law's check accepts.

        Accepted or not, its opcodes are known.
        """
        decoder, depth = self.dut.decoder, self.geometry.token_counter_depth
        begins, opcode = decoder.at == 0, self._head("opcode")
        right = []
        for giver, taker in PAIRS:
            tokens = Signal(range(depth + 1), init=int((giver, taker) == START_TOKEN))
            takes = (opcode == taker) & _names(taker, self._head("wait"), giver)
            gives = (opcode == giver) & _names(giver, self._head("release"), taker)
            right += [there_for(takes, tokens), room_for(gives, tokens, depth)]
            with m.If(self.takes() & begins):
                m.d.sync += tokens.eq(tokens + gives - takes)
        m.d.comb += Assume(~begins | Cat(opcode == unit for unit in UNITS).any())
        return ~begins | Cat(right).all()

    def _head(self, name: str) -> Value:
        """A field that the first word of every instruction has, of the word on offer."""
        (part,) = next(field.parts for field in FORMATS[SYS].fields if field.name == name)
        return self.words.payload[part.lsb : part.msb + 1]


TOKENS = Proof(
    name="tokens",
    harness=TokensKept,
    depth=3,
    reach=16,
    statement=(
        "No instruction is issued before a token from every unit it waits for is there; no token "
        "is lost or made; none is given to a full counter; a unit has one instruction at a time."
    ),
)
IN_ORDER = Proof(
    name="in order",
    harness=InOrder,
    depth=3,
    reach=10,
    statement=(
        "Any instruction is issued with the operands of its words, after those of its unit that "
        "came before it and before those that came after it."
    ),
)
NO_HANG = Proof(
    name="no hang",
    harness=GoesOn,
    depth=GoesOn.CYCLES,
    bounded=True,
    at=lambda _asked: GoesOn.GEOMETRY,
    statement=(
        f"In the first {GoesOn.CYCLES} cycles of any program that the law's check accepts, if no "
        f"more than {GoesOn.PAUSE} in a row pass without a word on offer, or without a unit taking "
        f"the instruction on offer, and every unit is done within {GoesOn.BUSY}, no "
        f"{GoesOn.SILENT} pass in which no word is taken and no instruction issued."
    ),
)
