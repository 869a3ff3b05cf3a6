"""T3 simulated: the ops of a trace, one after the other, on a node.

A sub-layer runs as the machine's ``overlap`` says; what lies between sub-layers runs by itself.

Ref: T3 (ASPLOS'24, arXiv 2401.16677).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwsim.collectives import chunk_sizes, make_schedule
from hwsim.collectives.address_map import ADDRESS_MAPS
from hwsim.errors import ConfigError, Problem
from hwsim.models.t3.config import Overlap, T3Config
from hwsim.models.t3.kernels import Kernels
from hwsim.models.t3.outcome import outcome_of
from hwsim.models.t3.programs import Exchange
from hwsim.models.t3.run import Run, TaskRun
from hwsim.models.t3.sublayer import run_sublayer
from hwsim.models.t3.tasks import Task, tasks_of
from hwsim.models.t3.tiles import BURST_BYTES
from hwsim.outcome import Outcome, SimOptions
from hwsim.workloads import CollectiveWorkload, TensorParallelWorkload, count

__all__ = ["simulate"]

DEVICES = 8
"""Of a collective alone, where the machine does not say how many."""


def simulate(
    config: T3Config, workload: TensorParallelWorkload | CollectiveWorkload, options: SimOptions
) -> Outcome:
    """Simulate ``workload`` on the node ``config``.

    Raises
    ------
    ConfigError
        For a number of devices that is not the workload's, or a collective by an algorithm that
        does not do it.
    WorkloadError
        For a sub-layer whose chunks differ, in symmetric mode.
    """
    if isinstance(workload, CollectiveWorkload):
        return outcome_of(_exchange(config, workload, options))
    return outcome_of(_layers(config, workload, options))


def _exchange(config: T3Config, workload: CollectiveWorkload, options: SimOptions) -> Run:
    """A collective alone: of one device for all, or of all where devices differ."""
    degree, scenario = config.devices or DEVICES, workload.scenario
    exchange = Exchange(
        scenario.collective,
        scenario.message_bytes,
        scenario.algorithm,
        near_memory=config.overlap == "ideal_nmc",
    )
    if not _alike(config, exchange, degree):
        config = config.model_copy(update={"mode": "full"})
    kernels = Kernels(config, degree, options)
    done = kernels.collective(exchange)
    (op,) = workload.trace_on(degree)
    run = TaskRun(Task((op,), None), 0, (done.elapsed_fs,), (done,), None)
    return Run(config, degree, workload, (run,), None, kernels.events)


def _alike(config: T3Config, exchange: Exchange, degree: int) -> bool:
    """Whether all devices do the same, with links that look the same from each."""
    schedule = make_schedule(exchange.collective, exchange.algorithm, degree)
    sizes = chunk_sizes(exchange.message_bytes, schedule.chunks, BURST_BYTES)
    return schedule.symmetric and len(set(sizes)) == 1 and config.topology in ADDRESS_MAPS


def _layers(config: T3Config, workload: TensorParallelWorkload, options: SimOptions) -> Run:
    """The tasks of a trace, and again in the configuration that they are compared with."""
    if config.topology not in ADDRESS_MAPS:
        rule = f"must be one of {', '.join(ADDRESS_MAPS)} for anything but a collective alone"
        raise ConfigError([Problem("", "machine.topology", rule, config.topology)])
    kernels = Kernels(config, _degree(config, workload), options)
    tasks = list(tasks_of(workload.trace))
    runs = tuple(_tasks(kernels, tasks, config.overlap, options))
    compared = None
    if config.compare is not None:
        compared = tuple(_tasks(kernels, tasks, config.compare, options))
    return Run(config, kernels.degree, workload, runs, compared, kernels.events)


def _degree(config: T3Config, workload: TensorParallelWorkload) -> int:
    degree = workload.scenario.tensor_parallel
    if config.devices not in {None, degree}:
        rule = f"must be left out or workload.tensor_parallel = {degree}"
        raise ConfigError([Problem("", "machine.devices", rule, config.devices)])
    return degree


def _tasks(
    kernels: Kernels, tasks: Sequence[Task], overlap: Overlap, options: SimOptions
) -> Iterator[TaskRun]:
    start = 0
    for number, task in enumerate(tasks):
        if options.progress is not None:
            options.progress(number / len(tasks), f"{task.ops[0].name}, {overlap}")
        run = _task(kernels, task, start, overlap)
        yield run
        start += run.elapsed_fs


def _task(kernels: Kernels, task: Task, start: int, overlap: Overlap) -> TaskRun:
    if task.shape is None:
        counts = count(task.ops[0])
        kernel = kernels.elementwise(counts.bytes_read, counts.bytes_written)
    elif task.is_sublayer:
        done = run_sublayer(kernels, overlap, task.shape)
        ends = (done.gemm_end_fs, done.reduce_scatter_end_fs, done.end_fs)
        return TaskRun(task, start, ends, tuple(done.kernels), done)
    else:
        kernel = kernels.gemm(task.shape)
    return TaskRun(task, start, (kernel.elapsed_fs,), (kernel,), None)
