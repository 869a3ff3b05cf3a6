"""The node: its devices and the links between them.

In symmetric mode one device stands for all: what it sends to a peer arrives at itself, as what the
peer before it sends to it at the same time. In full mode every device is simulated.

Ref: T3 (ASPLOS'24, arXiv 2401.16677), section 5.1.1 (one GPU simulated, its peers mirrored).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from hwsim.errors import ConfigError, Problem
from hwsim.memory import IdealMemory
from hwsim.memory.system import MemorySystem
from hwsim.models.t3.compute import ComputeConfig, Gemm
from hwsim.models.t3.config import T3Config
from hwsim.noc import Network, make_topology, mirrored
from hwsim.sim import Kernel, Process

__all__ = ["Arbiter", "Device", "Node"]

Arbiter = Literal["round_robin", "compute_first"]


@dataclass(frozen=True)
class Device:
    """One device: its number, its compute units, its memory, and the GEMMs it has run."""

    index: int
    compute: ComputeConfig
    memory: MemorySystem | IdealMemory
    gemms: list[Gemm] = field(default_factory=list)

    @property
    def dram(self) -> MemorySystem:
        """Its memory, which must not be ideal.

        Raises
        ------
        ConfigError
            When it is.
        """
        if isinstance(self.memory, IdealMemory):
            rule = 'must be "dram" for anything but a collective alone'
            raise ConfigError([Problem("", "machine.memory", rule, "ideal")])
        return self.memory


class Node:
    """``degree`` devices, one of them simulated in symmetric mode.

    Parameters
    ----------
    arbiter : by which the memory controllers share their queues between the streams.

    Raises
    ------
    ConfigError
        For a fault of a device that is not there.
    """

    def __init__(
        self, kernel: Kernel, config: T3Config, degree: int, arbiter: Arbiter = "round_robin"
    ) -> None:
        self.kernel = kernel
        self.config = config
        self.degree = degree
        if config.fault.any and config.fault.device >= degree:
            rule = f"must be below the number of devices = {degree}"
            raise ConfigError([Problem("", "machine.fault.device", rule, config.fault.device)])
        simulated = 1 if config.mode == "symmetric" else degree
        self.devices = [self._device(i, arbiter) for i in range(simulated)]
        self.network = self._network()

    def _device(self, index: int, arbiter: Arbiter) -> Device:
        name, compute = f"device {index}.memory", self._compute(index)
        if self.config.memory == "ideal":
            return Device(index, compute, IdealMemory(self.kernel, name))
        config = self.config.memory_config(arbiter)
        return Device(index, compute, MemorySystem(self.kernel, name, config))

    def _compute(self, index: int) -> ComputeConfig:
        """The compute units of a device, slower in a faulty one."""
        compute, fault = self.config.compute, self.config.fault
        if index != fault.device or fault.compute_share == 1:
            return compute
        share = Fraction(str(compute.efficiency)) * Fraction(str(fault.compute_share))
        return compute.model_copy(update={"efficiency": float(share)})

    def _network(self) -> Network:
        config, fault = self.config, self.config.fault
        topology = make_topology(config.topology, self.degree)
        if config.mode == "symmetric":
            return Network(self.kernel, "link", mirrored(topology), config.link)
        rate = config.link.bandwidth * Fraction(str(fault.link_share))
        slow = config.link.model_copy(update={"bandwidth": rate})
        edges = ((edge.source, edge.target) for edge in topology.edges)
        slowed = {edge: slow for edge in edges if fault.link_share < 1 and edge[0] == fault.device}
        return Network(self.kernel, "link", topology, config.link, slowed)

    def on_all(self, process: Callable[[Device], Process]) -> Process:
        """Run a process on every device, each from when it starts, and wait for all."""
        fault = self.config.fault

        def started(device: Device) -> Process:
            if device.index == fault.device and fault.start_delay:
                yield self.kernel.wait(fault.start_delay)
            yield from process(device)

        yield from [self.kernel.start(started(device)) for device in self.devices]

    @property
    def link_bytes(self) -> int:
        """Bytes that one device has sent, on average."""
        return self.network.bytes // len(self.devices)

    @property
    def link_fs(self) -> int:
        """Time for which the busiest link was busy."""
        return max(link.stage.times().busy for link in self.network.links.values())

    @property
    def matrix_fs(self) -> int:
        """Time for which the first device's matrix cores were busy, one with another."""
        device = self.devices[0]
        return sum(gemm.busy_fs for gemm in device.gemms) // device.compute.units
