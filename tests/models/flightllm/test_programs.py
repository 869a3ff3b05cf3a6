"""The programs: what is written is what runs, whatever the addresses; their sizes by count."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.laws.flightllm_isa import FORMATS, LoadMode, MiscOp, Opcode
from hwsim.models.flightllm import isa, memory_map, storage
from hwsim.models.flightllm.block import Block
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import SegmentTimes
from hwsim.models.flightllm.decoder import Decoder
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.schedule_misc import MiscRows, misc_rows
from hwsim.models.flightllm.schedule_mm import PrefillAttention, attention_mm, linear_mm
from hwsim.models.flightllm.schedule_mv import linear_mv
from hwsim.models.flightllm.system import programs, simulate
from hwsim.models.flightllm.tiling import Linear
from hwsim.outcome import Outcome, SimOptions
from hwsim.run import load

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
Words = NDArray[np.uint32]
LD, ST, MM, MV, MISC, SYS = Opcode
STEP = ("workload.phase=decode_step", "workload.kv_length=100")
GENERATE = ("workload.prompt_tokens=100", "workload.output_tokens=40")

# Published: the authors' instruction generator, LLaMA2-7B, one core.
DECODE_MB, PREFILL_MB = 2.710, 34.07
PUBLISHED_MIX = {
    (MV, 0, 128): 3966, (MV, 1, 128): 1024, (MV, 0, 114): 1536, (MV, 0, 8): 2048, (MV, 0, 4): 256,
    (MISC, MiscOp.MUL, 32): 2240, (MISC, MiscOp.ADD, 32): 512, (MISC, MiscOp.SILU, 32): 704,
    (MISC, MiscOp.SOFTMAX, 8): 1024, (MISC, MiscOp.RMSNORM, 256): 65,
}  # fmt: skip
PUBLISHED_PREFILL_MIX = {
    (MM, 0, 256): 62_416, (MM, 1, 256): 16_384, (MM, 0, 229): 24_576, (MM, 0, 1): 8_192,
    (MM, 0, 8): 16_384,
}  # fmt: skip


def mix(words: Words, *units: Opcode) -> dict[tuple[Opcode, int, int], int]:
    """Instructions by unit, sparse flag or operation, and K."""
    found: dict[tuple[Opcode, int, int], int] = {}
    for unit in units:
        columns = isa.decode(unit, isa.split(words)[1][unit])
        kind = columns["op" if unit is MISC else "sparse"]
        for key in zip(kind.tolist(), columns["k"].tolist(), strict=True):
            found[unit, *key] = found.get((unit, *key), 0) + 1
    return found


@pytest.fixture(scope="module")
def decode_words(plan: Plans, program: Callable[[Plan], Words]) -> Words:
    step = ("workload.phase=decode_step", "workload.kv_length=128")
    return program(plan("u280", "llama2_7b", *step))


def test_the_instruction_mix_of_a_decode_step_is_the_published_one(decode_words: Words) -> None:
    assert mix(decode_words, MV, MISC) == PUBLISHED_MIX


def test_the_decode_program_has_the_published_size(decode_words: Words) -> None:
    assert round(decode_words.nbytes / 1e6, 3) == DECODE_MB


def test_the_prefill_program_is_the_published_one(
    plan: Plans, program: Callable[[Plan], Words]
) -> None:
    words = program(plan("u280", "llama2_7b", "workload.phase=prefill"))
    assert mix(words, MM) == PUBLISHED_PREFILL_MIX
    assert round(words.nbytes / 1e6, 2) == PREFILL_MB


# What is written is what runs


def test_a_whole_decode_program_survives_decoding_and_encoding(decode_words: Words) -> None:
    order, kinds = isa.split(decode_words)
    again = {
        unit: isa.encode(unit, isa.decode(unit, words), len(words)) for unit, words in kinds.items()
    }
    assert np.array_equal(isa.assemble(order, again), decode_words)


def test_the_listing_of_a_decode_program_has_every_instruction(decode_words: Words) -> None:
    order, _ = isa.split(decode_words)
    lines = list(isa.disassemble(decode_words))
    assert [line.split()[1] for line in lines] == [Opcode(unit).name for unit in order.tolist()]
    assert len(lines) == 103_765
    assert lines[0].split()[:3] == ["00000000", "LD", "wait=SYS"]
    assert lines[-1].split()[1:] == ["SYS", "wait=ST", "release=LD"]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """The words of every segment that a machine decodes from here on."""
    seen: list[Words] = []
    original = Decoder.streams

    def streams(self: Decoder, words: Words) -> Any:
        seen.append(words.copy())
        return original(self, words)

    monkeypatch.setattr(Decoder, "streams", streams)
    return seen


@pytest.mark.parametrize("phase", [STEP, ("workload.phase=prefill",)], ids=["decode", "prefill"])
def test_the_program_files_hold_the_words_that_run(
    small: str, executed: list[Words], phase: tuple[str, ...]
) -> None:
    machine, work = load("flightllm/u280", small, phase)
    simulate(machine.config, work, SimOptions(replay=False))
    files = list(programs(machine.config, work))
    assert [file.core for file in files] == [0, 1, 2]
    assert np.array_equal(files[0].words, np.concatenate(executed))
    assert all(np.array_equal(file.words, files[0].words) for file in files)


def test_there_is_a_program_for_each_bucket_and_core(run: Run, small: str) -> None:
    machine, work = load("flightllm/u280", small, GENERATE)
    files = list(programs(machine.config, work))
    names = ["prefill_0128", "decode_0112", "decode_0128", "decode_0144"]
    assert [file.name for file in files] == [name for name in names for _ in range(3)]
    size = sum(file.words.nbytes for file in files if file.core == 0)
    assert size == run("u280", small, *GENERATE).metrics["instruction_bytes"].value


def test_the_text_of_a_program_file_is_its_listing(small: str) -> None:
    machine, work = load("flightllm/u280", small, STEP)
    file = next(programs(machine.config, work))
    assert list(file.text()) == list(isa.disassemble(file.words))


def test_the_machine_runs_the_instructions_it_was_given(
    run: Run, plan: Plans, small: str, program: Callable[[Plan], Words]
) -> None:
    order, _ = isa.split(program(plan("u280", small, *STEP)))
    metrics = run("u280", small, *STEP).metrics
    for unit in Opcode:
        assert metrics[f"instructions_{unit.name.lower()}"].value == np.sum(order == unit)


# Addresses


def test_other_addresses_change_the_words_and_no_time(
    small: str, run: Run, plan: Plans, program: Callable[[Plan], Words], monkeypatch: Any
) -> None:
    before, words = run("u280", small, *STEP), program(plan("u280", small, *STEP))
    monkeypatch.setattr(memory_map, "ALIGN", 1 << 20)
    moved = program(plan("u280", small, *STEP))
    machine, work = load("flightllm/u280", small, STEP)
    after = simulate(machine.config, work, SimOptions())
    assert moved.shape == words.shape
    assert not np.array_equal(moved, words)
    assert dict(after.metrics) == dict(before.metrics)
    assert list(after.ops()) == list(before.ops())


def test_layers_run_the_same_program_on_other_addresses(
    plan: Plans, small: str, fields: Any
) -> None:
    made = plan("u280", small, *STEP)
    (step,) = made.trace.steps()
    layers = [
        made.compiler.segment(part).words
        for part in made.program(step).parts
        if part.operators[-1].operator.main.name.endswith("up_proj")
    ]
    one, other = layers
    assert not np.array_equal(one, other)
    for unit in (LD, MV, MISC, ST, SYS):
        left, right = fields(one, unit), fields(other, unit)
        for name in left:
            assert name == "hbm_addr" or np.array_equal(left[name], right[name]), name


def test_no_two_tensors_share_an_address(plan: Plans, small: str) -> None:
    regions = sorted(plan("u280", small).memory.regions, key=lambda region: region.base)
    for one, other in pairwise(regions):
        assert one.base + one.size <= other.base


@pytest.mark.parametrize("keys", [{}, {"num_key_value_heads": 1}], ids=["small", "grouped"])
@pytest.mark.parametrize("phase", [STEP, GENERATE], ids=["decode", "generate"])
def test_loads_of_all_channels_stay_in_the_tensor_the_first_is_in(
    plan: Plans, model: Callable[..., str], fields: Any, keys: Any, phase: tuple[str, ...]
) -> None:
    """Padded columns included, and a bucket longer than what is cached."""
    made = plan("u280", model(**keys), *phase)
    for step in (list(made.trace.steps())[i] for i in (0, -1)):
        for part in made.program(step).parts:
            load = fields(made.compiler.segment(part).words, LD)
            matrix = np.isin(load["mode"], (LoadMode.A, LoadMode.B)) & (load["zero_fill"] == 0)
            where = made.memory.lookup(load["hbm_addr"])[matrix]
            follows = load["channel"][matrix][1:] > 0
            assert np.array_equal(where[1:][follows], where[:-1][follows])


# Sizes by count


def size_of(counts: Any) -> int:
    return sum(4 * FORMATS[unit].words * n for unit, n in counts.items())


tails = st.sampled_from([(), ("rope",), ("add",), ("silu",), ("mul",), ("silu", "mul")])


@settings(max_examples=40)
@given(
    rows=st.integers(1, 400),
    k=st.integers(1, 6000),
    n=st.integers(1, 12_000),
    tail=tails,
    bias=st.booleans(),
    metadata=st.booleans(),
)
def test_the_counted_size_of_a_projection_is_that_of_its_block(
    config: Callable[..., FlightLLMConfig],
    rows: int,
    k: int,
    n: int,
    tail: tuple[str, ...],
    **flags: bool,
) -> None:
    op = Linear(rows=rows, k=k, n=n, tail=tail, last_store_bytes=16, **flags)
    written = linear_mm(config(), op).counts()
    counted = storage.linear_counts(config(), op)
    assert {u: n for u, n in counted.items() if n} == {u: n for u, n in written.items() if n}


@given(rows=st.integers(1, 200), width=st.integers(1, 5000), operands=st.integers(1, 2))
def test_the_counted_size_of_a_norm_is_that_of_its_block(
    config: Callable[..., FlightLLMConfig], rows: int, width: int, operands: int
) -> None:
    op = MiscRows(operation=MiscOp.RMSNORM, rows=rows, width=width, operands=operands)
    assert storage.misc_counts(op) == misc_rows(config(), op).counts()


@settings(max_examples=40)
@given(
    blocks=st.integers(1, 24),
    head_dim=st.sampled_from([16, 64, 128]),
    scores=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_counted_size_of_attention_is_that_of_its_block(
    config: Callable[..., FlightLLMConfig], blocks: int, head_dim: int, scores: bool, seed: int
) -> None:
    cfg = config()
    rng = np.random.default_rng(seed)
    kept = np.tril(rng.random((2, blocks, blocks)) < 0.5) | np.eye(blocks, dtype=np.bool_)
    op = PrefillAttention(
        scores=scores, tokens=16 * blocks, heads=2, kv_heads=2, head_dim=head_dim, batch=1,
        softmax=scores, window=None,
    )  # fmt: skip
    written = attention_mm(cfg, op, kept).size_bytes()
    columns = [storage.attention_counts(cfg, op, head) for head in kept]
    counted = sum(size_of({unit: int(n[-1]) for unit, n in found.items()}) for found in columns)
    assert counted + size_of({SYS: 1}) == written


@settings(max_examples=40)
@given(blocks=st.integers(1, 24), scores=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_attention_is_counted_for_every_length_at_once(
    config: Callable[..., FlightLLMConfig], blocks: int, scores: bool, seed: int
) -> None:
    """Entry n is the mask cut to n + 1 blocks; a coarse mask keeps blocks above the diagonal."""
    cfg = config()
    kept = np.random.default_rng(seed).random((blocks, blocks)) < 0.7
    op = PrefillAttention(
        scores=scores, tokens=16 * blocks, heads=1, kv_heads=1, head_dim=64, batch=1,
        softmax=scores, window=None,
    )  # fmt: skip
    every = storage.attention_counts(cfg, op, kept)
    for n in range(blocks):
        cut = storage.attention_counts(cfg, op, kept[: n + 1, : n + 1])
        assert {u: c[n] for u, c in every.items()} == {u: c[-1] for u, c in cut.items()}


def test_storage_of_the_published_machine_is_what_counting_each_length_gave(plan: Plans) -> None:
    assert storage.storage_of(plan("u280", "llama2_7b")) == storage.InstructionStorage(
        prefill_buckets=4_754_572_672,
        prefill_lengths=583_646_949_376,
        decode_buckets=394_068_480,
        decode_lengths=6_305_095_680,
    )


@pytest.fixture(scope="module")
def tiny(model: Callable[..., str]) -> str:
    """So small that the program of every length is soon written."""
    return model(
        num_hidden_layers=1, hidden_size=64, intermediate_size=64, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def program_size(plan: Plans, tiny: str) -> Callable[..., int]:
    """Bytes of the program of one phase and length, written out."""

    def size(phase: str, length: int, *overrides: str) -> int:
        key = "prompt_tokens" if phase == "prefill" else "kv_length"
        made = plan("u280", tiny, f"workload.phase={phase}", f"workload.{key}={length}", *overrides)
        (step,) = made.trace.steps()
        return made.compiler.size_bytes(made.program(step))

    return size


@pytest.mark.parametrize("longest", [256, 200])
def test_storage_for_every_length_is_the_sum_over_written_programs(
    plan: Plans, tiny: str, program_size: Callable[..., int], longest: int
) -> None:
    """A machine of few positions, so that all lengths can be written; 200 fills no bucket."""
    short = (f"machine.max_tokens={longest}", "workload.phase=prefill")
    found = storage.storage_of(plan("u280", tiny, *short))
    exact = "machine.length_adaptive_compilation=false"
    step, lengths = program_size("decode_step", 16), range(1, longest + 1)
    assert found.decode_buckets == -(-longest // 16) * step
    assert found.decode_lengths == longest * step
    assert found.prefill_lengths == sum(program_size("prefill", n, exact) for n in lengths)
    assert found.prefill_buckets == program_size("prefill", 128) + program_size("prefill", 256)


# Blocks written by hand


Runs = Callable[[Block], int]


@pytest.fixture(scope="session")
def overrun(
    config: Callable[..., FlightLLMConfig],
    execute: Callable[..., SegmentTimes],
    encoded: Callable[[Block], Words],
) -> Runs:
    """Bytes by which a block's loads overrun a buffer; the matrix unit slow, so that they could."""
    cfg = config("core.mv_lanes=64", "core.mm_lanes=64")
    return lambda block: execute(cfg, encoded(block)).overrun_bytes


