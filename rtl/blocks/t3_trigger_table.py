"""T3's trigger table: DMA entries, made ready by triggers, as requests for the columns of a block.

Values: :func:`hwsim.golden.t3_trigger.requests`. Cycles: :func:`hwsim.laws.t3_trigger.timetable`.

An entry's state, the tiles that it still waits for and the rest of its block's number, is a row of
one memory, which programs and triggers write by the one port that it has, at most one of them in a
cycle; both read again what they hold in each cycle, and so see what was written in the one before.
What an entry says of its block goes through a queue to the request registers, so that the entry is
free as soon as its block is ready.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 4.2.2 and 4.4. How it is built is ours.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.t3_trigger import TriggerGeometry
from rtl.blocks.flightllm_instruction_scheduler import Queue

__all__ = [
    "Requests",
    "TriggerTable",
    "output_layout",
    "program_layout",
    "request_layout",
    "trigger_layout",
]


def output_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """What the blocks of a kernel have in common; ``columns`` less one."""
    return data.StructLayout(
        {
            "columns": range(geometry.columns),
            "column_bytes": range(geometry.column_bytes + 1),
            "source_pitch": unsigned(geometry.pitch_bits),
            "destination_pitch": unsigned(geometry.pitch_bits),
            "block_bits": range(geometry.block_bits + 1),
        }
    )


def _block_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """What an entry says of its block; ``tiles`` less one."""
    return data.StructLayout(
        {
            "source": unsigned(geometry.address_bits),
            "destination": unsigned(geometry.address_bits),
            "tiles": range(geometry.block_tiles),
            "operation": unsigned(1),
        }
    )


def program_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """A block's number and its entry."""
    fields = _block_layout(geometry).members
    return data.StructLayout({"block": unsigned(geometry.tile_bits), **fields})


def trigger_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """A tile that is complete, as the Tracker says it."""
    return data.StructLayout(
        {"workgroup": unsigned(geometry.workgroup_bits), "wavefront": range(geometry.wavefronts)}
    )


def request_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """A column to be read and sent; ``last`` of its block."""
    return data.StructLayout(
        {
            "source": unsigned(geometry.address_bits),
            "destination": unsigned(geometry.address_bits),
            "bytes": range(geometry.column_bytes + 1),
            "operation": unsigned(1),
            "last": unsigned(1),
        }
    )


def _state_layout(geometry: TriggerGeometry) -> data.StructLayout:
    """Tiles that an entry waits for, none if it is free, and its block's number above the index."""
    return data.StructLayout(
        {
            "left": range(geometry.block_tiles + 1),
            "tag": unsigned(geometry.tile_bits - geometry.index_bits),
        }
    )


