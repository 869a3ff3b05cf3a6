"""A collective alone: one op, of which the machine says among how many devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import HwsimError
from hwsim.workloads import (
    Collective,
    CollectiveScenario,
    CollectiveWorkload,
    load_workload,
    workload_kind,
)


def loaded(*overrides: tuple[str, str]) -> CollectiveWorkload:
    workload = load_workload("collective", overrides)
    assert isinstance(workload, CollectiveWorkload)
    return workload


def test_the_shipped_one_has_the_defaults() -> None:
    workload = loaded()
    assert (workload.name, workload.kind, workload_kind("collective")) == ("collective",) * 3
    given = workload.scenario
    assert given == CollectiveScenario()
    assert (given.collective, given.algorithm) == ("all_reduce", "ring")
    assert given.message_bytes == 64 * 2**20
    assert workload.notes == ()
    shown = {value.key: (value.value_text, value.kind) for value in workload.parameters}
    assert shown["message_bytes"] == ("64 MiB", "default")


@pytest.mark.parametrize("kind", ["reduce_scatter", "all_gather", "all_reduce", "all_to_all"])
def test_the_trace_is_the_one_op_among_the_devices_of_a_machine(kind: str) -> None:
    workload = loaded(("collective", kind), ("message_bytes", "6 MB"), ("algorithm", "direct"))
    (op,) = workload.trace_on(16)
    assert isinstance(op, Collective)
    assert (op.kind, op.bytes, op.devices, op.dtype) == (kind, 6_000_000, 16, "fp16")
    workload.trace_on(16).check()
    (default,) = workload.trace
    assert isinstance(default, Collective)
    assert default.devices == 8


def test_the_digest_knows_the_algorithm_and_no_machine() -> None:
    ring, direct = loaded(), loaded(("algorithm", "direct"))
    assert ring.sha256 != direct.sha256
    assert ring.sha256 == loaded().sha256
    assert ring.trace_on(4).sha256() != ring.trace_on(8).sha256()


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        (
            "collective",
            "broadcast",
            (
                "collective must be one of 'reduce_scatter', 'all_gather', 'all_reduce', "
                "'all_to_all', got 'broadcast'"
            ),
        ),
        (
            "algorithm",
            "mesh",
            "algorithm must be one of 'ring', 'direct', 'tree', 'star', got 'mesh'",
        ),
        (
            "message_bytes",
            "0 B",
            "message_bytes must be a size above zero, such as '8 MiB', got '0 B'",
        ),
        (
            "message_bytes",
            "3 B",
            "message_bytes must be a multiple of 2 B, the size of an element, got '3 B'",
        ),
        (
            "message_bytes",
            "2 TiB",
            "message_bytes must be at most '1 TiB', got '2199023255552 B'",
        ),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(key: str, text: str, message: str) -> None:
    with pytest.raises(HwsimError) as caught:
        loaded((key, text))
    assert caught.value.exit_code == 2
    assert str(caught.value) == f"--set: {message}"


def test_a_file_of_ones_own_sets_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text('kind = "collective"\ncollective = "all_gather"\nmessage_bytes = "6 MB"\n')
    workload = load_workload(str(path))
    assert isinstance(workload, CollectiveWorkload)
    assert (workload.name, workload.scenario.collective) == ("small", "all_gather")


@pytest.mark.parametrize("text", ["1 MiB", "1048576"])
def test_bytes_are_written_with_a_unit_or_bare_since_the_key_says_it(text: str) -> None:
    workload = load_workload("collective", [("message_bytes", text)])
    assert isinstance(workload, CollectiveWorkload)
    assert workload.scenario.message_bytes == 2**20
