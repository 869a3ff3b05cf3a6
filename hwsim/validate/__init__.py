"""Published claims against simulation, with errors; misses stay listed."""

from hwsim.validate.judging import evaluate, validate
from hwsim.validate.paper import Claim, Paper, Scenario, read_paper
from hwsim.validate.verdict import Validation, Verdict

__all__ = [
    "Claim",
    "Paper",
    "Scenario",
    "Validation",
    "Verdict",
    "evaluate",
    "read_paper",
    "validate",
]
