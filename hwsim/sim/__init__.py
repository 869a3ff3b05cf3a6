"""The simulation kernel: integer time, clocks, ports, components, replay; alone imports SimPy."""

from hwsim.sim.channel import Channel, In, Out, connect
from hwsim.sim.clock import Clock
from hwsim.sim.component import Component
from hwsim.sim.kernel import Event, Kernel, Process
from hwsim.sim.replay import Replay, Replayed
from hwsim.sim.server import Server, Slots
from hwsim.sim.stage import StageAccount, StageTimes
from hwsim.sim.stats import Counter

__all__ = [
    "Channel",
    "Clock",
    "Component",
    "Counter",
    "Event",
    "In",
    "Kernel",
    "Out",
    "Process",
    "Replay",
    "Replayed",
    "Server",
    "Slots",
    "StageAccount",
    "StageTimes",
    "connect",
]
