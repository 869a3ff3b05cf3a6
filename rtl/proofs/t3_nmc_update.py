"""What is proven of ``t3.nmc_update``: what a request finds is what those before it left.

The harness follows one word, chosen by an input that stays. It counts the cycles from the entry of
each store and update of that word, and remembers what was written last. Every input is free, reset
too, but for what a stream promises: that an offer stands until it is taken. What an adder makes of
its numbers plays no part.
"""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from hwsim.laws.t3_nmc import WRITE_CYCLES, NmcGeometry, Operation
from rtl.block import Proof
from rtl.blocks.t3_nmc_update import NearMemoryUpdate

__all__ = ["LATEST", "LatestFound"]

SMALL = NmcGeometry(words=4, lanes=1)


class LatestFound(wiring.Component):
    """The block under free inputs, with its assertions.

    Ports
    -----
    requests, reads : as the block's
    address : In
        The word that is followed.
    """

    def __init__(self, geometry: NmcGeometry) -> None:
        self.geometry = geometry
        self.dut = NearMemoryUpdate(geometry)
        members = dict(self.dut.signature.members)
        super().__init__({**members, "address": In(geometry.address_bits)})

    def elaborate(self, _platform: object) -> Module:
        """The block, and what is asked of it."""
        m = Module()
        m.submodules.dut = dut = self.dut
        for name in ("requests", "reads"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(dut, name))
        _stands(m, self.requests, Assume, "requests")
        _stands(m, self.reads, Assert, "reads")
        stays, chosen = Signal(reset_less=True), Signal.like(self.address, reset_less=True)
        m.d.sync += [stays.eq(1), chosen.eq(self.address)]
        m.d.comb += Assume(~stays | (chosen == self.address))
        takes = self.requests.valid & self.requests.ready
        under_way = self._under_way(m, takes)
        found = self._found(m, takes, under_way)
        self._answers(m, takes, found)
        return m

    def _under_way(self, m: Module, takes: Value) -> Signal:
        """Stores and updates of the word, by the cycles since they entered; they are written."""
        request, write = self.requests.payload, self.dut.write
        under_way = Signal(WRITE_CYCLES)
        enters = takes & (request.address == self.address) & (request.operation != Operation.READ)
        m.d.sync += under_way.eq(Cat(enters, under_way)[:WRITE_CYCLES])
        m.d.comb += [
            Assert(
                (write.en & (write.addr == self.address)) == under_way[-1],
                f"written {WRITE_CYCLES} cycles after it entered, and nothing else",
            ),
            Cover(under_way.all(), "a word is stored to every cycle"),
        ]
        return under_way

    def _found(self, m: Module, takes: Value, under_way: Signal) -> Signal:
        """Who needs the word finds what was written last, and nothing is still to be written."""
        request, here, old = self.requests.payload, self.dut.here, self.dut.old
        looks = Signal()
        known, latest = Signal(reset_less=True), Signal.like(old, reset_less=True)
        rows = self.dut.rows.read_port(domain="comb")
        with m.If(under_way[-1]):
            m.d.sync += [known.eq(1), latest.eq(self.dut.write.data)]
        moves = Signal()
        m.d.comb += moves.eq(
            (here.operation != Operation.READ) | ~self.reads.valid | self.reads.ready
        )
        with m.If(takes):
            needs = request.operation != Operation.STORE
            m.d.sync += looks.eq(needs & (request.address == self.address))
        with m.Elif(moves):
            m.d.sync += looks.eq(0)
        m.d.comb += rows.addr.eq(self.address)
        after_write = Signal()
        m.d.sync += after_write.eq(under_way[-1] & takes)
        m.d.comb += Assert(~known | (rows.data == latest), "the rows hold what was written last")
        with m.If(looks):
            updates = here.operation != Operation.READ
            m.d.comb += [
                Assert(self.dut.here_valid & (here.address == self.address), "it is here"),
                Assert(here.operation != Operation.STORE, "it needs the word"),
                Assert(~known | (old == latest), "it finds what was written last"),
                Assert(~under_way[1:].any(), "none before it is still to be written"),
                Assert(~under_way[0] | updates, "none behind it has come in"),
                Cover(after_write & updates, "an update of what is written just now"),
                Cover(self.reads.valid & ~self.reads.ready & ~updates, "a read is held up"),
            ]
        return looks

    def _answers(self, m: Module, takes: Value, looks: Signal) -> None:
        """Every read is answered once, in order, by what it found."""
        inside, here = Signal(range(3)), self.dut.here
        asks = takes & (self.requests.payload.operation == Operation.READ)
        answers = self.reads.valid & self.reads.ready
        reads_here = self.dut.here_valid & (here.operation == Operation.READ)
        m.d.sync += inside.eq(inside + asks - answers)
        m.d.comb += [
            Assert(inside == reads_here + self.reads.valid, "reads: none lost, none made"),
            Cover((inside == 2) & answers, "a read behind another"),
        ]
        leaves = Signal()
        found = Signal.like(self.dut.old)
        m.d.sync += leaves.eq(looks & reads_here & (answers | ~self.reads.valid))
        m.d.sync += found.eq(self.dut.old)
        with m.If(leaves):
            m.d.comb += Assert(
                self.reads.valid & (self.reads.payload.as_value() == found), "its word is offered"
            )


def _stands(m: Module, port: stream.Interface, says: type, name: str) -> None:
    """What is offered and not taken is offered again."""
    stalled, before = Signal(), Signal.like(Value.cast(port.payload))
    m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(port.payload)]
    with m.If(stalled):
        m.d.comb += says(port.valid & (Value.cast(port.payload) == before), f"{name} stands")


LATEST = Proof(
    name="latest",
    harness=LatestFound,
    depth=WRITE_CYCLES + 3,
    at=lambda _asked: SMALL,
    statement=(
        f"At {SMALL.words} words of one lane: a store or an update of a word is written "
        f"{WRITE_CYCLES} cycles after it entered. A read or an update finds what was written last "
        "when all stores and updates of that word before it were written, and none behind it. "
        "Every read is answered once, in order, with what it found. Whatever the requests, "
        "numbers, stalls and resets."
    ),
)
