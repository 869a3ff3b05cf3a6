"""T3's op-and-store near a bank: reads, stores, and updates that add to what is there.

Values: :func:`hwsim.golden.t3_nmc.answered`. Cycles: :func:`hwsim.laws.t3_nmc.transfers`.

A request enters as it looks its word up; in its second cycle a read leaves for the output register,
and stores and updates go on through the adders, which never stop. In its fifth cycle, seen from the
first of a request that needs the same word, the sum is written and is given to that request past
the memory. A sooner one is not let in, so that nothing has to be compared or chosen later: what a
request was given stays its word for as long as a read behind a stalled consumer holds it up.

Ref: T3 (ASPLOS'24), section 4.3. How it is built is ours.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.t3_nmc import LANE_BITS, NmcGeometry, Operation
from rtl.blocks.registers import Delayed
from rtl.blocks.t3_nmc_lane import STAGES, Lane

__all__ = ["NearMemoryUpdate", "request_layout", "word_layout"]


def word_layout(geometry: NmcGeometry) -> data.ArrayLayout:
    """The numbers of a word."""
    return data.ArrayLayout(unsigned(LANE_BITS), geometry.lanes)


def request_layout(geometry: NmcGeometry) -> data.StructLayout:
    """An operation on a word; a read's numbers are ignored."""
    return data.StructLayout(
        {
            "operation": unsigned(2),
            "address": unsigned(geometry.address_bits),
            "numbers": word_layout(geometry),
        }
    )


class NearMemoryUpdate(wiring.Component):
    """The bank's memory with its adders.

    ``requests.ready`` depends on the request on offer, and on ``reads.ready``.

    Ports
    -----
    requests : In[stream of request_layout]
    reads : Out[stream of word_layout]

    Attributes
    ----------
    rows : Memory
        The words; no reset clears them, but one drops the stores and updates under way.
    here : Signal
        The request whose word was looked up.
    here_valid : Signal
        There is one.
    old : Signal
        What that word holds.
    write : write port of ``rows``
    """

    def __init__(self, geometry: NmcGeometry) -> None:
        self.geometry = geometry
        self.rows = memory.Memory(shape=unsigned(geometry.word_bits), depth=geometry.words, init=[])
        self.write = self.rows.write_port()
        self.here = Signal(request_layout(geometry), reset_less=True)
        self.here_valid = Signal()
        self.old = Signal(geometry.word_bits)
        super().__init__(
            {
                "requests": In(stream.Signature(request_layout(geometry))),
                "reads": Out(stream.Signature(word_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Look up; offer what was read, or add and write."""
        m = Module()
        m.submodules.rows = self.rows
        here, reads = self.here, self.reads
        reads_here = self.here_valid & (here.operation == Operation.READ)
        writes_here = self.here_valid & (here.operation != Operation.READ)
        reads_free, moves, takes = Signal(), Signal(), Signal()
        writing = Delayed(m, "writing", writes_here, reset=True)
        address = Delayed(m, "address", here.address)
        m.d.comb += [
            reads_free.eq(reads.ready | ~reads.valid),
            moves.eq(~reads_here | reads_free),
            self.requests.ready.eq(moves & ~self._hazard(writing, address)),
            takes.eq(self.requests.valid & self.requests.ready),
        ]
        with m.If(moves):
            m.d.sync += [self.here_valid.eq(takes), here.eq(self.requests.payload)]
        offered = Signal(self.geometry.word_bits, reset_less=True)
        m.d.comb += reads.payload.as_value().eq(offered)
        with m.If(reads_free):
            m.d.sync += [reads.valid.eq(reads_here), offered.eq(self.old)]
        m.d.comb += [
            self.write.en.eq(writing[STAGES]),
            self.write.addr.eq(address[STAGES]),
            self.write.data.eq(self._new(m)),
        ]
        self._look_up(m, takes)
        return m

    def _hazard(self, writing: Delayed, address: Delayed) -> Value:
        """Whether the request on offer needs a word that is not yet written."""
        request = self.requests.payload
        same = [writing[i] & (address[i] == request.address) for i in range(STAGES)]
        return (request.operation != Operation.STORE) & Cat(same).any()

    def _look_up(self, m: Module, takes: Signal) -> None:
        """What the word holds; that which is written just now comes past the memory."""
        wanted = self.requests.payload.address
        stored = self.rows.read_port()
        past, passed = Signal(), Signal(self.geometry.word_bits, reset_less=True)
        m.d.comb += [
            stored.addr.eq(wanted),
            stored.en.eq(takes),
            self.old.eq(Mux(past, passed, stored.data)),
        ]
        with m.If(takes):
            m.d.sync += [
                past.eq(self.write.en & (self.write.addr == wanted)),
                passed.eq(self.write.data),
            ]

    def _new(self, m: Module) -> Value:
        """What is written ``STAGES`` cycles later: the sums, or what a store brings."""
        numbers = Delayed(m, "numbers", self.here.numbers.as_value())
        stores = Delayed(m, "stores", self.here.operation == Operation.STORE)
        sums = []
        for i in range(self.geometry.lanes):
            m.submodules[f"lane{i}"] = lane = Lane()
            m.d.comb += [
                lane.a.eq(self.old.word_select(i, LANE_BITS)),
                lane.b.eq(self.here.numbers[i]),
                lane.bf16.eq(self.here.operation == Operation.UPDATE_BF16),
            ]
            sums.append(lane.total)
        return Mux(stores[STAGES], numbers[STAGES], Cat(sums))
