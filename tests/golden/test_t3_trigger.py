"""What the trigger table requests, against an output that is copied element by element."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.golden.t3_trigger import ready_order, requests
from hwsim.laws.t3_trigger import STORE, UPDATE, Output, Program, TriggerGeometry

GEOMETRY = TriggerGeometry(entries=4, workgroup_bits=6, wavefronts=4, block_tiles=4)


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 8), st.integers(0, 3), st.integers(0, 9)
)
def test_requests_copy_the_block_of_a_column_major_output(
    columns: int, tiles: int, rows: int, at_row: int, at_column: int
) -> None:
    """Matrices of bytes [columns, rows]: what lies in the block, and nothing else, arrives."""
    source = np.arange(40 * 16, dtype=np.uint8).reshape(40, 16)
    arrived = np.zeros((30, 12), np.uint8)
    output = Output(columns, rows, source_pitch=16, destination_pitch=12, block_bits=2)
    program = Program(0, at_column * 16 + at_row, at_row, tiles, STORE)
    for begin, end, size, *_ in requests(GEOMETRY, output, [program]).tolist():
        arrived.ravel()[end : end + size] = source.ravel()[begin : begin + size]
    expected = np.zeros_like(arrived)
    width = columns * tiles
    block = source[at_column : at_column + width, at_row : at_row + rows]
    expected[:width, at_row : at_row + rows] = block
    assert np.array_equal(arrived, expected)


def test_addresses_wrap_the_last_is_marked_and_blocks_follow_in_turn() -> None:
    geometry = GEOMETRY.model_copy(update={"address_bits": 8})
    output = Output(2, 7, 200, 100, 0)
    blocks = [Program(0, 100, 200, 1, UPDATE), Program(1, 0, 0, 1, STORE)]
    assert requests(geometry, output, blocks).tolist() == [
        [100, 200, 7, 1, 0],
        [44, 44, 7, 1, 1],
        [0, 0, 7, 0, 0],
        [200, 100, 7, 0, 1],
    ]


def test_nothing_ready_requests_nothing() -> None:
    assert requests(GEOMETRY, Output(2, 7, 200, 100, 0), []).shape == (0, 5)


@given(st.integers(0, 10**6))
def test_blocks_are_ready_by_their_last_trigger(seed: int) -> None:
    rng = Random(seed)
    output = Output(1, 1, 1, 1, rng.randint(0, 2))
    most = 1 << output.block_bits
    programs = [Program(block, 0, 0, rng.randint(1, most), STORE) for block in range(9)]
    triggers = [
        divmod(program.block * most + tile, 4)
        for program in programs
        for tile in rng.sample(range(most), program.tiles)
    ]
    rng.shuffle(triggers)
    last = {(group * 4 + wave) // most: at for at, (group, wave) in enumerate(triggers)}
    order = ready_order(GEOMETRY, output, programs, triggers)
    assert [program.block for program in order] == sorted(last, key=lambda block: last[block])
    few = ready_order(GEOMETRY, output, programs, triggers[:-1])
    assert few == order[:-1]
