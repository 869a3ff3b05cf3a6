"""``hwsim bench``: how fast the toolkit itself is."""

from __future__ import annotations

from hwsim.cli.options import JsonOption
from hwsim.cli.terminal import print_json, print_table, progress

__all__ = ["bench"]


def bench(json: JsonOption = False) -> None:
    """Measure the toolkit's own speed, and each system's."""
    from hwsim.bench import benchmarks

    with progress("bench") as show:
        measured = list(benchmarks(show))
    if json:
        print_json({"schema": 1, "benchmarks": [benchmark.to_json() for benchmark in measured]})
        return
    rows = [(benchmark.name, f"{benchmark.value:,.4g}", benchmark.unit) for benchmark in measured]
    print_table(("benchmark", "value", "unit"), rows)
