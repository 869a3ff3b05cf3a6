"""Collectives on bank-level memory: one device still stands for all; traffic and time are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwsim.collectives import make_schedule
from hwsim.collectives.closed_forms import elapsed_fs, traffic
from hwsim.memory import Access, Stream
from hwsim.noc import LinkConfig

Run = Callable[..., Any]
LINK = LinkConfig(bandwidth="150 GB/s", latency="500 ns")
CHUNK = 2**17


@pytest.mark.parametrize(
    ("name", "algorithm", "config"),
    [
        ("reduce_scatter", "ring", {}),
        ("all_reduce", "ring", {"pipelined": True, "near_memory_reduction": True}),
        ("all_reduce", "direct", {"copy_rate": "300 GB/s"}),
        ("all_to_all", "direct", {}),
    ],
)
def test_one_device_takes_what_all_take_to_the_femtosecond(
    run: Run, name: Any, algorithm: Any, config: dict[str, Any]
) -> None:
    schedule = make_schedule(name, algorithm, 4)
    sizes = (CHUNK,) * 4
    alone = run(schedule, sizes, link=LINK, dram=True, one_device=True, config=config)
    every = run(schedule, sizes, link=LINK, dram=True, config=config)
    spans = [
        [(span.transfer, span.start_fs, span.end_fs) for span in outcome.times.spans
         if span.source == 0]
        for outcome in (alone, every)
    ]  # fmt: skip
    assert spans[0] == spans[1]
    assert alone.times.elapsed_fs == every.times.elapsed_fs
    near = config.get("near_memory_reduction", False)
    law = traffic(name, algorithm, 0, sizes, devices=4, near_memory=near)
    for memory in every.memories:
        moved = {kind: memory.bytes[Stream.COMMUNICATION, kind].value for kind in Access}
        assert (moved[Access.READ], moved[Access.WRITE], moved[Access.UPDATE]) == law[:3]


def test_a_large_message_hides_the_memory_behind_the_links(run: Run) -> None:
    sizes = (24 * 2**20 // 8,) * 8
    schedule = make_schedule("reduce_scatter", "ring", 8)
    config = {"near_memory_reduction": True}
    elapsed = run(schedule, sizes, link=LINK, dram=True, one_device=True, config=config).times
    on_links = elapsed_fs("reduce_scatter", "ring", 8, sizes, LINK)
    assert 1 < elapsed.elapsed_fs / on_links < 1.06


def test_too_few_slices_in_flight_leave_the_link_waiting_for_memory(run: Run) -> None:
    schedule = make_schedule("all_gather", "ring", 4)

    def elapsed(slices: int) -> int:
        config = {"slice_bytes": "4 KiB", "slices_in_flight": slices}
        outcome = run(schedule, (2**20,) * 4, link=LINK, dram=True, one_device=True, config=config)
        return int(outcome.times.elapsed_fs)

    # 150 GB/s over a read of 300 ns or more: 8 KiB in flight are too few, 256 KiB are plenty
    assert elapsed(2) > 2 * elapsed(64)
