"""The machine against an independent schedule: to the femtosecond, the instruction, the byte."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from hwsim.models.flightllm.masks import generate_mask, published_mask
from hwsim.outcome import Outcome
from hwsim.units import FS_PER_SECOND

Run = Callable[..., Outcome]
STEP = "workload.phase=decode_step"
PREFILL = "workload.phase=prefill"
CAUSAL = "machine.attention.mask=causal"

both_machines = pytest.mark.parametrize("machine", ["vhk158", "u280"])


def small_shape(oracle: ModuleType) -> Any:
    """The shape of the small model of ``conftest.py``."""
    return oracle.Shape(layers=2, hidden=512, ffn=4144, vocab=8320, heads=4)


def assert_as_scheduled(outcome: Outcome, schedule: Any) -> None:
    """Elapsed and busy times, counts and bytes, all exact."""
    metrics = outcome.metrics
    assert round(metrics["latency"].value * FS_PER_SECOND) == schedule.end
    work = {row[0]: row[1:] for row in outcome.tables["work"].rows}
    assert {unit: row[0] for unit, row in work.items()} == schedule.count
    busy = {unit: round(float(row[1]) * FS_PER_SECOND / 1000) for unit, row in work.items()}
    assert busy == schedule.busy
    assert metrics["bytes_read"].value == round(sum(schedule.loaded_bytes.values()))
    assert metrics["bytes_written"].value == schedule.stored_bytes


@both_machines
@pytest.mark.parametrize("positions", [16, 128, 144, 512, 528, 1024, 1040, 2048])
def test_a_decode_step_is_the_schedule_exactly(
    run: Run, oracle: ModuleType, machine: str, positions: int
) -> None:
    outcome = run(machine, "llama2_7b", STEP, f"workload.kv_length={positions}")
    schedule = oracle.Schedule(getattr(oracle, machine.upper())).decode(positions)
    assert_as_scheduled(outcome, schedule)


@both_machines
@pytest.mark.parametrize("positions", [1, 17, 500, 513, 1025, 2033])
def test_a_decode_step_inside_a_bucket_is_that_of_the_bucket(
    run: Run, oracle: ModuleType, small: str, machine: str, positions: int
) -> None:
    """Small model: its rows are short, so that an address beyond the cache would be noticed."""
    outcome = run(machine, small, STEP, f"workload.kv_length={positions}")
    shape = small_shape(oracle)
    schedule = oracle.Schedule(getattr(oracle, machine.upper()), shape).decode(positions)
    assert_as_scheduled(outcome, schedule)


@both_machines
@pytest.mark.parametrize("tokens", [128, 256, 640])
@pytest.mark.parametrize("masked", [False, True], ids=["causal", "published"])
def test_a_small_prefill_is_the_schedule_exactly(
    run: Run, oracle: ModuleType, small: str, machine: str, tokens: int, masked: bool
) -> None:
    overrides = () if masked else (CAUSAL,)
    outcome = run(machine, small, PREFILL, f"workload.prompt_tokens={tokens}", *overrides)
    masks = generate_mask(2, 4, 32).kept[:, :, : tokens // 64, : tokens // 64] if masked else None
    shape = small_shape(oracle)
    schedule = oracle.Schedule(getattr(oracle, machine.upper()), shape).prefill(tokens, masks)
    assert_as_scheduled(outcome, schedule)


def test_a_prefill_is_the_schedule_exactly(run: Run, oracle: ModuleType) -> None:
    outcome = run("vhk158", "llama2_7b", PREFILL, "workload.prompt_tokens=128")
    assert_as_scheduled(outcome, oracle.Schedule(oracle.VHK158).prefill(128))


@pytest.mark.slow
@both_machines
@pytest.mark.parametrize("tokens", [128, 256, 512])
@pytest.mark.parametrize("masked", [False, True], ids=["causal", "published"])
def test_a_long_prefill_is_the_schedule_exactly(
    run: Run, oracle: ModuleType, machine: str, tokens: int, masked: bool
) -> None:
    overrides = () if masked else (CAUSAL,)
    outcome = run(machine, "llama2_7b", PREFILL, f"workload.prompt_tokens={tokens}", *overrides)
    masks = published_mask().kept[:, :, : tokens // 64, : tokens // 64] if masked else None
    schedule = oracle.Schedule(getattr(oracle, machine.upper())).prefill(tokens, masks)
    assert_as_scheduled(outcome, schedule)


@pytest.mark.slow
def test_a_whole_case_is_the_sum_of_its_buckets(run: Run, oracle: ModuleType) -> None:
    outcome = run("vhk158", "llama2_7b", "workload.output_tokens=512")
    steps = [16 * oracle.ceil_div(128 + i + 1, 16) for i in range(512)]
    by_bucket = {n: oracle.Schedule(oracle.VHK158).decode(n).end for n in sorted(set(steps))}
    decode = sum(by_bucket[n] for n in steps)
    assert round(outcome.metrics["decode_latency"].value * FS_PER_SECOND) == decode


def test_the_schedule_reproduces_what_the_authors_published(oracle: ModuleType) -> None:
    """The oracle stands on its own: the published totals, to the digits printed."""
    step = oracle.Schedule(oracle.VHK158).decode(128)
    assert f"{step.end / 1e12:.6f}" == "9.260895"
    assert f"{oracle.Schedule(oracle.VHK158).decode(512).end / 1e12:.6f}" == "9.809803"
    assert {unit: n for unit, n in step.count.items() if n} == {
        "LD": 89_554, "ST": 418, "MV": 8_830, "MISC": 4_545, "SYS": 418,
    }  # fmt: skip


def test_the_mask_of_the_oracle_skips_what_it_leaves_out(oracle: ModuleType) -> None:
    """Else a comparison with masks would compare nothing."""
    shape = small_shape(oracle)
    causal = oracle.Schedule(oracle.VHK158, shape).prefill(640)
    kept = generate_mask(2, 4, 32).kept[:, :, :10, :10]
    masked = oracle.Schedule(oracle.VHK158, shape).prefill(640, kept)
    assert masked.count["MM"] < causal.count["MM"]
    assert masked.end < causal.end
