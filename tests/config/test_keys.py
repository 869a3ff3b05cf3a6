"""Dotted keys, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.config.keys import contains, covering, join_key, leaves, split_key

names = st.text(min_size=1)
keys = st.builds(
    lambda first, rest: (first, *rest),
    names,
    st.lists(names | st.integers(0, 999_999)),
)


@given(keys)
def test_a_key_survives_its_text(parts: tuple[str | int, ...]) -> None:
    assert split_key(join_key(parts)) == parts


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "a[", "a[x]", 'a."\\q"', "a[-1]", "[0]", 'a."b']
)
def test_what_is_no_dotted_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a dotted key such as 'hbm\.bandwidth'$"):
        split_key(text)


def test_the_longest_prefix_covers_a_key() -> None:
    entries = {"hbm": "table", "hbm.bandwidth": "value"}
    assert covering(entries, ("hbm", "bandwidth")) == "value"
    assert covering(entries, ("hbm", "channels")) == "table"
    assert covering(entries, ("hbmx",)) is None
    assert covering(entries, ()) is None


def test_leaves_are_values_lists_and_empty_tables_in_order() -> None:
    data = {"a": 1, "b": {"c": [1, 2], "d": {}}, "e": [{"f": 2}, {"f": 3}]}
    assert list(leaves(data)) == [
        (("a",), 1),
        (("b", "c"), [1, 2]),
        (("b", "d"), {}),
        (("e", 0, "f"), 2),
        (("e", 1, "f"), 3),
    ]
    assert all(contains(data, parts) for parts, _ in leaves(data))


@pytest.mark.parametrize("parts", [("x",), ("a", "b"), ("e", 2), ("e", "f"), ("b", 0)])
def test_what_is_not_there_is_not_contained(parts: tuple[str | int, ...]) -> None:
    assert not contains({"a": 1, "b": {}, "e": [{"f": 2}, {"f": 3}]}, parts)
