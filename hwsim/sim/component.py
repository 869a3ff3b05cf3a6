"""The component: config, ports, state, stats, and one process per pipeline stage."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from hwsim.sim.channel import In, Out
from hwsim.sim.kernel import Kernel, Process
from hwsim.sim.stage import StageAccount
from hwsim.sim.stats import Counter

__all__ = ["Component"]

C = TypeVar("C")


class Component(Generic[C]):
    """A block of hardware: a frozen ``cfg``, ports, state, stats, set up in ``__init__`` in that order.

    Ports, stage accounts and counters are plain attributes; the kernel finds them by type. Behaviour lives
    in the processes, one generator per stage, started by :meth:`Kernel.run`.
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
        """Whether each process waits where it waits when it has no work. Replay is possible only then.

        A component that says yes must act from here on as its channels' contents and :meth:`memory` say,
        and as nothing else says.
        """
        return True

    def memory(self) -> Hashable:
        """What the component remembers at rest that changes what it does next, times relative to now."""
        return ()

    def recall(self, memory: Hashable) -> None:
        """Take on a :meth:`memory` recorded before. A component that has one must override both."""
        if memory != ():
            raise NotImplementedError(f"{type(self).__name__} remembers but can't recall")

    def ports(self) -> Mapping[str, In[Any] | Out[Any]]:
        """The ports by attribute name; of a dict of ports, each as ``name[key]``."""
        found: dict[str, In[Any] | Out[Any]] = {}
        for name, value in vars(self).items():
            items = value.items() if isinstance(value, dict) else ()
            found |= {f"{name}[{key}]": port for key, port in items if isinstance(port, In | Out)}
            if isinstance(value, In | Out):
                found[name] = value
        return found

    def stages(self) -> Mapping[str, StageAccount]:
        """The stage accounts by attribute name."""
        return {k: v for k, v in vars(self).items() if isinstance(v, StageAccount)}

    def counters(self) -> Mapping[str, Counter]:
        """The counters by attribute name."""
        return {k: v for k, v in vars(self).items() if isinstance(v, Counter)}
