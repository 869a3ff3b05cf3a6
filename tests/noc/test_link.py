"""Links: rate, latency, order, and who goes first."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from hwsim.errors import ConfigError
from hwsim.noc import Link, LinkConfig, Passage, Pipe
from hwsim.sim import Kernel, Process, StageTimes
from hwsim.sim.timeline import Timeline

NS = 10**6

GB_PER_S_3 = LinkConfig(bandwidth="3 GB/s", latency="500 ns")
"""A byte takes a third of a nanosecond: 333333.3 fs."""


def _arrivals(config: LinkConfig, sends: list[tuple[int, int, int]], seed: int = 0) -> list[int]:
    """When each of (time, key, bytes) arrives, with simultaneous events in an order of ``seed``."""
    kernel = Kernel(shuffle_ties=True, seed=seed)
    link = Link(kernel, "link", config)
    arrivals = [0] * len(sends)

    def sender(number: int) -> Process:
        at, key, size = sends[number]
        yield kernel.wait(at)
        passage = link.send(size, key)
        yield passage.departed
        departed = kernel.now
        yield passage.arrived
        assert kernel.now == departed + config.latency
        arrivals[number] = kernel.now

    def main() -> Process:
        yield from [kernel.start(sender(number)) for number in range(len(sends))]

    kernel.run(main())
    assert link.bytes.value == sum(size for _, _, size in sends)
    assert link.messages.value == len(sends)
    return arrivals


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 10**9 + 1])
def test_a_message_takes_its_bytes_over_the_bandwidth_and_the_latency(size: int) -> None:
    exact = Fraction(size, 3) * NS + 500 * NS
    assert _arrivals(GB_PER_S_3, [(7, 0, size)]) == [7 + round(exact)]


def test_messages_back_to_back_do_not_drift() -> None:
    arrivals = _arrivals(GB_PER_S_3, [(0, number, 1) for number in range(3000)])
    assert arrivals == [round(Fraction(n, 3) * NS) + 500 * NS for n in range(1, 3001)]


def test_a_message_that_comes_while_the_last_byte_leaves_is_sent_right_behind_it() -> None:
    # the first is gone after 333333.3 fs, an event at 333333; the second ends a third later still
    assert _arrivals(GB_PER_S_3, [(0, 0, 1), (333333, 0, 1)])[1] == 666667 + 500 * NS


def test_an_idle_link_starts_when_a_message_comes() -> None:
    assert _arrivals(GB_PER_S_3, [(0, 0, 3), (5 * NS, 0, 3)]) == [501 * NS, 506 * NS]


@pytest.mark.parametrize("seed", range(10))
def test_simultaneous_messages_go_by_key_and_others_by_time(seed: int) -> None:
    sends = [(0, 2, 3), (0, 1, 6), (NS, 9, 3), (2 * NS, 0, 3)]
    assert _arrivals(GB_PER_S_3, sends, seed) == [503 * NS, 502 * NS, 504 * NS, 505 * NS]


@pytest.mark.parametrize("seed", range(10))
def test_a_message_that_comes_when_the_link_gets_free_waits_for_those_before_it(seed: int) -> None:
    sends = [(0, 0, 3), (NS // 2, 5, 3), (NS, 0, 3), (NS, 1, 3)]
    assert _arrivals(GB_PER_S_3, sends, seed) == [501 * NS, 502 * NS, 503 * NS, 504 * NS]


def test_two_senders_share_a_link_and_the_work_is_conserved() -> None:
    sends = [(0, key, 3000) for key in (0, 1) for _ in range(10)]
    assert max(_arrivals(GB_PER_S_3, sends)) == round(Fraction(60000, 3) * NS) + 500 * NS


def test_the_stage_account_and_the_timeline_tell_when_the_link_is_busy() -> None:
    kernel = Kernel(timeline=Timeline())
    link = Link(kernel, "link", GB_PER_S_3)

    def main() -> Process:
        yield kernel.wait(2 * NS)
        passages = [link.send(3), link.send(6)]
        yield passages[-1].arrived

    kernel.run(main())
    assert link.stage.times() == StageTimes(busy=3 * NS, idle=502 * NS)
    assert kernel.timeline is not None
    assert kernel.timeline.slices == [
        ("link", "send", 2 * NS, 3 * NS, (("bytes", 3),)),
        ("link", "send", 3 * NS, 5 * NS, (("bytes", 6),)),
    ]


def test_a_replayed_link_remembers_the_fraction_it_is_ahead() -> None:
    def third_message(replayed: bool) -> int:
        kernel = Kernel()
        link = Link(kernel, "link", LinkConfig(bandwidth="3 TB/s", latency="0 s"))

        def main() -> Process:
            yield link.send(1).departed  # a third of a picosecond: 333.3 fs, an event at 333
            if replayed:
                memory = link.memory()
                link.recall(0)
                link.recall(memory)
            yield link.send(1).departed

        kernel.run(main())
        return kernel.now

    assert third_message(replayed=True) == third_message(replayed=False) == 667


def test_nothing_is_not_sent() -> None:
    pipe = Pipe(Kernel(), Fraction(1))
    with pytest.raises(ValueError, match=r"^amount_bytes must be at least 1, got 0$"):
        pipe.use(0)


def test_a_passage_is_what_the_sender_waits_for() -> None:
    kernel = Kernel()
    assert isinstance(Link(kernel, "link", GB_PER_S_3).send(3), Passage)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"bandwidth": "0 GB/s"},
            "bandwidth must be a bandwidth above zero, such as '460 GB/s', got '0 GB/s'",
        ),
        (
            {"latency": "-1 ns"},
            "latency must be a time of zero or more, such as '120 ns', got '-1 ns'",
        ),
        (
            {"packet_bytes": "0 B"},
            "packet_bytes must be a size above zero, such as '8 MiB', got '0 B'",
        ),
        (
            {"forwarding": "wormhole"},
            "forwarding must be one of 'store_and_forward', 'cut_through', got 'wormhole'",
        ),
    ],
)
def test_a_wrong_link_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^LinkConfig: {re.escape(message)}$"):
        LinkConfig(**{"bandwidth": "3 GB/s", "latency": "0 s"} | values)
