"""The page: self-contained, escaped, with everything a reader needs."""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hwsim.outcome import OpRow, StageCycles, TableData
from hwsim.report import load_run, write_run
from hwsim.report.html import command
from hwsim.run import Result

VOID = {"meta", "img", "br", "link", "hr"}


class _Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.references: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        self.titles += [value or "" for name, value in attrs if name == "alt"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(saved: Path) -> str:
    return (saved / "report.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    parsed = _Page(page)

    assert all(reference.startswith("data:image/png;base64,") for reference in parsed.references)
    assert not {"script", "link", "iframe", "object", "embed"} & set(parsed.tags)
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_figures_inside_are_the_files(saved: Path, page: str) -> None:
    inside = [base64.b64decode(r.partition(",")[2]) for r in _Page(page).references]

    assert inside == [
        (saved / "figures" / name).read_bytes() for name in ("staircase.png", "units.png")
    ]


def test_a_figure_has_its_title_for_those_who_cannot_see_it(page: str) -> None:
    assert _Page(page).titles == ["Decode step latency", "Where each cycle goes"]


@pytest.mark.parametrize(
    "text",
    [
        *("17.5 ms", "57.2 token/s", "65.9 %"),  # the headline
        *("weights", "90.0 %"),  # what bound it
        *("3,938,850", "0.0175"),  # phases and metrics
        *("A jump for each bucket.", "tables/staircase.csv"),
        *("layers.*.q_proj", "norm", "All 4 ops"),
        *("core.ld", "71.1 %", "25.4 %"),
        *("Mix", "89,554"),  # a table that no figure draws
        *("225 MHz", "published", "the paper, table 3", "override", "--set"),
        *("0.1.0", "abc123", "12" * 32, "34" * 32),
        "Loads of <attention> are not held back & overran the buffers.",
        "hwsim run flightllm/u280 llama2_7b --set 'machine.hbm.bandwidth=920 GB/s' --seed 7",
        *("430 ms", "1,234", "200 MB"),
        "with machine.hbm.bandwidth=920 GB/s",
        "timeline.json.gz",
    ],
)
def test_the_page_says(page: str, text: str) -> None:
    assert text in _Page(page).text.replace("\n", " ")


def test_names_and_values_cannot_become_markup(result: Result, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    parameter = replace(result.parameters[0], key=evil, value_text=evil, source=evil, kind=evil)
    outcome = replace(result.outcome, notes=[evil], bound_by={evil: 1.0})
    spoilt = replace(result, machine=evil, outcome=outcome, parameters=[parameter])
    folder = write_run(spoilt, tmp_path / "evil")

    assert _Page((folder / "report.html").read_text()).tags["script"] == 0


def test_sections_without_content_are_left_out(result: Result, tmp_path: Path) -> None:
    outcome = replace(
        result.outcome, tables={}, figures=(), stages={}, notes=(), ops=lambda: iter(())
    )
    folder = write_run(replace(result, outcome=outcome, parameters=()), tmp_path / "bare")
    text = _Page((folder / "report.html").read_text()).text

    assert "All metrics" in text
    for heading in ("Figures", "Slowest ops", "Configuration", "before reading on"):
        assert heading not in text


def test_a_long_table_is_cut_and_says_so(result: Result, tmp_path: Path) -> None:
    rows = [(f"row {i}", i) for i in range(1000)]
    long = replace(result.outcome.tables["mix"], rows=rows)
    tables = {**result.outcome.tables, "mix": long}
    folder = write_run(
        replace(result, outcome=replace(result.outcome, tables=tables)), tmp_path / "r"
    )
    text = _Page((folder / "report.html").read_text()).text

    assert "row 39" in text
    assert "row 40" not in text
    assert "960 more rows in tables/mix.csv" in text


def test_the_command_leaves_out_what_is_default(result: Result, tmp_path: Path) -> None:
    source = replace(result.provenance, seed=0, replay=False)
    plain = replace(result, provenance=source, overrides=())
    run = load_run(write_run(plain, tmp_path / "run"))

    assert command(run.measured, run.described) == (
        "hwsim run flightllm/u280 llama2_7b --no-replay"
    )


def test_the_workload_has_its_values(page: str) -> None:
    text = re.sub(r"\s+", " ", _Page(page).text)

    assert "Workload settingvaluekind phasedecode_stepoverride kv_length128override" in text


def _rendered(result: Result, tmp_path: Path, **changed: Any) -> str:
    spoilt = replace(result, outcome=replace(result.outcome, **changed))
    folder = write_run(spoilt, tmp_path / "run")
    return re.sub(r"\s+", " ", _Page((folder / "report.html").read_text()).text)


def test_a_component_that_only_hands_work_on_is_last_and_explained(
    result: Result, tmp_path: Path
) -> None:
    cycles = result.outcome.stages["core.ld"].total
    stages = {"core.scheduler": StageCycles(0, 0, cycles, 0), **result.outcome.stages}
    text = _rendered(result, tmp_path, stages=stages)

    assert text.index("core.ld") < text.index("core.scheduler *")
    assert "* Takes no time of its own: it hands work on and, by design, is blocked" in text
    assert "* Takes no time" not in _rendered(result, tmp_path)


def test_fused_ops_have_no_share_and_are_explained(result: Result, tmp_path: Path) -> None:
    rope = OpRow(4, "rope", "Elementwise", "decode", 0, 0, 270, 0, 0, 0, "fused")
    rows = [*result.outcome.ops(), rope]
    text = _rendered(result, tmp_path, ops=lambda: iter(rows))

    assert "layers.*.q_projdecode327096.4 %" in text
    assert "all fused ops12700 B0 B0fused" in text
    assert "Fused ops run under the op before them" in text
    assert "Fused ops" not in _rendered(result, tmp_path)


def test_tables_are_in_peoples_units(result: Result, tmp_path: Path) -> None:
    tables = {
        **result.outcome.tables,
        "work": TableData(
            ("unit", "busy_ms", "hbm_bytes", "spent_cycles"),
            [("LD", 9412.0138, 1749170205491, 17664000), ("ST", 4881.95, 1342303488, 1)],
        ),
    }
    text = _rendered(result, tmp_path, tables=tables)

    assert "unitbusy (s)hbmspent (cycle) LD9.4121.749 TB17,664,000 ST4.8821.342 GB1" in text
    assert "KV lengthlatency (ms)" in text.replace("kv length", "KV length")
    assert "12817.5 14417.6 160" in text
