"""The VPU's cycles: those that the SimPy machine charges, what comes after them, and stalls."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigError
from hwsim.laws.flightllm_chain import Density, latency
from hwsim.laws.flightllm_core import CoreGeometry, mm_cycles, mv_cycles
from hwsim.laws.flightllm_vpu import (
    Clock,
    VPUGeometry,
    block_beats,
    block_rows,
    dense_code,
    fill,
    issue_cycles,
    transfers,
)
from hwsim.models.flightllm.density import DensityMaps

CORE = CoreGeometry()
VPU = VPUGeometry()
SMALL = VPUGeometry(
    chain_length=8, densities=[Density(n=2, m=8), Density(n=8, m=8)], columns=4, output_columns=3
)
K_FIELDS = range(1, 2**14)
N = [density.n for density in VPU.densities if density.m == VPU.chain_length]


def test_a_chain_has_as_many_columns_as_mv_and_mm_give_it() -> None:
    chains = {"mv": CORE.mv_lanes // CORE.k_lanes, "mm": CORE.mm_lanes // CORE.k_lanes}
    assert CORE.mv_columns / chains["mv"] == VPU.columns
    assert CORE.mm_rows // 2 * CORE.mm_columns / chains["mm"] * 2 == VPU.columns
    assert VPU.chain_length == CORE.k_lanes


@pytest.mark.parametrize("code", range(len(VPU.densities)))
def test_the_vpu_issues_for_the_cycles_of_an_mv_and_an_mm_at_every_k(code: int) -> None:
    density = Fraction(VPU.densities[code].n, VPU.densities[code].m)
    beats = block_beats(VPU)[code]
    assert beats == 8 * density
    assert all(k * beats == mv_cycles(CORE, k, density) for k in K_FIELDS)
    assert all(k * beats == mm_cycles(CORE, k, density) for k in K_FIELDS)


@pytest.mark.parametrize("geometry", [VPU, SMALL])
def test_the_chain_works_off_a_row_of_weights_a_cycle(geometry: VPUGeometry) -> None:
    assert block_rows(geometry) == block_beats(geometry)


@given(st.lists(st.sampled_from([0, *N]), min_size=1, max_size=64).filter(any))
def test_a_density_map_costs_its_mean_density(n_of_block: list[int]) -> None:
    kept = [N.index(n) for n in n_of_block if n]
    mean = DensityMaps.mean(np.array([n_of_block], np.uint8).T)
    assert issue_cycles(VPU, kept) == mv_cycles(CORE, len(n_of_block), mean)
    assert issue_cycles(VPU, kept) == mm_cycles(CORE, len(n_of_block), mean)


def test_an_instruction_without_blocks_takes_a_cycle() -> None:
    assert issue_cycles(VPU, []) == 1


def test_a_result_begins_29_cycles_after_the_last_issue() -> None:
    assert latency(VPU) == 22
    assert fill(VPU) == 29


@pytest.mark.parametrize("geometry", [VPU, SMALL])
def test_a_lone_instruction_emits_after_its_issue_and_the_fill(geometry: VPUGeometry) -> None:
    taken, left = transfers(geometry, [(40, True)])
    assert taken == [0]
    assert left == [40 + fill(geometry) + column for column in range(geometry.columns)]


@pytest.mark.parametrize("geometry", [VPU, SMALL])
@given(data=st.data())
def test_instructions_follow_each_other_without_a_bubble(
    geometry: VPUGeometry, data: st.DataObject
) -> None:
    cycles = data.draw(st.lists(st.integers(geometry.columns, 60), min_size=1, max_size=9))
    taken, left = transfers(geometry, [(of, True) for of in cycles])
    ends = list(accumulate(cycles))
    assert taken == [0, *ends[:-1]]
    assert left[:: geometry.columns] == [end + fill(geometry) for end in ends]


def test_splits_that_keep_their_sums_never_wait() -> None:
    taken, left = transfers(VPU, [(1, False)] * 50 + [(1, True)])
    assert taken == list(range(51))
    assert left[0] == 51 + fill(VPU)


@pytest.mark.parametrize("cycles", [1, 3, 7])
def test_results_of_short_instructions_settle_at_one_column_a_cycle(cycles: int) -> None:
    taken, left = transfers(VPU, [(cycles, True)] * 40)
    assert left == list(range(left[0], left[0] + 40 * VPU.columns))
    assert taken[-1] - taken[-2] == VPU.columns


def test_a_consumer_that_takes_nothing_holds_all_stages_and_loses_nothing() -> None:
    clock, taken = Clock(VPU), 0
    for _ in range(200):
        takes = clock.takes
        taken += takes
        clock.step((8, True) if takes else None, emitted=False)
    assert not clock.moves
    results_held = VPU.output_columns // VPU.columns + 1
    left = 0
    while left < (results_held + 1) * VPU.columns:
        left += clock.emits
        clock.step(None, emitted=clock.emits)
    assert taken > results_held


def test_the_dense_code_is_the_one_that_leaves_nothing_out() -> None:
    assert dense_code(VPU) == 3
    assert dense_code(SMALL) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"columns": 4},
            "columns must be a multiple of the 8 columns of a beat of densities[0] = 2:16, got 4",
        ),
        (
            {"densities": [Density(n=2, m=4), Density(n=8, m=16)]},
            "densities must hold a dense one, n = m, got 2:4, 8:16",
        ),
        (
            {"weight_rows": 100},
            "weight_rows must be a power of two, got 100: addresses wrap",
        ),
        (
            {"table_entries": 3},
            "table_entries must be a power of two, got 3: addresses wrap",
        ),
        (
            {"weight_rows": 8},
            "weight_rows must be at least 2 x columns = 16, two dense blocks, got 8",
        ),
        (
            {"index_rows": 8},
            "index_rows must be at least 2 x columns = 16, got 8",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        VPUGeometry(**values)
    assert str(refused.value) == f"VPUGeometry: {message}"
