"""The attention masks of FlightLLM: published statistics, shapes, and every refused input."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.masks import (
    BlockMask,
    generate_mask,
    load_mask,
    published_mask,
)

# Targets. Source: FlightLLM, FPGA'24, arXiv 2401.03868, and its artifact (attention mask).
HEADS_BY_KEPT_BLOCKS = {
    2: 24, 3: 239, 4: 149, 5: 199, 6: 143, 7: 110, 8: 71,
    9: 16, 10: 16, 11: 22, 12: 19, 13: 8, 14: 6, 15: 2,
}  # fmt: skip
MEAN_DENSITY = {128: 1.000, 256: 0.970, 512: 0.802, 1024: 0.528, 2048: 0.300}
LAYER_DENSITY = {
    512: (
        0.935, 0.911, 0.672, 0.727, 0.686, 0.699, 0.779, 0.790,
        0.832, 0.826, 0.853, 0.903, 0.862, 0.846, 0.898, 0.855,
        0.832, 0.798, 0.725, 0.782, 0.783, 0.805, 0.726, 0.735,
        0.784, 0.774, 0.777, 0.717, 0.753, 0.844, 0.750, 0.995,
    ),
    2048: (
        0.453, 0.378, 0.229, 0.254, 0.230, 0.239, 0.280, 0.287,
        0.315, 0.303, 0.310, 0.377, 0.327, 0.320, 0.352, 0.318,
        0.304, 0.287, 0.244, 0.271, 0.272, 0.285, 0.247, 0.252,
        0.274, 0.269, 0.269, 0.235, 0.254, 0.309, 0.259, 0.598,
    ),
}  # fmt: skip
PRINTED = 0.0005  # half a unit of the third decimal: what printing loses
HISTOGRAM_DENSITY = {  # law: what the published histogram implies
    128: 1.0, 256: 0.96962890625, 512: 0.8016493055555556,
    1024: 0.5277458639705882, 2048: 0.29999704071969696,
}  # fmt: skip


def causal_blocks(layers: int, heads: int, blocks: int) -> np.ndarray:
    """Dense causal attention: every block on or below the diagonal, in every head."""
    return np.broadcast_to(np.tri(blocks, dtype=np.bool_), (layers, heads, blocks, blocks))


@pytest.fixture(scope="module")
def published() -> BlockMask:
    return published_mask()


def kept_in_last_row(mask: BlockMask) -> np.ndarray:
    return mask.kept[:, :, -1].sum(axis=-1)


def test_the_last_row_histogram_is_the_published_one(published: BlockMask) -> None:
    kept, heads = np.unique(kept_in_last_row(published), return_counts=True)
    assert dict(zip(kept.tolist(), heads.tolist(), strict=True)) == HEADS_BY_KEPT_BLOCKS


@pytest.mark.parametrize("tokens", MEAN_DENSITY)
def test_the_mean_density_is_the_published_one(published: BlockMask, tokens: int) -> None:
    assert published.density(tokens) == pytest.approx(HISTOGRAM_DENSITY[tokens], abs=1e-12)
    assert published.density(tokens) == pytest.approx(MEAN_DENSITY[tokens], abs=PRINTED)


@pytest.mark.parametrize("tokens", LAYER_DENSITY)
def test_every_layer_density_is_the_published_one(published: BlockMask, tokens: int) -> None:
    densities = [published.density(tokens, layer) for layer in range(32)]
    assert densities == pytest.approx(LAYER_DENSITY[tokens], abs=PRINTED)


def test_row_i_keeps_the_smaller_of_i_plus_1_and_the_blocks_of_its_head(
    published: BlockMask,
) -> None:
    expected = np.minimum(np.arange(1, 33), kept_in_last_row(published)[..., np.newaxis])
    assert np.array_equal(published.kept.sum(axis=-1), expected)


def test_every_head_is_1_to_3_global_columns_and_a_diagonal_band(published: BlockMask) -> None:
    row, column = np.indices((32, 32))
    seen = set()
    for head in published.kept.reshape(-1, 32, 32):
        global_columns = int(head[-1].argmin())
        band = int(head[-1].sum()) - global_columns
        seen.add(global_columns)
        shape = (column <= row) & ((column < global_columns) | (row - column < band))
        assert band >= 1
        assert np.array_equal(head, shape)
    assert seen == {1, 2, 3}


def test_two_published_masks_are_equal(published: BlockMask) -> None:
    assert np.array_equal(published_mask().kept, published.kept)
    assert published.block_tokens == 64


def test_the_mask_generated_at_the_published_size_is_the_published_one(
    published: BlockMask,
) -> None:
    assert np.array_equal(generate_mask(32, 32, 32).kept, published.kept)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (12, 12), (24, 16), (40, 40), (80, 64)])
def test_a_generated_mask_has_the_size_asked_for(layers: int, heads: int) -> None:
    assert generate_mask(layers, heads, 5).kept.shape == (layers, heads, 5, 5)


@pytest.mark.parametrize(("layers", "heads"), [(24, 16), (40, 40), (64, 64), (80, 64)])
def test_a_generated_mask_is_about_as_dense_as_the_published_one(layers: int, heads: int) -> None:
    mask = generate_mask(layers, heads, 32)
    for tokens, density in MEAN_DENSITY.items():
        assert mask.density(tokens) == pytest.approx(density, abs=0.02)


def test_twice_the_layers_and_heads_repeat_each_published_one(published: BlockMask) -> None:
    twice = np.repeat(np.repeat(kept_in_last_row(published), 2, axis=0), 2, axis=1)
    assert np.array_equal(kept_in_last_row(generate_mask(64, 64, 32)), twice)


def test_a_lone_head_is_the_middle_one_of_the_middle_layer(published: BlockMask) -> None:
    assert kept_in_last_row(generate_mask(1, 1, 32)) == kept_in_last_row(published)[16, 16]


def test_beyond_32_blocks_the_band_continues(published: BlockMask) -> None:
    longer = generate_mask(32, 32, 48)
    assert np.array_equal(longer.kept[:, :, :32, :32], published.kept)
    assert np.array_equal(kept_in_last_row(longer), kept_in_last_row(published))


def test_a_causal_mask_is_dense() -> None:
    mask = BlockMask(causal_blocks(2, 3, 4), block_tokens=16)
    assert mask.density(64) == 1.0
    assert mask.head(1, 2).sum() == 10
    assert (mask.layers, mask.heads, mask.blocks, mask.block_tokens) == (2, 3, 4, 16)


@pytest.mark.parametrize(("tokens", "blocks"), [(1, 1), (64, 1), (65, 2), (2047, 32), (2048, 32)])
def test_rows_are_cropped_to_the_blocks_of_the_prompt(
    published: BlockMask, tokens: int, blocks: int
) -> None:
    rows = published.rows(3, 4, tokens)
    assert np.array_equal(rows, published.kept[3, 4, :blocks, :blocks])


def test_a_lookup_copies_nothing(published: BlockMask) -> None:
    assert np.shares_memory(published.rows(3, 4, 512), published.kept)
    assert np.shares_memory(published.head(3, 4), published.kept)


def test_a_mask_does_not_change_with_the_array_it_was_made_from() -> None:
    array = np.ones((1, 1, 1, 1), dtype=np.bool_)
    mask = BlockMask(array)
    array[...] = False
    assert mask.kept.all()
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        mask.head(0, 0)[0, 0] = False


def refuses(message: str) -> pytest.RaisesExc[WorkloadError]:
    return pytest.raises(WorkloadError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("tokens", [-1, 0, 2049])
def test_a_prompt_the_mask_does_not_cover_is_refused(published: BlockMask, tokens: int) -> None:
    message = f"tokens must be from 1 to 2048 (32 blocks of 64 tokens), got {tokens}"
    with refuses(message):
        published.rows(0, 0, tokens)
    with refuses(message):
        published.density(tokens)


@pytest.mark.parametrize("index", [-1, 32])
def test_a_layer_or_head_outside_the_mask_is_refused(published: BlockMask, index: int) -> None:
    with refuses(f"layer must be from 0 to 31, got {index}"):
        published.rows(index, 0, 64)
    with refuses(f"layer must be from 0 to 31, got {index}"):
        published.density(64, index)
    with refuses(f"head must be from 0 to 31, got {index}"):
        published.head(0, index)


@pytest.mark.parametrize("field", ["layers", "heads", "blocks"])
def test_an_empty_size_is_refused(field: str) -> None:
    sizes = {"layers": 1, "heads": 1, "blocks": 1, field: 0}
    with refuses(f"{field} must be at least 1, got 0"):
        generate_mask(**sizes)


def not_causal() -> np.ndarray:
    kept = causal_blocks(2, 2, 3).copy()
    kept[1, 0, 0, 2] = True
    return kept


def no_diagonal() -> np.ndarray:
    kept = causal_blocks(2, 2, 3).copy()
    kept[1, 1, 2, 2] = False
    return kept


SHAPE = "mask must have the shape [layers, heads, blocks, blocks], none of them 0, got "
WRONG_MASKS = [
    (np.ones((2, 2), dtype=np.bool_), SHAPE + "(2, 2)"),
    (np.ones((1, 1, 2, 3), dtype=np.bool_), SHAPE + "(1, 1, 2, 3)"),
    (np.ones((0, 1, 2, 2), dtype=np.bool_), SHAPE + "(0, 1, 2, 2)"),
    (not_causal(), "mask must be causal (no block above the diagonal), got block [1, 0, 0, 2]"),
    (
        no_diagonal(),
        "mask must keep the diagonal block of every row, got a row without block [1, 1, 2, 2]",
    ),
]


@pytest.mark.parametrize(("kept", "message"), WRONG_MASKS)
def test_a_wrong_mask_is_refused(kept: np.ndarray, message: str) -> None:
    with refuses(message):
        BlockMask(kept)


def test_a_mask_of_integers_is_refused_in_code() -> None:
    with refuses("mask must hold bools, got dtype int64"):
        BlockMask(np.ones((1, 1, 1, 1), dtype=np.int64))


def test_blocks_of_no_tokens_are_refused() -> None:
    with refuses("block_tokens must be at least 1, got 0"):
        BlockMask(causal_blocks(1, 1, 1), block_tokens=0)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64])
def test_a_saved_mask_is_loaded_unchanged(tmp_path: Path, dtype: type[np.generic]) -> None:
    saved = generate_mask(2, 3, 20).kept
    np.savez(tmp_path / "mask.npz", mask=saved.astype(dtype))
    loaded = load_mask(tmp_path / "mask.npz")
    assert np.array_equal(loaded.kept, saved)
    assert loaded.block_tokens == 64


def test_a_saved_block_size_is_loaded(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mask.npz", mask=causal_blocks(1, 1, 2), block_tokens=32)
    assert load_mask(str(tmp_path / "mask.npz")).block_tokens == 32


PLAIN = "mask file must be an .npz archive of plain arrays, got "
ONE = np.ones((1, 1, 1, 1), dtype=np.bool_)
NAMES = "mask file must hold 'mask' and optionally 'block_tokens', got "
VALUES = "mask must hold bools or 0/1 integers, got "
WRONG_ARCHIVES: list[tuple[dict[str, Any], str]] = [
    *(({"mask": kept}, message) for kept, message in WRONG_MASKS),
    ({}, NAMES + "[]"),
    ({"masks": ONE}, NAMES + "['masks']"),
    ({"mask": ONE, "block_token": 32}, NAMES + "['block_token', 'mask']"),
    ({"mask": ONE.astype(np.float64)}, VALUES + "dtype float64"),
    ({"mask": np.array(["1"])}, VALUES + "dtype <U1"),
    ({"mask": ONE * 2}, VALUES + "2"),
    ({"mask": ONE * np.int8(-1)}, VALUES + "-1"),
    ({"mask": ONE, "block_tokens": 0}, "block_tokens must be at least 1, got 0"),
    ({"mask": ONE, "block_tokens": 32784}, "block_tokens must be at most 32768, got 32784"),
    (
        {"mask": ONE, "block_tokens": np.uint64(2**63)},
        f"block_tokens must be at most 32768, got {2**63}",
    ),
    (
        {"mask": ONE, "block_tokens": 64.0},
        "block_tokens must be one integer, got dtype float64 and shape ()",
    ),
    (
        {"mask": ONE, "block_tokens": [64, 64]},
        "block_tokens must be one integer, got dtype int64 and shape (2,)",
    ),
    (
        {"mask": np.array([None])},
        PLAIN + "Object arrays cannot be loaded when allow_pickle=False",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), WRONG_ARCHIVES)
def test_a_wrong_archive_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "mask.npz"
    np.savez(path, **arrays)
    with refuses(f"{path}: {message}"):
        load_mask(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    with refuses(f"{path}: mask file must be readable, got No such file or directory"):
        load_mask(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with refuses(f"{tmp_path}: mask file must be readable, got Is a directory"):
        load_mask(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x80\x04N."])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mask.npz"
    path.write_bytes(content)
    with refuses(f"{path}: mask file must be an .npz archive, got another format"):
        load_mask(path)


def test_a_bare_array_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.npy"
    np.save(path, ONE)
    with refuses(f"{path}: mask file must be an .npz archive, got another format"):
        load_mask(path)


def test_an_archive_damaged_anywhere_is_refused_or_read_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    np.savez_compressed(path, mask=ONE)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            loaded = load_mask(path)
        except WorkloadError:
            continue
        assert np.array_equal(loaded.kept, ONE)
