"""What a machine can't run is refused before it starts, with one message that says why."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hwsim.errors import ConfigError, WorkloadError
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.plan import Plan
from hwsim.outcome import Outcome

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
    ("overrides", "positions"),
    [
        (("workload.prompt_tokens=2000",), 2512),
        (("workload.prompt_tokens=1537", "workload.output_tokens=512"), 2049),
        (("workload.phase=prefill", "workload.prompt_tokens=2049"), 2049),
        (("workload.phase=decode_step", "workload.kv_length=2049"), 2049),
    ],
)
def test_a_context_beyond_the_machine_s_is_refused(
    plan: Plans, overrides: tuple[str, ...], positions: int
) -> None:
    message = (
        "llama2_7b: prompt and output together must be at most machine.max_tokens = 2048 "
        f"positions, got {positions}"
    )
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


@pytest.mark.parametrize("name", ["mm_rows=120", "mm_columns=24", "mv_columns=500"])
def test_a_parallelism_that_is_no_multiple_of_the_lanes_is_refused(
    config: Config, name: str
) -> None:
    key, _, value = name.partition("=")
    message = f"{key} must be a multiple of k_lanes = 16, got {value}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        config(f"core.{name}")


def test_a_density_beyond_one_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"density\.q_proj must be between 0 and 1, got 1\.5"):
        config("weights.density.q_proj=1.5")


def test_a_role_that_does_not_exist_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"density must name projections among .*, got 'z_proj'"):
        config("weights.density.z_proj=0.5")


def test_a_width_that_fills_no_block_is_padded(run: Run, model: Callable[..., str]) -> None:
    odd = model(hidden_size=72, num_attention_heads=2, num_key_value_heads=1, intermediate_size=50)
    for phase in ("decode_step", "prefill"):
        outcome = run("u280", odd, f"workload.phase={phase}")
        assert outcome.metrics["executed_macs"].value > outcome.metrics["macs"].value > 0
