"""The machine alone, on programs written by hand: tokens, run-ahead, barriers, encoded words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.errors import DeadlockError, ProtocolError
from hwsim.laws.flightllm_isa import HbmAccess, LoadMode, MiscOp, Opcode, token_mask, token_units
from hwsim.models.flightllm.block import Block, BlockWriter
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import SegmentTimes
from hwsim.models.flightllm.schedule_mm import linear_mm
from hwsim.models.flightllm.schedule_mv import DecodeAttention, attention_mv, linear_mv
from hwsim.models.flightllm.tiling import Linear
from hwsim.models.flightllm.timing import LumpedTiming

Words = NDArray[np.uint32]
Config = Callable[..., FlightLLMConfig]
Execute = Callable[..., SegmentTimes]
Encoded = Callable[[Block], Words]
Edited = Callable[..., Words]
LD, ST, MM, MV, MISC, SYS = Opcode

TILE_BYTES = 8 * 1024
SQUARE = Linear(rows=0, k=4096, n=4096)
SLOW = ("core.mm_lanes=64", "core.mv_lanes=64")


@pytest.fixture(scope="module")
def cfg(config: Config) -> FlightLLMConfig:
    return config()


@pytest.fixture(scope="module")
def timing(cfg: FlightLLMConfig) -> LumpedTiming:
    return LumpedTiming(cfg)


def one_product(k: int = 8, length: int = TILE_BYTES) -> Block:
    """A load, the product that waits for it, the store that waits for that."""
    write = BlockWriter()
    write.load(LoadMode.A, HbmAccess.STRIPED, length, "weight", release=(MV,))
    write.compute(MV, k, wait=(LD,), release=(ST,))
    write.store(HbmAccess.SINGLE, 512, "output", wait=(MV,), release=(SYS,))
    write.barrier()
    return write.finish()


def edit(block: Block, unit: Opcode, group: int, **masks: tuple[Opcode, ...]) -> Block:
    """The block with the ``wait`` or ``release`` of one group replaced."""
    table = block.groups[unit].copy()
    for name, others in masks.items():
        table[group, {"wait": 1, "release": 2}[name]] = token_mask(unit, others)
    return replace(block, groups={**block.groups, unit: table})


def start(times: SegmentTimes, unit: Opcode, burst: int = 0) -> int:
    return int(times.units[unit].starts[burst])


def end(times: SegmentTimes, unit: Opcode, burst: int = -1) -> int:
    return int(times.units[unit].ends[burst])


def finish(times: SegmentTimes) -> int:
    return max(end(times, unit) for unit in Opcode if len(times.units[unit].ends))


# Tokens


def test_a_chain_of_tokens_runs_one_unit_after_the_other(
    cfg: FlightLLMConfig, timing: LumpedTiming, execute: Execute, encoded: Encoded
) -> None:
    times = execute(cfg, encoded(one_product()))
    load = timing.transfer_fs(TILE_BYTES, HbmAccess.STRIPED, Fraction(1))
    product = timing.compute_fs(MV, 8, Fraction(1))
    store = timing.transfer_fs(512, HbmAccess.SINGLE, Fraction(1))
    assert (start(times, LD), end(times, LD)) == (0, load)
    assert (start(times, MV), end(times, MV)) == (load, load + product)
    assert (start(times, ST), end(times, ST)) == (load + product, load + product + store)
    assert finish(times) == load + product + store + timing.cycles_to_fs(1)


def test_without_the_token_the_product_does_not_wait_for_its_load(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    block = edit(edit(one_product(), LD, 0, wait=(SYS,), release=()), MV, 0, wait=())
    times = execute(cfg, encoded(block))
    assert start(times, MV) == start(times, LD) == 0
    assert finish(times) < finish(execute(cfg, encoded(one_product())))


def test_a_token_that_nobody_gives_is_a_deadlock_that_names_the_port(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    with pytest.raises(DeadlockError) as caught:
        execute(cfg, encoded(edit(one_product(), LD, 0, release=())))
    assert (
        "core.MV.wait_LD waits to get from core.LD.release_MV "
        "(core.LD.release_MV -> core.MV.wait_LD is empty)" in str(caught.value)
    )


def test_a_product_waits_for_each_unit_it_names(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    """The later of two tokens decides, whichever it is."""
    for long_load, misc_blocks in ((True, 1), (False, 4096)):
        write = BlockWriter()
        length = 1024 * (4096 if long_load else 1)
        write.load(LoadMode.GLOBAL, HbmAccess.STRIPED, length, "x", release=(MV,))
        write.misc(MiscOp.ADD, misc_blocks, release=(MV,))
        write.compute(MV, 8, wait=(LD, MISC), release=(ST,))
        write.store(HbmAccess.SINGLE, 512, "y", wait=(MV,), release=(SYS,))
        write.barrier()
        times = execute(cfg, encoded(write.finish()))
        assert start(times, MV) == max(end(times, LD), end(times, MISC))
        assert (end(times, LD) > end(times, MISC)) is long_load


def test_tokens_are_counted_one_by_one(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    """Product i takes token i: it starts when load i ends, not when the last does."""
    write = BlockWriter()
    for i in range(3):
        write.load(LoadMode.A, HbmAccess.STRIPED, 8 * TILE_BYTES, "w", bank=i, release=(MV,))
    for i in range(3):
        write.compute(MV, 1, a=i, wait=(LD,), release=(ST,) if i == 2 else ())
    write.store(HbmAccess.SINGLE, 512, "y", wait=(MV,), release=(SYS,))
    write.barrier()
    times = execute(cfg, encoded(write.finish()), held_back=False)
    assert times.units[MV].starts.tolist() == times.units[LD].ends.tolist()


def test_a_full_token_counter_blocks_the_unit_that_releases(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    write = BlockWriter()
    for _ in range(8):
        write.load(LoadMode.GLOBAL, HbmAccess.STRIPED, 8, "x", release=(MISC,))
    for i in range(8):
        write.misc(MiscOp.ADD, 4096, wait=(LD,), release=(ST,) if i == 7 else ())
    write.store(HbmAccess.SINGLE, 512, "y", wait=(MISC,), release=(SYS,))
    write.barrier()
    words = encoded(write.finish())
    deep, shallow = execute(config(), words), execute(config("token_counter_depth=2"), words)
    assert end(deep, LD) < end(deep, MISC, 0)
    assert start(shallow, LD, 4) >= end(shallow, MISC, 0)
    assert finish(deep) == finish(shallow)


# Barriers


def two_products() -> tuple[Block, Block]:
    return one_product(k=1024), one_product(k=8)


def test_the_first_load_of_an_operator_waits_for_the_barrier_before_it(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    times = execute(cfg, np.concatenate([encoded(block) for block in two_products()]))
    assert start(times, LD, 1) == end(times, SYS, 0)
    assert end(times, SYS, 0) >= end(times, ST, 0) >= end(times, MV, 0)


def test_without_the_barrier_the_next_operator_s_loads_start_at_once(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    first, second = two_products()
    blocks = edit(first, SYS, 0, release=()), edit(second, LD, 0, wait=())
    words = np.concatenate([encoded(block) for block in blocks])
    times = execute(cfg, words, held_back=False)
    assert start(times, LD, 1) == end(times, LD, 0) < end(times, SYS, 0)


# Run-ahead and buffers


def run_ahead(times: SegmentTimes, unit: Opcode) -> int:
    """The most tiles whose loads had begun while their products had not ended."""
    begun, ended = times.units[LD].starts, times.units[unit].ends
    return int(max(tiles - np.sum(ended <= at) for tiles, at in enumerate(begun, 1)))


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_loads_run_ahead_by_the_tiles_the_a_buffer_holds(
    config: Config, execute: Execute, encoded: Encoded, tiles: int
) -> None:
    """Tiles of 1024 rows; a slow matrix unit, so that nothing but the buffer holds loads back."""
    cfg = config(f"buffers.a_depth={1024 * tiles}", f"buffers.a_tiles={tiles}", "core.mv_lanes=64")
    times = execute(cfg, encoded(linear_mv(cfg, SQUARE)))
    assert run_ahead(times, MV) == tiles
    assert times.overrun_bytes == 0


def test_a_deeper_buffer_hides_an_uneven_memory(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    """Same tiles, same work, sooner done: run-ahead is what the depth buys."""
    small, large = (
        config(f"buffers.a_depth={1024 * tiles}", f"buffers.a_tiles={tiles}") for tiles in (1, 4)
    )
    block = linear_mv(small, SQUARE)
    assert block.counts() == linear_mv(large, SQUARE).counts()
    alone = finish(execute(small, encoded(block)))
    assert finish(execute(large, encoded(linear_mv(large, SQUARE)))) < 0.75 * alone


def test_loads_of_a_matrix_product_run_ahead_by_the_tiles_the_b_buffer_holds(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    for depth, tiles in ((2048, 1), (4096, 2)):
        cfg = config(f"buffers.b_depth={depth}", f"buffers.b_tiles={tiles}", *SLOW)
        op = Linear(rows=128, k=4096, n=256)
        times = execute(cfg, encoded(linear_mm(cfg, op)))
        assert run_ahead(times, MM) == tiles


def unheld(block: Block, tile: int) -> Block:
    """The block with the load of one tile (from 1) not held back, nor the token for it given."""
    unit = MV if MV in block.groups else MM
    assert np.flatnonzero(block.groups[LD][1:, 1])[0] + 1 == tile
    kept = tuple(u for u in token_units(unit, int(block.groups[unit][0, 2])) if u is not LD)
    return edit(edit(block, LD, tile, wait=()), unit, 0, release=kept)


def test_a_load_that_is_not_held_back_overruns_the_buffer(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    """The fifth tile overwrites the first while that is still read."""
    cfg = config("core.mv_lanes=64")
    block = linear_mv(cfg, SQUARE)
    at = 1 + 4 * (8 + 1)  # the vector's load, then four tiles of eight loads and a product
    message = (
        f"buffer A: instruction {at} of the segment (LD) overwrites 1048576 bytes "
        "that are still to be read"
    )
    assert execute(cfg, encoded(block)).overrun_bytes == 0
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        execute(cfg, encoded(unheld(block, 5)))


def test_the_same_overrun_is_counted_where_the_schedule_does_not_hold_loads_back(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    cfg = config("core.mv_lanes=64")
    times = execute(cfg, encoded(unheld(linear_mv(cfg, SQUARE), 5)), held_back=False)
    assert times.overrun_bytes == 8 * 128 * 1024


def test_a_load_that_is_not_held_back_but_comes_late_is_no_overrun(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    """What counts is the time, not the token."""
    cfg = config("core.mv_lanes=8192", "core.mm_lanes=8192")
    assert execute(cfg, encoded(unheld(linear_mv(cfg, SQUARE), 5))).overrun_bytes == 0


def test_an_overrun_of_the_b_buffer_is_named(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    cfg = config(*SLOW)
    block = linear_mm(cfg, Linear(rows=128, k=4096, n=256))
    with pytest.raises(ProtocolError, match=r"^buffer B: instruction \d+ of the segment \(LD\) "):
        execute(cfg, encoded(unheld(block, 3)))


def reloaded(
    unit: Opcode, buffer: LoadMode, read: tuple[int, int], bank: int, length: int
) -> Block:
    """A product of one block of K at A and B addresses ``read``, and a load that doesn't wait."""
    write = BlockWriter()
    write.load(LoadMode.GLOBAL, HbmAccess.STRIPED, 1, "x", release=(unit,))
    write.compute(unit, 1, a=read[0], b=read[1], wait=(LD,), release=(ST,))
    write.load(buffer, HbmAccess.STRIPED, length, "y", bank=bank)
    write.store(HbmAccess.SINGLE, 512, "z", wait=(unit,), release=(SYS,))
    write.barrier()
    return write.finish()


