"""What a machine can't run is refused before it starts, with one message that says why."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hwsim.errors import ConfigError, WorkloadError
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.timing import check_span
from hwsim.outcome import Outcome
from hwsim.workloads import PROJECTION_ROLES

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
Config = Callable[..., FlightLLMConfig]


def refuses(message: str) -> pytest.RaisesExc[WorkloadError]:
    return pytest.raises(WorkloadError, match=f"^{re.escape(message)}$")


def test_a_model_beyond_hbm_is_refused(plan: Plans) -> None:
    message = (
        "llama2_13b: weights and KV cache must fit machine.hbm.capacity = 8.59 GB, got 12.5 GB"
    )
    with refuses(message):
        plan("u280", "llama2_13b", "machine.mixed_precision=false")


def test_the_same_model_in_four_bits_fits(plan: Plans) -> None:
    assert plan("u280", "llama2_13b").memory.stored_bytes < 8 * 2**30


def test_a_batch_whose_cache_is_beyond_hbm_is_refused(plan: Plans) -> None:
    """Keys and values of 16 x 2048 positions: 8.6 GB beside 3.2 GB of weights."""
    cached = 2 * 32 * 4096 * 2048 * 16
    assert cached == 8_589_934_592
    with refuses(
        "llama2_7b: weights and KV cache must fit machine.hbm.capacity = 8.59 GB, got 11.7 GB"
    ):
        plan("u280", "llama2_7b", "workload.phase=decode_step", "workload.kv_length=2048",
             "workload.batch=16")  # fmt: skip


def test_a_model_beyond_the_addresses_of_an_instruction_is_refused(plan: Plans) -> None:
    """34 bits reach 17 GB, however much memory there is."""
    words = ("workload.phase=decode_step", "workload.kv_length=2048", "workload.batch=8")
    room = ("machine.hbm.capacity=64 GiB", "machine.mixed_precision=false")
    with pytest.raises(
        WorkloadError,
        match=r"^model must fit the instructions' 34-bit HBM addresses, got \d+ bytes of address ",
    ):
        plan("u280", "llama2_13b", *words, *room)


@pytest.mark.parametrize(
    ("overrides", "key", "positions"),
    [
        (("workload.prompt_tokens=2000",), "prompt_tokens + output_tokens", 2512),
        (("workload.prompt_tokens=1537",), "prompt_tokens + output_tokens", 2049),
        (("workload.phase=prefill", "workload.prompt_tokens=2049"), "prompt_tokens", 2049),
        (("workload.phase=decode_step", "workload.kv_length=2049"), "kv_length", 2049),
    ],
)
def test_a_context_beyond_the_machine_s_is_refused(
    plan: Plans, overrides: tuple[str, ...], key: str, positions: int
) -> None:
    message = f"llama2_7b: {key} must be at most machine.max_tokens = 2048, got {positions}"
    with refuses(message):
        plan("u280", "llama2_7b", *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("workload.prompt_tokens=1536", "workload.output_tokens=512"),
        ("workload.phase=prefill", "workload.prompt_tokens=2048"),
        ("workload.phase=decode_step", "workload.kv_length=2048"),
    ],
)
def test_the_longest_context_is_taken(plan: Plans, overrides: tuple[str, ...]) -> None:
    assert plan("u280", "llama2_7b", *overrides).steps >= 1


@pytest.mark.parametrize(
    ("overrides", "key", "rows"),
    [
        ((), "batch x prompt_tokens", 128 * 2**31),
        (("workload.phase=decode_step",), "batch", 2**31),
    ],
)
def test_a_batch_beyond_any_machine_is_refused(
    plan: Plans, overrides: tuple[str, ...], key: str, rows: int
) -> None:
    with refuses(f"llama2_7b: {key} must be at most 4194304, got {rows}"):
        plan("u280", "llama2_7b", "workload.batch=2147483648", *overrides)


@pytest.mark.parametrize(
    ("phase", "switch", "need"),
    [
        (
            "decode_step",
            "machine.buffers.a_depth=200",
            (
                "op 21 'layers.0.down_proj': machine.buffers.a_depth must be at least 259 rows of "
                "a_mm_row_bytes = 256 B for weights of 4144 x 512, got 200"
            ),
        ),
        (
            "prefill",
            "machine.buffers.b_depth=200",
            (
                "op 23 'layers.0.down_proj': machine.buffers.b_depth must be at least 259 rows of "
                "b_mv_row_bytes = 16 B for weights of 4144 x 512, got 200"
            ),
        ),
    ],
)
def test_a_run_needs_no_room_for_a_phase_that_it_does_not_have(
    run: Run, small: str, phase: str, switch: str, need: str
) -> None:
    found = run("u280", small, f"workload.phase={phase}", switch)
    assert (
        "The table instruction_storage is of this run alone, without programs of every length: "
        f"{need}."
    ) in found.notes
    assert [row[0] for row in found.tables["instruction_storage"].rows] == ["this run"]
    assert found.metrics["instruction_bytes"].value > 0
    whole = run("u280", small, f"workload.phase={phase}")
    assert not any("instruction_storage" in note for note in whole.notes)
    names = [row[0] for row in whole.tables["instruction_storage"].rows]
    assert names == ["this run", "every length"]


def test_a_run_needs_no_storage_beyond_the_model_s_positions(run: Run) -> None:
    found = run("u280", "opt_6_7b", "workload.phase=decode_step", "machine.max_tokens=4096")
    assert (
        "The table instruction_storage is of this run alone, without programs of every length: "
        "llm: kv_length must be at most 2048, its learned positions, got 4096."
    ) in found.notes


def test_an_activation_without_an_instruction_is_refused(
    run: Run, model: Callable[..., str]
) -> None:
    gelu = model(
        model_type="opt", activation_function="gelu", ffn_dim=2048, word_embed_proj_dim=512,
        do_layer_norm_before=True,
    )  # fmt: skip
    with pytest.raises(WorkloadError, match=r"'layers\.0\.activation': type must be one FlightLLM"):
        run("u280", gelu, "workload.phase=decode_step")


UNBUILDABLE = [
    "buffers.a_mv_row_bytes=4 KiB",  # more than the block of K by 64 columns of a channel
    "buffers.b_mm_row_bytes=1 KiB",  # more than a block of K by 16 columns
    "hbm.channels_per_core=3",  # 512 columns can't be dealt to them in blocks of 16
    "hbm.channels_per_core=5",
]


@pytest.mark.parametrize("override", UNBUILDABLE)
def test_a_machine_that_can_t_be_built_is_a_config_error(config: Config, override: str) -> None:
    with pytest.raises(ConfigError):
        config(override)


def test_more_core_channels_than_the_memory_has_are_refused(config: Config) -> None:
    message = "hbm.channels must be at least cores x hbm.channels_per_core = 40, got 32"
    with pytest.raises(ConfigError, match=re.escape(message)):
        config("cores=5")


@pytest.mark.parametrize("name", ["mm_rows=120", "mv_columns=500"])
def test_a_parallelism_that_is_no_multiple_of_the_lanes_is_refused(
    config: Config, name: str
) -> None:
    key, _, value = name.partition("=")
    message = f"{key} must be a multiple of 16, got {value}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        config(f"core.{name}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["mm_columns=32"],
            "mm_columns must be 16, the columns of a stored block, got 32",
        ),
        (
            ["mm_lanes=3000"],
            "mm_lanes must divide mm_rows x mm_columns x 16 = 32768, got 3000",
        ),
        (
            ["mm_rows=16", "mm_lanes=8192"],
            "mm_lanes must divide mm_rows x mm_columns x 16 = 4096, got 8192",
        ),
        (["mv_lanes=1000"], "mv_lanes must divide mv_columns x 16 = 8192, got 1000"),
        (
            ["mm_lanes=512"],
            "mv_lanes must be at most mm_lanes = 512, the multipliers of both, got 1024",
        ),
    ],
)
def test_lanes_that_do_no_whole_block_of_k_are_refused(
    config: Config, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(message)}$"):
        config(*(f"core.{word}" for word in words))


def test_weights_of_density_0_are_neither_loaded_nor_multiplied(run: Run, small: str) -> None:
    nothing = ("machine.weights.default_density=0", "machine.weights.density.q_proj=0",
               "machine.weights.density.k_proj=0")  # fmt: skip
    step = ("workload.phase=decode_step", "workload.kv_length=16")
    found = run("u280", small, *step, *nothing).metrics
    attention = 2 * 4 * (8 + 1) * 512 * 16  # layers, heads, blocks of K of both products
    assert found["executed_macs"].value == attention
    assert found["bytes_read"].value < 10**6 < run("u280", small, *step).metrics["bytes_read"].value


def test_a_density_beyond_one_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"density\.q_proj must be between 0 and 1, got 1\.5"):
        config("weights.density.q_proj=1.5")


@pytest.mark.parametrize(
    ("override", "key", "role"),
    [
        ("weights.density.z_proj=1", "weights.density.z_proj", "z_proj"),
        ("weights.bits_by_role.zz=4", "weights.bits_by_role.zz", "zz"),
        ("weights.biased=['yy']", "weights.biased", "yy"),
    ],
)
def test_an_unknown_projection_is_refused_where_it_is_named(
    config: Config, override: str, key: str, role: str
) -> None:
    """By ``--set``, not by the machine's file, which has the table too."""
    message = (
        f"--set: {key} must name a projection among {', '.join(PROJECTION_ROLES)}, got {role!r}"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        config(override)


@pytest.mark.parametrize("key", ["attention.mask", "weights.density_map"])
def test_a_file_without_a_name_is_refused(config: Config, key: str) -> None:
    message = f"--set: {key} must be text of at least 1 character, got ''"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        config(f"{key}=")


def test_a_width_that_fills_no_block_is_padded(run: Run, model: Callable[..., str]) -> None:
    odd = model(hidden_size=72, num_attention_heads=2, num_key_value_heads=1, intermediate_size=50)
    for phase in ("decode_step", "prefill"):
        outcome = run("u280", odd, f"workload.phase={phase}")
        assert outcome.metrics["executed_macs"].value > outcome.metrics["macs"].value > 0


# The clock, and how long an operator may take


@pytest.mark.parametrize("clock", ["1 Hz", "999999 Hz", "10001 MHz"])
def test_a_clock_out_of_range_is_refused(config: Config, clock: str) -> None:
    message = f"--set: clock must be between 1 MHz and 10 GHz, got {clock}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        config(f"clock={clock}")


@pytest.mark.parametrize("clock", ["1 MHz", "10 GHz"])
def test_a_run_at_the_ends_of_the_clock_s_range_takes_as_many_cycles(
    run: Run, small: str, clock: str
) -> None:
    """A run of hours, in which no operator is of hours."""
    found = run("u280", small, "workload.prompt_tokens=2000", "workload.output_tokens=2",
                f"machine.clock={clock}")  # fmt: skip
    assert found.stages["core.MM"].busy > 0
    assert found.metrics["latency"].value * float(clock[:-4]) * (
        1e6 if "MHz" in clock else 1e9
    ) == pytest.approx(found.metrics["cycles"].value, rel=1e-6)


def test_a_run_beyond_64_bits_of_femtoseconds_is_simulated(run: Run, small: str) -> None:
    """Absolute times are unbounded; only those within an operator are held in 64 bits."""
    found = run("u280", small, "workload.phase=decode_step", "workload.kv_length=16",
                "machine.hbm.bandwidth=2.5 kB/s")  # fmt: skip
    assert found.metrics["latency"].value > 2**63 / 1e15


def test_an_operator_beyond_64_bits_of_femtoseconds_is_refused(run: Run, small: str) -> None:
    message = (
        r"^one operator must take less than 9223 s on the machine, got [\d.]+e\+\d+ s "
        r"\(see machine.clock, machine.hbm.bandwidth\)$"
    )
    with pytest.raises(WorkloadError, match=message):
        run("u280", small, "workload.phase=decode_step", "workload.kv_length=16",
            "machine.hbm.bandwidth=1 B/s")  # fmt: skip


@pytest.mark.parametrize("total", [2**63, 2.0**63, 2**70])
def test_the_sum_of_a_segment_s_times_is_held_below_64_bits(total: float) -> None:
    check_span(2**63 - 1)
    with pytest.raises(WorkloadError, match=r"^one operator must take less than 9223 s "):
        check_span(total)


# Buffers, and counters of tokens


PROMPT = ("workload.phase=prefill", "workload.prompt_tokens=16")
STEP = ("workload.phase=decode_step", "workload.kv_length=16")
DOWN = "weights of 4144 x 512"


@pytest.mark.parametrize(
    ("words", "least", "message"),
    [
        ((*PROMPT,), "a_depth=259", f"259 rows of a_mm_row_bytes = 256 B for {DOWN}"),
        ((*STEP,), "b_depth=259", f"259 rows of b_mv_row_bytes = 16 B for {DOWN}"),
        (
            (*STEP, "machine.buffers.a_mv_row_bytes=8 B"), "a_depth=128",
            "128 rows of a_mv_row_bytes = 8 B for weights of 512 x 512",
        ),
        (
            (*PROMPT, "machine.buffers.b_mm_row_bytes=2 B"), "b_depth=128",
            "128 rows of b_mm_row_bytes = 2 B for weights of 512 x 512",
        ),
        (
            (*STEP, "machine.count_metadata=true"), "metadata_depth=180",
            "180 rows of metadata_row_bytes = 16 B for weights of 512 x 512",
        ),
        (
            (*STEP, "machine.count_metadata=true"), "fsb_depth=32",
            "32 rows for weights of 512 x 512",
        ),
        ((*STEP,), "bias_depth=32", "32 rows of bias_row_bytes = 64 B for weights of 512 x 512"),
    ],
)  # fmt: skip
def test_a_buffer_is_as_deep_as_an_operator_needs_and_no_shallower(
    run: Run, small: str, words: tuple[str, ...], least: str, message: str
) -> None:
    """With the least depth it runs, and one row less is refused before anything runs."""
    key, _, rows = least.partition("=")
    run("u280", small, *words, f"machine.buffers.{least}")
    shallow = int(rows) - 1
    rule = rf"machine\.buffers\.{key} must be at least {re.escape(message)}, got {shallow}$"
    with pytest.raises(WorkloadError, match=rf"^op \d+ 'layers\.0\.\w+': {rule}"):
        run("u280", small, *words, f"machine.buffers.{key}={shallow}")


@pytest.mark.parametrize(
    ("words", "least", "op"),
    [(STEP, 2, "op 19 'layers.0.gate_proj'"), (PROMPT, 256, "op 486 'lm_head'")],
)
def test_token_counters_are_as_deep_as_a_program_needs_and_no_shallower(
    run: Run, words: tuple[str, ...], least: int, op: str
) -> None:
    run("u280", "tinyllama_1_1b", *words, f"machine.token_counter_depth={least}")
    message = f"{op}: machine.token_counter_depth must be at least {least} for its program, got "
    with pytest.raises(WorkloadError, match=f"^{re.escape(message)}{least - 1}$"):
        run("u280", "tinyllama_1_1b", *words, f"machine.token_counter_depth={least - 1}")
