"""Where an address lies: channel, bank and row."""

from __future__ import annotations

import numpy as np

from hwsim.memory.compiled import Ints, inline
from hwsim.memory.config import DramConfig
from hwsim.memory.hashing import remainder

__all__ = ["field_table", "locate"]

PLACES = ("channel", "bank_group", "bank", "row", "column")
CHANNEL, BANK_GROUP, BANK, ROW, COLUMN = range(len(PLACES))
LOWEST_BIT = 0
BITS = 1


def field_table(cfg: DramConfig) -> Ints:
    """Lowest bit and number of bits of each field, in the order of ``PLACES``.

    ``column`` are the interleaves of a row.
    """
    sizes = {
        "channel": cfg.channels,
        "bank_group": cfg.bank_groups,
        "bank": cfg.banks_per_group,
        "row": cfg.rows,
        "column": cfg.row_bytes // cfg.mapping.interleave,
    }
    table = np.zeros((len(PLACES), 2), np.int64)
    bit = cfg.mapping.interleave.bit_length() - 1
    for place in reversed(cfg.mapping.places):
        bits = sizes[place].bit_length() - 1
        table[PLACES.index(place)] = bit, bits
        bit += bits
    return table


@inline
def locate(fields: Ints, hashed: int, channels: Ints, address: int) -> tuple[int, int, int]:
    """Channel, bank within it (group x banks a group + bank), and row of ``address``.

    ``channels`` is the table of remainders by which a hashed channel is found.
    """
    row = _field(fields, ROW, address)
    bank_bits = fields[BANK, BITS]
    bank = (_field(fields, BANK_GROUP, address) << bank_bits) | _field(fields, BANK, address)
    if hashed:
        bank ^= row & ((1 << (bank_bits + fields[BANK_GROUP, BITS])) - 1)
        return remainder(channels, address >> fields[CHANNEL, LOWEST_BIT]), bank, row
    return _field(fields, CHANNEL, address), bank, row


@inline
def _field(fields: Ints, place: int, address: int) -> int:
    return (address >> fields[place, LOWEST_BIT]) & ((1 << fields[place, BITS]) - 1)
