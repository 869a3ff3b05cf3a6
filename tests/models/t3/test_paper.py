"""What ``hwsim validate t3`` records is what it finds."""

from __future__ import annotations

import pytest

from hwsim.validate import Validation, validate


@pytest.fixture(scope="module")
def validation() -> Validation:
    return validate(["t3"])


@pytest.mark.paper
@pytest.mark.slow
def test_every_claim_has_the_status_that_is_recorded(validation: Validation) -> None:
    found = {verdict.claim.id: verdict.status for verdict in validation.verdicts}
    assert found == {verdict.claim.id: verdict.claim.status for verdict in validation.verdicts}


@pytest.mark.paper
@pytest.mark.slow
def test_byte_ratios_are_those_of_the_law(validation: Validation) -> None:
    """(2N - 1) / (N - 2) of the reads, N / (N - 1) of the writes, geometric means of 8 and 16."""
    found = {verdict.claim.id: verdict.simulated for verdict in validation.verdicts}
    assert found["reduce_scatter_reads_8"] == pytest.approx(15 / 6, rel=1e-12)
    assert found["reduce_scatter_reads_16"] == pytest.approx(31 / 14, rel=1e-12)
    assert found["writes"] == pytest.approx((8 / 7 * 16 / 15) ** 0.5, rel=1e-12)
    assert found["gathered"] == 1
