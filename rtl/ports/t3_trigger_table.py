"""The ports of ``t3.trigger_table``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PORTS"]

PORTS: Final[Mapping[str, str]] = {
    "kernels": "What the blocks to come have in common; entries that are not ready are forgotten.",
    "kernels.columns": "Columns of a tile, less one.",
    "kernels.column_bytes": "Bytes of a tile's column.",
    "kernels.source_pitch": "Bytes from one column of the source to the next.",
    "kernels.destination_pitch": "Bytes from one column of the destination to the next.",
    "kernels.block_bits": "Low bits of a tile's number that can differ within a block.",
    "programs": "An entry; taken, it waits until the block before it in its place is ready.",
    "programs.block": "The number of the block: that of its tiles without their block_bits.",
    "programs.source": "Byte address of its first column.",
    "programs.destination": "Byte address that its first column is sent to.",
    "programs.tiles": "Its tiles, less one: so many triggers make it ready, less one.",
    "programs.operation": "Code of what is done at the destination (codes).",
    "triggers": "A tile that is complete; its block must be programmed.",
    "triggers.workgroup": "Its workgroup's index: the high bits of its number.",
    "triggers.wavefront": "Its wavefront's number: the low bits.",
    "requests": "A column to be read and sent, of the blocks in the order in which they got ready.",
    "requests.source": "Byte address to read from.",
    "requests.destination": "Byte address to send to.",
    "requests.bytes": "Bytes of the column.",
    "requests.operation": "Code of what is done at the destination (codes).",
    "requests.last": "1: the last column of its block.",
    "fault": "1: a trigger's block was not programmed; none is taken until reset.",
}
