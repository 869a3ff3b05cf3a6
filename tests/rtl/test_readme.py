"""What is written of the blocks: a row each, as registered, and the table of resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl.block import Block
from rtl.flow.label import DEFAULT
from rtl.registry import BLOCKS, block


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "rtl" / "README.md").read_text()


@pytest.fixture
def resources(repository: Path) -> str:
    return (repository / "reports" / "rtl" / "resources.md").read_text()


def _rows(markdown: str) -> list[list[str]]:
    lines = (line for line in markdown.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _latency(found: Block) -> str:
    """Those of its modes, each once."""
    modes = found.modes(found.parameters())
    return ", ".join(map(str, sorted({mode.latency_cycles for mode in modes})))


def test_the_table_has_a_row_for_every_registered_block(resources: str) -> None:
    rows = [row[0] for row in _rows(resources) if row[1] == DEFAULT]
    assert rows == list(BLOCKS)


def test_the_readme_holds_the_committed_table(readme: str, resources: str) -> None:
    assert resources in readme


def test_the_readme_tells_each_block_as_it_is_registered(readme: str) -> None:
    rows = _rows(readme.split("## Resources", maxsplit=1)[0])[2:]
    registered = [block(name) for name in BLOCKS]
    assert [row[:3] for row in rows] == [
        [f"`{found.name}`", found.title, _latency(found)] for found in registered
    ]
    assert all(row[3] for row in rows)
