"""Targets: what the authors' profiler printed, and what was measured on a card.

Source: FlightLLM, FPGA'24, arXiv 2401.03868, and the authors' public artifact (profiler), for
LLaMA2-7B at batch 1. `hwsim validate flightllm` compares every published figure; here are those
that a change must not move without being noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

from hwsim.outcome import Outcome, SimOptions
from hwsim.run import simulate

Run = Callable[..., Outcome]
STEP = "workload.phase=decode_step"
PREFILL = "workload.phase=prefill"


def ms(outcome: Outcome, name: str = "latency") -> float:
    return 1000 * outcome.metrics[name].value


def units(outcome: Outcome) -> dict[str, tuple[int, float]]:
    """Instructions, and milliseconds busy, of the units that did something."""
    rows = outcome.tables["work"].rows
    return {str(row[0]): (int(row[1]), float(row[2])) for row in rows if row[1]}


PRINTED = {
    (STEP, "workload.kv_length=128"): (
        "9.260895",
        {
            "LD": (89_554, "6.687"), "ST": (418, "0.0312"), "MV": (8_830, "8.799"),
            "MISC": (4_545, "0.2226"), "SYS": (418, "0.0006"),
        },
    ),
    (STEP, "workload.kv_length=512"): (
        "9.809803",
        {
            "LD": (89_554, "7.109"), "ST": (418, "0.0376"), "MV": (8_830, "9.072"),
            "MISC": (4_545, "0.2908"), "SYS": (418, "0.0006"),
        },
    ),
    (PREFILL, "workload.prompt_tokens=128"): (
        "289.882369",
        {
            "LD": (728_024, "104.407"), "ST": (720_640, "0.932"), "MM": (127_952, "274.241"),
            "MISC": (248_960, "9.318"), "SYS": (354, "0.0005"),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", PRINTED, ids=["decode 128", "decode 512", "prefill 128"])
def test_the_profiler_s_digits_are_met(run: Run, words: tuple[str, str]) -> None:
    latency, printed = PRINTED[words]
    outcome = run("vhk158", "llama2_7b", *words)
    assert f"{ms(outcome):.6f}" == latency
    found = units(outcome)
    assert {unit: count for unit, (count, _) in found.items()} == {
        unit: count for unit, (count, _) in printed.items()
    }
    for unit, (_, busy) in printed.items():
        digits = len(busy.partition(".")[2])
        assert f"{found[unit][1]:.{digits}f}" == busy, unit


@pytest.mark.parametrize(
    "law", ["hwsim.laws.flightllm_core.chain_cycles", "hwsim.models.flightllm.timing.misc_cycles"]
)
def test_a_law_that_the_rtl_shares_moves_the_profiler_s_digits(
    law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = law.rsplit(".", 1)
    says = getattr(import_module(module), name)
    monkeypatch.setattr(law, lambda *of: says(*of) + 1)

    def anew(machine: str, workload: str, *overrides: str) -> Outcome:
        return simulate(f"flightllm/{machine}", workload, overrides, SimOptions()).outcome

    with pytest.raises(AssertionError):
        test_the_profiler_s_digits_are_met(anew, (STEP, "workload.kv_length=128"))


def test_the_bytes_of_a_decode_step_are_the_profiler_s(run: Run) -> None:
    """Weights 3176.5 MB, cache 33.55, reloads and operands 42.47, bias 2.10, vectors 1.41 ..."""
    metrics = run("vhk158", "llama2_7b", STEP, "workload.kv_length=128").metrics
    assert metrics["bytes_read"].value / 1e6 == pytest.approx(
        3176.5 + 33.55 + 42.47 + 2.10 + 1.41 + 0.27, abs=0.1
    )
    assert round(metrics["bytes_written"].value / 1e6, 2) == 1.92


def test_the_matrix_engine_is_busy_95_percent_and_loads_72_percent_of_a_vhk158_step(
    run: Run,
) -> None:
    outcome = run("vhk158", "llama2_7b", STEP, "workload.kv_length=128")
    busy = {unit: time / ms(outcome) for unit, (_, time) in units(outcome).items()}
    assert round(busy["MV"], 2) == 0.95
    assert round(busy["LD"], 2) == 0.72


def test_a_decode_step_on_the_u280_is_within_3_percent_of_the_card(run: Run) -> None:
    outcome = run("u280", "llama2_7b", STEP, "workload.kv_length=128")
    assert ms(outcome) == pytest.approx(17.506, rel=0.03)


@pytest.mark.paper
@pytest.mark.slow
def test_a_prompt_of_512_is_within_1_percent(run: Run) -> None:
    """The masks are remade from their published statistics."""
    outcome = run("vhk158", "llama2_7b", PREFILL, "workload.prompt_tokens=512")
    assert ms(outcome) == pytest.approx(1181.419287, rel=0.01)
    printed = {
        "LD": (2_977_704, 426.847), "ST": (2_882_560, 4.0), "MM": (550_168, 1109.111),
        "MISC": (995_840, 49.55), "SYS": (354, 0.0005),
    }  # fmt: skip
    found = units(outcome)
    assert found["SYS"][0] == printed["SYS"][0]
    for unit, (count, busy) in printed.items():
        assert found[unit][0] == pytest.approx(count, rel=0.01), unit
        assert found[unit][1] == pytest.approx(busy, rel=0.01, abs=1e-4), unit


@pytest.mark.paper
@pytest.mark.slow
def test_the_case_128_512_is_met_to_the_digits_printed(run: Run) -> None:
    outcome = run("vhk158", "llama2_7b", "workload.output_tokens=512")
    assert f"{ms(outcome, 'prefill_latency'):.1f}" == "289.9"
    assert f"{ms(outcome, 'decode_latency'):.1f}" == "4946.4"
    assert f"{outcome.metrics['throughput'].value:.1f}" == "103.5"