@settings(max_examples=60)
@given(k=st.integers(1, 8192), n=st.integers(1, 3000), tail=tails, bias=st.booleans())
def test_any_projection_of_usual_size_fits_its_buffers_in_decode(
    config: Callable[..., FlightLLMConfig],
    overrun: Runs,
    k: int,
    n: int,
    **rest: Any,
) -> None:
    assert overrun(linear_mv(config(), Linear(rows=0, k=k, n=n, **rest))) == 0


@settings(max_examples=40)
@given(rows=st.integers(1, 300), k=st.integers(1, 12_000), n=st.integers(1, 600), tail=tails)
def test_any_projection_of_usual_size_fits_its_buffers_in_prefill(
    config: Callable[..., FlightLLMConfig], overrun: Runs, **shape: Any
) -> None:
    assert overrun(linear_mm(config(), Linear(**shape, last_store_bytes=16))) == 0


@pytest.mark.parametrize("k", [8208, 16_368, 26_368])
def test_k_tiles_that_do_not_divide_the_a_buffer_overrun_nothing(
    config: Callable[..., FlightLLMConfig], overrun: Runs, k: int
) -> None:
    """A tile does not lie across the buffer's end: the rows left there are lost to run-ahead."""
    assert overrun(linear_mv(config(), Linear(rows=0, k=k, n=2048))) == 0


@pytest.mark.parametrize("k", [16_368, 32_704])
def test_k_tiles_that_do_not_divide_the_b_buffer_overrun_nothing(
    config: Callable[..., FlightLLMConfig], overrun: Runs, k: int
) -> None:
    assert overrun(linear_mm(config(), Linear(rows=128, k=k, n=128))) == 0
