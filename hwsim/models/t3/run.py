"""A finished run, as the outcome is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.models.t3.config import T3Config
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.sublayer import Sublayer
from hwsim.models.t3.tasks import Task
from hwsim.workloads import CollectiveWorkload, TensorParallelWorkload

__all__ = ["Run", "TaskRun"]


@dataclass(frozen=True)
class TaskRun:
    """A task that has run.

    Parameters
    ----------
    ends_fs : when each of its ops ended, from ``start_fs`` on.
    kernels : that were simulated.
    sublayer : None for a task that is none.
    """

    task: Task
    start_fs: int
    ends_fs: tuple[int, ...]
    kernels: Sequence[Stretch]
    sublayer: Sublayer | None

    @property
    def elapsed_fs(self) -> int:
        """Until its last op ended."""
        return max(self.ends_fs)


@dataclass(frozen=True)
class Run:
    """All tasks of a workload, and again in the configuration that it was compared with."""

    config: T3Config
    degree: int
    workload: TensorParallelWorkload | CollectiveWorkload
    tasks: Sequence[TaskRun]
    compared: Sequence[TaskRun] | None
    events: int
    """What simulating took."""

    @property
    def elapsed_fs(self) -> int:
        """From start to end."""
        return sum(task.elapsed_fs for task in self.tasks)
