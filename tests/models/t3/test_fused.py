"""The fused GEMM and reduce-scatter, on a small node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwsim.errors import DeadlockError, WorkloadError
from hwsim.memory import Access, Stream
from hwsim.models.t3.config import T3Config
from hwsim.models.t3.kernels import Kernels
from hwsim.models.t3.node import Arbiter
from hwsim.models.t3.programs import Exchange
from hwsim.models.t3.stretch import Stretch
from hwsim.models.t3.tiles import GemmShape
from hwsim.outcome import SimOptions
from hwsim.run import simulate

Machine = Callable[..., T3Config]
OPTIONS = SimOptions()


def _fused(
    config: T3Config, shape: GemmShape, degree: int, arbiter: Arbiter = "round_robin"
) -> Stretch:
    return Kernels(config, degree, OPTIONS).fused(shape, arbiter)


# Bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [2, 4, 8, 16])
def test_a_fused_ring_moves_the_bytes_of_the_law(
    machine: Machine, shape: GemmShape, degree: int
) -> None:
    """Of N chunks of c bytes: (N - 2) c read, 2 (N - 1) c written, (N - 1) c sent."""
    done, c = _fused(machine(), shape, degree), shape.output_bytes // degree
    assert done.read(Stream.COMMUNICATION) == (degree - 2) * c
    assert done.traffic[Stream.COMPUTE, Access.UPDATE] == (degree - 1) * c
    assert done.traffic[Stream.COMMUNICATION, Access.UPDATE] == (degree - 1) * c
    assert done.written() == 2 * (degree - 1) * c
    assert done.link_bytes == (degree - 1) * c


@pytest.mark.parametrize("degree", [2, 4, 8, 16])
def test_one_after_the_other_moves_the_bytes_of_the_law(
    machine: Machine, shape: GemmShape, degree: int
) -> None:
    """GEMM and ring reduce-scatter: (2N - 1) c read, 2 N c written; all-gather: (N - 1) c each."""
    config, c = machine(), shape.output_bytes // degree
    kernels = Kernels(config, degree, OPTIONS)
    gemm = kernels.gemm(shape)
    scatter, gather = (
        kernels.collective(Exchange(name, shape.output_bytes))
        for name in ("reduce_scatter", "all_gather")
    )
    assert gemm.written() == degree * c
    assert scatter.read() == (2 * degree - 1) * c
    assert gemm.written() + scatter.written() == 2 * degree * c
    assert (gather.read(), gather.written()) == ((degree - 1) * c, (degree - 1) * c)


@pytest.mark.parametrize("degree", [4, 8])
def test_without_near_memory_reduction_both_copies_are_read(
    machine: Machine, shape: GemmShape, degree: int
) -> None:
    """2 (N - 2) c to send on, and 2 c read and c written for the chunk that stays."""
    config, c = machine(near_memory_reduction="false"), shape.output_bytes // degree
    done = _fused(config, shape, degree)
    assert done.read(Stream.COMMUNICATION) == (2 * (degree - 2) + 2) * c
    assert done.written() == (2 * (degree - 1) + 1) * c


def test_fully_connected_devices_reduce_without_reading(machine: Machine, shape: GemmShape) -> None:
    done, c = _fused(machine(topology="fully_connected"), shape, 4), shape.output_bytes // 4
    assert done.read(Stream.COMMUNICATION) == 0
    assert done.written() == c + 3 * c
    assert done.link_bytes == 3 * c


# One device for all ----------------------------------------------------------------------------


@pytest.mark.parametrize("topology", ["ring", "fully_connected"])
@pytest.mark.parametrize("arbiter", ["round_robin", "compute_first"])
def test_one_device_does_what_each_of_all_does(
    machine: Machine, shape: GemmShape, topology: str, arbiter: Arbiter
) -> None:
    one = _fused(machine(topology=topology), shape, 4, arbiter)
    every = _fused(machine(topology=topology, mode="full"), shape, 4, arbiter)
    assert (one.elapsed_fs, one.gemm_fs) == (every.elapsed_fs, every.gemm_fs)
    assert one.traffic == every.traffic
    assert one.link_bytes == every.link_bytes
    assert one.threshold == every.threshold


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_simultaneous_events_changes_nothing(
    machine: Machine, shape: GemmShape, seed: int
) -> None:
    config = machine(tracker__entries="16", mode="full")
    plain = _fused(config, shape, 4)
    shuffled = Kernels(config, 4, SimOptions(shuffle_ties=True, seed=seed)).fused(
        shape, "round_robin"
    )
    assert shuffled.elapsed_fs == plain.elapsed_fs
    assert shuffled.traffic == plain.traffic
    assert shuffled.moved == plain.moved


def test_unlike_chunks_need_every_device(machine: Machine) -> None:
    shape = GemmShape(1024, 1000, 64)
    message = (
        r"^the 8 x 8 tiles of the output must fall into 16 equal chunks for machine.mode = "
        r"symmetric, use machine.mode = full$"
    )
    with pytest.raises(WorkloadError, match=message):
        _fused(machine(), shape, 16)
    done = _fused(machine(mode="full"), shape, 16)
    assert done.elapsed_fs > 0


# What each part of T3 is for -------------------------------------------------------------------


def test_staggered_devices_end_sooner(machine: Machine, shape: GemmShape) -> None:
    """Without, the last chunk goes round the whole ring when the GEMM has ended."""
    slow = {"mode": "full", "link__bandwidth": "20 GB/s"}
    staggered = _fused(machine(**slow), shape, 4)
    together = _fused(machine(**slow, stagger="false"), shape, 4)
    assert together.elapsed_fs > 1.1 * staggered.elapsed_fs


def test_tracking_lets_tiles_go_before_the_gemm_ends(machine: Machine, shape: GemmShape) -> None:
    tracked = _fused(machine(link__bandwidth="40 GB/s"), shape, 4)
    waiting = _fused(machine(link__bandwidth="40 GB/s", dma__block="kernel"), shape, 4)
    assert waiting.elapsed_fs > 1.2 * tracked.elapsed_fs
    assert waiting.traffic == tracked.traffic


def test_chunks_sent_whole_are_sent_later(machine: Machine, shape: GemmShape) -> None:
    fine = _fused(machine(link__bandwidth="40 GB/s"), shape, 4)
    coarse = _fused(machine(link__bandwidth="40 GB/s", dma__block="chunk"), shape, 4)
    assert coarse.elapsed_fs > fine.elapsed_fs
    assert coarse.traffic == fine.traffic


def test_what_bypasses_the_cache_leaves_it_to_the_operands(machine: Machine) -> None:
    """A's and B's 1.5 MiB fit into 2 MiB with nothing else, not with the output's 4.5 MiB."""
    shape = GemmShape(1536, 1536, 256)
    past = _fused(machine(cache__capacity="2 MiB"), shape, 4)
    through = _fused(machine(cache__capacity="2 MiB", bypass="false"), shape, 4)
    assert past.written() == through.written()
    assert through.read(Stream.COMPUTE) > 1.05 * past.read(Stream.COMPUTE)


# Faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [2, 16, 64])
def test_few_tracker_entries_lose_nothing(machine: Machine, shape: GemmShape, entries: int) -> None:
    full = _fused(machine(), shape, 4)
    few = _fused(machine(tracker__entries=str(entries)), shape, 4)
    assert few.tracker_entries <= entries
    assert few.written() == full.written()
    assert few.link_bytes == full.link_bytes
    assert few.elapsed_fs >= full.elapsed_fs * 0.99


def test_a_tracker_that_stalls_a_stream_locks_up(machine: Machine) -> None:
    shape = GemmShape(2048, 2048, 64)
    naive = {"tracker__entries": "2", "tracker__on_full": "stall"}
    with pytest.raises(DeadlockError, match=r"waits for the set of workgroup \d+"):
        _fused(machine(**naive, tracker__allocation="first_come"), shape, 8)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault__link_share": "0.25"},
        {"fault__compute_share": "0.5"},
        {"fault__start_delay": "100 us"},
    ],
)
def test_a_faulty_device_delays_all_and_loses_nothing(
    machine: Machine, shape: GemmShape, fault: dict[str, str]
) -> None:
    sound = _fused(machine(mode="full", link__bandwidth="40 GB/s"), shape, 4)
    faulty = _fused(machine(mode="full", link__bandwidth="40 GB/s", **fault), shape, 4)
    assert faulty.elapsed_fs > sound.elapsed_fs
    assert faulty.written() == sound.written()
    assert faulty.link_bytes == sound.link_bytes


def test_an_unlimited_threshold_loses_nothing(machine: Machine, shape: GemmShape) -> None:
    free = machine(arbitration__thresholds="[0, 0, 0, 0]", dram__channels="4")
    done = _fused(free, shape, 4, "compute_first")
    assert done.threshold is None
    assert done.written() == 2 * 3 * shape.output_bytes // 4


@pytest.mark.parametrize(
    ("fault", "late"),
    [({"fault__compute_share": "0.5"}, 2), ({"fault__start_delay": "100 us"}, 2)],
)
def test_each_device_says_when_it_was_done(
    machine: Machine, shape: GemmShape, fault: dict[str, str], late: int
) -> None:
    done = _fused(machine(mode="full", fault__device=str(late), **fault), shape, 4)
    gemms = [gemm_fs for gemm_fs, _ in done.devices]
    assert gemms.index(max(gemms)) == late
    assert max(gemms) > 1.5 * sorted(gemms)[-2]
    assert max(end_fs for _, end_fs in done.devices) == done.elapsed_fs


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mega_gpt2", "t_nlg"])
@pytest.mark.parametrize("allocation", ["in_order", "first_come"])
@pytest.mark.parametrize("on_full", ["stall", "step_aside"])
def test_op_over_sixteen_devices_ends_whatever_a_full_tracker_does(
    model: str, allocation: str, on_full: str
) -> None:
    """Stores of the device itself don't queue behind those of its peers, or it would lock up."""
    words = [
        "workload.tensor_parallel=16",
        "workload.sublayer=op",
        f"machine.tracker.allocation={allocation}",
        f"machine.tracker.on_full={on_full}",
    ]
    metrics = simulate("t3/gpu80", model, words).outcome.metrics
    assert metrics["tracker_entries_peak"].value == 256
    assert metrics["gemm_rs_bytes_written"].value == 2 * metrics["ag_bytes_written"].value
    assert metrics["rs_bytes_read"].value * 15 == 14 * metrics["ag_bytes_read"].value