class TriggerTable(wiring.Component):
    """The trigger table.

    Ports
    -----
    kernels : In[stream of output_layout]
        What follows is of this output; entries that are not ready are forgotten.
    programs : In[stream of program_layout]
        Entries. One waits until its place is free.
    triggers : In[stream of trigger_layout]
    requests : Out[stream of request_layout]
    fault : Out[1]
        A trigger's block is not programmed. No program and no trigger is taken until reset; what
        was ready goes on.
    """

    def __init__(self, geometry: TriggerGeometry) -> None:
        self.geometry = geometry
        state = _state_layout(geometry)
        self.states = memory.Memory(shape=state, depth=geometry.entries, init=[])
        block = _block_layout(geometry)
        self.blocks = memory.Memory(shape=block, depth=geometry.entries, init=[])
        self.queue = Queue(block, geometry.queued)
        self.asking = Requests(geometry)
        self.kernel = Signal(output_layout(geometry))
        self.clearing = Signal()
        self.runs = Signal()
        self.clear = Signal(range(geometry.entries))
        self.program = Signal(program_layout(geometry), reset_less=True)
        self.programming = Signal()
        """A program is held."""
        self.program_state = Signal(state)
        self.program_goes = Signal()
        self.trigger = Signal(trigger_layout(geometry), reset_less=True)
        self.triggered = Signal()
        """A trigger is held."""
        self.trigger_block = Signal(geometry.tile_bits)
        self.trigger_state = Signal(state)
        self.trigger_goes = Signal()
        self.passed = Signal()
        """A program could have gone on in the cycle before, but a trigger did."""
        self.unknown = Signal()
        super().__init__(
            {
                "kernels": In(stream.Signature(output_layout(geometry))),
                "programs": In(stream.Signature(program_layout(geometry))),
                "triggers": In(stream.Signature(trigger_layout(geometry))),
                "requests": Out(stream.Signature(request_layout(geometry))),
                "fault": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """Programs and triggers to the entries, those that are ready to the queue, to requests."""
        m = Module()
        m.submodules.states, m.submodules.blocks = self.states, self.blocks
        m.submodules.queue = queue = self.queue
        m.submodules.asking = asking = self.asking
        wiring.connect(m, asking.requests, wiring.flipped(self.requests))
        m.d.comb += [
            asking.kernel.eq(self.kernel),
            asking.block.eq(queue.o),
            asking.valid.eq(queue.valid),
            queue.pop.eq(asking.takes),
        ]
        self._begin(m)
        self._take(m)
        self._who_goes(m)
        self._write(m)
        return m

    def _begin(self, m: Module) -> None:
        """Take a kernel when all is quiet, and clear an entry a cycle."""
        held = self.programming | self.triggered
        ready = self.queue.valid | (self.queue.level != 0) | self.requests.valid
        m.d.comb += self.kernels.ready.eq(~(self.clearing | self.fault | held | ready))
        with m.If(self.kernels.valid & self.kernels.ready):
            m.d.sync += [
                self.kernel.eq(self.kernels.payload),
                self.clearing.eq(1),
                self.runs.eq(0),
                self.clear.eq(0),
            ]
        with m.If(self.clearing):
            m.d.sync += self.clear.eq(self.clear + 1)
            with m.If(self.clear == self.geometry.entries - 1):
                m.d.sync += [self.clearing.eq(0), self.runs.eq(1)]
        with m.If(self.unknown):
            m.d.sync += [self.fault.eq(1), self.runs.eq(0)]

    def _take(self, m: Module) -> None:
        """Hold a program and a trigger until they go on."""
        for port, held, valid, goes in (
            (self.programs, self.program, self.programming, self.program_goes),
            (self.triggers, self.trigger, self.triggered, self.trigger_goes),
        ):
            m.d.comb += port.ready.eq(self.runs & (~valid | goes))
            with m.If(port.valid & port.ready):
                m.d.sync += [valid.eq(1), held.eq(port.payload)]
            with m.Elif(goes):
                m.d.sync += valid.eq(0)

    def _block(self, trigger: data.View) -> Value:
        """The number of a trigger's block."""
        return Cat(trigger.wavefront, trigger.workgroup) >> self.kernel.block_bits

    def _who_goes(self, m: Module) -> None:
        """A trigger first, but a program that was passed over goes before the next."""
        index = self.geometry.index_bits
        program_can, trigger_can = Signal(), Signal()
        known = self.trigger_state.tag == self.trigger_block[index:]
        m.d.comb += [
            self.trigger_block.eq(self._block(self.trigger)),
            program_can.eq(self.runs & self.programming & (self.program_state.left == 0)),
            trigger_can.eq(self.runs & self.triggered & self.queue.room),
            self.trigger_goes.eq(trigger_can & ~(self.passed & program_can)),
            self.program_goes.eq(program_can & ~self.trigger_goes),
            self.unknown.eq(self.trigger_goes & ((self.trigger_state.left == 0) | ~known)),
            self.queue.push.eq(self.trigger_goes & (self.trigger_state.left == 1) & known),
        ]
        m.d.sync += self.passed.eq(program_can & self.trigger_goes)

    def _write(self, m: Module) -> None:
        """Both look up the entry of what they hold next; the one that goes writes it."""
        index = self.geometry.index_bits
        state, block = self.states.write_port(), self.blocks.write_port()
        program = self.program
        left = Mux(self.program_goes, program.tiles + 1, self.trigger_state.left - 1)
        tag = Mux(self.program_goes, program.block[index:], self.trigger_state.tag)
        entry = Mux(self.program_goes, program.block[:index], self.trigger_block[:index])
        m.d.comb += [
            state.en.eq(self.clearing | self.program_goes | self.trigger_goes),
            state.addr.eq(Mux(self.clearing, self.clear, entry)),
            state.data.left.eq(Mux(self.clearing, 0, left)),
            state.data.tag.eq(tag),
            block.en.eq(self.program_goes),
            block.addr.eq(program.block[:index]),
            block.data.eq(Value.cast(program)[len(program.block) :]),
        ]
        next_program = Signal(len(program.block))
        next_trigger = Signal(len(self.trigger_block))
        takes_program = self.programs.valid & self.programs.ready
        takes_trigger = self.triggers.valid & self.triggers.ready
        m.d.comb += [
            next_program.eq(Mux(takes_program, self.programs.payload.block, program.block)),
            next_trigger.eq(
                Mux(takes_trigger, self._block(self.triggers.payload), self.trigger_block)
            ),
        ]
        by_program = self.states.read_port(transparent_for=(state,))
        by_trigger = self.states.read_port(transparent_for=(state,))
        ready = self.blocks.read_port(transparent_for=(block,))
        m.d.comb += [
            by_program.addr.eq(next_program[:index]),
            by_trigger.addr.eq(next_trigger[:index]),
            ready.addr.eq(next_trigger[:index]),
            self.program_state.eq(by_program.data),
            self.trigger_state.eq(by_trigger.data),
            self.queue.i.eq(ready.data),
        ]


class Requests(wiring.Component):
    """Blocks as requests, one a column and a cycle.

    Ports
    -----
    kernel : In
    block, valid : In
        The next block.
    takes : Out[1]
        It begins in the next cycle.
    requests : Out[stream of request_layout]
    """

    def __init__(self, geometry: TriggerGeometry) -> None:
        self.tiles = Signal(range(geometry.block_tiles))
        self.columns = Signal(range(geometry.columns))
        """Those that are left, of the block and of the tile, besides the one at hand."""
        super().__init__(
            {
                "kernel": In(output_layout(geometry)),
                "block": In(_block_layout(geometry)),
                "valid": In(1),
                "takes": Out(1),
                "requests": Out(stream.Signature(request_layout(geometry))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The addresses on offer are the registers that the pitches are added to."""
        m = Module()
        request, kernel, block = self.requests.payload, self.kernel, self.block
        source, destination = Signal.like(request.source), Signal.like(request.destination)
        operation, tile_ends = Signal(), Signal()
        taken = self.requests.valid & self.requests.ready
        m.d.comb += [
            request.source.eq(source),
            request.destination.eq(destination),
            request.operation.eq(operation),
            request.bytes.eq(kernel.column_bytes),
            tile_ends.eq(self.columns == 0),
            request.last.eq(tile_ends & (self.tiles == 0)),
            self.takes.eq(self.valid & (~self.requests.valid | (taken & request.last))),
        ]
        with m.If(self.takes):
            m.d.sync += [
                self.requests.valid.eq(1),
                source.eq(block.source),
                destination.eq(block.destination),
                operation.eq(block.operation),
                self.tiles.eq(block.tiles),
                self.columns.eq(kernel.columns),
            ]
        with m.Elif(taken):
            m.d.sync += [
                self.requests.valid.eq(~request.last),
                source.eq(source + kernel.source_pitch),
                destination.eq(destination + kernel.destination_pitch),
                self.tiles.eq(self.tiles - tile_ends),
                self.columns.eq(Mux(tile_ends, kernel.columns, self.columns - 1)),
            ]
        return m
