"""What is proven of ``flightllm.vpu``: its control, with operands and sums left free.

Every input is free, reset too, but that the table holds densities that the chain has, and that an
offer stands until it is taken. Each DSP48E2 is a black box.
"""

from __future__ import annotations

from amaranth.hdl import Array, Assert, Assume, Const, Cover, Fragment, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.laws.flightllm_vpu import VPUGeometry, block_beats, dense_code, fill
from rtl.block import Proof
from rtl.blocks.flightllm_vpu import VPU, instruction_layout, row_layouts, write_layout

__all__ = ["CONTROL", "VPUControl"]


class VPUControl(wiring.Component):
    """Counts every instruction's blocks and beats, follows any one slot, and counts the columns.

    A slot is what the sequencer issues in a cycle in which the stages move: a beat, or nothing.
    ``pick`` chooses the one that is followed, and the solver tries every choice.

    Ports
    -----
    instruction : In[instruction_layout]
    entry : In[write_layout]
        A row of the table to write.
    offered, writes, ready : In[1]
        Whether there is an instruction, a row, a consumer.
    pick : In[1]
    """

    def __init__(self, geometry: VPUGeometry) -> None:
        self.geometry = geometry
        instruction = instruction_layout(geometry)
        flags = dict.fromkeys(("offered", "writes", "ready", "pick"), In(1))
        entry = write_layout(*row_layouts(geometry)["table"])
        super().__init__({"instruction": In(instruction), "entry": In(entry), **flags})
        self.told = Signal(instruction, init={"output": 1})
        """The instruction at work, or the last one."""
        self.works, self.begins = Signal(), Signal()
        """Whether it issues; whether it is to begin new sums with its next cycle."""
        self.blocks, self.within = Signal.like(self.told.blocks), Signal(range(geometry.columns))
        """Blocks of it that are done, and beats of the one after those."""
        self.beats = Signal.like(self.told.weights)
        self.sparse_beats = Signal.like(self.told.indices)
        """Beats of it that were issued, and those that took indices; they wrap as addresses do."""

    def elaborate(self, _platform: object) -> Module:
        """The VPU, and what must hold of it in every cycle."""
        m = Module()
        vpu = VPU(self.geometry)
        m.submodules.vpu = Fragment.get(vpu, None)  # now, so that its registers can be named
        stalled, moves, last = Signal(), Signal(), Signal()
        m.d.sync += stalled.eq(self.offered & ~vpu.instructions.ready)
        m.d.comb += [
            vpu.instructions.payload.eq(self.instruction),
            vpu.instructions.valid.eq(self.offered),
            vpu.table.payload.eq(self.entry),
            vpu.table.valid.eq(self.writes),
            vpu.results.ready.eq(self.ready),
            moves.eq(~vpu.completes[-1] | vpu.drain.takes),
            Assume(~stalled | self.offered),
        ]
        self._issues(m, vpu, moves, last)
        self._follows(m, vpu, moves, last & self.told.output)
        self._drains(m, vpu)
        return m

    def _issues(self, m: Module, vpu: VPU, moves: Signal, last: Signal) -> None:
        """Each block its beats, each instruction its blocks, then the next one."""
        told, entry = self.told, vpu.sequencer.entry
        every = block_beats(self.geometry)
        density, beats = Signal.like(entry.density), Signal(range(self.geometry.columns + 1))
        ends, takes, empty = Signal(), Signal(), Signal()
        m.d.comb += [
            Assume(entry.density < len(every)),
            density.eq(Mux(told.sparse, entry.density, dense_code(self.geometry))),
            beats.eq(Array(every)[density]),
            empty.eq(told.blocks == 0),
            ends.eq(self.works & ~empty & (self.within == beats - 1)),
            last.eq(self.works & (empty | (ends & (self.blocks == told.blocks - 1)))),
            Assert(
                vpu.instructions.ready == (moves & (last | ~self.works)),
                "an instruction is taken with the last beat, or when there is none",
            ),
            takes.eq(self.offered & vpu.instructions.ready),
        ]
        self._is_as_counted(m, vpu, beats, empty)
        self._requests(m, vpu, moves)
        with m.If(moves & self.works):
            m.d.sync += [self.works.eq(~last), self.begins.eq(0), self.within.eq(self.within + 1)]
            m.d.sync += self.beats.eq(self.beats + 1)
            with m.If(~Array(d.dense for d in self.geometry.densities)[density]):
                m.d.sync += self.sparse_beats.eq(self.sparse_beats + 1)
        with m.If(moves & ends):
            m.d.sync += [self.within.eq(0), self.blocks.eq(self.blocks + 1)]
        with m.If(takes):
            m.d.sync += [told.eq(self.instruction), self.works.eq(1), self.begins.eq(told.output)]
            counts = (self.blocks, self.within, self.beats, self.sparse_beats)
            m.d.sync += [count.eq(0) for count in counts]
        m.d.comb += [
            Cover(moves & last & told.sparse & (self.blocks == 1), "two blocks from the table"),
            Cover(moves & last & takes & (beats > 1) & ~empty, "an instruction right behind"),
            Cover(moves & last & empty, "an instruction without a block"),
        ]

    def _is_as_counted(self, m: Module, vpu: VPU, beats: Value, empty: Value) -> None:
        """The sequencer's registers, as the harness counts."""
        sequencer, told = vpu.sequencer, self.told
        now = sequencer.now
        m.d.comb += [
            Assert(sequencer.running == self.works, "works on an instruction, or on none"),
            Assert(now.output == told.output, "whether it gives its sums away"),
        ]
        with m.If(self.works):
            same = (now.sparse == told.sparse) & (now.activations == told.activations)
            m.d.comb += [
                Assert(sequencer.begins == self.begins, "new sums begin behind a result"),
                Assert(same, "works as it was told"),
                Assert(
                    Mux(empty, self.blocks == 0, self.blocks < told.blocks),
                    "no block beyond the last",
                ),
                Assert(empty | (self.within < beats), "no beat beyond a block's"),
                Assert(empty | (sequencer.beat == self.within), "the beat of the block"),
                Assert(now.blocks == told.blocks - self.blocks, "blocks left"),
            ]
        with m.If(self.works & ~empty):
            m.d.comb += [
                Assert(_is(now.table, told.table + 1 + self.blocks), "the next entry of the table"),
                Assert(_is(now.weights, told.weights + self.beats), "the row of weights"),
                Assert(_is(now.indices, told.indices + self.sparse_beats), "the row of indices"),
                Assert(_is(sequencer.position, self.blocks), "the place of a dense block"),
            ]

    def _requests(self, m: Module, vpu: VPU, moves: Signal) -> None:
        """What goes to the buffers, a cycle after it was counted."""
        told, sequencer = self.told, vpu.sequencer
        read_at, due = Signal.like(told.table), Signal.like(told.weights)
        adds, begins = Signal(), Signal()
        empty = told.blocks == 0
        with m.If(moves & sequencer.reads_entry):
            m.d.sync += read_at.eq(sequencer.entry_address)
        with m.If(moves):
            m.d.sync += [due.eq(told.weights + self.beats), adds.eq(self.works & ~empty)]
            m.d.sync += begins.eq(self.works & self.begins)
        with m.If(self.works & ~empty):
            m.d.comb += Assert(_is(read_at, told.table + self.blocks), "the block's own entry")
        m.d.comb += [
            Assert(sequencer.steps.adds == adds, "adds what was issued, and nothing else"),
            Assert(sequencer.steps.begins == begins, "begins anew where it should"),
            Assert(~adds | (sequencer.addresses.weights == due), "weights in their order"),
        ]

    def _follows(self, m: Module, vpu: VPU, moves: Signal, completes: Value) -> None:
        """A result is complete as many moves after its last beat as the law says."""
        stages = fill(self.geometry) - 2
        age, due, moved = Signal(range(stages + 1)), Signal(), Signal(range(stages + 1))
        with m.If(moves):
            with m.If(moved != stages):
                m.d.sync += moved.eq(moved + 1)
            with m.If((age == 0) & self.pick):
                m.d.sync += [age.eq(1), due.eq(completes)]
            with m.Elif(age == stages):
                m.d.sync += age.eq(0)
            with m.Elif(age != 0):
                m.d.sync += age.eq(age + 1)
        m.d.comb += [
            Assert(age <= stages, "leaves in time"),
            Assert(moved <= stages, "counts no further"),
            Assert(Const(len(vpu.completes) == stages), "as many stages as the law has"),
        ]
        for stage, bit in enumerate(vpu.completes, start=1):
            m.d.comb += [
                Assert((age != stage) | (bit == due), f"is in stage {stage}"),
                Assert((moved >= stage) | ~bit, f"stage {stage} is empty after reset"),
            ]

    def _drains(self, m: Module, vpu: VPU) -> None:
        """The columns of each result leave, no more and no fewer, and the FIFO holds them."""
        columns, held = self.geometry.columns, self.geometry.output_columns
        drain, complete = vpu.drain, vpu.completes[-1]
        owed, waits = Signal(range(columns + held + 1)), Signal()
        leaves = vpu.results.valid & self.ready
        given = Mux(complete & drain.takes, columns, 0)
        m.d.sync += [owed.eq(owed + given - leaves), waits.eq(complete & ~drain.takes)]
        m.d.comb += [
            Assert(owed == drain.left + drain.fifo.level, "columns owed are held"),
            Assert(drain.left <= columns, "no more columns than a result has"),
            Assert(drain.fifo.level <= held, "the FIFO holds what it can"),
            Assert(~drain.fifo.w_en | drain.fifo.w_rdy, "the FIFO has room for what comes"),
            Assert(vpu.results.valid == (drain.fifo.level != 0), "what is held is offered"),
            Assert(~waits | complete, "a result waits until it is taken"),
            Assert(~(complete & ~drain.takes) | ~vpu.instructions.ready, "nothing moves meanwhile"),
            Cover(leaves, "a column leaves"),
            Cover(complete & ~drain.takes, "a result waits for the one before"),
        ]


def _is(address: Value, count: Value) -> Value:
    """Whether an address is as counted; it goes on from the end of a buffer to its begin."""
    return address == count[: len(address)]


CONTROL = Proof(
    name="control",
    harness=VPUControl,
    depth=6,
    reach=56,  # through the longest chain of the sweep
    statement=(
        "Under any instructions, table, stalls and resets: every block is issued for the beats of "
        "its density and every instruction for its blocks, with the rows that it names and those "
        "after them; the next one is taken with the last beat; a result is complete as many moves "
        "after its last beat as the law says, waits for the drain without being lost, and leaves "
        "in as many columns as it has; the output FIFO never overflows."
    ),
)