# One block of K takes 8 rows of weights (128 B in A by MV, 32 B in B by MM) and one row of the
# other operand (16 B in B by MV, 256 B in A by MM); both buffers have 4096 rows.
@pytest.mark.parametrize(
    ("unit", "buffer", "read", "bank", "length", "overrun"),
    [
        (MV, LoadMode.A, (8, 0), 8, 1024, 1024),  # the rows that were read
        (MV, LoadMode.A, (8, 0), 0, 1024, 0),  # the rows before
        (MV, LoadMode.A, (8, 0), 16, 1024, 0),  # the rows after
        (MV, LoadMode.A, (8, 0), 0, 1152, 1152),  # only the last row was read
        (MV, LoadMode.A, (8, 0), 15, 1024, 1024),  # only the first
        (MV, LoadMode.A, (0, 0), 4092, 1024, 1024),  # beyond the end, in rows 0 to 3
        (MV, LoadMode.A, (4092, 0), 3, 128, 128),  # the product reads beyond the end
        (MV, LoadMode.A, (4092, 0), 4, 128, 0),
        (MV, LoadMode.B, (0, 5), 5, 16, 16),  # the vector
        (MV, LoadMode.B, (0, 5), 0, 96, 96),
        (MV, LoadMode.B, (0, 5), 0, 80, 0),
        (MV, LoadMode.B, (0, 5), 6, 16, 0),
        (MM, LoadMode.B, (0, 8), 0, 288, 288),
        (MM, LoadMode.B, (0, 8), 0, 256, 0),
        (MM, LoadMode.A, (5, 0), 5, 256, 256),  # the activations
        (MM, LoadMode.A, (5, 0), 0, 1536, 1536),
        (MM, LoadMode.A, (5, 0), 0, 1280, 0),
    ],
)
def test_a_load_overruns_whatever_row_a_running_product_reads(
    config: Config,
    execute: Execute,
    encoded: Encoded,
    *,
    unit: Opcode,
    buffer: LoadMode,
    read: tuple[int, int],
    bank: int,
    length: int,
    overrun: int,
) -> None:
    cfg = config(*SLOW)
    words = encoded(reloaded(unit, buffer, read, bank, length))
    assert execute(cfg, words, held_back=False).overrun_bytes == overrun
    if overrun:
        message = (
            f"buffer {buffer.name}: instruction 2 of the segment (LD) overwrites {overrun} bytes "
            "that are still to be read"
        )
        with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
            execute(cfg, words)


