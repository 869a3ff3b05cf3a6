from __future__ import annotations

import random

import pytest

from hwsim.sim import Event, Kernel, Process, Server, Slots

REQUESTS = [(0, 2, 5), (0, 1, 3), (4, 0, 2), (4, 3, 1), (20, 0, 7)]
"""Time, key and duration of each."""


def _ends(seed: int) -> list[int]:
    """When each request is done, with simultaneous events in an order of ``seed``."""
    kernel = Kernel(shuffle_ties=True, seed=seed)
    server = Server(kernel)
    ends = [0] * len(REQUESTS)

    def request(number: int) -> Process:
        at, key, duration = REQUESTS[number]
        yield kernel.wait(at)
        yield server.use(duration, key)
        ends[number] = kernel.now

    def main() -> Process:
        order = list(range(len(REQUESTS)))
        random.Random(seed).shuffle(order)
        yield from [kernel.start(request(number)) for number in order]

    kernel.run(main())
    assert server.busy_fs == sum(duration for _, _, duration in REQUESTS)
    return ends


@pytest.mark.parametrize("seed", range(20))
def test_requests_are_served_by_time_and_then_by_key(seed: int) -> None:
    # key 1 from 0 to 3, key 2 to 8; of those that came at 4, key 0 to 10 and key 3 to 11
    assert _ends(seed) == [8, 3, 10, 11, 27]


def test_the_end_of_an_instant_comes_after_what_is_due_in_it() -> None:
    kernel = Kernel()
    seen: list[str] = []

    def late() -> Process:
        yield kernel.end_of_instant()
        seen.append("last")

    def chain() -> Process:
        for name in "abc":
            yield kernel.wait(0)
            seen.append(name)

    def main() -> Process:
        processes: list[Event] = [kernel.start(late()), kernel.start(chain())]
        yield from processes

    kernel.run(main())
    assert seen == ["a", "b", "c", "last"]


def test_an_event_is_made_to_happen_at_a_time_not_before_now() -> None:
    kernel = Kernel()

    def main() -> Process:
        yield kernel.wait(7)
        event = kernel.event()
        kernel.succeed_at(event, 12, "value")
        assert (yield event) == "value"
        assert kernel.now == 12
        with pytest.raises(ValueError, match=r"^time_fs must be at least 12, got 11$"):
            kernel.succeed_at(kernel.event(), 11)

    kernel.run(main())


@pytest.mark.parametrize("seed", range(20))
def test_slots_are_granted_by_time_and_then_by_key(seed: int) -> None:
    kernel = Kernel(shuffle_ties=True, seed=seed)
    slots = Slots(kernel, 2)
    granted = [0] * len(REQUESTS)

    def request(number: int) -> Process:
        at, key, duration = REQUESTS[number]
        yield kernel.wait(at)
        yield slots.take(key)
        granted[number] = kernel.now
        yield kernel.wait(duration)
        slots.give_back()

    def main() -> Process:
        yield from [kernel.start(request(number)) for number in range(len(REQUESTS))]

    kernel.run(main())
    # two from 0 on; the first is free again at 3; of those that came at 4, key 0 goes at once
    assert granted == [0, 0, 4, 5, 20]
