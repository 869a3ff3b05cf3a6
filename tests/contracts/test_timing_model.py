"""What docs/timing_model.md says a decode step costs is what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.outcome import SimOptions
from hwsim.run import simulate

DECODE_STEP = ["workload.phase=decode_step", "workload.kv_length=128"]


def budgets() -> dict[str, list[int]]:
    """Rows of the table of events: instructions, bursts, events replayed and not, by machine."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "timing_model.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {
        machine.strip("`"): [int(number.replace(",", "")) for number in numbers]
        for machine, *numbers in rows
    }


@pytest.mark.parametrize("machine", budgets())
def test_a_decode_step_costs_the_events_that_the_timing_model_says(machine: str) -> None:
    instructions, bursts, replayed, simulated = budgets()[machine]
    quick, full = (
        simulate(machine, "llama2_7b", DECODE_STEP, SimOptions(replay=replay, timeline=True))
        for replay in (True, False)
    )

    assert quick.outcome.timeline == full.outcome.timeline
    assert full.outcome.timeline is not None
    assert len(full.outcome.timeline.slices) == bursts
    assert full.outcome.metrics["instructions"].value == instructions
    assert [quick.outcome.events, full.outcome.events] == [replayed, simulated]
