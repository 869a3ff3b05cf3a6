"""Energy from power states: a board draws static power always, and more while a unit works.

Law: E = static x T + hbm x min(LD + ST busy, T) + mpe x (MM + MV busy) + sfu x MISC busy.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868, section 6 (board power by the card's own sensor).
"""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.laws.flightllm_isa import Opcode
from hwsim.models.flightllm.config import PowerConfig

__all__ = ["energy_joules"]


def energy_joules(
    power: PowerConfig, seconds: float, busy_seconds: Mapping[Opcode, float]
) -> float:
    """Joules in ``seconds`` during which each unit was busy for ``busy_seconds``."""
    busy = {unit: min(busy_seconds.get(unit, 0.0), seconds) for unit in Opcode}
    transfers = min(busy[Opcode.LD] + busy[Opcode.ST], seconds)
    return (
        power.static * seconds
        + power.hbm_active * transfers
        + power.mpe_active * (busy[Opcode.MM] + busy[Opcode.MV])
        + power.sfu_active * busy[Opcode.MISC]
    )
