"""Figures and notes: published figures have one source, roofs hold, ceilings are told."""

from __future__ import annotations

from hwsim.models.flightllm import SYSTEM
from hwsim.models.flightllm.platforms import platform_sources
from hwsim.outcome import Outcome
from hwsim.run import simulate
from hwsim.validate.paper import read_paper

STEP = ("workload.phase=decode_step", "workload.kv_length=128")
PREFILL = ("workload.phase=prefill", "workload.prompt_tokens=128")


def outcome_of(*overrides: str, workload: str = "llama2_7b") -> Outcome:
    return simulate("flightllm/u280", workload, overrides).outcome


def test_figures_of_other_platforms_are_those_of_the_claims() -> None:
    paper = read_paper(SYSTEM)
    assert paper is not None
    published = {claim.id: claim.published for claim in paper.claims}
    _, v100s, a100 = outcome_of(*STEP).tables["platforms"].rows

    assert list(v100s) == [
        *("V100S, vLLM + SmoothQuant (published)", "published", published["v100s_throughput"]),
        published["v100s_throughput"] / published["v100s_power"],
        published["v100s_throughput_per_1000_usd"],
    ]
    assert list(a100) == [
        *("A100 (derived)", "derived", published["a100_throughput"]),
        published["u280_tokens_per_joule"] / published["energy_llama_a100_opt"],
        published["a100_throughput_per_1000_usd"],
    ]


def test_the_caption_tells_published_from_derived() -> None:
    [figure] = [f for f in outcome_of(*STEP).figures if f.name == "platforms"]

    assert figure.caption == (
        f"This machine: simulated, at calibrated power. Not simulated: {platform_sources()}."
    )
    assert "V100S, vLLM + SmoothQuant (published): its rate, power and price; " in figure.caption
    assert "A100 (derived): its rate and power are not published" in figure.caption


def test_no_operator_is_above_the_attainable_roof() -> None:
    """Both bind: of the 42 % of the bandwidth a decode step reaches 40 %."""
    for scenario in (STEP, PREFILL):
        outcome = outcome_of(*scenario)
        [figure] = [f for f in outcome.figures if f.kind == "roofline"]
        roofs = {name: (peak, bandwidth) for name, peak, bandwidth in figure.roofs}
        assert roofs["MM attainable"][0] == 0.8 * roofs["MM peak"][0]
        peak, bandwidth = roofs["MM attainable"]
        for _, intensity, rate, _ in outcome.tables["roofline"].rows:
            assert rate <= min(peak, intensity * bandwidth) * (1 + 1e-9)
        reached = outcome.metrics["memory_bandwidth_utilization"].value
        assert reached < bandwidth / roofs["MM peak"][1]


def test_a_note_tells_how_much_of_the_bandwidth_can_be_reached() -> None:
    assert (
        "Bandwidth utilization is of the whole peak. A run bound by HBM alone reaches 42 % of it: "
        "24 of 32 channels x same_channel_efficiency 0.7 x parallel_efficiency 0.8."
    ) in outcome_of(*STEP).notes
