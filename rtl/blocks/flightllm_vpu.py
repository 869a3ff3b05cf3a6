"""FlightLLM's vector processing unit: a sparse DSP chain that runs whole MV and MM fragments.

Values: :mod:`hwsim.golden.flightllm_vpu`. Cycles: :class:`hwsim.laws.flightllm_vpu.Clock`.

An instruction names rows of four buffers. The sequencer walks its blocks, from the block table or,
if it is not sparse, K position by K position, and issues a beat of weights a cycle; a beat that is
not dense takes a row of indices too. The sums of a beat are steered to the accumulators of its
columns. An instruction with ``output`` gives the accumulators to the drain, which moves a column a
cycle into the output FIFO, and the next instruction begins new sums.

The write streams are always ready, and a row written in one cycle can be read from the next on.
Nothing here keeps a load from a row that an instruction has yet to read, or an instruction from a
row that is yet to be loaded: as in the paper, that is what the tokens of the instruction scheduler
are for. Bias, ReLU and requantisation are not the VPU's.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, sections 3.1 and 3.2.
"""

from __future__ import annotations

from amaranth.hdl import EnableInserter, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwsim.laws.flightllm_chain import GROUP, segment
from hwsim.laws.flightllm_vpu import SUM_BITS, VPUGeometry, block_rows, dense_code
from rtl.blocks.flightllm_csd_chain import ChainPath, beat_layout, chain_depth, sums_layout

__all__ = [
    "VPU",
    "column_layout",
    "instruction_layout",
    "row_layouts",
    "write_layout",
]


def instruction_layout(geometry: VPUGeometry) -> data.StructLayout:
    """The fields of :class:`hwsim.laws.flightllm_vpu.Instruction`, the first lowest."""
    return data.StructLayout(
        {
            "output": 1,
            "sparse": 1,
            "blocks": max(geometry.table_entries, geometry.activation_blocks).bit_length(),
            "table": ceil_log2(geometry.table_entries),
            "weights": ceil_log2(geometry.weight_rows),
            "indices": ceil_log2(geometry.index_rows),
            "activations": ceil_log2(geometry.activation_blocks),
        }
    )


def row_layouts(geometry: VPUGeometry) -> dict[str, tuple[data.Layout, int]]:
    """What a row of each buffer holds, and how many rows there are."""
    beat = beat_layout(geometry)
    entry = {"k": ceil_log2(geometry.activation_blocks), "density": beat["density"].shape}
    return {
        "table": (data.StructLayout(entry), geometry.table_entries),
        "weights": (beat["weights"].shape, geometry.weight_rows),
        "indices": (beat["indices"].shape, geometry.index_rows),
        "activations": (beat["activations"].shape, geometry.activation_blocks),
    }


def write_layout(row: data.Layout, rows: int) -> data.StructLayout:
    """A row and where it goes."""
    return data.StructLayout({"address": ceil_log2(rows), "row": row})


def column_layout() -> data.ArrayLayout:
    """The sums of a column: [lane]."""
    return data.ArrayLayout(signed(SUM_BITS), 2)


FLAGS = ("adds", "begins", "completes")


def _steps_layout(geometry: VPUGeometry) -> data.StructLayout:
    """What goes with a beat: whether its sums count, begin new totals, complete a result; where."""
    return data.StructLayout(
        {
            **dict.fromkeys(FLAGS, 1),
            "density": beat_layout(geometry)["density"].shape,
            "beat": ceil_log2(max(block_rows(geometry))),
        }
    )


