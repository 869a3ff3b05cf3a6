"""Block-sparse attention masks: which blocks of 64x64 tokens each head computes in prefill.

A head keeps its first 1 to 3 block columns (global) and a diagonal band of local blocks whose
width differs per head. With ``kept = global + band``, block row ``i`` (from 0) keeps
``min(i + 1, kept)`` blocks; nothing above the diagonal is ever kept. Prefill only: decode
attention is dense over the cache.

:func:`published_mask` reproduces the published statistics of LLaMA2-7B: the number of heads for
each ``kept`` exactly, the layer densities at 512 and 2048 tokens to their three printed decimals.
Assumed, because not published: which head of a layer has which shape (here in ascending order of
``kept``), and how ``kept`` divides into global and local blocks (here 1, 2, 3 global columns in
turn, leaving at least the diagonal to the band).

Ref: FlightLLM, FPGA'24, arXiv 2401.03868: block-sparse attention.
Ref: FlightLLM artifact: statistics of the LLaMA2-7B attention mask (see
``data/attention_heads.toml`` for how the table of heads follows from them).
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import WorkloadError
from hwsim.models.flightllm.npz import read_npz

__all__ = [
    "BLOCK_TOKENS",
    "BlockMask",
    "generate_mask",
    "load_mask",
    "published_mask",
]

BLOCK_TOKENS = 64
MAX_BLOCK_TOKENS = 32768
"""As many tokens as a machine takes: a larger block would be a slip of the pen."""
_PUBLISHED_BLOCKS = 32
_MOST_GLOBAL_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class BlockMask:
    """The attention blocks every head keeps; checked, and read-only once made.

    Masks compare by identity; compare ``kept`` with :func:`numpy.array_equal`.

    Parameters
    ----------
    kept : bool [layers, heads, blocks, blocks]
        ``kept[layer, head, query_block, key_block]``. Causal, and every row keeps its diagonal
        block: a softmax row without a block has no meaning.
    block_tokens : int
        Tokens along each side of a block.

    Raises
    ------
    WorkloadError
        When an array breaks one of these rules.
    """

    kept: NDArray[np.bool_]
    block_tokens: int = BLOCK_TOKENS

    def __post_init__(self) -> None:
        _check_at_least_one("block_tokens", self.block_tokens)
        if self.block_tokens > MAX_BLOCK_TOKENS:
            raise WorkloadError(
                f"block_tokens must be at most {MAX_BLOCK_TOKENS}, got {self.block_tokens}"
            )
        _check_shape(self.kept)
        _check_causal(self.kept)
        _check_diagonal(self.kept)
        kept = self.kept.copy()
        kept.flags.writeable = False
        object.__setattr__(self, "kept", kept)

    @property
    def layers(self) -> int:
        """Layers of the mask."""
        return int(self.kept.shape[0])

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return int(self.kept.shape[1])

    @property
    def blocks(self) -> int:
        """Block rows, and block columns, of each head."""
        return int(self.kept.shape[2])

    @property
    def max_tokens(self) -> int:
        """Longest prompt the mask covers, in tokens."""
        return self.blocks * self.block_tokens

    def head(self, layer: int, head: int) -> NDArray[np.bool_]:
        """Blocks one head keeps: a read-only view, bool [blocks, blocks]."""
        _check_index("layer", layer, self.layers)
        _check_index("head", head, self.heads)
        view: NDArray[np.bool_] = self.kept[layer, head]
        return view

    def rows(self, layer: int, head: int, tokens: int) -> NDArray[np.bool_]:
        """Blocks one head keeps for a prompt of ``tokens``: a read-only view, bool [n, n].

        ``n = ceil(tokens / block_tokens)``.
        """
        n = self._blocks_of(tokens)
        return self.head(layer, head)[:n, :n]

    def density(self, tokens: int, layer: int | None = None) -> float:
        """Kept blocks / causal blocks for a prompt of ``tokens``, of one layer or of all."""
        n = self._blocks_of(tokens)
        if layer is not None:
            _check_index("layer", layer, self.layers)
        some = self.kept if layer is None else self.kept[layer : layer + 1]
        causal_blocks = len(some) * self.heads * n * (n + 1) // 2
        return int(np.count_nonzero(some[:, :, :n, :n])) / causal_blocks

    def _blocks_of(self, tokens: int) -> int:
        if not 1 <= tokens <= self.max_tokens:
            raise WorkloadError(
                f"tokens must be from 1 to {self.max_tokens} "
                f"({self.blocks} blocks of {self.block_tokens} tokens), got {tokens!r}"
            )
        return -(-tokens // self.block_tokens)


def published_mask() -> BlockMask:
    """The mask of LLaMA2-7B with the published statistics: 32 layers, 32 heads, 32 blocks."""
    table = _published_kept_blocks()
    return generate_mask(len(table), len(table[0]), _PUBLISHED_BLOCKS)


def generate_mask(layers: int, heads: int, blocks: int) -> BlockMask:
    """A mask like the published one for a model of another shape or a longer prompt.

    Each layer takes the heads of the published layer nearest in relative depth, each head the
    kept blocks at its quantile among them. Beyond the published 32 blocks the band continues:
    a row still keeps ``kept`` blocks.
    """
    _check_sizes(layers, heads, blocks)
    table = np.array(_published_kept_blocks())
    kept_blocks = table[np.ix_(_nearest(layers, len(table)), _nearest(heads, table.shape[1]))]
    turn = 1 + np.arange(heads) % _MOST_GLOBAL_COLUMNS
    global_columns = np.minimum(turn, kept_blocks - 1)
    return BlockMask(_banded(global_columns, kept_blocks - global_columns, blocks))


def load_mask(path: str | PathLike[str]) -> BlockMask:
    """Read a mask from an ``.npz`` archive.

    The archive holds ``mask``, bool or 0/1 integers [layers, heads, blocks, blocks], and
    optionally ``block_tokens``, one integer (64 if absent). Pickled objects are refused.

    Raises
    ------
    WorkloadError
        When the file can't be read, holds anything else, or its mask breaks a rule of
        :class:`BlockMask`. The message names the file, the rule and the value.
    """
    arrays = read_npz(path, "mask file")
    try:
        _check_names(arrays)
        block_tokens = _as_integer("block_tokens", arrays.get("block_tokens", BLOCK_TOKENS))
        return BlockMask(_as_bool("mask", arrays["mask"]), block_tokens)
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from error


def _banded(
    global_columns: NDArray[np.int_], band: NDArray[np.int_], blocks: int
) -> NDArray[np.bool_]:
    """Blocks kept [layers, heads, blocks, blocks] from two widths in blocks [layers, heads]."""
    row = np.arange(blocks)[:, np.newaxis]
    column = np.arange(blocks)
    is_global = column < global_columns[:, :, np.newaxis, np.newaxis]
    is_local = row - column < band[:, :, np.newaxis, np.newaxis]
    return (column <= row) & (is_global | is_local)


@cache
def _published_kept_blocks() -> tuple[tuple[int, ...], ...]:
    """Blocks kept in the last row [layers][heads], ascending within each layer."""
    path = files("hwsim.models.flightllm") / "data" / "attention_heads.toml"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        tuple(
            kept for kept, count in zip(data["kept_blocks"], row, strict=True) for _ in range(count)
        )
        for row in data["heads"]
    )


def _nearest(count: int, of: int) -> NDArray[np.int_]:
    """For each of ``count`` equal parts of a range, the one of ``of`` parts at its centre."""
    return (2 * np.arange(count) + 1) * of // (2 * count)


def _check_names(arrays: dict[str, Any]) -> None:
    if "mask" not in arrays or not arrays.keys() <= {"mask", "block_tokens"}:
        raise WorkloadError(
            f"mask file must hold 'mask' and optionally 'block_tokens', got {sorted(arrays)!r}"
        )


def _as_bool(name: str, value: Any) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype.kind not in "biu":
        raise WorkloadError(f"{name} must hold bools or 0/1 integers, got dtype {array.dtype}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise WorkloadError(f"{name} must hold bools or 0/1 integers, got {int(wrong[0])}")
    return array.astype(np.bool_)


def _as_integer(name: str, value: Any) -> int:
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "iu":
        raise WorkloadError(
            f"{name} must be one integer, got dtype {array.dtype} and shape {array.shape}"
        )
    return int(array)


def _check_sizes(layers: int, heads: int, blocks: int) -> None:
    _check_at_least_one("layers", layers)
    _check_at_least_one("heads", heads)
    _check_at_least_one("blocks", blocks)


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise WorkloadError(f"{name} must be at least 1, got {value!r}")


def _check_index(name: str, value: int, count: int) -> None:
    if not 0 <= value < count:
        raise WorkloadError(f"{name} must be from 0 to {count - 1}, got {value!r}")


def _check_shape(kept: NDArray[np.bool_]) -> None:
    if kept.dtype != np.bool_:
        raise WorkloadError(f"mask must hold bools, got dtype {kept.dtype}")
    if kept.ndim != 4 or kept.size == 0 or kept.shape[2] != kept.shape[3]:
        raise WorkloadError(
            "mask must have the shape [layers, heads, blocks, blocks], none of them 0, "
            f"got {kept.shape!r}"
        )


def _check_causal(kept: NDArray[np.bool_]) -> None:
    above = kept & ~np.tri(kept.shape[2], dtype=np.bool_)
    if above.any():
        raise WorkloadError(
            f"mask must be causal (no block above the diagonal), got block {_first(above)}"
        )


def _check_diagonal(kept: NDArray[np.bool_]) -> None:
    missing = ~kept & np.eye(kept.shape[2], dtype=np.bool_)
    if missing.any():
        raise WorkloadError(
            "mask must keep the diagonal block of every row, "
            f"got a row without block {_first(missing)}"
        )


def _first(where: NDArray[np.bool_]) -> str:
    """Place of the first true element, as ``[layer, head, row, column]``."""
    return str([int(i) for i in np.unravel_index(int(where.argmax()), where.shape)])
