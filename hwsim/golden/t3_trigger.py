"""What T3's trigger table requests: the columns of each block, in the order in which it was ready.

Values alone: when each is requested is the law's to say
(:func:`hwsim.laws.t3_trigger.timetable`).

Ref: T3 (ASPLOS'24, arXiv 2401.16677), sections 4.2.2 and 4.4; a column-major output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hwsim.laws.t3_trigger import Output, Program, TriggerGeometry, block_of

__all__ = ["ready_order", "requests"]


def ready_order(
    geometry: TriggerGeometry,
    output: Output,
    programs: Iterable[Program],
    triggers: Iterable[tuple[int, int]],
) -> list[Program]:
    """The programs whose tiles have all triggered, by their last trigger."""
    by_block: Mapping[int, Program] = {program.block: program for program in programs}
    seen: Counter[int] = Counter()
    order = []
    for workgroup, wavefront in triggers:
        block = block_of(geometry, output, workgroup, wavefront)
        seen[block] += 1
        if block in by_block and seen[block] == by_block[block].tiles:
            order.append(by_block[block])
    return order


def requests(
    geometry: TriggerGeometry, output: Output, programs: Sequence[Program]
) -> NDArray[np.uint64]:
    """[requests, (source, destination, bytes, operation, last)] of blocks that are ready in turn.

    Addresses wrap at ``address_bits``.
    """
    rows: list[NDArray[np.uint64]] = []
    wrap = np.uint64((1 << geometry.address_bits) - 1)
    for program in programs:
        count = program.tiles * output.columns
        column = np.arange(count, dtype=np.uint64)
        block = np.zeros((count, 5), np.uint64)
        block[:, 0] = np.uint64(program.source) + column * np.uint64(output.source_pitch)
        block[:, 1] = np.uint64(program.destination) + column * np.uint64(output.destination_pitch)
        block[:, :2] &= wrap
        block[:, 2], block[:, 3] = output.column_bytes, program.operation
        block[-1, 4] = 1
        rows.append(block)
    return np.concatenate([np.zeros((0, 5), np.uint64), *rows])
