"""The special function unit: its cycles are those that the simulator charges, and its latency."""

from __future__ import annotations

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.flightllm_core import CoreGeometry, misc_cycles
from hwsim.laws.flightllm_isa import MiscOp
from hwsim.laws.flightllm_sfu import (
    OPERATIONS,
    Command,
    SFUGeometry,
    Traffic,
    beats,
    command_cycles,
    emits,
    latency,
)
from rtl.blocks.flightllm_sfu import sfu_depth

lanes = st.sampled_from([2, 4, 8, 16])
operations = st.sampled_from(OPERATIONS)
commands = st.builds(Command, operations, st.integers(1, 6))


def always(_cycle: int) -> bool:
    return True


def unstalled(geometry: SFUGeometry, work: list[Command]) -> Traffic:
    every = sum(beats(geometry, command) for command in work)
    return Traffic(geometry, work, [0] * len(work), [0] * every, always)


@given(lanes, operations, st.integers(1, 2**14 - 1))
def test_a_command_has_a_beat_for_each_cycle_that_the_simulator_charges(
    width: int, operation: MiscOp, blocks: int
) -> None:
    charged = misc_cycles(CoreGeometry(sfu_lanes=width), operation.name, blocks)
    assert beats(SFUGeometry(lanes=width), Command(operation, blocks)) == charged


@pytest.mark.parametrize(
    ("operation", "passes"),
    [(MiscOp.ADD, 1), (MiscOp.MUL, 1), (MiscOp.SOFTMAX, 2), (MiscOp.RMSNORM, 2)],
)
def test_sixteen_lanes_take_k_cycles_a_pass(operation: MiscOp, passes: int) -> None:
    assert beats(SFUGeometry(), Command(operation, 256)) == passes * 256


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_the_unit_is_built_as_deep_as_the_law_says(lanes: int) -> None:
    geometry = SFUGeometry(lanes=lanes)
    assert sfu_depth(geometry) == latency(geometry)


@pytest.mark.parametrize(("width", "cycles"), [(2, 36), (4, 38), (8, 40), (16, 42)])
def test_latency_is_34_cycles_and_two_trees(width: int, cycles: int) -> None:
    assert latency(SFUGeometry(lanes=width)) == cycles


@given(lanes, commands)
def test_a_lone_command_takes_its_charge_and_the_latency(width: int, command: Command) -> None:
    geometry = SFUGeometry(lanes=width)
    traffic = unstalled(geometry, [command])
    assert traffic.left[-1] - traffic.taken[0] == command_cycles(geometry, command)
    assert command_cycles(geometry, command) == beats(geometry, command) + latency(geometry)


@given(lanes, st.lists(commands, min_size=1, max_size=8))
def test_commands_follow_one_another_without_a_bubble(width: int, work: list[Command]) -> None:
    geometry = SFUGeometry(lanes=width)
    traffic = unstalled(geometry, work)
    charged = [beats(geometry, command) for command in work]
    assert traffic.taken == [0, *accumulate(charged)][:-1]
    assert traffic.entered == list(range(1, 1 + sum(charged)))


@given(lanes, st.lists(commands, min_size=1, max_size=8))
def test_a_result_leaves_a_latency_after_its_beat(width: int, work: list[Command]) -> None:
    geometry = SFUGeometry(lanes=width)
    traffic = unstalled(geometry, work)
    gives = [each for command in work for each in emits(geometry, command)]
    assert traffic.left == [
        at + latency(geometry) for at, one in zip(traffic.entered, gives, strict=True) if one
    ]


@given(commands)
def test_the_last_pass_emits(command: Command) -> None:
    silent = beats(SFUGeometry(), command) - command.blocks
    assert emits(SFUGeometry(), command) == [False] * silent + [True] * command.blocks


def test_a_silent_beat_at_the_end_of_the_pipeline_does_not_wait_for_the_consumer() -> None:
    geometry = SFUGeometry()
    work = [Command(MiscOp.ADD, 1), Command(MiscOp.SOFTMAX, 1)]
    end = 1 + latency(geometry)
    held = Traffic(geometry, work, [0, 0], [0, 0, 0], lambda cycle: cycle >= end + 5)
    # the sum waits 5 cycles, the gathered beat behind it goes, the softmax is there a beat later
    assert held.left == [end + 5, end + 7]


@settings(max_examples=30)
@given(st.lists(commands, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_stalls_reorder_nothing_and_never_beat_the_latency(
    work: list[Command], rng: Random
) -> None:
    geometry = SFUGeometry()
    every = sum(beats(geometry, command) for command in work)
    gaps = [rng.choice((0, 0, 1, 3)) for _ in range(every)]
    waits = [rng.choice((0, 2, 9)) for _ in work]
    pattern = [rng.random() < 0.6 for _ in range(50)] + [True]
    traffic = Traffic(geometry, work, waits, gaps, lambda cycle: pattern[cycle % len(pattern)])
    for cycles in (traffic.taken, traffic.entered, traffic.left):
        assert all(one < other for one, other in pairwise(cycles))
    gives = [each for command in work for each in emits(geometry, command)]
    emitting = [at for at, one in zip(traffic.entered, gives, strict=True) if one]
    assert all(
        out >= at + latency(geometry) for at, out in zip(emitting, traffic.left, strict=True)
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lanes": 12}, "lanes must be a power of two, got 12"),
        ({"lanes": 1}, "lanes must be a whole number from 2 to 16, got 1"),
        ({"lanes": 32}, "lanes must be a whole number from 2 to 16, got 32"),
        ({"epsilon": 0.0}, "epsilon must be a number from 1e-08 to 1.0, got 0.0"),
        ({"epsilon": 2.0}, "epsilon must be a number from 1e-08 to 1.0, got 2.0"),
    ],
)
def test_an_impossible_geometry_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SFUGeometry(**values)
    assert str(caught.value) == f"SFUGeometry: {message}"
