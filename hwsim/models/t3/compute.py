"""Compute units and the GEMM that runs on them, a workgroup's k step at a time.

A workgroup is resident on a compute unit from its first load until its stores are done. For each
step of k it loads a part of A and of B into local memory, ``prefetch_steps`` steps ahead of the one
it multiplies, and multiplies it on the matrix cores that all workgroups of the unit share. Which
unit has room next is up to time; of several at one instant, the first.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 2.5: a stage is what is resident together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from hwsim.config import Config, Hertz, quantity
from hwsim.memory import Stream
from hwsim.models.t3.tiles import Tiling, Workgroup
from hwsim.sim import Event, Kernel, Process, Server, Slots
from hwsim.units import FS_PER_SECOND

if TYPE_CHECKING:
    from hwsim.memory.system import MemorySystem

__all__ = ["ComputeConfig", "Gemm", "Span", "Store"]

Store = Callable[[Workgroup], Process]
"""How a workgroup's output leaves it."""


class ComputeConfig(Config):
    """The compute units of a device.

    Parameters
    ----------
    clock : of the compute units.
    units : their number.
    workgroups : resident on one unit at once.
    flop_per_cycle : of a unit's matrix cores, at best.
    efficiency : share of that rate that a GEMM's inner loop reaches.
    """

    clock: Hertz = quantity("1.4 GHz")
    units: int = Field(80, ge=1, le=4096)
    workgroups: int = Field(2, ge=1, le=32)
    flop_per_cycle: int = Field(1024, ge=1)
    efficiency: Annotated[float, Field(gt=0, le=1)] = 0.9

    def multiply_fs(self, flop: int) -> int:
        """Femtoseconds for ``flop`` on one unit, in whole cycles, rounded up."""
        rate = self.flop_per_cycle * Fraction(str(self.efficiency))
        cycles = -(-flop // rate)
        return round(Fraction(int(cycles) * FS_PER_SECOND, self.clock))


class Span(NamedTuple):
    """A workgroup on a place of a unit: when it came, had multiplied all, and left.

    ``position`` counts workgroups in the order in which they started.
    """

    position: int
    group: Workgroup
    unit: int
    place: int
    start_fs: int
    computed_fs: int
    end_fs: int


class Gemm:
    """One GEMM on ``units`` of a device's compute units.

    Parameters
    ----------
    order : the workgroups in the order in which they start.
    store : what becomes of a workgroup's output.

    Attributes
    ----------
    tiling : Tiling
    spans : list of Span
        Of the workgroups that have left, if there is a timeline to draw them in.
    """

    def __init__(
        self,
        kernel: Kernel,
        cfg: ComputeConfig,
        memory: MemorySystem,
        tiling: Tiling,
        order: Sequence[Workgroup],
        store: Store,
    ) -> None:
        self._kernel = kernel
        self._cfg = cfg
        self._memory = memory
        self.tiling = tiling
        self._waiting = deque(order)
        self._count = len(order)
        self._store = store
        self._multiply_fs = self._step_times()
        # state
        self._turns = Slots(kernel, 1)
        self._matrix = [Server(kernel) for _ in range(cfg.units)]
        self.spans: list[Span] = []

    @property
    def resident(self) -> int:
        """Workgroups that all units have at once: those of a stage."""
        return self._cfg.units * self._cfg.workgroups

    @property
    def busy_fs(self) -> int:
        """Time for which matrix cores were busy, of all units together."""
        return sum(matrix.busy_fs for matrix in self._matrix)

    def run(self) -> Process:
        """Start every place of every unit and wait until no workgroup is left."""
        places = [
            (unit, place * self._cfg.units + unit)
            for place in range(self._cfg.workgroups)
            for unit in range(self._cfg.units)
        ]
        yield from [self._kernel.start(self._place(unit, key)) for unit, key in places]

    def _place(self, unit: int, key: int) -> Process:
        """One workgroup after the other, on one place of a unit."""
        while True:
            yield self._turns.take(key)
            group = self._waiting.popleft() if self._waiting else None
            self._turns.give_back()
            if group is None:
                return
            start, position = self._kernel.now, self._count - len(self._waiting) - 1
            yield from self._main_loop(group, unit)
            computed = self._kernel.now
            yield from self._store(group)
            if self._kernel.timeline is not None:
                place, end = key // self._cfg.units, self._kernel.now
                self.spans.append(Span(position, group, unit, place, start, computed, end))

    def _main_loop(self, group: Workgroup, unit: int) -> Process:
        steps = self.tiling.k_steps
        loads: deque[Sequence[Event]] = deque()
        ahead = min(self.tiling.config.prefetch_steps, steps)
        for step in range(ahead):
            loads.append(self._load(group, step))
        for step in range(steps):
            if not ahead:
                loads.append(self._load(group, step))
            yield from loads.popleft()
            if ahead and step + ahead < steps:
                loads.append(self._load(group, step + ahead))
            yield self._matrix[unit].use(self._multiply_fs[step], group.index)

    def _load(self, group: Workgroup, step: int) -> tuple[Event, Event]:
        a, b = self.tiling.operand_regions(group, step)
        read, source = self._memory.read, group.index
        return read(a, Stream.COMPUTE, source), read(b, Stream.COMPUTE, source)

    def _step_times(self) -> list[int]:
        tiling = self.tiling
        tile = 2 * tiling.config.rows * tiling.config.columns
        times = {d: self._cfg.multiply_fs(tile * d) for d in {*self._depths()}}
        return [times[depth] for depth in self._depths()]

    def _depths(self) -> Iterator[int]:
        return (self.tiling.depth_of(step) for step in range(self.tiling.k_steps))
