"""Independent jobs in worker processes: what sweeps and validation share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import TypeVar

from hwsim.errors import HwsimError

__all__ = ["cores", "for_each"]

J = TypeVar("J")
R = TypeVar("R")


def cores() -> int:
    """How many workers keep this machine busy: the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def for_each(
    function: Callable[[J], R], jobs: Sequence[J], workers: int, take: Callable[[int, R], None]
) -> None:
    """Call ``take(place, function(job))`` here for each job, in the order in which they end.

    One worker, or one job, is this process itself. Else function, jobs and results are pickled, and
    each worker is a fresh interpreter: what happened in this one is unknown there. When anything is
    raised, here or there, the workers are ended and nothing more is taken.

    Raises
    ------
    HwsimError
        A worker ended by itself. Whatever ``function`` or ``take`` raises is raised too.
    """
    if min(workers, len(jobs)) <= 1:
        for place, job in enumerate(jobs):
            take(place, function(job))
        return
    with _pool(min(workers, len(jobs))) as pool:
        with _interrupts_held():  # workers inherit it: an interrupt is this process's to answer
            places = {pool.submit(function, job): place for place, job in enumerate(jobs)}
        for done in as_completed(places):
            try:
                result = done.result()
            except BrokenProcessPool:
                raise HwsimError("a worker process was killed: too little memory?") from None
            take(places[done], result)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are gone when the block ends, and at once if it raises."""
    before = set(active_children())
    # Fresh interpreters: a fork would copy locks that threads of this process hold.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(active_children()) - before:
            worker.terminate()
        raise
    finally:
        pool.shutdown()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Interrupts wait until the block ends; not where the system can't hold them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