def test_a_load_larger_than_its_buffer_overruns_it_whenever_it_comes(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    rows, row_bytes = cfg.buffers.a_depth, cfg.buffers.a_mv_row_bytes
    assert execute(cfg, encoded(one_product(length=rows * row_bytes))).overrun_bytes == 0
    with pytest.raises(ProtocolError, match=r"^buffer A: instruction 0 .* loads 128 bytes more"):
        execute(cfg, encoded(one_product(length=(rows + 1) * row_bytes)))


def test_published_attention_is_not_held_back_and_overruns(
    config: Config, execute: Execute, encoded: Encoded
) -> None:
    cfg = config()
    op = DecodeAttention(
        scores=False, kv_length=2048, heads=32, kv_heads=32, head_dim=128, batch=1, softmax=False
    )
    assert execute(cfg, encoded(attention_mv(cfg, op)), held_back=False).overrun_bytes > 0


# The words are what runs


def test_a_product_s_time_follows_the_k_field_of_its_word(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited, timing: LumpedTiming
) -> None:
    words = encoded(one_product(k=8))
    longer = edited(words, MV, 0, k=800)
    assert np.count_nonzero(words != longer) == 1
    difference = finish(execute(cfg, longer)) - finish(execute(cfg, words))
    one, other = (timing.compute_fs(MV, k, Fraction(1)) for k in (8, 800))
    assert difference == other - one


def test_a_load_s_time_and_bytes_follow_the_length_field_of_its_word(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited
) -> None:
    words = encoded(one_product())
    before, after = (
        execute(cfg, w) for w in (words, edited(words, LD, 0, length_1d=3 * TILE_BYTES))
    )
    assert end(after, LD) == pytest.approx(3 * end(before, LD), abs=2)
    assert before.units[LD].stream.hbm_bytes == (TILE_BYTES,)
    assert after.units[LD].stream.hbm_bytes == (3 * TILE_BYTES,)


@pytest.mark.parametrize(
    ("access", "channels"), [(HbmAccess.STRIPED, 5.6), (HbmAccess.SINGLE, 0.7), (2, 0.35)]
)
def test_a_load_s_rate_follows_the_path_of_its_word(
    cfg: FlightLLMConfig,
    execute: Execute,
    encoded: Encoded,
    edited: Edited,
    access: int,
    channels: float,
) -> None:
    """VHK158: 819.2 GiB/s over 32 channels, four cores at 0.8."""
    times = execute(cfg, edited(encoded(one_product()), LD, 0, hbm_type=int(access)))
    seconds = TILE_BYTES / (819.2 * 2**30 / 32 * channels * 3.2)
    assert end(times, LD) == pytest.approx(seconds * 1e15, abs=1)


def test_a_path_the_machine_does_not_have_is_refused(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited
) -> None:
    words = edited(encoded(one_product()), LD, 0, hbm_type=int(HbmAccess.DDR))
    with pytest.raises(ProtocolError, match=r"^hbm_type must be a path the machine has, got DDR$"):
        execute(cfg, words)


@pytest.mark.parametrize("loops", [0, 1, 3])
def test_the_loops_of_a_load_repeat_it(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited, loops: int
) -> None:
    words = encoded(one_product())
    times = execute(cfg, edited(words, LD, 0, loop_1d=loops))
    assert times.units[LD].stream.hbm_bytes == (max(1, loops) * TILE_BYTES,)
    alone = end(execute(cfg, words), LD)
    assert end(times, LD) == pytest.approx(max(1, loops) * alone, abs=2)


def test_loops_in_two_and_three_dimensions_multiply_and_are_for_the_b_buffer(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited
) -> None:
    deep = {"loop_1d": 2, "loop_2d": 3, "loop_3d": 4, "length_1d": 64}
    words = encoded(one_product())
    times = execute(cfg, edited(words, LD, 0, mode=int(LoadMode.B), **deep))
    assert times.units[LD].stream.hbm_bytes == (24 * 64,)
    message = "LD 0: mode must be B with 2-D or 3-D loops, got A"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        execute(cfg, edited(words, LD, 0, **deep))


def test_the_loop_of_a_store_repeats_it(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited
) -> None:
    times = execute(cfg, edited(encoded(one_product()), ST, 0, loop_1d=5))
    assert times.units[ST].stream.hbm_bytes == (5 * 512,)


def test_a_zero_fill_takes_on_chip_cycles_and_no_hbm_bytes(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited, timing: LumpedTiming
) -> None:
    times = execute(cfg, edited(encoded(one_product()), LD, 0, zero_fill=1))
    assert end(times, LD) == timing.cycles_to_fs(TILE_BYTES // 2048)
    assert times.units[LD].stream.hbm_bytes == (0,)


@pytest.mark.parametrize("op", MiscOp)
def test_a_misc_s_time_follows_the_operation_of_its_word(
    cfg: FlightLLMConfig,
    execute: Execute,
    encoded: Encoded,
    edited: Edited,
    timing: LumpedTiming,
    op: MiscOp,
) -> None:
    passes = 2 if op in (MiscOp.SOFTMAX, MiscOp.LAYERNORM, MiscOp.RMSNORM) else 1
    write = BlockWriter()
    write.load(LoadMode.GLOBAL, HbmAccess.SINGLE, 512, "x", release=(MISC,))
    write.misc(MiscOp.ADD, 32, wait=(LD,), release=(ST,))
    write.store(HbmAccess.SINGLE, 512, "y", wait=(MISC,), release=(SYS,))
    write.barrier()
    times = execute(cfg, edited(encoded(write.finish()), MISC, 0, op=int(op)))
    assert end(times, MISC) - start(times, MISC) == timing.cycles_to_fs(32 * passes)


def test_a_token_taken_out_of_a_word_reorders_the_machine(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded, edited: Edited
) -> None:
    """The tokens that order the units are those in the words, not those of the block."""
    words = edited(edited(encoded(one_product()), MV, 0, wait=0), LD, 0, release=0)
    assert start(execute(cfg, words), MV) == 0


def test_words_that_are_no_program_are_refused(
    cfg: FlightLLMConfig, execute: Execute, encoded: Encoded
) -> None:
    words: Any = encoded(one_product()).copy()
    words[0] = 0xE000_0000
    with pytest.raises(ProtocolError, match=r"^opcode must be one of "):
        execute(cfg, words)
