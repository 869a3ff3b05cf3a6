"""``ops.csv`` and the groups of slowest ops."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hwsim.outcome import OpRow
from hwsim.report.ops import OPS_COLUMNS, OpGroup, OpTotals, slowest, write_ops


def _row(name: str, cycles: int, bound_by: str = "memory", phase: str = "decode") -> OpRow:
    return OpRow(0, name, "Gemm", phase, 0, 10, 10 + cycles, 100, 10, 1000, bound_by)


def test_the_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    write_ops(iter([]), tmp_path / "ops.csv")

    assert (tmp_path / "ops.csv").read_text() == (
        "index,name,type,phase,layer,start_cycle,end_cycle,cycles,"
        "bytes_read,bytes_written,macs,bound_by\n"
    )


def test_a_row_has_its_cycles_and_an_empty_layer_outside_of_layers(tmp_path: Path) -> None:
    row = OpRow(7, "lm_head", "Gemm", "decode", None, 100, 350, 64, 8, 512, "memory")
    write_ops([row], tmp_path / "ops.csv")

    lines = (tmp_path / "ops.csv").read_text().splitlines()
    assert lines[1] == "7,lm_head,Gemm,decode,,100,350,250,64,8,512,memory"


def test_fused_ops_are_one_group_at_the_end_however_long_they_span() -> None:
    totals = OpTotals()
    fused = [_row(f"op_{letter}", 1000, "fused") for letter in "xy"]
    list(totals.lines([*fused, _row("op_a", 1), _row("op_b", 2)]))

    top = slowest(totals.groups(), 1)
    assert [(group.name, group.count, group.cycles, group.bound_by) for group in top] == [
        ("op_b", 1, 2, "memory"),
        ("all others", 1, 1, ""),
        ("all fused ops", 2, 2000, "fused"),
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1))
def test_any_name_is_read_back_by_a_csv_reader(name: str) -> None:
    (cells,) = csv.reader(OpTotals().lines([_row(name, 1)]), strict=True)

    assert cells[1] == name


def test_a_name_with_a_line_break_stays_one_cell(tmp_path: Path) -> None:
    write_ops([_row('a "b",\r\nc', 1)], tmp_path / "ops.csv")

    with (tmp_path / "ops.csv").open(newline="") as file:
        header, row = csv.reader(file, strict=True)
    assert tuple(header) == OPS_COLUMNS
    assert row[1] == 'a "b",\r\nc'


def test_rows_are_drawn_once_and_never_held(tmp_path: Path) -> None:
    alive = 0

    class Counted(OpRow):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def rows() -> Iterator[OpRow]:
        nonlocal alive
        for index in range(1000):
            alive += 1
            assert alive <= 3
            yield Counted(index, "op", "Gemm", "decode", 0, 0, 1, 0, 0, 0, "memory")

    assert write_ops(rows(), tmp_path / "ops.csv").count == 1000


def test_ops_that_differ_in_numbers_are_one_group_for_each_phase() -> None:
    totals = OpTotals()
    rows = [
        _row("layers.0.q_proj", 100),
        _row("layers.31.q_proj", 50),
        _row("layers.0.q_proj", 7, phase="prefill"),
        _row("layers.0.fc1", 3),
    ]
    list(totals.lines(rows))

    assert totals.groups() == [
        OpGroup("layers.*.q_proj", "decode", 2, 150, 200, 20, 2000, "memory"),
        OpGroup("layers.*.q_proj", "prefill", 1, 7, 100, 10, 1000, "memory"),
        OpGroup("layers.*.fc1", "decode", 1, 3, 100, 10, 1000, "memory"),
    ]


def test_a_group_is_bound_by_what_bound_most_of_its_cycles() -> None:
    totals = OpTotals()
    list(totals.lines([_row("a", 10, "sync"), _row("a", 10, "sync"), _row("a", 30, "compute")]))

    assert [group.bound_by for group in totals.groups()] == ["compute"]


def test_the_slowest_groups_and_all_others_add_up_to_everything() -> None:
    totals = OpTotals()
    list(totals.lines(_row(f"op_{letter}", cycles) for cycles, letter in enumerate("abcdef", 1)))

    top = slowest(totals.groups(), 2)
    assert [(group.name, group.count, group.cycles) for group in top] == [
        ("op_f", 1, 6),
        ("op_e", 1, 5),
        ("all others", 4, 10),
    ]
    assert slowest(totals.groups(), 6) == totals.groups()
