"""FlightLLM's instruction scheduler: decoder, six in-order queues, thirty token counters.

Values: :func:`hwsim.golden.flightllm_scheduler.dispatched`. Cycles:
:func:`hwsim.laws.flightllm_scheduler.timetable`.

The decoder collects an instruction's words in a register of its own, from which it goes to the
queue of its unit in one cycle; while that queue is full, no word is taken. The first instruction of
a queue stands in a register, with its tokens decoded, and is on offer once its unit is free and the
counters of all units that it waits for hold a token. That only registers say so keeps the paths
between units short: no ``valid`` or ``ready`` here follows from another in the same cycle.

A word with an unknown opcode belongs in no queue and stays in the decoder for good: ``fault`` is 1,
no further word is taken, what was decoded before runs on.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 3.1.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.flightllm_isa import (
    FORMATS,
    OPCODE_BITS,
    TOKEN_BITS,
    UNITS,
    WORD_BITS,
    Opcode,
    token_units,
)
from hwsim.laws.flightllm_scheduler import START_TOKEN, SchedulerGeometry

__all__ = ["DONE", "InstructionScheduler", "Queue", "TokenCounter", "operand_layout"]

LONGEST = max(form.words for form in FORMATS.values())
MASK_BITS = {unit: [token_units(unit, 1 << bit)[0] for bit in range(TOKEN_BITS)] for unit in UNITS}
"""The unit that each bit of a mask names, least significant first."""

DONE = wiring.Signature({"valid": Out(1), "ready": In(1)})
"""A stream of no payload: the unit is done with its instruction."""


def operand_layout(unit: Opcode) -> data.StructLayout:
    """The fields of an instruction of ``unit``, without the opcode."""
    return data.StructLayout({field.name: field.bits for field in FORMATS[unit].operands})


class InstructionScheduler(wiring.Component):
    """The scheduler.

    Ports
    -----
    words : In[stream of 32 bits]
        The program.
    ld, st, mm, mv, misc, sys : Out[stream of operand_layout]
        Each unit's instructions.
    ld_done, st_done, mm_done, mv_done, misc_done : In[DONE]
        The unit's last cycle with the instruction it has, at the earliest the one after it got it.
        Held back while a counter that would get a token is full.
    fault : Out[1]
        An unknown opcode was met.
    """

    def __init__(self, geometry: SchedulerGeometry) -> None:
        self.decoder = _Decoder()
        self.queues = {u: Queue(operand_layout(u), geometry.queue_depth) for u in UNITS}
        self.lanes = {u: _Lane(u) for u in UNITS}
        self.counters = {
            (a, b): TokenCounter(geometry.token_counter_depth, int((a, b) == START_TOKEN))
            for a in UNITS
            for b in UNITS
            if a is not b
        }
        super().__init__(
            {"words": In(stream.Signature(WORD_BITS)), "fault": Out(1)}
            | {u.name.lower(): Out(stream.Signature(operand_layout(u))) for u in UNITS}
            | {f"{u.name.lower()}_done": In(DONE) for u in UNITS if u is not Opcode.SYS}
        )

    def elaborate(self, _platform: object) -> Module:
        """Decoder to queues, queues to lanes, lanes to counters."""
        m = Module()
        m.submodules.decoder = decoder = self.decoder
        wiring.connect(m, wiring.flipped(self.words), decoder.words)
        m.d.comb += self.fault.eq(decoder.fault)
        for unit in UNITS:
            self._unit(m, unit)
        for (giver, taker), counter in self.counters.items():
            m.submodules[f"tokens_{giver.name}_{taker.name}".lower()] = counter
            given, taken = self.lanes[giver], self.lanes[taker]
            m.d.comb += [
                counter.give.eq(given.gives & given.given[MASK_BITS[giver].index(taker)]),
                counter.take.eq(taken.takes & taken.taken[MASK_BITS[taker].index(giver)]),
            ]
        return m

    def _unit(self, m: Module, unit: Opcode) -> None:
        name, queue, lane = unit.name.lower(), self.queues[unit], self.lanes[unit]
        m.submodules[f"queue_{name}"] = queue
        m.submodules[f"lane_{name}"] = lane
        port = getattr(self, name)
        m.d.comb += [
            queue.i.eq(self.decoder.operands(unit)),
            queue.push.eq(self.decoder.pushes[unit]),
            self.decoder.room[unit].eq(queue.room),
            lane.first.eq(queue.valid),
            lane.wait.eq(queue.o.wait),
            lane.release.eq(queue.o.release),
            lane.there.eq(Cat(self.counters[other, unit].there for other in MASK_BITS[unit])),
            lane.room.eq(Cat(self.counters[unit, other].room for other in MASK_BITS[unit])),
            port.payload.eq(queue.o),
            port.valid.eq(lane.valid),
            lane.ready.eq(port.ready),
            queue.pop.eq(lane.takes),
        ]
        if unit is not Opcode.SYS:
            done = getattr(self, f"{name}_done")
            m.d.comb += [lane.done_valid.eq(done.valid), done.ready.eq(lane.done_ready)]


class _Decoder(wiring.Component):
    """Collects the words of an instruction and offers it to the queue of its unit."""

    def __init__(self) -> None:
        self.pushes = {u: Signal(name=f"push_{u.name.lower()}") for u in UNITS}
        self.room = {u: Signal(name=f"room_{u.name.lower()}") for u in UNITS}
        self.held = [Signal(WORD_BITS, name=f"held{i}", reset_less=True) for i in range(LONGEST)]
        self.full = Signal()
        self.at = Signal(range(LONGEST))
        self.left = Signal(range(LONGEST))
        super().__init__({"words": In(stream.Signature(WORD_BITS)), "fault": Out(1)})

    def operands(self, unit: Opcode) -> Value:
        """The collected instruction as one of ``unit``."""
        return Cat(
            self.held[part.word][part.lsb : part.msb + 1]
            for field in FORMATS[unit].operands
            for part in field.parts
        )

    def elaborate(self, _platform: object) -> Module:
        """A word a cycle, while the instruction before leaves or has left."""
        m = Module()
        word, held = self.words.payload, self.held[0][WORD_BITS - OPCODE_BITS :]
        for unit in UNITS:
            m.d.comb += self.pushes[unit].eq(self.full & (held == unit) & self.room[unit])
        m.d.comb += self.fault.eq(self.full & ~Cat(held == unit for unit in UNITS).any())
        pushes = Cat(self.pushes.values()).any()
        takes, first, last = Signal(), Signal(), Signal()
        after = Signal(range(LONGEST))
        m.d.comb += [
            self.words.ready.eq(~self.full | pushes),
            takes.eq(self.words.valid & self.words.ready),
            first.eq(self.at == 0),
            after.eq(Mux(first, _words_after(m, word[WORD_BITS - OPCODE_BITS :]), self.left)),
            last.eq(after == 0),
        ]
        with m.If(pushes):
            m.d.sync += self.full.eq(0)
        with m.If(takes):
            m.d.sync += [
                self.at.eq(Mux(last, 0, self.at + 1)),
                self.left.eq(after - 1),
                self.full.eq(last),
            ]
        for i, register in enumerate(self.held):
            with m.If(takes & (self.at == i)):
                m.d.sync += register.eq(word)
        return m


def _words_after(m: Module, opcode: Value) -> Value:
    """How many words follow the first: none if the opcode is unknown."""
    count = Signal(range(LONGEST))
    with m.Switch(opcode):
        for unit, form in FORMATS.items():
            with m.Case(unit):
                m.d.comb += count.eq(form.words - 1)
    return count


class Queue(wiring.Component):
    """A queue of ``depth`` items, whose first goes on to a register.

    Ports
    -----
    i, push : In
        An item to queue; only with ``room``.
    room : Out[1]
    o, valid : Out
        The first item.
    pop : In[1]
        The first item is taken; only if ``valid``.
    """

    def __init__(self, shape: data.StructLayout | Shape, depth: int) -> None:
        self.depth = depth
        self.items = memory.Memory(shape=shape, depth=depth, init=[])
        self.first = Signal(shape, reset_less=True)
        self.level = Signal(range(depth + 1))
        self.newest, self.oldest = Signal(range(depth)), Signal(range(depth))
        super().__init__(
            {
                "i": In(shape),
                "push": In(1),
                "room": Out(1),
                "o": Out(shape),
                "valid": Out(1),
                "pop": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The register is filled again in the cycle in which it is emptied."""
        m = Module()
        m.submodules.items = self.items
        write, read = self.items.write_port(), self.items.read_port(domain="comb")
        moves = Signal()
        m.d.comb += [
            self.room.eq(self.level != self.depth),
            moves.eq((self.level != 0) & (~self.valid | self.pop)),
            write.addr.eq(self.newest),
            write.data.eq(self.i),
            write.en.eq(self.push),
            read.addr.eq(self.oldest),
            self.o.eq(self.first),
        ]
        m.d.sync += self.level.eq(self.level + self.push - moves)
        with m.If(self.push):
            m.d.sync += self.newest.eq(self._after(self.newest))
        with m.If(moves):
            m.d.sync += [
                self.first.eq(read.data),
                self.valid.eq(1),
                self.oldest.eq(self._after(self.oldest)),
            ]
        with m.Elif(self.pop):
            m.d.sync += self.valid.eq(0)
        return m

    def _after(self, place: Value) -> Value:
        return Mux(place == self.depth - 1, 0, place + 1)