class VPU(wiring.Component):
    """The VPU.

    Ports
    -----
    instructions : In[stream of instruction_layout]
        Taken in the last cycle of issue of the one before.
    table, weights, indices, activations : In[stream of write_layout]
        Rows to write; always ready.
    results : Out[stream of column_layout]
        The columns of each result, the first one first.

    Elaborated, it also has what proofs speak of: ``sequencer``, ``drain``, and ``completes``, a bit
    that goes along with each beat: the last one of a result.
    """

    sequencer: _Sequencer
    drain: _Drain
    completes: list[Value]

    def __init__(self, geometry: VPUGeometry) -> None:
        self.geometry = geometry
        writes = {
            name: In(stream.Signature(write_layout(*of)))
            for name, of in row_layouts(geometry).items()
        }
        super().__init__(
            {
                "instructions": In(stream.Signature(instruction_layout(geometry))),
                **writes,
                "results": Out(stream.Signature(column_layout())),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """All stages up to the accumulators share one enable."""
        m = Module()
        geometry, moves = self.geometry, Signal()
        self.sequencer = sequencer = _Sequencer(geometry)
        m.submodules.sequencer = EnableInserter(moves)(sequencer)
        m.submodules.path = path = EnableInserter(moves)(ChainPath(geometry, moves))
        sums = _Accumulators(geometry)
        m.submodules.accumulators = EnableInserter(moves)(sums)
        m.submodules.drain = self.drain = drain = _Drain(geometry)
        wiring.connect(m, wiring.flipped(self.instructions), sequencer.instructions)
        wiring.connect(m, drain.results, wiring.flipped(self.results))
        steps = _Steps(geometry)
        m.submodules.alongside = EnableInserter(moves)(steps)
        self.completes = [
            sequencer.steps.completes,
            steps.at_rows.completes,
            *steps.later["completes"],
            sums.completes,
            sums.complete,
        ]
        rows = self._buffers(m, sequencer, moves)
        operands = Signal(beat_layout(geometry), reset_less=True)
        with m.If(moves):
            m.d.sync += operands.density.eq(steps.at_rows.density)
            m.d.sync += [operands[name].eq(row) for name, row in rows.items()]
        m.d.comb += [
            moves.eq(~sums.complete | drain.takes),
            sequencer.moves.eq(moves),
            steps.at_request.eq(sequencer.steps),
            path.beat.eq(operands),
            sums.steps.eq(steps.at_sums),
            sums.sums.eq(path.sums),
            drain.offers.eq(sums.complete),
            drain.columns.eq(sums.totals),
        ]
        return m

    def _buffers(self, m: Module, sequencer: _Sequencer, moves: Signal) -> dict[str, Value]:
        """The four memories; gives the rows read from those that hold operands."""
        rows = {}
        for name, (layout, depth) in row_layouts(self.geometry).items():
            m.submodules[f"{name}_buffer"] = memory = Memory(shape=layout, depth=depth, init=[])
            written, writer, reader = getattr(self, name), memory.write_port(), memory.read_port()
            m.d.comb += [
                written.ready.eq(1),
                writer.en.eq(written.valid),
                writer.addr.eq(written.payload.address),
                writer.data.eq(written.payload.row),
            ]
            if name == "table":
                m.d.comb += [
                    reader.en.eq(moves & sequencer.reads_entry),
                    reader.addr.eq(sequencer.entry_address),
                    sequencer.entry.eq(reader.data),
                ]
            else:
                m.d.comb += [reader.en.eq(moves), reader.addr.eq(sequencer.addresses[name])]
                rows[name] = reader.data
        return rows


class _Sequencer(wiring.Component):
    """Walks the blocks of an instruction and requests a beat a cycle.

    The table is read a cycle ahead, in the cycle in which an instruction is taken and in the last
    cycle of every block, so that neither costs a cycle. The other addresses, and what goes with
    the beat, are registered.
    """

    def __init__(self, geometry: VPUGeometry) -> None:
        self.geometry = geometry
        layouts = row_layouts(geometry)
        addresses = {name: ceil_log2(depth) for name, (_, depth) in layouts.items()}
        self.running, self.begins = Signal(), Signal()
        self.now = Signal(instruction_layout(geometry), init={"output": 1})
        super().__init__(
            {
                "moves": In(1),
                "instructions": In(stream.Signature(instruction_layout(geometry))),
                "reads_entry": Out(1),
                "entry_address": Out(addresses.pop("table")),
                "entry": In(layouts["table"][0]),
                "addresses": Out(data.StructLayout(addresses)),
                "steps": Out(_steps_layout(geometry)),
            }
        )
        self.position, self.beat = Signal.like(self.entry.k), Signal.like(self.steps.beat)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        running, begins, now = self.running, self.begins, self.now
        position, beat = self.position, self.beat
        takes, block_ends = Signal(), Signal()
        block = Signal(self.entry.shape())
        empty = now.blocks == 0
        m.d.comb += [
            block.k.eq(Mux(now.sparse, self.entry.k, position)),
            block.density.eq(Mux(now.sparse, self.entry.density, dense_code(self.geometry))),
            takes.eq(~running | empty | (block_ends & (now.blocks == 1))),
            self.instructions.ready.eq(self.moves & takes),
            self.reads_entry.eq(takes | block_ends),
            self.entry_address.eq(Mux(takes, self.instructions.payload.table, now.table)),
        ]
        m.d.sync += [
            self.addresses.weights.eq(now.weights),
            self.addresses.indices.eq(now.indices),
            self.addresses.activations.eq(now.activations + block.k),
            self.steps.adds.eq(running & ~empty),
            self.steps.begins.eq(running & begins),
            self.steps.completes.eq(running & takes & now.output),
            self.steps.density.eq(block.density),
            self.steps.beat.eq(beat),
        ]
        self._advance(m, now, block.density, beat, block_ends)
        with m.If(block_ends):
            m.d.sync += position.eq(position + 1)
        with m.If(running):
            m.d.sync += begins.eq(0)
        with m.If(takes):
            m.d.sync += running.eq(self.instructions.valid)
        with m.If(takes & self.instructions.valid):
            m.d.sync += [
                now.eq(self.instructions.payload),
                now.table.eq(self.instructions.payload.table + 1),
                begins.eq(now.output),
                beat.eq(0),
                position.eq(0),
            ]
        return m

    def _advance(
        self, m: Module, now: data.View, density: Value, beat: Signal, block_ends: Signal
    ) -> None:
        """To the next beat, and from the last one of a block to the next block."""
        m.d.sync += [now.weights.eq(now.weights + 1), beat.eq(beat + 1)]
        with m.Switch(density):
            for code, beats in enumerate(block_rows(self.geometry)):
                with m.Case(code):
                    m.d.comb += block_ends.eq(beat == beats - 1)
                    if not self.geometry.densities[code].dense:
                        m.d.sync += now.indices.eq(now.indices + 1)
        with m.If(block_ends):
            m.d.sync += [beat.eq(0), now.blocks.eq(now.blocks - 1), now.table.eq(now.table + 1)]


class _Steps(wiring.Component):
    """Carries a beat's steps beside its operands: to where its rows are read, and to its sums."""

    def __init__(self, geometry: VPUGeometry) -> None:
        steps, stages = _steps_layout(geometry), range(1, chain_depth(geometry) + 2)
        super().__init__({"at_request": In(steps), "at_rows": Out(steps), "at_sums": Out(steps)})
        self.later = {
            name: [
                Signal(field.shape, name=f"{name}_{stage}", reset_less=name not in FLAGS)
                for stage in stages
            ]
            for name, field in steps
        }

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.sync += self.at_rows.eq(self.at_request)
        for name, stages in self.later.items():
            here = self.at_rows[name]
            for later in stages:
                m.d.sync += later.eq(here)
                here = later
            m.d.comb += self.at_sums[name].eq(here)
        return m


class _Accumulators(wiring.Component):
    """Steers the sums of a beat to the accumulators of its columns, and adds them up."""

    def __init__(self, geometry: VPUGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "steps": In(_steps_layout(geometry)),
                "sums": In(sums_layout(geometry)),
                "complete": Out(1),
                "totals": Out(data.ArrayLayout(column_layout(), geometry.columns)),
            }
        )
        self.completes = Signal()

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        begins, completes = Signal(), self.completes
        totals = Signal(self.totals.shape(), reset_less=True)
        m.d.comb += self.totals.eq(totals)
        m.d.sync += [
            begins.eq(self.steps.begins),
            completes.eq(self.steps.completes),
            self.complete.eq(completes),
        ]
        for column in range(self.geometry.columns):
            addends = self._steer(m, column)
            for lane in range(2):
                total = totals[column][lane]
                m.d.sync += total.eq(Mux(begins, 0, total) + addends[lane])
        return m

    def _steer(self, m: Module, column: int) -> list[Signal]:
        """The sums of both lanes of ``column``, 0 if the beat does not hold it."""
        sum_ = signed(self.geometry.sum_bits)
        addends = [Signal(sum_, name=f"addend{column}_{lane}") for lane in range(2)]
        m.d.sync += [addend.eq(0) for addend in addends]
        with m.Switch(self.steps.density):
            for code, density in enumerate(self.geometry.densities):
                size = segment(self.geometry, density)
                beat, place = divmod(column, self.geometry.chain_length // size)
                node = self.sums[(place + 1) * size // GROUP - 1]
                with m.Case(code), m.If(self.steps.adds & (self.steps.beat == beat)):
                    m.d.sync += [addends[lane].eq(node[lane]) for lane in range(2)]
        return addends


class _Drain(wiring.Component):
    """Takes a whole result and moves it, a column a cycle, into the output FIFO.

    The next result is taken in the cycle in which the last column goes: results that are
    ``columns`` cycles apart never wait for each other.
    """

    def __init__(self, geometry: VPUGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "offers": In(1),
                "columns": In(data.ArrayLayout(column_layout(), geometry.columns)),
                "takes": Out(1),
                "results": Out(stream.Signature(column_layout())),
            }
        )
        self.left = Signal(range(geometry.columns + 1))
        self.fifo = SyncFIFO(width=column_layout().size, depth=geometry.output_columns)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        held = Signal(self.columns.shape(), reset_less=True)
        left, drains, width = self.left, Signal(), column_layout().size
        m.submodules.fifo = fifo = self.fifo
        m.d.comb += [
            drains.eq((left != 0) & fifo.w_rdy),
            self.takes.eq((left == 0) | ((left == 1) & fifo.w_rdy)),
            fifo.w_data.eq(held[0]),
            fifo.w_en.eq(drains),
            self.results.payload.eq(fifo.r_data),
            self.results.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.results.ready),
        ]
        with m.If(drains):
            m.d.sync += [held.eq(held.as_value() >> width), left.eq(left - 1)]
        with m.If(self.offers & self.takes):
            m.d.sync += [held.eq(self.columns), left.eq(self.geometry.columns)]
        return m
