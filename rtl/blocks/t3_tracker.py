"""T3's Tracker: counts the updates of every tile at line rate and says which tiles are complete.

Values: :func:`hwsim.golden.t3_tracker.tracked`. Cycles: :func:`hwsim.laws.t3_tracker.timetable`.

Each port has memories of its own, which it alone writes: how many elements it has brought to each
tile, with the workgroup's turn beside the count so that a tile of the next workgroup begins at 0,
and how many tiles of each set it has completed. All ports read all of them. So two updates of one
tile or one set in one cycle need neither an arbiter nor a second write port: a tile's count is the
sum over the ports' memories, and so is the number of a set's complete tiles, whose bits above those
of a wavefront's number are the turn that the set is at. A port reads again what it holds, in each
cycle, and sees what was written in the one before.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 4.2.1. How it is built is ours.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.laws.t3_tracker import TrackerGeometry

__all__ = [
    "Merge",
    "Places",
    "Port",
    "Tracker",
    "kernel_layout",
    "refused_layout",
    "trigger_layout",
    "update_layout",
]


def kernel_layout(geometry: TrackerGeometry) -> data.StructLayout:
    """What a kernel tracks; of its wavefronts, how many bits their numbers have."""
    return data.StructLayout(
        {
            "first": unsigned(geometry.workgroup_bits),
            "threshold": unsigned(geometry.count_bits),
            "wavefront_bits": Shape.cast(range(geometry.wavefront_bits + 1)),
        }
    )


def trigger_layout(geometry: TrackerGeometry) -> data.StructLayout:
    """A tile that is complete."""
    return data.StructLayout(
        {
            "workgroup": unsigned(geometry.workgroup_bits),
            "wavefront": unsigned(geometry.wavefront_bits),
        }
    )


def update_layout(geometry: TrackerGeometry) -> data.StructLayout:
    """Elements of a tile, less one."""
    fields = trigger_layout(geometry).members
    return data.StructLayout({**fields, "elements": unsigned(geometry.element_bits)})


def refused_layout(geometry: TrackerGeometry) -> data.StructLayout:
    """An update that is handed back, and the port from which it came."""
    fields = update_layout(geometry).members
    return data.StructLayout({**fields, "port": Shape.cast(range(max(2, geometry.ports)))})


def _count_layout(geometry: TrackerGeometry) -> data.StructLayout:
    """What one port has brought to a tile of the workgroup of a turn."""
    return data.StructLayout(
        {"turn": unsigned(geometry.tag_bits), "count": unsigned(geometry.count_bits)}
    )


class Tracker(wiring.Component):
    """The Tracker.

    Ports
    -----
    kernels : In[stream of kernel_layout]
        What to track from now on; what was counted before is forgotten.
    updates_0, updates_1, ... : In[stream of update_layout]
    triggers : Out[stream of trigger_layout]
    refused : Out[stream of refused_layout]
        Only with ``on_full = step_aside``.
    fault : Out[1]
        A tile got more updates than its threshold, or the kernel has no such wavefront. Nothing is
        taken, counted or handed back until reset.
    """

    def __init__(self, geometry: TrackerGeometry) -> None:
        self.geometry = geometry
        self.aside = geometry.on_full == "step_aside"
        self.ports = [Port(geometry, number) for number in range(geometry.ports)]
        self.counts = [
            memory.Memory(shape=_count_layout(geometry), depth=geometry.tiles, init=[])
            for _ in self.ports
        ]
        """By port and tile."""
        done = unsigned(geometry.tag_bits + geometry.wavefront_bits + 1)
        self.done = [memory.Memory(shape=done, depth=geometry.entries, init=[]) for _ in self.ports]
        """By port and set: complete tiles, with a bit for all turns being over."""
        self.triggering = Merge(trigger_layout(geometry), geometry.ports)
        if self.aside:
            self.refusing = Merge(refused_layout(geometry), geometry.ports)
        self.kernel = Signal(kernel_layout(geometry))
        self.clearing = Signal()
        self.counting = Signal()
        self.clear = Signal(range(geometry.tiles))
        members: dict[str, wiring.Member] = {
            "kernels": In(stream.Signature(kernel_layout(geometry))),
            "triggers": Out(stream.Signature(trigger_layout(geometry))),
            "fault": Out(1),
        }
        for number in range(geometry.ports):
            members[f"updates_{number}"] = In(stream.Signature(update_layout(geometry)))
        if self.aside:
            members["refused"] = Out(stream.Signature(refused_layout(geometry)))
        super().__init__(members)

    def elaborate(self, _platform: object) -> Module:
        """Take and look up on every port, count together, hand over in turn."""
        m = Module()
        for number, (count, done) in enumerate(zip(self.counts, self.done, strict=True)):
            m.submodules[f"count_{number}"] = count
            m.submodules[f"done_{number}"] = done
        m.submodules.triggering = self.triggering
        wiring.connect(m, self.triggering.o, wiring.flipped(self.triggers))
        if self.aside:
            m.submodules.refusing = self.refusing
            wiring.connect(m, self.refusing.o, wiring.flipped(self.refused))
        self._begin(m)
        self._memories(m)
        for port in self.ports:
            self._take(m, port)
        for port in self.ports:
            self._look_up(m, port)
        for port in self.ports:
            self._count(m, port)
        with m.If(Cat(port.over for port in self.ports).any()):
            m.d.sync += [self.fault.eq(1), self.counting.eq(0)]
        return m

    def _begin(self, m: Module) -> None:
        """Take a kernel and clear a tile a cycle."""
        busy = self.clearing | self.fault | Cat(port.valid for port in self.ports).any()
        m.d.comb += self.kernels.ready.eq(~busy)
        with m.If(self.kernels.valid & self.kernels.ready):
            m.d.sync += [
                self.kernel.eq(self.kernels.payload),
                self.clearing.eq(1),
                self.counting.eq(0),
                self.clear.eq(0),
            ]
        with m.If(self.clearing):
            m.d.sync += self.clear.eq(self.clear + 1)
            with m.If(self.clear == self.geometry.tiles - 1):
                m.d.sync += [self.clearing.eq(0), self.counting.eq(1)]

    def _memories(self, m: Module) -> None:
        """A write port for each port's own, and one for each port to read it by."""
        for port, count, done in zip(self.ports, self.counts, self.done, strict=True):
            cleared = self.clear[self.geometry.wavefront_bits :]
            for store, into, at, value, writes in (
                (count, self.clear, port.tile, port.new_count, port.counts),
                (done, cleared, port.set, port.new_done, port.completes),
            ):
                write = store.write_port()
                m.d.comb += [
                    write.en.eq(self.clearing | writes),
                    write.addr.eq(Mux(self.clearing, into, at)),
                    write.data.eq(Mux(self.clearing, 0, Value.cast(value))),
                ]
                for reader in self.ports:
                    read = store.read_port(transparent_for=(write,))
                    is_count = store is count
                    m.d.comb += [
                        read.addr.eq(reader.next_tile if is_count else reader.next_set),
                        (reader.read_counts if is_count else reader.read_done)[port.number].eq(
                            read.data
                        ),
                    ]

    def _take(self, m: Module, port: Port) -> None:
        """Hold an update until it goes on, and read its tile and its set."""
        updates = getattr(self, f"updates_{port.number}")
        takes = Signal(name=f"takes_{port.number}")
        m.d.comb += [
            updates.ready.eq(self.counting & (~port.valid | port.goes)),
            takes.eq(updates.valid & updates.ready),
        ]
        with m.If(takes):
            m.d.sync += [port.valid.eq(1), port.update.eq(updates.payload)]
        with m.Elif(port.goes):
            m.d.sync += port.valid.eq(0)
        bits = self.geometry.index_bits
        coming = Mux(takes, Value.cast(updates.payload), Value.cast(port.update))
        view = data.View(update_layout(self.geometry), coming)
        m.d.comb += [
            port.next_set.eq(view.workgroup[:bits]),
            port.next_tile.eq(Cat(view.wavefront, view.workgroup[:bits])),
            port.set.eq(port.update.workgroup[:bits]),
            port.tile.eq(Cat(port.update.wavefront, port.update.workgroup[:bits])),
        ]

    def _look_up(self, m: Module, port: Port) -> None:
        """Whether it is the workgroup's turn, and whether the update goes on."""
        number, done = port.number, Signal.like(port.new_done, name=f"done_{port.number}")
        room = self.triggering.room[number]
        otherwise = self.refusing.room[number] if self.aside else Const(0, 1)
        m.d.comb += [
            port.turn.eq((port.update.workgroup - self.kernel.first)[self.geometry.index_bits :]),
            done.eq(sum(port.read_done)),
            port.mine.eq((done >> self.kernel.wavefront_bits) == port.turn),
            port.goes.eq(self.counting & port.valid & Mux(port.mine, room, otherwise)),
            port.counts.eq(port.goes & port.mine),
            port.new_done.eq(port.read_done[number] + 1),
        ]
        if self.aside:
            m.d.comb += [
                self.refusing.push[number].eq(port.goes & ~port.mine),
                self.refusing.i[number].eq(Cat(port.update, Value.cast(number))),
            ]

    def _count(self, m: Module, port: Port) -> None:
        """Add what all ports bring to this one's tile in this cycle, if it is counted.

        The sum does not wait for the look-up of the turn, which only decides whether it is used.
        """
        number, kernel = port.number, self.kernel
        brought, before = [], []
        for other in self.ports:
            kept = port.read_counts[other.number]
            brought.append(Mux(kept.turn == port.turn, kept.count, 0))
            same = self._too(port, other)
            brought.append(Mux(same, other.update.elements + 1, 0))
            if other.number < number:
                before.append(same)
        all_, own = Signal(len(kernel.threshold) + 3, name=f"all_{number}"), brought[2 * number]
        complete = Signal(name=f"complete_{number}")
        m.d.comb += [
            all_.eq(sum(brought)),
            port.new_count.turn.eq(port.turn),
            port.new_count.count.eq(own + port.update.elements + 1),
            complete.eq(port.counts & ~port.unknown & (all_ == kernel.threshold)),
            port.unknown.eq((port.update.wavefront >> kernel.wavefront_bits) != 0),
            port.completes.eq(complete & ~Cat(before, Value.cast(0)).any()),
            port.over.eq(port.counts & (port.unknown | (all_ > kernel.threshold))),
            self.triggering.push[number].eq(port.completes),
            self.triggering.i[number].workgroup.eq(port.update.workgroup),
            self.triggering.i[number].wavefront.eq(port.update.wavefront),
        ]

    def _too(self, port: Port, other: Port) -> Value:
        """Whether what another port holds is counted on the same tile, if this one's is counted."""
        if port is other:
            return Const(1)
        bits = self.geometry.workgroup_bits + self.geometry.wavefront_bits
        same = Value.cast(other.update)[:bits] == Value.cast(port.update)[:bits]
        return other.valid & self.triggering.room[other.number] & same


