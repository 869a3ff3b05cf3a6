"""What is proven of ``t3.tracker``: no trigger lost, none made twice, and that counts are kept.

The harnesses hold a small Tracker: two sets of two wavefronts, two ports, four turns. Every input
is free, reset too.
"""

from __future__ import annotations

from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.t3_tracker import TrackerGeometry
from rtl.block import Proof
from rtl.blocks.t3_tracker import Merge, Port, Tracker, update_layout

__all__ = ["PROOFS", "CountsKept", "HandedOver"]

SMALL = TrackerGeometry(
    entries=2,
    wavefronts=2,
    workgroup_bits=3,
    tile_elements=16,
    updates_per_element=1,
    update_elements=4,
)
STALLING = SMALL.model_copy(update={"on_full": "stall"})


class CountsKept(wiring.Component):
    """A Tracker, and what one of its sets should do.

    Ports
    -----
    those of the Tracker
    follow : In
        The set to follow under the kernel that is taken now.
    """

    def __init__(self, geometry: TrackerGeometry) -> None:
        self.geometry = geometry
        self.dut = Tracker(geometry)
        self.set = Signal(geometry.index_bits)
        self.wrong = Signal()
        """The set was brought too much in the cycle before."""
        self.turn = Signal(geometry.tag_bits + 1)
        """Workgroups that the set has served."""
        self.total = [
            Signal(geometry.count_bits + 2, name=f"total_{w}") for w in range(geometry.wavefronts)
        ]
        """What the tiles of the workgroup whose turn it is were brought."""
        super().__init__({**dict(self.dut.signature.members), "follow": In(geometry.index_bits)})

    def elaborate(self, _platform: object) -> Module:
        """What is taken is held, then counted or handed back; what is counted adds up."""
        m = Module()
        m.submodules.dut = dut = self.dut
        for name in dut.signature.members:
            mine, its = getattr(self, name), getattr(dut, name)
            if name == "fault":
                m.d.comb += mine.eq(its)
            else:
                wiring.connect(m, wiring.flipped(mine), its)
        m.d.comb += [
            Assert(dut.counting + dut.clearing + dut.fault <= 1, "one state at a time"),
            Assert(~self.wrong | dut.fault, "what is too much is a fault"),
            Assert(~dut.clearing | (Cat(self.turn, *self.total) == 0), "a kernel begins anew"),
            Assert(~dut.clearing | (dut.kernel.threshold != 0), "with a threshold"),
            Assert(dut.counting | ~Cat(port.goes for port in dut.ports).any(), "at rest"),
        ]
        m.d.sync += self.wrong.eq(0)
        for port in dut.ports:
            self._holds(m, port)
            self._goes(m, port)
        self._memories(m)
        with m.If(dut.counting):
            self._adds_up(m)
        with m.If(self.kernels.valid & self.kernels.ready):
            m.d.sync += [self.set.eq(self.follow), self.turn.eq(0)]
            m.d.sync += [total.eq(0) for total in self.total]
            m.d.comb += [
                Assume(self.kernels.payload.threshold != 0),
                Cover(self.turn == 1, "a kernel after another"),
            ]
        return m

    def _here(self, port: Port) -> Value:
        """The port holds an update of the set."""
        return port.valid & (port.update.workgroup[: self.geometry.index_bits] == self.set)

    def _its_turn(self, port: Port) -> Value:
        first = (port.update.workgroup - self.dut.kernel.first)[: self.geometry.workgroup_bits]
        return first[self.geometry.index_bits :] == self.turn

    def _holds(self, m: Module, port: Port) -> None:
        """What is taken is held until it goes on."""
        updates = getattr(self, f"updates_{port.number}")
        valid, update = Signal(), Signal(update_layout(self.geometry))
        with m.If(updates.valid & updates.ready):
            m.d.sync += [valid.eq(1), update.eq(updates.payload)]
        with m.Elif(port.goes):
            m.d.sync += valid.eq(0)
        same = Value.cast(update) == Value.cast(port.update)
        name = f"port {port.number}"
        m.d.comb += [
            Assert(port.valid == valid, f"{name}: holds what it took"),
            Assert(~valid | same, f"{name}: as it was"),
            Assert(~port.goes | valid, f"{name}: what goes was there"),
            Assert(
                updates.ready == (self.dut.counting & (~valid | port.goes)),
                f"{name}: takes whenever it is free or gets free",
            ),
        ]

    def _goes(self, m: Module, port: Port) -> None:
        """Counted when it is its turn and there is room; handed back, or held, when it is not."""
        dut, name = self.dut, f"port {port.number}"
        followed = self._here(port) & dut.counting
        its_turn, room = self._its_turn(port), dut.triggering.room[port.number]
        m.d.comb += Assert(~port.counts | port.goes, f"{name}: what is counted goes on")
        if not dut.aside:
            with m.If(followed):
                m.d.comb += Assert(port.goes == (its_turn & room), f"{name}: held until its turn")
            m.d.comb += Assert(port.counts == port.goes, f"{name}: nothing is passed over")
            m.d.comb += Cover(followed & ~its_turn, f"{name}: held")
            return
        handed, may = dut.refusing.push[port.number], dut.refusing.room[port.number]
        item = Value.cast(dut.refusing.i[port.number])
        with m.If(followed):
            m.d.comb += [
                Assert(port.counts == (its_turn & room), f"{name}: counted in its turn"),
                Assert(handed == (~its_turn & may), f"{name}: else handed back"),
            ]
        m.d.comb += [
            Assert(port.goes == (port.counts | handed), f"{name}: goes where it should"),
            Assert(~(port.counts & handed), f"{name}: to one place"),
            Assert(
                ~handed | (item == Cat(port.update, port.number == Value.cast(1))),
                f"{name}: handed back as it came",
            ),
            Cover(handed & followed, f"{name}: handed back"),
        ]

    def _memories(self, m: Module) -> None:
        """Read the set's rows beside the Tracker, which sees the same and clears them at first."""
        geometry, dut = self.geometry, self.dut
        self.rows, self.done = [], []
        for count, done in zip(dut.counts, dut.done, strict=True):
            read = done.read_port(domain="comb")
            m.d.comb += read.addr.eq(self.set)
            self.done.append(read.data)
            rows = []
            for wavefront in range(geometry.wavefronts):
                row = count.read_port(domain="comb")
                m.d.comb += row.addr.eq(self._tile(wavefront))
                rows.append(row.data)
                cleared = dut.clearing & (dut.clear > self._tile(wavefront))
                empty = (Value.cast(row.data) == 0) & (read.data == 0)
                m.d.comb += Assert(~cleared | empty, "cleared")
            self.rows.append(rows)
        for port in dut.ports:
            with m.If(self._here(port)):
                for number in range(geometry.ports):
                    row = Array(map(Value.cast, self.rows[number]))[port.update.wavefront]
                    same = Value.cast(port.read_counts[number]) == row
                    m.d.comb += Assert(same, "sees what every port has brought")
                    m.d.comb += Assert(port.read_done[number] == self.done[number], "and completed")

    def _tile(self, wavefront: int) -> Value:
        return Cat(Value.cast(wavefront)[: self.geometry.wavefront_bits], self.set)

    def _adds_up(self, m: Module) -> None:
        """The set's tiles: each triggers once, when it has all; then it's the next one's turn."""
        dut, kernel = self.dut, self.dut.kernel
        now = [self._tile_adds_up(m, wavefront) for wavefront in range(self.geometry.wavefronts)]
        complete, after, news, wrong = zip(*now, strict=True)
        ends = Signal()
        m.d.comb += ends.eq(Cat(after).all())
        m.d.sync += self.wrong.eq(Cat(wrong).any())
        for total, new in zip(self.total, news, strict=True):
            m.d.sync += total.eq(Mux(ends, 0, new))
        with m.If(ends):
            m.d.sync += self.turn.eq(self.turn + 1)
        triggered = (self.turn << kernel.wavefront_bits) + sum(complete)
        m.d.comb += [
            Assert(kernel.threshold != 0, "a threshold"),
            Assert(sum(self.done) == triggered, "as many triggers as tiles are complete"),
            Cover(self.turn == 2, "a set serves its third workgroup"),
            Cover(Cat(wrong).any(), "a fault"),
        ]
        for port in dut.ports:
            push, item = dut.triggering.push[port.number], dut.triggering.i[port.number]
            same = Value.cast(item) == Value.cast(port.update)[: len(Value.cast(item))]
            room = dut.triggering.room[port.number]
            m.d.comb += Assert(~push | (port.counts & room & same), "a trigger names its tile")

    def _tile_adds_up(self, m: Module, wavefront: int) -> tuple[Value, Value, Value, Value]:
        """Whether a tile is complete, and will be; its count; whether that is a fault."""
        dut, total, threshold = self.dut, self.total[wavefront], self.dut.kernel.threshold
        mine = [self._here(p) & (p.update.wavefront == wavefront) for p in dut.ports]
        counts = [here & port.counts for here, port in zip(mine, dut.ports, strict=True)]
        brought = sum(
            Mux(counted, port.update.elements + 1, 0)
            for counted, port in zip(counts, dut.ports, strict=True)
        )
        pushes = sum(
            here & dut.triggering.push[port.number]
            for here, port in zip(mine, dut.ports, strict=True)
        )
        active = Signal(name=f"active_{wavefront}")
        new = Signal(len(total) + 1, name=f"new_{wavefront}")
        kept = [Mux(r[wavefront].turn == self.turn, r[wavefront].count, 0) for r in self.rows]
        fires = active & (brought != 0) & (new == threshold)
        name = f"tile {wavefront}"
        m.d.comb += [
            active.eq((wavefront >> dut.kernel.wavefront_bits) == 0),
            new.eq(total + brought),
            Assert(total <= Mux(active, threshold, 0), f"{name}: never above its threshold"),
            Assert(sum(kept) == total, f"{name}: nothing brought is lost"),
            Assert(pushes == fires, f"{name}: one trigger, with the last update"),
            Cover(fires & Cat(counts).all(), f"{name}: both ports bring the last"),
        ]
        for row in self.rows:
            m.d.comb += Assert(row[wavefront].turn <= self.turn, f"{name}: no turn ahead")
        wrong = (brought != 0) & (~active | (new > threshold))
        return active & (total == threshold), ~active | (new == threshold), new, wrong


