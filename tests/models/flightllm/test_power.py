"""Energy is the power of the states the board was in, times how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwsim.laws.flightllm_isa import Opcode
from hwsim.models.flightllm.config import PowerConfig
from hwsim.models.flightllm.power import energy_joules
from hwsim.outcome import Outcome

Run = Callable[..., Outcome]
LD, ST, MM, MV, MISC, SYS = Opcode
POWER = PowerConfig(static="20 W", hbm_active="8 W", mpe_active="4 W", sfu_active="2 W")


@pytest.mark.parametrize(
    ("busy", "watts"),
    [
        ({}, 20),
        ({LD: 1.0}, 28),
        ({LD: 0.5}, 24),
        ({LD: 0.5, ST: 0.25}, 26),
        ({LD: 1.0, ST: 1.0}, 28),  # one memory, two units
        ({MM: 1.0}, 24),
        ({MV: 0.5}, 22),
        ({MISC: 1.0}, 22),
        ({SYS: 1.0}, 20),
        ({LD: 1.0, MV: 1.0, MISC: 1.0}, 34),
    ],
)
def test_energy_is_the_sum_over_states(busy: dict[Opcode, float], watts: float) -> None:
    scaled = {unit: 3 * time for unit, time in busy.items()}
    assert energy_joules(POWER, 3.0, scaled) == pytest.approx(3 * watts)


def test_phases_add_up_to_the_run(run: Run, small: str) -> None:
    metrics = run("u280", small, "workload.output_tokens=20").metrics
    tokens = 20 / metrics["tokens_per_joule"].value
    prompt = run("u280", small, "workload.phase=prefill").metrics["energy"].value
    assert metrics["energy"].value == pytest.approx(prompt + tokens, rel=1e-6)
    watts = metrics["energy"].value / metrics["latency"].value
    assert metrics["average_power"].value == pytest.approx(watts)


def test_a_machine_of_more_watts_takes_more_joules_and_no_more_time(run: Run, small: str) -> None:
    base = run("u280", small, "workload.phase=decode_step").metrics
    hot = run("u280", small, "workload.phase=decode_step", "machine.power.static=125 W").metrics
    more = 100 * base["latency"].value
    assert hot["energy"].value - base["energy"].value == pytest.approx(more)
    assert hot["latency"] == base["latency"]