class Port:
    """One port's register, and what is found out about the update in it.

    Attributes
    ----------
    valid, update : the register.
    set, tile : of the update; ``next_set``, ``next_tile`` of the one that it holds next.
    turn : workgroups that the set serves before the update's.
    read_counts, read_done : by port, what it has brought to the tile, and completed in the set.
    mine : it is the workgroup's turn.
    goes, counts : the update goes on; and is counted.
    completes : it triggers.
    unknown, over : the kernel has no such wavefront; the update is a fault.
    new_count, new_done : what the port's own memories become.
    """

    def __init__(self, geometry: TrackerGeometry, number: int) -> None:
        def bit(name: str) -> Signal:
            return Signal(name=f"{name}_{number}")

        self.number = number
        self.valid = bit("valid")
        self.update = Signal(update_layout(geometry), name=f"update_{number}", reset_less=True)
        sets, tiles = range(geometry.entries), range(geometry.tiles)
        self.set = Signal(sets, name=f"set_{number}")
        self.next_set = Signal(sets, name=f"next_set_{number}")
        self.tile = Signal(tiles, name=f"tile_{number}")
        self.next_tile = Signal(tiles, name=f"next_tile_{number}")
        self.turn = Signal(geometry.tag_bits, name=f"turn_{number}")
        self.mine, self.goes, self.counts = bit("mine"), bit("goes"), bit("counts")
        self.completes, self.unknown, self.over = bit("completes"), bit("unknown"), bit("over")
        count = _count_layout(geometry)
        done = geometry.tag_bits + geometry.wavefront_bits + 1
        self.new_count = Signal(count, name=f"new_count_{number}")
        self.new_done = Signal(done, name=f"new_done_{number}")
        self.read_counts = [
            Signal(count, name=f"count_{other}_{number}") for other in range(geometry.ports)
        ]
        self.read_done = [
            Signal(done, name=f"done_{other}_{number}") for other in range(geometry.ports)
        ]


