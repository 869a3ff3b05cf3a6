from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hwsim.workloads import OP_TYPES
from hwsim.workloads.records import RECORD_TYPES, columns, from_record, to_record


def hints_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    samples: dict[type, st.SearchStrategy[Any]] = {
        int: st.integers(2, 2**62),
        float: st.floats(0, 1),
        bool: st.booleans(),
        list: st.lists(st.integers(0, 99)).map(tuple),
    }

    printable = st.text(min_size=1).filter(str.isprintable)

    def sample(name: str) -> st.SearchStrategy[Any]:
        rule = columns(kind)[name].rule
        if rule.python is not str:
            return samples[rule.python] | (st.none() if rule.nullable else st.nothing())
        words = rule.text.removeprefix("must be one of ").split(", ")
        return st.sampled_from(words) if "one of" in rule.text else printable

    return st.fixed_dictionaries({name: sample(name) for name in columns(kind)})


@given(
    st.sampled_from(sorted(OP_TYPES)).flatmap(lambda kind: st.tuples(st.just(kind), hints_of(kind)))
)
def test_every_op_goes_to_a_record_and_back(drawn: tuple[str, dict[str, Any]]) -> None:
    kind, values = drawn
    op = OP_TYPES[kind](**values)
    assert from_record(json.loads(json.dumps(to_record(op))), "here") == op


def test_fields_of_one_name_have_one_type_in_all_records() -> None:
    types: dict[str, set[type]] = {}
    for kind in RECORD_TYPES:
        for name, column in columns(kind).items():
            types.setdefault(name, set()).add(column.rule.python)
    assert {name: found for name, found in types.items() if len(found) > 1} == {}
