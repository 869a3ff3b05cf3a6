"""The paper's ablations: each switch moves the metric it should, by the mechanism it takes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import MiscOp, Opcode
from hwsim.models.flightllm.plan import Plan
from hwsim.outcome import Outcome

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
Words = NDArray[np.uint32]
LD, ST, MM, MV, MISC, SYS = Opcode
STEP = ("workload.phase=decode_step", "workload.kv_length=100")
PREFILL = ("workload.phase=prefill", "workload.prompt_tokens=200")
GENERATE = ("workload.prompt_tokens=100", "workload.output_tokens=40")
OFF_CHIP = "machine.always_on_chip_decode=false"
NOT_SPARSE = "machine.sparse_dsp_chain=false"
INT8 = "machine.mixed_precision=false"
EXACT = "machine.length_adaptive_compilation=false"

both_machines = pytest.mark.parametrize("machine", ["u280", "vhk158"])
both_phases = pytest.mark.parametrize("phase", [STEP, PREFILL], ids=["decode", "prefill"])


def metric(outcome: Outcome, name: str) -> int | float:
    return outcome.metrics[name].value


def operators(outcome: Outcome) -> int:
    """One barrier an operator."""
    return int(metric(outcome, "instructions_sys"))


# Always-on-chip decode


def test_off_chip_each_fused_op_is_an_operator_of_its_own(run: Run, small: str) -> None:
    """A layer fuses RoPE of q and of k (three ops each), softmax, SiLU, one multiply, two adds."""
    fused, alone = run("u280", small, *STEP), run("u280", small, *STEP, OFF_CHIP)
    layers, fused_ops = 2, 3 + 3 + 1 + 1 + 1 + 2
    assert operators(alone) - operators(fused) == layers * fused_ops
    assert metric(alone, "instructions_st") - metric(fused, "instructions_st") >= layers * fused_ops
    assert metric(alone, "instructions_ld") > metric(fused, "instructions_ld")


@both_machines
def test_off_chip_costs_bytes_and_time_in_decode(run: Run, small: str, machine: str) -> None:
    fused, alone = run(machine, small, *STEP), run(machine, small, *STEP, OFF_CHIP)
    for name in ("bytes_read", "bytes_written", "latency", "instruction_bytes"):
        assert metric(alone, name) > metric(fused, name), name
    for name in ("macs", "executed_macs", "instructions_mv"):
        assert metric(alone, name) == metric(fused, name), name


def test_off_chip_every_result_makes_a_round_trip_through_hbm(
    plan: Plans, small: str, program: Callable[[Plan], Words], fields: Any
) -> None:
    """Each operator of the SFU loads its operands, computes, and stores, one after the other."""
    made = plan("u280", small, *STEP, OFF_CHIP)
    (step,) = made.trace.steps()
    shapes = [type(c.operator.main).__name__ for c in made.program(step).operators]
    assert {kind: shapes.count(kind) for kind in ("Elementwise", "Activation", "Softmax")} == {
        "Elementwise": 2 * 9, "Activation": 2, "Softmax": 2,
    }  # fmt: skip
    stored = Counter(fields(program(made), ST)["length_1d"].tolist())
    fused = Counter(fields(program(plan("u280", small, *STEP)), ST)["length_1d"].tolist())
    assert stored[512] - fused[512] == 2 * (6 + 2)  # RoPE of q and of k, two residual adds
    assert stored[4144] - fused[4144] == 2 * 2  # SiLU and the gate's multiply
    assert sum((stored - fused).values()) == 2 * (6 + 2 + 2) + (2 + 2 * 3)  # and the softmaxes


def test_off_chip_does_not_change_what_the_special_function_unit_computes(
    plan: Plans, small: str, program: Callable[[Plan], Words], fields: Any
) -> None:
    """RoPE's add is an add when it is not coded with the multiplies."""

    def blocks(*overrides: str) -> Counter[int]:
        misc = fields(program(plan("u280", small, *STEP, *overrides)), MISC)
        found: Counter[int] = Counter()
        for op, k in zip(misc["op"].tolist(), misc["k"].tolist(), strict=True):
            found[op] += k
        return found

    fused, alone = blocks(), blocks(OFF_CHIP)
    rope_adds = 2 * 2 * 32  # layers, q and k, blocks of 16 in a group of 512 columns
    assert alone[MiscOp.MUL] == fused[MiscOp.MUL] - rope_adds
    assert alone[MiscOp.ADD] == fused[MiscOp.ADD] + rope_adds
    for op in (MiscOp.SOFTMAX, MiscOp.SILU, MiscOp.RMSNORM):
        assert alone[op] == fused[op], op.name


def test_always_on_chip_decode_is_about_decode(run: Run, small: str) -> None:
    assert dict(run("u280", small, *PREFILL, OFF_CHIP).metrics) == dict(
        run("u280", small, *PREFILL).metrics
    )


# The sparse DSP chain


