"""Admitted requests, against two queues that are popped one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.golden.t3_mc_arbiter import admitted


@given(st.lists(st.integers(0, 1), max_size=30))
def test_each_stream_keeps_its_order_and_loses_none(streams: list[int]) -> None:
    queues = [iter(range(99)), iter(range(99))]
    due = [next(queues[stream]) for stream in streams]
    seen = admitted(np.array(streams, int))
    assert seen.stream.tolist() == streams
    assert seen.position.tolist() == due
