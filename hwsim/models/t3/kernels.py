"""The kernels that the compared configurations are made of, each simulated from a node at rest.

A run is a sequence of kernels with a barrier between them; a kernel that occurs again is replayed:
it starts from the same state, so it does the same.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 5.3 (configurations).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hwsim.memory import Access, Stream
from hwsim.memory.system import MemorySystem
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.drawing import draw
from hwsim.models.t3.fused import Fused
from hwsim.models.t3.node import Arbiter, Node
from hwsim.models.t3.programs import Exchange, FusedGemm, collective, elementwise, gemm
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.tiles import GemmShape, Tiling
from hwsim.outcome import SimOptions
from hwsim.sim import Kernel, Process
from hwsim.sim.timeline import Timeline
from hwsim.units import FS_PER_SECOND

__all__ = ["Kernels"]

T = TypeVar("T")

INTERVAL_CYCLES = 1000
"""The memory's own, in cycles of its clock."""


class Kernels:
    """Simulates kernels on nodes of ``degree`` devices.

    Attributes
    ----------
    events : int
        What simulating took so far.
    """

    def __init__(self, config: T3Config, degree: int, options: SimOptions) -> None:
        self.config = config
        self.degree = degree
        self._options = options
        self._done: dict[Hashable, Any] = {}
        self.events = 0

    def gemm(self, shape: GemmShape) -> Stretch:
        """A GEMM by itself on every device."""

        def simulated() -> Stretch:
            node = self._node()
            done = self._run(node, "gemm", gemm(node, self._tiling(shape)))
            return replace(done, gemm_fs=done.elapsed_fs)

        return self._once(("gemm", shape), simulated)

    def collective(self, exchange: Exchange) -> Stretch:
        """A collective by itself, on all compute units."""

        def simulated() -> Stretch:
            node = self._node()
            return self._run(node, exchange.collective, collective(node, exchange))

        return self._once(exchange, simulated)

    def fused(self, shape: GemmShape, arbiter: Arbiter) -> Stretch:
        """A GEMM fused with the reduce-scatter of its output."""

        def simulated() -> Stretch:
            node, tiling = self._node(arbiter), self._tiling(shape)
            if self.config.mode == "symmetric":
                tiling.check_even()
            fused = FusedGemm(node, tiling, choose_threshold=arbiter == "compute_first")
            done = self._run(node, "gemm + reduce_scatter", fused.run(), fused.fused)
            tracker = fused.fused[0].tracker
            return replace(
                done,
                gemm_fs=max(gemm_fs for gemm_fs, _ in fused.ends_fs),
                devices=tuple(fused.ends_fs),
                tracker_entries=tracker.entries_peak,
                tracker_waits=tracker.waited,
                threshold=fused.threshold,
                intensity=fused.intensity,
            )

        return self._once(("fused", shape, arbiter), simulated)

    def shared_units(self, shape: GemmShape) -> tuple[Stretch, int]:
        """A GEMM and an all-reduce of as many bytes, side by side; and when the latter ended."""

        def simulated() -> tuple[Stretch, int]:
            node, ended = self._node(), dict[str, int]()
            exchange = Exchange("all_reduce", shape.output_bytes)

            def timed(name: str, process: Process) -> Process:
                yield from process
                ended[name] = node.kernel.now

            def both() -> Process:
                units, others = self.config.gemm_compute_units, self.config.collective_compute_units
                product = gemm(node, self._tiling(shape), units)
                yield from [
                    node.kernel.start(timed("gemm", product)),
                    node.kernel.start(timed("all_reduce", collective(node, exchange, others))),
                ]

            done = self._run(node, "gemm beside all_reduce", both())
            return replace(done, gemm_fs=ended["gemm"]), ended["all_reduce"]

        return self._once(("shared", shape), simulated)

    def elementwise(self, read_bytes: int, written_bytes: int) -> Stretch:
        """A kernel that reads and writes its operands once, and computes next to nothing."""

        def simulated() -> Stretch:
            node = self._node()
            return self._run(node, "elementwise", elementwise(node, read_bytes, written_bytes))

        return self._once(("elementwise", read_bytes, written_bytes), simulated)

    def _once(self, key: Hashable, simulated: Callable[[], T]) -> T:
        """What was found for ``key``, or is found now."""
        if not self._options.replay:
            return simulated()
        if key not in self._done:
            self._done[key] = simulated()
        found: T = self._done[key]
        return found

    def _tiling(self, shape: GemmShape) -> Tiling:
        return Tiling(shape, self.config.gemm, self.degree)

    def _node(self, arbiter: Arbiter = "round_robin") -> Node:
        options = self._options
        kernel = Kernel(
            shuffle_ties=options.shuffle_ties,
            seed=options.seed,
            timeline=Timeline() if options.timeline else None,
        )
        return Node(kernel, self.config, self.degree, arbiter)

    def _run(self, node: Node, name: str, process: Process, fused: Sequence[Fused] = ()) -> Stretch:
        """Run to the end and take down what the first device did."""
        node.kernel.run(process)
        draw(node, fused)
        self.events += node.kernel.events
        moved = node.devices[0].memory.bytes.items()
        return Stretch(
            name=name,
            elapsed_fs=node.kernel.now,
            traffic={of: int(count.value) for of, count in moved if count.value},
            link_bytes=node.link_bytes,
            link_fs=node.link_fs,
            matrix_fs=node.matrix_fs,
            timeline=node.kernel.timeline,
            **_over_time(node),
        )


def _over_time(node: Node) -> dict[str, Any]:
    """What the first device's memory moved and held in each interval; nothing if it is ideal."""
    memory, now = node.devices[0].memory, node.kernel.now
    if not isinstance(memory, MemorySystem):
        return {}
    cycles = -(-now * memory.cfg.dram.clock // FS_PER_SECOND)
    bins = memory.bins[: -(-cycles // INTERVAL_CYCLES)]
    classes = [(stream, kind) for stream in Stream for kind in Access]
    return {
        "interval_fs": INTERVAL_CYCLES * FS_PER_SECOND // memory.cfg.dram.clock,
        "moved": {of: tuple(bins[:, i].tolist()) for i, of in enumerate(classes)},
        "queued": float(bins[:, len(classes) :].sum() / cycles),
    }