class TokenCounter(wiring.Component):
    """Tokens given by one unit to another and not yet taken.

    Ports
    -----
    give, take : In[1]
        One more, with ``room``; one fewer, if one is ``there``. Both at once leave it as it is.
    there, room : Out[1]
        Whether one can be taken, or given, in this cycle.
    """

    def __init__(self, depth: int, at_start: int) -> None:
        self.depth = depth
        self.count = Signal(range(depth + 1), init=at_start)
        super().__init__(
            {
                "give": In(1),
                "take": In(1),
                "there": Out(1, init=int(at_start > 0)),
                "room": Out(1, init=int(at_start < depth)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """``there`` and ``room`` are registers of their own: they start the longest paths."""
        m = Module()
        with m.If(self.give & ~self.take):
            m.d.sync += [
                self.count.eq(self.count + 1),
                self.there.eq(1),
                self.room.eq(self.count != self.depth - 1),
            ]
        with m.Elif(self.take & ~self.give):
            m.d.sync += [
                self.count.eq(self.count - 1),
                self.there.eq(self.count != 1),
                self.room.eq(1),
            ]
        return m


class _Lane(wiring.Component):
    """What one unit has been given and what it may be given next.

    Ports
    -----
    first, wait, release : In
        Whether there is a first instruction in the queue, and its masks.
    there, room : In[TOKEN_BITS]
        By bit of a mask: a token can be taken from that unit, or given to it.
    valid, ready : Out, In
        The handshake of the issue.
    done_valid, done_ready : In, Out
        The handshake of the end. SYS has none: it ends when it is issued.
    takes, taken : Out
        Tokens are taken, from the units of this mask.
    gives, given : Out
        Tokens are given, to the units of this mask.
    """

    def __init__(self, unit: Opcode) -> None:
        self.unit = unit
        self.runs = Signal()
        self.held = Signal(TOKEN_BITS)
        masks = {name: In(TOKEN_BITS) for name in ("wait", "release", "there", "room")}
        super().__init__(
            masks
            | {"first": In(1), "valid": Out(1), "ready": In(1)}
            | {"done_valid": In(1), "done_ready": Out(1)}
            | {"takes": Out(1), "taken": Out(TOKEN_BITS)}
            | {"gives": Out(1), "given": Out(TOKEN_BITS)}
        )

    def elaborate(self, _platform: object) -> Module:
        """One instruction at a time."""
        m = Module()
        barrier = self.unit is Opcode.SYS
        may_give = (~(self.release if barrier else self.held) | self.room).all()
        m.d.comb += [
            self.takes.eq(self.valid & self.ready),
            self.taken.eq(self.wait),
        ]
        if barrier:
            m.d.comb += [
                self.valid.eq(self.first & (~self.wait | self.there).all() & may_give),
                self.gives.eq(self.takes),
                self.given.eq(self.release),
            ]
            return m
        m.d.comb += [
            self.valid.eq(self.first & ~self.runs & (~self.wait | self.there).all()),
            self.done_ready.eq(self.runs & may_give),
            self.gives.eq(self.done_valid & self.done_ready),
            self.given.eq(self.held),
        ]
        with m.If(self.takes):
            m.d.sync += [self.runs.eq(1), self.held.eq(self.release)]
        with m.Elif(self.gives):
            m.d.sync += self.runs.eq(0)
        return m
