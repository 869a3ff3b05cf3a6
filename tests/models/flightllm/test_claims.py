"""The published figures of FlightLLM, and what the guide says, against the model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.config import load_machine_file, parameter_table
from hwsim.errors import InvariantError
from hwsim.laws.flightllm_isa import FORMATS, Field, Opcode
from hwsim.models.flightllm import claims
from hwsim.models.flightllm.claims import Kind, instructions_by_kind, scenario_plan
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.masks import load_mask
from hwsim.models.flightllm.system import programs
from hwsim.models.registry import system
from hwsim.outcome import Metric, Outcome
from hwsim.run import load_machine, simulate
from hwsim.validate import Claim, Paper, Verdict, evaluate, outcomes_of, read_paper, validate
from hwsim.workloads import load_workload

LD, ST, MM, MV, MISC, SYS = Opcode
DECODE_128 = "vhk158_decode_128"
MODEL = "llama2_7b"
STEP = ("workload.phase=decode_step", "workload.kv_length=128")


@pytest.fixture(scope="module")
def paper() -> Paper:
    found = read_paper(system("flightllm"))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def outcomes(paper: Paper) -> Callable[[str], Outcome]:
    """The outcome of a scenario of paper.toml; each simulated once."""
    kept: dict[str, Outcome] = {}

    def outcome(name: str) -> Outcome:
        if name not in kept:
            scenario = paper.scenarios[name]
            kept[name] = simulate(scenario.machine, scenario.workload, scenario.set).outcome
        return kept[name]

    return outcome


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return (repository / "docs" / "flightllm.md").read_text()


def latency(machine: str, *overrides: str) -> float:
    return simulate(machine, MODEL, (*STEP, *overrides)).outcome.metrics["latency"].value


# The file


def test_each_hook_of_the_paper_file_exists_and_each_hook_is_used(paper: Paper) -> None:
    named = {claim.hook for claim in paper.claims if claim.hook}
    machinery = {"scenario_plan", "instructions_by_kind"}
    functions = {
        name
        for name, value in vars(claims).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == claims.__name__
        and not isinstance(value, type)
    }
    assert named == functions - machinery


def test_what_was_calibrated_is_never_called_validation(paper: Paper) -> None:
    """The power states are fitted, so whatever is counted in watts or joules is a fit too."""
    energetic = {"energy", "average_power", "tokens_per_joule"}
    kinds = {claim.kind for claim in paper.claims if claim.metric in energetic}
    assert kinds == {"fit", "reference"}
    parameters = parameter_table(*_built("flightllm/u280"))
    calibrated = {p.key.split(".")[0] for p in parameters if p.kind == "calibrated"}
    assert calibrated == {"power"}


def _built(name: str) -> tuple[object, object]:
    machine = load_machine(name)
    return machine.config, machine.raw


def test_ids_say_what_they_name_once(paper: Paper) -> None:
    titles = [claim.title for claim in paper.claims]
    assert len(titles) == len(set(titles))


# The figures


def by_scenario(paper: Paper, name: str) -> list[Claim]:
    return [claim for claim in paper.claims if set(claim.needs) == {name}]


@pytest.mark.parametrize("name", [DECODE_128, "vhk158_decode_512", "u280_decode_128"])
def test_the_claims_on_a_decode_step_are_as_recorded(paper: Paper, name: str) -> None:
    chosen = tuple(by_scenario(paper, name))
    part = paper.model_copy(update={"claims": chosen, "scenarios": {name: paper.scenarios[name]}})
    (outcomes,) = outcomes_of([part])
    found = list(evaluate(system("flightllm"), part, outcomes))
    assert len(found) >= 4
    assert [verdict.failure for verdict in found if verdict.failure] == []


def test_the_decode_step_measured_on_a_card_is_met_within_three_percent(paper: Paper) -> None:
    (claim,) = (c for c in paper.claims if c.id == "u280_decode_step_128")
    assert (claim.kind, claim.tolerance, claim.status) == ("validate", 0.03, "hit")
    verdict = Verdict("flightllm", claim, latency("flightllm/u280"))
    assert verdict.status == "hit"


@pytest.mark.paper
@pytest.mark.slow
def test_every_claim_is_as_recorded_and_each_miss_has_its_reason() -> None:
    assert validate(["flightllm"]).failures == ()


# The hooks


def test_instructions_by_kind_add_up_to_what_each_unit_ran(
    outcomes: Callable[[str], Outcome],
) -> None:
    work = outcomes(DECODE_128).tables["work"]
    ran = {row[0]: row[1] for row in work.rows}
    counted = dict.fromkeys(ran, 0)
    for kind, count in instructions_by_kind(DECODE_128).count.items():
        counted[kind.unit.name] += count
    assert counted == ran


def test_bytes_by_kind_add_up_to_what_was_read(outcomes: Callable[[str], Outcome]) -> None:
    runs = {DECODE_128: outcomes(DECODE_128)}
    hooks = ("weight", "cache", "operand", "bias", "vector", "norm")
    parts = [getattr(claims, f"{what}_bytes")(runs) for what in hooks]
    assert sum(parts) == runs[DECODE_128].metrics["bytes_read"].value


def test_weights_leave_hbm_in_four_bits_and_without_the_zeros_of_q_and_k(
    outcomes: Callable[[str], Outcome],
) -> None:
    """The closed form: column groups of 512, the last one padded."""
    runs = {DECODE_128: outcomes(DECODE_128)}
    square, ffn = 4096 * 4096, 4096 * 11008
    padded_ffn, padded_head = 4096 * 11264, 4096 * 32256
    layer = 2 * square * 0.7 + 2 * square + 2 * padded_ffn + ffn
    assert claims.weight_bytes(runs) == pytest.approx((32 * layer + padded_head) / 2, abs=1)


def test_a_program_that_is_not_what_ran_is_no_evidence(
    outcomes: Callable[[str], Outcome],
) -> None:
    outcome = outcomes(DECODE_128)
    fewer = {**outcome.metrics, "instructions": Metric(103_764, "1")}
    with pytest.raises(InvariantError) as caught:
        claims.mv_dense_128({DECODE_128: replace(outcome, metrics=fewer)})
    assert str(caught.value) == (
        "vhk158_decode_128: programs must hold the 103764 instructions that ran, got 103765"
    )


def test_sparse_is_told_from_dense_by_the_instruction_itself() -> None:
    count = instructions_by_kind(DECODE_128).count
    groups_of_q_and_k, k_tiles, layers = 2 * 8, 2, 32
    assert count[Kind(MV, "sparse", 128)] == groups_of_q_and_k * k_tiles * layers


def test_busy_time_of_the_units_is_never_more_than_the_run(
    outcomes: Callable[[str], Outcome],
) -> None:
    runs = {DECODE_128: outcomes(DECODE_128)}
    whole = runs[DECODE_128].metrics["latency"].value
    for unit in ("ld", "st", "mm", "mv", "misc", "sys"):
        assert 0 <= getattr(claims, f"{unit}_busy")(runs) <= whole


def test_resources_follow_from_the_sizes_of_the_machine(
    outcomes: Callable[[str], Outcome],
) -> None:
    runs = {"u280_decode_128": outcomes("u280_decode_128")}
    assert claims.matrix_engine_dsps(runs) == 3 * 4096 / 2
    assert claims.buffer_urams(runs) == 3 * (8 * 2**20 + 256 * 2**10) / 2**15


def test_a_scenario_is_planned_with_its_overrides() -> None:
    plan = scenario_plan("u280_decode_128_zeros_multiplied")
    assert plan.config.cores == 3
    assert plan.config.density("up_proj") == plan.config.density("q_proj") == 0.5
    assert not plan.config.sparse_dsp_chain
    assert next(plan.trace.steps()).kv_length == 128


# The variant: what would 3.5 bits buy?


def test_the_mixed_machine_differs_from_the_u280_in_its_weights_alone() -> None:
    mixed = load_machine("flightllm/u280_mixed").config.model_dump()
    base = load_machine("flightllm/u280").config.model_dump()
    assert mixed.pop("weights") == base.pop("weights") | {"bits": "mixed"}
    assert mixed == base


def test_every_value_of_the_mixed_machine_says_where_it_comes_from() -> None:
    raw = load_machine_file("flightllm/u280_mixed")
    assert raw.provenance["weights.bits"].startswith("published: ")
    assert raw.provenance["weights.mixed_average_bits"].startswith("published: ")
    assert raw.provenance["power"].startswith("assumed: ")


def test_fewer_bits_pay_where_hbm_binds_and_not_where_the_matrix_engine_does() -> None:
    bits = "machine.weights.bits=mixed"
    on_u280 = latency("flightllm/u280") / latency("flightllm/u280_mixed")
    on_vhk158 = latency("flightllm/vhk158") / latency("flightllm/vhk158", bits)
    assert 1.12 < on_u280 < 4 / 3.5
    assert 1 <= on_vhk158 < 1.005


# The guide


def test_the_listings_in_the_guide_are_what_the_compiler_writes(guide: str) -> None:
    config = load_machine("flightllm/u280").config
    workload = load_workload(MODEL, [("phase", "decode_step"), ("kv_length", "128")])
    first = next(programs(config, workload))
    quoted = re.findall(r"^\d{8} .+$", guide, re.MULTILINE)
    written = set(itertools.islice(first.text(), 1000))
    assert len(quoted) > 20
    assert [line for line in quoted if line not in written] == []


def test_the_bit_map_in_the_guide_is_the_one_of_the_laws(guide: str) -> None:
    rows = re.findall(
        r"^\| (all|LD|ST|MM, MV|MISC) \| `(\w+)` \| (\d+) \| (.+?) \|", guide, re.MULTILINE
    )
    assert [row for row in rows if row[0] == "all"] == written_rows("all", FORMATS[SYS].fields)
    for name, opcode in (("LD", LD), ("ST", ST), ("MM, MV", MM), ("MISC", MISC)):
        fields = FORMATS[opcode].fields[3:]
        assert [row for row in rows if row[0] == name] == written_rows(name, fields)
    assert FORMATS[MM].fields == FORMATS[MV].fields


def written_rows(name: str, fields: tuple[Field, ...]) -> list[tuple[str, str, str, str]]:
    return [(name, field.name, str(field.bits), place(field)) for field in fields]


def place(field: Field) -> str:
    return ", ".join(
        f"w{p.word}[{p.msb}:{p.lsb}]" if p.bits > 1 else f"w{p.word}[{p.msb}]" for p in field.parts
    )


def test_the_examples_in_the_guide_make_files_that_the_model_reads(
    guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for example in re.findall(r"^```python\n(.*?)^```", guide, re.DOTALL | re.MULTILINE):
        exec(compile(example, "docs/flightllm.md", "exec"), {})
    maps = DensityMaps.load("density.npz")
    blocks = maps.blocks("layers.3.gate_proj", "gate_proj", 256, 688)
    assert blocks is not None
    assert 0.4 < maps.mean(blocks) < 0.5
    mask = load_mask("mask.npz")
    assert (mask.layers, mask.heads, mask.max_tokens) == (32, 32, 2048)


SWITCHES = {
    "machine.always_on_chip_decode=false": "17.92 ms",
    "machine.sparse_dsp_chain=false": "17.70 ms",
    "machine.mixed_precision=false": "34.10 ms",
    "machine.length_adaptive_compilation=false": "17.66 ms",
    "machine.count_metadata=true": "33.32 ms",
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_guide_says_what_each_switch_costs(guide: str, switch: str) -> None:
    key = switch.removeprefix("machine.").split("=")[0]
    _, row = re.findall(rf"^\| `{key}`.*$", guide, re.MULTILINE)  # its values, what it costs
    assert SWITCHES[switch] in row
    assert f"{1000 * latency('flightllm/u280', switch):.2f} ms" == SWITCHES[switch]
