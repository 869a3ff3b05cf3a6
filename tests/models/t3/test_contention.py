"""What the two streams do to each other, and what arbitration between them is for.

The arbiter binds where the GEMM takes a good part of the bus: here 37 %, with 8 compute units on 4
channels, 1 MiB of cache, and links of twice their share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from hwsim.memory import Access, Region, Stream
from hwsim.memory.system import MemorySystem
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.kernels import Kernels
from hwsim.models.t3.node import Arbiter
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.tiles import GemmShape
from hwsim.outcome import SimOptions
from hwsim.sim import Event

Machine = Callable[..., T3Config]
SHAPE = GemmShape(1024, 1024, 512)
BINDS = {"dram__channels": "4", "link__bandwidth": "30 GB/s"}
ROOMY = {"dram__channels": "8", "link__bandwidth": "15 GB/s"}
ARBITERS: tuple[Arbiter, Arbiter] = ("round_robin", "compute_first")


def fused(config: T3Config, arbiter: Arbiter) -> Stretch:
    return Kernels(config, 4, SimOptions()).fused(SHAPE, arbiter)


@contextmanager
def no_communication(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory does what the collective asks of it in no time."""
    plain = MemorySystem.access

    def access(
        self: MemorySystem, region: Region, kind: Access, stream: Stream, source: int = 0
    ) -> Event:
        if stream is Stream.COMMUNICATION:
            return self.kernel.granted()
        return plain(self, region, kind, stream, source)

    with monkeypatch.context() as patch:
        patch.setattr(MemorySystem, "access", access)
        yield


def load(done: Stretch, config: T3Config) -> float:
    """Share of the data buses that a kernel takes."""
    moved = (done.read() + done.written()) / (done.elapsed_fs / 1e15)
    return moved / float(config.dram.peak_bytes_per_second)


def test_compute_first_gives_the_gemm_back_its_time(machine: Machine) -> None:
    fair, compute_first = (fused(machine(**BINDS), arbiter) for arbiter in ARBITERS)
    assert fair.gemm_fs > 1.15 * compute_first.gemm_fs
    assert fair.elapsed_fs > 1.03 * compute_first.elapsed_fs
    assert (
        fair.traffic[Stream.COMMUNICATION, Access.UPDATE]
        == (compute_first.traffic[Stream.COMMUNICATION, Access.UPDATE])
    )


@pytest.mark.parametrize("room", [BINDS, ROOMY])
def test_without_communication_the_arbiter_changes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, room: dict[str, str]
) -> None:
    with no_communication(monkeypatch):
        fair, compute_first = (fused(machine(**room), arbiter) for arbiter in ARBITERS)
    assert (fair.gemm_fs, fair.elapsed_fs) == (compute_first.gemm_fs, compute_first.elapsed_fs)


def test_below_half_the_bus_the_gemm_is_as_fast_as_without_communication(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = machine(**ROOMY)
    done = fused(config, "compute_first")
    with no_communication(monkeypatch):
        undisturbed = fused(config, "compute_first")
    assert load(done, config) < 0.5
    assert done.gemm_fs <= 1.03 * undisturbed.gemm_fs


def test_communication_holds_up_the_gemm_where_the_bus_is_short(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_communication(monkeypatch):
        undisturbed = fused(machine(**BINDS), "round_robin")
    fair, compute_first = (fused(machine(**BINDS), arbiter) for arbiter in ARBITERS)
    lost, left = fair.gemm_fs - undisturbed.gemm_fs, compute_first.gemm_fs - undisturbed.gemm_fs
    assert lost > 0.2 * undisturbed.gemm_fs
    assert left < 0.6 * lost


def test_the_gemm_is_no_faster_with_slower_reads(machine: Machine) -> None:
    times = [
        fused(machine(**BINDS, dram__controller__request_latency=latency), "round_robin").gemm_fs
        for latency in ("115 ns", "250 ns", "500 ns", "2 us")
    ]
    assert all(faster < slower for faster, slower in pairwise(times))


def test_operands_asked_for_ahead_hide_what_reads_wait(machine: Machine) -> None:
    at_once, ahead = (
        fused(machine(**BINDS, gemm__prefetch_steps=steps), "round_robin").gemm_fs
        for steps in ("0", "1")
    )
    assert at_once > 1.05 * ahead


def test_a_lower_threshold_holds_communication_back(machine: Machine) -> None:
    ends = [
        fused(machine(**BINDS, arbitration__thresholds=f"[{n}, {n}, {n}, {n}]"), "compute_first")
        for n in (0, 30, 10, 5, 1)
    ]
    assert [done.threshold for done in ends] == [None, 30, 10, 5, 1]
    assert all(one.elapsed_fs < other.elapsed_fs for one, other in pairwise(ends))


def test_the_threshold_follows_what_the_first_stage_takes(machine: Machine) -> None:
    """Between a quarter and half of the peak here, below a quarter with twice the channels."""
    assert fused(machine(**BINDS), "compute_first").threshold == 30
    assert fused(machine(**ROOMY), "compute_first").threshold is None
    greedy = machine(**BINDS, arbitration__intensities="[0.1, 0.2, 0.3]")
    assert fused(greedy, "compute_first").threshold == 5
    assert fused(machine(**BINDS), "round_robin").threshold is None


def test_the_starvation_limit_gets_communication_through(machine: Machine) -> None:
    held = {**BINDS, "arbitration__thresholds": "[1, 1, 1, 1]"}
    soon, late = (
        fused(machine(**held, dram__controller__starvation_cycles=cycles), "compute_first")
        for cycles in ("20", "50000")
    )
    assert late.elapsed_fs > 1.05 * soon.elapsed_fs
