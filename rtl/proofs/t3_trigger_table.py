"""What is proven of ``t3.trigger_table``: each block is requested once, whole, when it is ready.

The harnesses hold a small table: two entries, blocks of two tiles of two columns, a queue of two.
Every input is free, reset too.
"""

from __future__ import annotations

from amaranth.hdl import Assert, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.laws.t3_trigger import TriggerGeometry
from rtl.block import Proof
from rtl.blocks.t3_trigger_table import TriggerTable, request_layout

__all__ = ["PROOFS", "EntriesKept", "RequestsInOrder"]

SMALL = TriggerGeometry(
    entries=2,
    workgroup_bits=2,
    wavefronts=2,
    block_tiles=2,
    queued=2,
    columns=2,
    column_bytes=2,
    pitch_bits=2,
    address_bits=4,
)


class _Harness(wiring.Component):
    """The table with its ports."""

    def __init__(self, geometry: TriggerGeometry, **more: wiring.Member) -> None:
        self.geometry = geometry
        self.dut = TriggerTable(geometry)
        super().__init__({**dict(self.dut.signature.members), **more})

    def _around(self) -> Module:
        m = Module()
        m.submodules.dut = self.dut
        for name in self.dut.signature.members:
            mine, its = getattr(self, name), getattr(self.dut, name)
            if name == "fault":
                m.d.comb += mine.eq(its)
            else:
                wiring.connect(m, wiring.flipped(mine), its)
        return m


class EntriesKept(_Harness):
    """Follows what one entry, chosen by a free input under each kernel, should hold."""

    def __init__(self, geometry: TriggerGeometry) -> None:
        super().__init__(geometry, follow=In(geometry.index_bits))
        self.entry = Signal(geometry.index_bits)
        self.left = Signal(range(geometry.block_tiles + 1))
        """Tiles whose triggers are awaited."""
        self.program = Signal.like(self.dut.program)
        self.wrong = Signal()
        """A trigger of no block of its entry went in the cycle before."""

    def elaborate(self, _platform: object) -> Module:
        """A program fills a free entry; triggers count it down; the last one makes it ready."""
        m, dut = self._around(), self.dut
        self._holds(m)
        self._memories(m)
        self._goes(m)
        with m.If(self.kernels.valid & self.kernels.ready):
            m.d.sync += [self.entry.eq(self.follow), self.left.eq(0)]
            m.d.comb += Cover(self.left != 0, "a kernel after another")
        m.d.comb += [
            Assert(dut.runs + dut.clearing + dut.fault <= 1, "one state at a time"),
            Assert(~dut.clearing | (self.left == 0), "a kernel begins anew"),
            Assert(~self.wrong | dut.fault, "a trigger of no block is a fault"),
        ]
        return m

    def _holds(self, m: Module) -> None:
        """What is taken is held, as it was, until it goes on."""
        dut = self.dut
        for name, port, its, its_valid, goes in (
            ("program", self.programs, dut.program, dut.programming, dut.program_goes),
            ("trigger", self.triggers, dut.trigger, dut.triggered, dut.trigger_goes),
        ):
            valid, held = Signal(name=f"{name}_valid"), Signal.like(its, name=f"{name}_held")
            with m.If(port.valid & port.ready):
                m.d.sync += [valid.eq(1), held.eq(port.payload)]
            with m.Elif(goes):
                m.d.sync += valid.eq(0)
            same = Value.cast(held) == Value.cast(its)
            m.d.comb += [
                Assert((valid == its_valid) & (~valid | same), f"{name}: held as it was"),
                Assert(~goes | (valid & dut.runs), f"{name}: goes on once"),
                Assert(
                    port.ready == (dut.runs & (~valid | goes)), f"{name}: taken if there's room"
                ),
            ]

    def _memories(self, m: Module) -> None:
        """The entry's row is what the harness says; both look-ups see it."""
        dut, index = self.dut, self.geometry.index_bits
        state, block = dut.states.read_port(domain="comb"), dut.blocks.read_port(domain="comb")
        tag = self.program.block[index:]
        right = (state.data.left == self.left) & ((self.left == 0) | (state.data.tag == tag))
        rest = Value.cast(self.program)[len(self.program.block) :]
        program_here = dut.runs & dut.programming & (dut.program.block[:index] == self.entry)
        trigger_here = dut.runs & dut.triggered & (dut.trigger_block[:index] == self.entry)
        row = Value.cast(state.data)
        m.d.comb += [
            state.addr.eq(self.entry),
            block.addr.eq(self.entry),
            Assert(~dut.runs | right, "what the entry waits for"),
            Assert(
                ~dut.runs | (self.left == 0) | (Value.cast(block.data) == rest), "and what it is of"
            ),
            Assert(~(dut.clearing & (dut.clear > self.entry)) | (state.data.left == 0), "cleared"),
            Assert(~program_here | (Value.cast(dut.program_state) == row), "a program sees it"),
            Assert(~trigger_here | (Value.cast(dut.trigger_state) == row), "a trigger sees it"),
            Assert(
                ~trigger_here | (Value.cast(dut.queue.i) == Value.cast(block.data)), "and its block"
            ),
        ]

    def _goes(self, m: Module) -> None:
        dut, index = self.dut, self.geometry.index_bits
        ours = dut.trigger_goes & (dut.trigger_block[:index] == self.entry)
        known = (self.left != 0) & (dut.trigger_block[index:] == self.program.block[index:])
        programs = dut.program_goes & (dut.program.block[:index] == self.entry)
        ends = ours & known & (self.left == 1)
        here = dut.programming & (dut.program.block[:index] == self.entry)
        can = dut.runs & here & (self.left == 0)
        room = dut.queue.room
        m.d.sync += self.wrong.eq(ours & ~known)
        with m.If(programs):
            m.d.sync += [self.program.eq(dut.program), self.left.eq(dut.program.tiles + 1)]
        with m.If(ours & known):
            m.d.sync += self.left.eq(self.left - 1)
        with m.If(ours):
            m.d.comb += Assert(dut.queue.push == ends, "ready with the last trigger and not before")
        with m.If(ends):
            item = Value.cast(self.program)[len(self.program.block) :]
            m.d.comb += Assert(Value.cast(dut.queue.i) == item, "as it was programmed")
        m.d.comb += [
            Assert(~(dut.program_goes & dut.trigger_goes), "one at a time"),
            Assert(~programs | (self.left == 0), "only a free entry is programmed"),
            Assert(~dut.queue.push | (dut.trigger_goes & room), "ready by a trigger, with room"),
            Assert(~can | dut.program_goes | dut.trigger_goes, "a program of a free entry goes"),
            Assert(~(can & dut.passed) | dut.program_goes, "or is passed over once"),
            Assert(
                ~(dut.runs & dut.triggered & room) | dut.trigger_goes | dut.program_goes,
                "a trigger with room goes",
            ),
            Cover(ends & (self.program.tiles == 1), "the last of two triggers"),
            Cover(self.wrong, "a fault"),
            Cover(can & dut.passed & dut.triggered & room, "a trigger is passed over"),
        ]


