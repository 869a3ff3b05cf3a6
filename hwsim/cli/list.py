"""``hwsim list``: what can be named on the command line."""

from __future__ import annotations

from typing import Any

from hwsim.cli.options import JsonOption
from hwsim.cli.terminal import print_json, print_table, print_text

__all__ = ["list_registered"]


def list_registered(json: JsonOption = False) -> None:
    """List the systems, their machines and the workloads they run."""
    listed = _listed()
    if json:
        print_json({"schema": 1, "systems": listed})
    else:
        _print_tables(listed)


def _print_tables(listed: list[dict[str, Any]]) -> None:
    """Each system under its title, so that the title has the width of the page."""
    from hwsim.models.registry import systems

    for number, (entry, system) in enumerate(zip(systems(), listed, strict=True)):
        names = [("\n".join(system["machines"]), "\n".join(system["workloads"]))]
        print_text("\n" if number else "")
        print_text(f"{entry.name}: {entry.title}\n\n")
        print_table(("machines", "workloads"), names)


def _listed() -> list[dict[str, Any]]:
    from hwsim.config.machines import machine_names
    from hwsim.models.registry import systems
    from hwsim.workloads.registry import workload_kind, workload_names

    kinds = {name: workload_kind(name) for name in workload_names()}
    return [
        {
            "name": entry.name,
            "machines": list(machine_names(entry.name)),
            "workloads": [name for name, kind in kinds.items() if kind in entry.workload_kinds],
        }
        for entry in systems()
    ]