class HandedOver(wiring.Component):
    """What two ports hand over, of which one item is followed."""

    NOWHERE, WAITS, OFFERED = range(3)

    def __init__(self, _geometry: TrackerGeometry) -> None:
        self.shape = data.StructLayout({"item": unsigned(2)})
        self.dut = Merge(self.shape, 2)
        super().__init__(
            {
                "i": In(self.shape).array(2),
                "push": In(1).array(2),
                "o": Out(stream.Signature(self.shape)),
                "follow": In(2),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """It waits behind what was before it, is offered once, as it was, and not passed twice."""
        m = Module()
        m.submodules.dut = dut = self.dut
        wiring.connect(m, dut.o, wiring.flipped(self.o))
        where, port, ahead = Signal(range(3)), Signal(), Signal()
        item, passed = Signal(2), Signal()
        taken, inside = self.o.valid & self.o.ready, Signal(range(7))
        stalled, before = Signal(), Signal(2)
        m.d.sync += [stalled.eq(self.o.valid & ~self.o.ready), before.eq(self.o.payload.item)]
        m.d.sync += inside.eq(inside + sum(self.push) - taken)
        held = sum(queue.valid + queue.full for queue in dut.queues) + self.o.valid
        m.d.comb += [
            Assert(inside == held, "as many as came and have not left"),
            Assert(~stalled | (self.o.valid & (self.o.payload.item == before)), "offers stand"),
            Assert(where <= self.OFFERED, "it is somewhere"),
            Assert(~(ahead & passed), "passed only as the first"),
            Cover(inside == 5, "all places are taken"),
        ]
        for number, queue in enumerate(dut.queues):
            m.d.comb += [
                dut.i[number].eq(self.i[number]),
                dut.push[number].eq(self.push[number]),
                Assume(~self.push[number] | dut.room[number]),
                Assert(~queue.full | queue.valid, f"port {number}: the first place first"),
            ]
            starts = (where == self.NOWHERE) & self.follow[number] & self.push[number]
            with m.If(starts & ~(self.follow[1 - number] & number)):
                m.d.sync += [
                    where.eq(self.WAITS),
                    port.eq(number),
                    item.eq(self.i[number].item),
                    ahead.eq(queue.valid & ~queue.pop),
                    passed.eq(0),
                ]
            with m.If((where == self.WAITS) & (port == number)):
                there = queue.valid & (queue.first.item == item)
                behind = queue.full & (queue.second.item == item)
                m.d.comb += Assert(Mux(ahead, behind, there), f"port {number}: in its place")
                with m.If(queue.pop):
                    m.d.sync += [ahead.eq(0), where.eq(Mux(ahead, self.WAITS, self.OFFERED))]
                with m.If(~ahead):
                    other = dut.queues[1 - number].pop
                    m.d.comb += [
                        Assert(~(passed & other), f"port {number}: passed once at most"),
                        Assert(~passed | (dut.last == 1 - number), f"port {number}: it is next"),
                        Cover(passed & queue.pop, f"port {number}: passed once"),
                    ]
                    with m.If(other):
                        m.d.sync += passed.eq(1)
        with m.If(where == self.OFFERED):
            offered = self.o.valid & (self.o.payload.item == item)
            m.d.comb += Assert(offered, "offered as it was")
            with m.If(self.o.ready):
                m.d.sync += where.eq(self.NOWHERE)
        return m


_COUNTS = (
    "Each tile of a set triggers once, in the cycle in which the last of its elements is counted; "
    "every element counted is kept until then; a set goes to its next workgroup when all its tiles "
    "have triggered and not before; what is too much is a fault. "
)
PROOFS = (
    Proof(
        name="counts kept, full steps aside",
        harness=CountsKept,
        at=lambda _config: SMALL,
        depth=3,
        reach=9,
        statement=_COUNTS + "An update whose turn it is not is handed back as it came.",
    ),
    Proof(
        name="counts kept, full stalls",
        harness=CountsKept,
        at=lambda _config: STALLING,
        depth=3,
        reach=9,
        statement=_COUNTS + "An update is held until its turn.",
    ),
    Proof(
        name="handed over",
        harness=HandedOver,
        at=lambda _config: SMALL,
        depth=3,
        reach=5,
        statement=(
            "Every trigger, and every update to be handed back, is offered once, as it was, behind "
            "those of its port that came before it, and passed by no more than one of another port "
            "once it is first of its own."
        ),
    ),
)
