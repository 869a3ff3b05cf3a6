"""Published claims against simulation, with errors; misses stay listed."""

from hwsim.validate.judging import evaluate, outcomes_of, validate
from hwsim.validate.paper import Claim, Paper, Scenario, read_paper
from hwsim.validate.verdict import Validation, Verdict

__all__ = [
    "Claim",
    "Paper",
    "Scenario",
    "Validation",
    "Verdict",
    "evaluate",
    "outcomes_of",
    "read_paper",
    "validate",
]
