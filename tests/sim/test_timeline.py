"""The timeline: what it records, replays and takes for equal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.sim.timeline import Timeline

SLICES = st.lists(
    st.tuples(
        st.sampled_from(["ld", "mv"]),
        st.sampled_from(["weight", "tile"]),
        st.integers(0, 100),
        st.integers(0, 100),
        st.sampled_from([None, (("k", 1),), (("k", "one"),)]),
    )
)


def test_slices_and_samples_are_kept_in_the_order_they_were_recorded() -> None:
    timeline = Timeline()
    timeline.slice("mv", "tile", 5, 9, (("k", 256),))
    timeline.slice("ld", "weight", 0, 5)
    timeline.counter("hbm", "bytes", 3, 4096)

    assert timeline.slices == [("mv", "tile", 5, 9, (("k", 256),)), ("ld", "weight", 0, 5, None)]
    assert timeline.samples == [("hbm", "bytes", 3, 4096)]
    assert repr(timeline) == "Timeline(2 slices, 1 samples)"


@given(SLICES)
def test_order_of_recording_does_not_matter_to_equality(
    slices: list[tuple[str, str, int, int, tuple[tuple[str, int | str], ...] | None]],
) -> None:
    forwards, backwards = Timeline(), Timeline()
    for track, name, start, length, args in slices:
        forwards.slice(track, name, start, start + length, args)
        forwards.counter(track, name, start, length)
    for track, name, start, length, args in reversed(slices):
        backwards.slice(track, name, start, start + length, args)
        backwards.counter(track, name, start, length)

    assert forwards == backwards


def test_a_slice_a_femtosecond_later_makes_timelines_differ() -> None:
    one, other = Timeline(), Timeline()
    one.slice("mv", "tile", 0, 5)
    other.slice("mv", "tile", 1, 5)

    assert one != other


def test_details_of_a_slice_count_for_equality() -> None:
    one, other = Timeline(), Timeline()
    one.slice("mv", "tile", 0, 5, (("k", 1),))
    other.slice("mv", "tile", 0, 5)

    assert one != other


def test_a_sample_more_makes_timelines_differ() -> None:
    one, other = Timeline(), Timeline()
    one.counter("hbm", "bytes", 0, 1)

    assert one != other
    assert one != "a timeline"


def test_an_interval_recorded_again_is_shifted_by_the_offset() -> None:
    simulated, replayed = Timeline(), Timeline()
    for offset in (0, 100):
        simulated.slice("mv", "tile", offset + 5, offset + 9)
        simulated.counter("hbm", "bytes", offset + 5, 64)

    replayed.slice("ld", "before", 0, 1)
    mark = replayed.mark()
    replayed.slice("mv", "tile", 5, 9)
    replayed.counter("hbm", "bytes", 5, 64)
    slices, samples = replayed.since(mark)
    replayed.extend_shifted(slices, 100, samples)

    simulated.slice("ld", "before", 0, 1)
    assert replayed == simulated


def test_an_empty_timeline_is_still_a_timeline_that_was_asked_for() -> None:
    assert bool(Timeline())


def test_float_times_are_refused() -> None:
    timeline = Timeline()
    with pytest.raises(
        TypeError, match=re.escape("slice times must be int femtoseconds, got 0 to 1.5")
    ):
        timeline.slice("mv", "tile", 0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=re.escape("counter times must be int femtoseconds, got 0.5")
    ):
        timeline.counter("hbm", "bytes", 0.5, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=re.escape("an offset must be int femtoseconds, got 1.0")):
        timeline.extend_shifted([], 1.0)  # type: ignore[arg-type]


def test_a_slice_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=re.escape("slice 'tile' on 'mv' must end at or after its start 9 fs, got 5 fs"),
    ):
        Timeline().slice("mv", "tile", 9, 5)
