"""Collectives alone on the published node, against closed forms."""

from __future__ import annotations

import pytest

from hwsim.collectives.closed_forms import elapsed_fs, pipelined_ring_fs
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
