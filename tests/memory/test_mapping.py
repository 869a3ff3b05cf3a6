"""Where addresses lie."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from hwsim.errors import ConfigError
from hwsim.memory.config import AddressMapping, DramConfig
from hwsim.memory.hashing import remainder_table
from hwsim.memory.mapping import field_table, locate

TINY = {
    "specification": "hbm2",
    "channels": 4,
    "bank_groups": 2,
    "banks_per_group": 2,
    "rows": 8,
    "row_bytes": "128 B",
    "burst_bytes": "32 B",
}
HBM2 = DramConfig(specification="hbm2")


def place(cfg: DramConfig, address: int) -> tuple[int, int, int]:
    table = remainder_table(cfg.channels.bit_length() - 1)
    return locate(field_table(cfg), cfg.mapping.hashed, table, address)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    "order", [" ".join(order) for order in itertools.permutations(AddressMapping.fields)][::7]
)
def test_every_row_gets_as_many_bytes_as_it_has(order: str, hashed: bool) -> None:
    mapping = {"order": order, "interleave": "64 B", "hashed": hashed}
    cfg = DramConfig(**TINY, mapping=mapping)
    bursts = Counter(place(cfg, address) for address in range(0, cfg.capacity_bytes, 32))

    assert len(bursts) == cfg.channels * cfg.banks * cfg.rows
    assert set(bursts.values()) == {cfg.row_bytes // 32}


def test_the_order_names_the_most_significant_field_first() -> None:
    mapping = {"order": "row bank column bank_group channel", "hashed": False}
    cfg = DramConfig(specification="hbm2", mapping=mapping)

    assert place(cfg, 0) == (0, 0, 0)
    assert place(cfg, 255) == (0, 0, 0)
    assert place(cfg, 256) == (1, 0, 0)
    assert place(cfg, 256 * 32) == (0, 4, 0)
    assert place(cfg, 256 * 32 * 4) == (0, 0, 0)
    assert place(cfg, 256 * 32 * 4 * 4) == (0, 1, 0)
    assert place(cfg, 256 * 32 * 4 * 4 * 4) == (0, 0, 1)


@pytest.mark.parametrize("shift", range(13, 30))
def test_hashing_spreads_strides_of_a_power_of_two(shift: int) -> None:
    channels = Counter(place(HBM2, i << shift)[0] for i in range(32))

    assert set(channels.values()) == {1}


@pytest.mark.parametrize(("stride", "most"), [(32768, 1.01), (6144, 1.35), (8512, 1.25)])
def test_hashing_spreads_the_columns_of_a_tile(stride: int, most: float) -> None:
    """Sixteen lines of each of 64 columns: no channel has much more than its share."""
    places = [place(HBM2, stride * k + 64 * i) for k in range(64) for i in range(32)]
    channels = Counter(channel for channel, *_ in places)

    assert max(channels.values()) <= most * len(places) / 32


WRONG: list[tuple[dict[str, object], str]] = [
    (
        {"mapping": {"order": "row bank column channel"}},
        "mapping.order must name each of row, bank, bank_group, column, channel once, got {}",
    ),
    (
        {"mapping": {"interleave": "2 KiB"}},
        "mapping.interleave must be from burst_bytes to row_bytes = 32 to 1024 bytes, got 2048",
    ),
    ({"mapping": {"interleave": "96 B"}}, "mapping.interleave must be a power of two, got 96"),
    ({"channels": 24}, "channels must be a power of two, got 24"),
    ({"rows": 3}, "rows must be a power of two, got 3"),
    (
        {"timing": {"nREFI": 100}},
        "timing.nREFI must be 0 or above nRFC + nRP + nRCD + nRAS = 321, got 100",
    ),
    ({"specification": "x"}, "specification must be one of ddr4_2400, hbm2, hbm2e, got 'x'"),
    (
        {"controller": {"write_drain_entries": 65}},
        "controller.write_drain_entries must be at most write_queue_entries = 64, got 65",
    ),
    (
        {"channels": 512},
        "channels x bank_groups x banks_per_group must be at most 4096, got 8192",
    ),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_a_wrong_configuration_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DramConfig(**({"specification": "hbm2"} | given))

    assert str(refused.value) == "DramConfig: " + message.format("'row bank column channel'")
