"""Machine files: names, headers, ``extends`` and who said what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hwsim.config import (
    BytesPerSecond,
    Config,
    Hertz,
    PositiveInt,
    RawConfig,
    build,
    load_machine_file,
    locate_files,
    machine_names,
    parameter_table,
    paths,
    shipped,
)
from hwsim.errors import ConfigError

BASE = """
system = "toy"
description = "A toy"
clock = "225 MHz"
[hbm]
bandwidth = "460 GB/s"
channels = 32
[provenance]
clock = "published: Toy, section 1"
hbm = "derived: from the board"
"hbm.channels" = "assumed: a guess"
"""


NO_MACHINE = "machine must be a .toml file or the name of a machine"


class Hbm(Config):
    bandwidth: BytesPerSecond
    channels: PositiveInt


class Machine(Config):
    clock: Hertz
    hbm: Hbm


class Mapped(Config):
    """A machine that names two files."""

    file_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {"table.map": ("none",), "mask": ()}


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file of a source tree; hwsim finds its shipped machines there."""
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "hwsim")
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def load(machine: str | Path, cls: type[Config] | None) -> None:
    raw = load_machine_file(machine)
    if cls is not None:
        build(cls, raw)


def refusals(machine: str | Path, cls: type[Config] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(machine, cls)
    return str(caught.value).splitlines()


def test_package_data_wins_over_the_source_tree(write: Write, tmp_path: Path) -> None:
    assert shipped("workloads") == tmp_path / "workloads"
    write("hwsim/_data/workloads/a.toml", "")
    assert shipped("workloads") == tmp_path / "hwsim/_data/workloads"
    assert shipped("arch_configs") == tmp_path / "arch_configs"


def test_machines_are_named_by_system_and_file(write: Write) -> None:
    assert machine_names() == ()
    for name in ("toy/b", "toy/a", "other/c"):
        write(f"arch_configs/{name}.toml", BASE)
    assert machine_names() == ("other/c", "toy/a", "toy/b")
    assert machine_names("toy") == ("toy/a", "toy/b")
    assert machine_names("none") == ()


def test_a_machine_file_is_split_into_header_values_and_provenance(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    raw = load_machine_file("toy/a")
    assert raw == RawConfig(
        data={"clock": "225 MHz", "hbm": {"bandwidth": "460 GB/s", "channels": 32}},
        where="arch_configs/toy/a.toml",
        provenance={
            "clock": "published: Toy, section 1",
            "hbm": "derived: from the board",
            "hbm.channels": "assumed: a guess",
        },
        system="toy",
        description="A toy",
    )


def test_a_shipped_name_wins_over_a_path(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    write("toy/a", "nonsense")
    assert load_machine_file("toy/a").system == "toy"


def test_a_path_is_shown_as_it_was_given(write: Write) -> None:
    write("mine/a.toml", BASE)
    assert load_machine_file("mine/a.toml").where == "mine/a.toml"
    assert load_machine_file(Path("mine/a.toml")).where == "mine/a.toml"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy/aa", f"{NO_MACHINE} (toy/a; did you mean 'toy/a'?), got 'toy/aa'"),
        ("", f"{NO_MACHINE} (toy/a), got ''"),
        ("x.json", f"{NO_MACHINE} (toy/a), got 'x.json'"),
        ("nowhere.toml", "nowhere.toml: must be an existing file"),
        ("arch_configs/toy", "arch_configs/toy: must be a file, this is a directory"),
        (".", ".: must be a file, this is a directory"),
    ],
)
def test_what_is_no_machine_is_told(write: Write, name: str, message: str) -> None:
    write("arch_configs/toy/a.toml", BASE)
    assert refusals(name) == [message]


def test_without_any_shipped_machine_the_message_says_so(write: Write) -> None:
    del write
    assert refusals("x") == [f"{NO_MACHINE} (none are shipped), got 'x'"]


def test_a_machine_file_must_name_its_system(write: Write) -> None:
    write("a.toml", 'clock = "1 MHz"\n[provenance]\nx = "published: y"\n')
    assert refusals("a.toml") == [
        "a.toml: system must be given: the system this machine is of",
        "a.toml: provenance.x must name a key of this file, got 'x'",
    ]


def test_header_values_must_be_text(write: Write) -> None:
    write("a.toml", "system = 3\ndescription = 4\nextends = 5\n")
    assert refusals("a.toml") == [
        "a.toml: system must be text, got 3",
        "a.toml: description must be text, got 4",
    ]
    write("a.toml", 'system = "toy"\nextends = 5\n')
    assert refusals("a.toml") == ["a.toml: extends must be the name or path of a machine, got 5"]


def test_wrong_provenance_is_told_with_the_other_problems_of_the_file(write: Write) -> None:
    header = 'system = "toy"\nclock = "1 GB"\nhbm.bandwidth = "1 GB/s"\nhbm.channels = 1\n'
    entries = {
        "clock": '"guessed: by me"',
        "hbm.bandwidth": '"published"',
        "hbm.channels": '"published: "',
        "hbm": "3",
        "hmb": '"assumed: why not"',
    }
    lines = "".join(f'"{key}" = {entry}\n' for key, entry in entries.items())
    write("a.toml", f"{header}[provenance]\n{lines}")
    rule = "must be '<kind>: <source>' with the kind one of published, derived, calibrated, assumed"
    assert refusals("a.toml", Machine) == [
        f"a.toml: provenance.clock {rule}, got 'guessed: by me'",
        f"a.toml: provenance.hbm.bandwidth {rule}, got 'published'",
        f"a.toml: provenance.hbm.channels {rule}, got 'published: '",
        f"a.toml: provenance.hbm {rule}, got 3",
        "a.toml: provenance.hmb must name a key of this file, got 'hmb'",
        "a.toml: clock must be a frequency such as '225 MHz', got '1 GB'",
    ]


def test_provenance_must_be_a_table(write: Write) -> None:
    write("a.toml", 'system = "toy"\nprovenance = 3\nclock = "1 MHz"\n')
    assert refusals("a.toml", Machine) == [
        "a.toml: provenance must be a table, got 3",
        "a.toml: hbm must be given: a table",
    ]


def test_a_file_overrides_the_machine_it_extends(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    write("arch_configs/toy/b.toml", 'extends = "toy/a"\n[hbm]\nbandwidth = "920 GB/s"\n')
    raw = load_machine_file("toy/b")
    assert raw.data == {"clock": "225 MHz", "hbm": {"bandwidth": "920 GB/s", "channels": 32}}
    assert (raw.system, raw.description) == ("toy", "A toy")
    machine = build(Machine, raw)
    rows = [(row.key, row.kind, row.source) for row in parameter_table(machine, raw)]
    assert rows == [
        ("clock", "published", "Toy, section 1"),
        ("hbm.bandwidth", "unstated", ""),
        ("hbm.channels", "assumed", "a guess"),
    ]


def test_own_provenance_covers_own_values_and_may_name_inherited_ones(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    own = 'extends = "toy/a"\n[hbm]\nbandwidth = "920 GB/s"\n[provenance]\n'
    write("b.toml", own + 'hbm = "assumed: twice"\nclock = "calibrated: on a card"\n')
    raw = load_machine_file("b.toml")
    rows = {row.key: row.kind for row in parameter_table(build(Machine, raw), raw)}
    assert rows == {"clock": "calibrated", "hbm.bandwidth": "assumed", "hbm.channels": "assumed"}
    assert raw.provenance["hbm.channels"] == "assumed: a guess"


def test_an_empty_table_overrides_nothing(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    write("b.toml", 'extends = "toy/a"\n[hbm]\n')
    raw = load_machine_file("b.toml")
    assert [row.kind for row in parameter_table(build(Machine, raw), raw)] == [
        "published",
        "derived",
        "assumed",
    ]


def test_a_problem_of_an_inherited_value_names_the_file_it_stands_in(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE.replace("225 MHz", "225").replace("32", "0"))
    write("mid.toml", 'extends = "toy/a"\n[hbm]\nchannels = -1\n')
    write("mine/b.toml", 'extends = "../mid.toml"\n[hbm]\nbandwidth = "3"\n')
    unitless = "must be a frequency with a unit, such as '225 MHz'"
    assert refusals("mine/b.toml", Machine) == [
        f"arch_configs/toy/a.toml: clock {unitless}, got '225'",
        "mine/b.toml: hbm.bandwidth must be a bandwidth with a unit, such as '460 GB/s', got '3'",
        "mine/../mid.toml: hbm.channels must be a whole number of at least 1, got -1",
    ]


def test_a_circle_of_extends_is_told(write: Write) -> None:
    write("a.toml", 'system = "toy"\nextends = "b.toml"\n')
    write("b.toml", 'system = "toy"\nextends = "./a.toml"\n')
    assert refusals("a.toml") == [
        "b.toml: extends must not lead back to itself (a.toml -> b.toml -> a.toml), got './a.toml'"
    ]
    write("c.toml", 'extends = "c.toml"\n')
    assert refusals("c.toml") == [
        "c.toml: extends must not lead back to itself (c.toml -> c.toml), got 'c.toml'"
    ]


def test_a_base_that_is_not_there_is_told_by_the_file_that_names_it(write: Write) -> None:
    write("a.toml", 'system = "toy"\nextends = "toy/none"\n')
    rule = "must be a .toml file or the name of a machine (none are shipped)"
    assert refusals("a.toml") == [f"a.toml: extends {rule}, got 'toy/none'"]


def test_a_machine_is_of_the_system_it_extends(write: Write) -> None:
    write("arch_configs/toy/a.toml", BASE)
    write("b.toml", 'system = "other"\nextends = "toy/a"\n')
    assert refusals("b.toml") == [
        "b.toml: system must be that of the machine it extends, 'toy', got 'other'"
    ]


def test_a_file_is_below_the_folder_of_the_machine_file_that_names_it(write: Write) -> None:
    write("lab/base.toml", 'system = "toy"\nmask = "m.npz"\n[table]\nmap = "maps/d.npz"\n')
    write("mine.toml", 'extends = "lab/base.toml"\nmask = "own.npz"\n')
    write("lab/word.toml", 'system = "toy"\nmask = "/m.npz"\n[table]\nmap = "none"\n')
    write("lab/wrong.toml", 'system = "toy"\nmask = ""\ntable = 3\n')

    def located(machine: str) -> dict[str, Any]:
        return locate_files(load_machine_file(machine), Mapped).data

    assert located("lab/base.toml") == {"mask": "lab/m.npz", "table": {"map": "lab/maps/d.npz"}}
    assert located("mine.toml") == {"mask": "own.npz", "table": {"map": "lab/maps/d.npz"}}
    assert located("lab/word.toml") == {"mask": "/m.npz", "table": {"map": "none"}}
    assert located("lab/wrong.toml") == {"mask": "", "table": 3}
