"""Collectives alone on the published node, against closed forms."""

from __future__ import annotations

import pytest

from hwsim.collectives.closed_forms import elapsed_fs, pipelined_ring_fs
from hwsim.errors import ConfigError
from hwsim.noc import LinkConfig
from hwsim.run import simulate
from hwsim.units import FS_PER_SECOND

MIB = 2**20
LINK = LinkConfig(bandwidth="150 GB/s", latency="500 ns")
LINK_RATE, LATENCY, MEMORY_RATE = 150e9, 500e-9, 1.024e12
KINDS = ("reduce_scatter", "all_gather")


def seconds(kind: str, mib: int, devices: int, *settings: str) -> float:
    """Latency of a collective of vectors of ``mib`` MiB."""
    message = [f"workload.collective={kind}", f"workload.message_bytes={mib} MiB"]
    outcome = simulate(
        "t3/gpu80", "collective", [*message, f"machine.devices={devices}", *settings]
    ).outcome
    return outcome.metrics["latency"].value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("devices", [4, 8])
def test_ideal_memory_leaves_what_the_closed_form_says(kind: str, devices: int) -> None:
    sizes = [6 * MIB // devices] * devices
    law = elapsed_fs(kind, "ring", devices, sizes, LINK)  # type: ignore[arg-type]

    assert seconds(kind, 6, devices, "machine.memory=ideal") == law / FS_PER_SECOND


def test_slices_go_on_at_once_before_ideal_memory_when_asked() -> None:
    asked = ("machine.memory=ideal", "machine.collective.pipelined=true")
    law = pipelined_ring_fs(8, 6 * MIB // 8, 64 * 1024, LINK)

    assert seconds("all_gather", 6, 8, *asked) == round(law) / FS_PER_SECOND


def published(kind: str, mib: int, devices: int) -> float:
    """(N - 1)(c/B + L), and 3c/W for the last sum; T3 (ASPLOS'24), derived from section 2.3."""
    chunk = mib * MIB / devices
    reduced = 3 * chunk / MEMORY_RATE if kind == "reduce_scatter" else 0.0
    return (devices - 1) * (chunk / LINK_RATE + LATENCY) + reduced


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mib", [12, 24, 48, 96, 192])
def test_rings_on_dram_take_what_links_and_the_last_sum_do(kind: str, mib: int) -> None:
    assert seconds(kind, mib, 4) == pytest.approx(published(kind, mib, 4), rel=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_a_barrier_a_step_pays_the_latency_of_memory_at_every_step(kind: str) -> None:
    """Which a short message notices most, and which the closed form leaves out."""
    apart = seconds(kind, 6, 8, "machine.collective.pipelined=false")
    answers = 2 * (115e-9 + 70e-9)

    assert apart > published(kind, 6, 8) + 7 * answers
    assert apart > seconds(kind, 6, 8) + 7 * answers


LAWS = [
    ("all_reduce", "ring", "ring"),
    ("all_reduce", "tree", "tree"),
    ("all_reduce", "star", "star"),
    ("reduce_scatter", "direct", "fully_connected"),
    ("all_gather", "direct", "fully_connected"),
    ("all_to_all", "direct", "fully_connected"),
]


@pytest.mark.parametrize(("kind", "algorithm", "topology"), LAWS)
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_every_algorithm_on_its_topology_takes_what_its_closed_form_says(
    kind: str, algorithm: str, topology: str, devices: int
) -> None:
    words = ("machine.memory=ideal", f"machine.topology={topology}")
    chunks = 1 if algorithm in {"tree", "star"} else devices
    law = elapsed_fs(
        kind,  # type: ignore[arg-type]
        algorithm,  # type: ignore[arg-type]
        devices,
        [6 * MIB // chunks] * chunks,
        LINK,
    )
    found = seconds(kind, 6, devices, f"workload.algorithm={algorithm}", *words)
    assert found == pytest.approx(law / FS_PER_SECOND, rel=1e-9)


@pytest.mark.parametrize("words", [(), ("workload.algorithm=tree", "machine.topology=tree")])
def test_all_devices_are_simulated_where_one_cannot_stand_for_all(words: tuple[str, ...]) -> None:
    asked = ["workload.collective=all_reduce", "workload.message_bytes=96 KiB", *words]
    outcome = simulate("t3/gpu80", "collective", asked).outcome
    alone = "One of 8 equal devices was simulated; its peers mirror it."
    all_of_them = "All 8 devices were simulated; memory is that of device 0."
    assert outcome.notes == (all_of_them if words else alone,)


def test_sublayers_need_links_that_look_the_same_from_every_device() -> None:
    message = (
        r"^machine.topology must be one of ring, fully_connected for anything but a collective "
        r"alone, got 'star'$"
    )
    with pytest.raises(ConfigError, match=message):
        simulate("t3/gpu80", "t_nlg", ["workload.sublayer=op", "machine.topology=star"])


def test_a_fault_is_of_a_device_that_is_there() -> None:
    words = ["workload.sublayer=op", "machine.mode=full", "machine.fault.device=8"]
    with pytest.raises(ConfigError) as refused:
        simulate("t3/gpu80", "t_nlg", [*words, "machine.fault.link_share=0.5"])
    told = "machine.fault.device must be below the number of devices = 8, got 8"
    assert str(refused.value) == told
