"""``hwsim list``: what can be named on the command line."""

from __future__ import annotations

from typing import Any

from hwsim.cli.options import JsonOption
from hwsim.cli.terminal import print_json, print_table

__all__ = ["list_registered"]


def list_registered(json: JsonOption = False) -> None:
    """List the systems, their machines and the workloads they run."""
    listed = _listed()
    if json:
        print_json({"schema": 1, "systems": listed})
        return
    rows = [(s["name"], "\n".join(s["machines"]), "\n".join(s["workloads"])) for s in listed]
    print_table(("system", "machines", "workloads"), rows)


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