@both_phases
def test_without_the_sparse_chain_zeros_are_multiplied(
    run: Run, small: str, phase: tuple[str, ...]
) -> None:
    sparse, dense = run("vhk158", small, *phase), run("vhk158", small, *phase, NOT_SPARSE)
    assert metric(dense, "latency") > metric(sparse, "latency")
    assert metric(dense, "executed_macs") > metric(sparse, "executed_macs")
    assert metric(dense, "macs") == metric(sparse, "macs")


def test_without_the_sparse_chain_weights_are_stored_as_before(run: Run, small: str) -> None:
    """The memory-management unit still expands compressed weights: time changes, bytes don't."""
    sparse, dense = run("vhk158", small, *STEP), run("vhk158", small, *STEP, NOT_SPARSE)
    for name in ("bytes_read", "bytes_written", "peak_memory", "instructions"):
        assert metric(dense, name) == metric(sparse, name), name


def test_without_the_sparse_chain_q_and_k_take_as_long_as_dense_products(
    run: Run, small: str
) -> None:
    def busy(*overrides: str) -> float:
        work = run("vhk158", small, *STEP, *overrides).tables["work"]
        return next(float(row[2]) for row in work.rows if row[0] == "MV")

    one = ("machine.weights.density.q_proj=1.0", "machine.weights.density.k_proj=1.0")
    assert busy(NOT_SPARSE) == busy(*one)


def test_without_the_sparse_chain_no_block_of_attention_is_skipped(run: Run, small: str) -> None:
    long = ("workload.phase=prefill", "workload.prompt_tokens=1024")
    dense = run("vhk158", small, *long, NOT_SPARSE)
    causal = run("vhk158", small, *long, "machine.attention.mask=causal")
    assert metric(dense, "instructions_mm") == metric(causal, "instructions_mm")
    assert metric(dense, "instructions_mm") > metric(run("vhk158", small, *long), "instructions_mm")


# Mixed precision


@both_phases
def test_without_mixed_precision_weights_take_twice_the_bytes(
    run: Run, small: str, phase: tuple[str, ...]
) -> None:
    four, eight = run("u280", small, *phase), run("u280", small, *phase, INT8)
    as_bits = run("u280", small, *phase, "machine.weights.bits=8")
    assert dict(eight.metrics) == dict(as_bits.metrics)
    grown = metric(eight, "bytes_read") - metric(four, "bytes_read")
    two = run("u280", small, *phase, "machine.weights.bits=2")
    assert grown == pytest.approx(
        2 * (metric(four, "bytes_read") - metric(two, "bytes_read")), abs=2
    )
    assert metric(eight, "executed_macs") == metric(four, "executed_macs")
    assert metric(eight, "instructions") == metric(four, "instructions")


def test_without_mixed_precision_a_bandwidth_bound_step_takes_almost_twice_as_long(
    run: Run,
) -> None:
    step = ("workload.phase=decode_step", "workload.kv_length=128")
    four, eight = run("u280", "llama2_7b", *step), run("u280", "llama2_7b", *step, INT8)
    assert 1.9 < metric(eight, "latency") / metric(four, "latency") < 2


def test_without_mixed_precision_bits_by_role_do_not_count(run: Run, small: str) -> None:
    role = "machine.weights.bits_by_role.up_proj=3"
    assert dict(run("u280", small, *STEP, INT8, role).metrics) == dict(
        run("u280", small, *STEP, INT8).metrics
    )


# Length-adaptive compilation


def test_without_buckets_there_is_a_program_a_length(run: Run, small: str) -> None:
    adaptive, exact = run("u280", small, *GENERATE), run("u280", small, *GENERATE, EXACT)
    without = metric(adaptive, "instruction_bytes_without_adaptive")
    assert metric(exact, "instruction_bytes") == without
    assert metric(exact, "instruction_bytes_without_adaptive") == without
    assert without > 2 * metric(adaptive, "instruction_bytes")


def test_without_buckets_no_time_goes_to_padding(run: Run, small: str) -> None:
    adaptive, exact = run("u280", small, *GENERATE), run("u280", small, *GENERATE, EXACT)
    for name in ("prefill_latency", "decode_latency", "bytes_read", "executed_macs"):
        assert metric(exact, name) < metric(adaptive, name), name


@pytest.mark.parametrize("decode", [16, 48, 100])
def test_program_bytes_without_buckets_do_not_depend_on_the_buckets(
    run: Run, small: str, decode: int
) -> None:
    """From 500 positions on some lengths share a group of 512 columns that their bucket leaves."""
    words = ("workload.prompt_tokens=490", "workload.output_tokens=40")
    adaptive = run("u280", small, *words, f"machine.buckets.decode={decode}")
    exact = run("u280", small, *words, EXACT)
    without = metric(adaptive, "instruction_bytes_without_adaptive")
    assert without == metric(exact, "instruction_bytes")


def test_at_a_length_that_fills_its_bucket_nothing_changes(run: Run, small: str) -> None:
    step = ("workload.phase=decode_step", "workload.kv_length=112")
    assert dict(run("u280", small, *step, EXACT).metrics) == dict(run("u280", small, *step).metrics)
