"""The component: config, ports, state, stats, and one process per pipeline stage."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from hwsim.sim.channel import In, Out
from hwsim.sim.kernel import Kernel, Process
from hwsim.sim.stage import StageAccount
from hwsim.sim.stats import Counter

__all__ = ["Component"]

C = TypeVar("C")


class Component(Generic[C]):
    """A block of hardware: a frozen ``cfg``, ports, state, stats, set up in that order.

    Ports, stage accounts and counters are attributes, or members of an attribute that is a dict,
    list or tuple; the kernel finds them by type, and finds no others. Behaviour lives in the
    processes, one generator per stage, started by :meth:`Kernel.run`.

    No process runs freely: each waits for work when it has none, since a deadlock is told by an
    empty event queue. What time alone brings about, such as refresh, is computed from ``now`` when
    somebody asks.
    """

    def __init__(self, kernel: Kernel, name: str, cfg: C) -> None:
        self.kernel = kernel
        self.name = name
        self.cfg = cfg
        kernel.components.append(self)

    def processes(self) -> Iterable[Process]:
        """One generator for each pipeline stage."""
        return ()

    def at_rest(self) -> bool:
        """Whether each process waits where it waits when it has no work.

        A component that says yes must act from here on as its channels' contents and
        :meth:`memory` say, and as nothing else says: replay relies on it. One that has processes
        is not at rest unless it says so.
        """
        return type(self).processes is Component.processes

    def memory(self) -> Hashable:
        """What it remembers at rest that changes what it does next, times relative to now."""
        return ()

    def recall(self, memory: Hashable) -> None:
        """Take on a :meth:`memory` recorded before. A component that has one must override both."""
        if memory != ():
            raise NotImplementedError(f"{type(self).__name__} remembers but can't recall")

    def waiting(self) -> Sequence[str]:
        """Who waits inside it, in words, for the report of a deadlock."""
        return ()

    def ports(self) -> Mapping[str, In[Any] | Out[Any]]:
        """The ports by attribute name; of a collection of ports, each as ``name[key]``."""
        return {name: part for name, part in self._parts() if isinstance(part, In | Out)}

    def stages(self) -> Mapping[str, StageAccount]:
        """The stage accounts, named like the ports."""
        return {name: part for name, part in self._parts() if isinstance(part, StageAccount)}

    def counters(self) -> Mapping[str, Counter]:
        """The counters, named like the ports."""
        return {name: part for name, part in self._parts() if isinstance(part, Counter)}

    def _parts(self) -> Iterator[tuple[str, object]]:
        for name, value in vars(self).items():
            if isinstance(value, dict):
                yield from ((f"{name}[{key}]", part) for key, part in value.items())
            elif isinstance(value, list | tuple):
                yield from ((f"{name}[{i}]", part) for i, part in enumerate(value))
            else:
                yield name, value