class Merge(wiring.Component):
    """Items from ports, two waiting at each, to one stream that they fill in turn.

    Ports
    -----
    i, push : In, for each port
        An item; only with ``room``.
    room : Out, for each port
    o : Out[stream]
    """

    def __init__(self, shape: data.StructLayout, ports: int) -> None:
        self.queues = [Places(shape) for _ in range(ports)]
        self.last = Signal(range(ports), init=ports - 1)
        super().__init__(
            {
                "i": In(shape).array(ports),
                "push": In(1).array(ports),
                "room": Out(1).array(ports),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        """The offer is a register, filled by the next port after the last that has something."""
        m = Module()
        free = ~self.o.valid | self.o.ready
        for number, queue in enumerate(self.queues):
            m.submodules[f"queue_{number}"] = queue
            m.d.comb += [
                queue.i.eq(self.i[number]),
                queue.push.eq(self.push[number]),
                self.room[number].eq(queue.room),
            ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(Cat(queue.valid for queue in self.queues).any())
            with m.Switch(self.last):
                for last in range(len(self.queues)):
                    with m.Case(last):
                        self._next(m, last)
        return m

    def _next(self, m: Module, last: int) -> None:
        """The first after ``last`` that has something."""
        none_yet = Value.cast(1)
        for step in range(len(self.queues)):
            number = (last + 1 + step) % len(self.queues)
            queue = self.queues[number]
            with m.If(none_yet & queue.valid):
                m.d.comb += queue.pop.eq(1)
                m.d.sync += [self.o.payload.eq(queue.o), self.last.eq(number)]
            none_yet = none_yet & ~queue.valid


class Places(wiring.Component):
    """A queue of two items, both in registers.

    Ports
    -----
    i, push : In
        An item; only with ``room``.
    room : Out[1]
    o, valid : Out
        The first item.
    pop : In[1]
        It is taken; only if ``valid``.
    """

    def __init__(self, shape: data.StructLayout) -> None:
        self.second = Signal(shape, reset_less=True)
        self.first = Signal(shape, reset_less=True)
        self.full = Signal()
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
        """The second moves up when the first leaves."""
        m = Module()
        stays = self.valid & ~self.pop
        m.d.comb += [self.room.eq(~self.full), self.o.eq(self.first)]
        m.d.sync += [
            self.valid.eq(stays | self.full | self.push),
            self.full.eq(stays & (self.full | self.push)),
        ]
        with m.If(~stays):
            m.d.sync += self.first.eq(Mux(self.full, self.second.as_value(), self.i.as_value()))
        with m.If(self.push):
            m.d.sync += self.second.eq(self.i)
        return m