class RequestsInOrder(_Harness):
    """Follows one block, chosen by a free input, from the trigger that makes it ready."""

    NOWHERE, QUEUED, FIRST, RUNS = range(4)

    def __init__(self, geometry: TriggerGeometry) -> None:
        super().__init__(geometry, follow=In(1))
        self.where = Signal(range(4))
        self.block = Signal.like(self.dut.queue.first)
        self.slot = Signal(range(geometry.queued))
        self.source = Signal(geometry.address_bits)
        self.destination = Signal(geometry.address_bits)
        self.taken = Signal(range(geometry.block_tiles * geometry.columns + 1))

    def elaborate(self, _platform: object) -> Module:
        """It waits behind those that were ready before; then each of its columns is requested."""
        m, queue = self._around(), self.dut.queue
        self._queue(m)
        self._offers_stand(m)
        with m.If((self.where == self.NOWHERE) & self.follow & queue.push):
            m.d.sync += [
                self.where.eq(self.QUEUED),
                self.block.eq(queue.i),
                self.slot.eq(queue.newest),
            ]
        with m.If(self.where == self.QUEUED):
            self._waits(m)
        with m.If(self.where == self.FIRST):
            same = Value.cast(queue.o) == Value.cast(self.block)
            m.d.comb += Assert(queue.valid & same, "first as it was")
            with m.If(queue.pop):
                m.d.sync += [
                    self.where.eq(self.RUNS),
                    self.source.eq(self.block.source),
                    self.destination.eq(self.block.destination),
                    self.taken.eq(0),
                ]
        with m.If(self.where == self.RUNS):
            self._runs(m)
        return m

    def _wrapped(self, place: Value) -> Value:
        depth = self.geometry.queued
        return Mux(place >= depth, place - depth, place)

    def _queue(self, m: Module) -> None:
        """What holds of the queue, and that a block in it or behind it is one that came."""
        queue, inside = self.dut.queue, Signal(range(self.geometry.queued + 3))
        ends = self.requests.valid & self.requests.ready & self.requests.payload.last
        held = queue.level + queue.valid + self.requests.valid
        m.d.sync += inside.eq(inside + queue.push - ends)
        m.d.comb += [
            Assert(inside == held, "as many blocks as became ready and have not ended"),
            Assert(queue.level <= self.geometry.queued, "queue: level"),
            Assert(queue.oldest < self.geometry.queued, "queue: place"),
            Assert(queue.newest == self._wrapped(queue.oldest + queue.level), "queue: places"),
            Assert(~queue.push | (queue.level != self.geometry.queued), "queue: room"),
            Cover(inside == self.geometry.queued + 2, "all places are taken"),
        ]

    def _offers_stand(self, m: Module) -> None:
        stalled, before = Signal(), Signal(request_layout(self.geometry))
        port = self.requests
        m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(port.payload)]
        same = Value.cast(port.payload) == Value.cast(before)
        m.d.comb += Assert(~stalled | (port.valid & same), "offers stand")

    def _waits(self, m: Module) -> None:
        queue = self.dut.queue
        stored = queue.items.read_port(domain="comb")
        distance = self._wrapped(self.slot + self.geometry.queued - queue.oldest)
        m.d.comb += [
            stored.addr.eq(self.slot),
            Assert((self.slot < self.geometry.queued) & (distance < queue.level), "queued"),
            Assert(Value.cast(stored.data) == Value.cast(self.block), "queued as it was"),
        ]
        moves = (queue.level != 0) & (~queue.valid | queue.pop)
        with m.If(moves & (self.slot == queue.oldest)):
            m.d.sync += self.where.eq(self.FIRST)

    def _runs(self, m: Module) -> None:
        """Column by column, a pitch further each, until all of all its tiles are taken."""
        kernel, asking, port = self.dut.kernel, self.dut.asking, self.requests
        columns = kernel.columns + 1
        all_ = (self.block.tiles + 1) * columns
        tiles_done = self.block.tiles - asking.tiles
        done = tiles_done * columns + kernel.columns - asking.columns
        due = Cat(
            self.source,
            self.destination,
            kernel.column_bytes,
            self.block.operation,
            self.taken == all_ - 1,
        )
        m.d.comb += [
            Assert(asking.tiles <= self.block.tiles, "tiles"),
            Assert(asking.columns <= kernel.columns, "columns"),
            Assert(self.taken == done, "as many as were taken"),
            Assert(port.valid & (Value.cast(port.payload) == due), "the column that is due"),
        ]
        with m.If(port.ready):
            m.d.sync += [
                self.taken.eq(self.taken + 1),
                self.source.eq(self.source + kernel.source_pitch),
                self.destination.eq(self.destination + kernel.destination_pitch),
            ]
            with m.If(port.payload.last):
                m.d.sync += self.where.eq(self.NOWHERE)
                m.d.comb += [
                    Assert(self.taken == all_ - 1, "last when all are taken"),
                    Cover(all_ == 4, "a block of two tiles of two columns"),
                    Cover(self.dut.queue.valid, "the next is ready"),
                ]


PROOFS = (
    Proof(
        name="entries kept",
        harness=EntriesKept,
        at=lambda _config: SMALL,
        depth=3,
        reach=9,
        statement=(
            "A block becomes ready once, with the last of its triggers, as it was programmed; an "
            "entry is programmed only when it is free; every program and every trigger goes on "
            "once, a program that can is passed over once at most; a trigger of no block that is "
            "programmed is a fault."
        ),
    ),
    Proof(
        name="requests in order",
        harness=RequestsInOrder,
        at=lambda _config: SMALL,
        depth=3,
        reach=14,
        statement=(
            "Every block that is ready is requested, behind those that were before it: each of its "
            "columns once, in order, a pitch further each, the last one marked; no offer is "
            "withdrawn or changed."
        ),
    ),
)
