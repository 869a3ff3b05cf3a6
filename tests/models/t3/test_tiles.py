from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.memory import Region
from hwsim.models.t3.tiles import GemmShape, TileConfig, Tiling

PUBLISHED = [(16384, 3072, 8), (16384, 3072, 16), (8192, 4256, 8), (8192, 4256, 16)]
LARGE = [(2048, 12288, 32), (2048, 18432, 32), (2048, 20480, 32)]


def _bytes_of(region: Region) -> Iterator[int]:
    for row in range(region.rows):
        start = region.base + row * region.stride
        yield from range(start, start + region.row_bytes, 32)


@pytest.mark.parametrize(("tokens", "hidden", "devices"), PUBLISHED + LARGE)
def test_the_chunks_of_every_published_layer_are_alike(
    tokens: int, hidden: int, devices: int
) -> None:
    tiling = Tiling(GemmShape(tokens, hidden, 64), TileConfig(), devices)
    assert tiling.even
    shapes = [
        [(group.rows, group.columns) for group in tiling.workgroups[first:end]]
        for first, end in zip(tiling.bounds, tiling.bounds[1:], strict=False)
    ]
    assert all(shape == shapes[0] for shape in shapes)
    assert [tiling.chunk_bytes(i) for i in range(devices)] == [
        tokens * hidden * 2 // devices
    ] * devices


@pytest.mark.parametrize(
    ("tokens", "hidden", "devices", "groups"),
    [(16384, 3072, 8, 3072), (8192, 4256, 16, 2176), (2048, 18432, 32, 2304)],
)
def test_the_published_workgroups_are_counted(
    tokens: int, hidden: int, devices: int, groups: int
) -> None:
    tiling = Tiling(GemmShape(tokens, hidden, 64), TileConfig(), devices)
    assert len(tiling.workgroups) == groups


@given(
    m=st.integers(1, 40), n=st.integers(1, 600), k=st.integers(1, 80), batch=st.integers(1, 3),
    group=st.integers(1, 9), wavefronts=st.sampled_from([1, 2, 4, 8]),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_workgroups_store_every_output_once_and_nothing_else(
    m: int, n: int, k: int, batch: int, group: int, wavefronts: int
) -> None:
    config = TileConfig(rows=64, columns=64, group_rows=group, wavefronts=wavefronts)
    tiling = Tiling(GemmShape(16 * m, n, k, batch), config, 1)
    stored = Counter(
        byte
        for index in range(len(tiling.workgroups))
        for region in tiling.wavefront_regions(index)
        for byte in _bytes_of(region)
    )
    assert set(stored.values()) == {1}
    assert sum(stored.values()) * 32 == tiling.shape.output_bytes
    assert min(stored) >= tiling.output_base
    assert max(stored) < tiling.end


def test_a_workgroup_loads_its_rows_of_a_and_its_columns_of_b() -> None:
    tiling = Tiling(GemmShape(256, 192, 80), TileConfig(rows=128, columns=128), 1)
    (last,) = [g for g in tiling.workgroups if (g.row, g.column) == (128, 128)]
    assert (last.rows, last.columns) == (128, 64)
    assert [tiling.depth_of(step) for step in range(tiling.k_steps)] == [32, 32, 16]
    b = 256 * 80 * 2
    assert tiling.operand_regions(last, 2) == (
        Region(64 * 512 + 256, 256, 16, 512),
        Region(b + 64 * 384 + 256, 128, 16, 384),
    )


def test_workgroups_go_through_groups_of_tile_rows_column_by_column() -> None:
    config = TileConfig(rows=128, columns=128, group_rows=2)
    tiling = Tiling(GemmShape(512, 384, 32), config, 2)
    places = [(group.row // 128, group.column // 128) for group in tiling.workgroups]
    assert places[:6] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert places[6:] == [(row + 2, column) for row, column in places[:6]]
