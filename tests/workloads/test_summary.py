"""The summary of a trace agrees with the counts of its ops."""

from __future__ import annotations

from dataclasses import asdict

from hwsim.workloads import LlmScenario, LlmShape, build_trace, total
from hwsim.workloads.records import to_record
from hwsim.workloads.summary import summary

SHAPE = LlmShape(
    layers=2,
    hidden_size=16,
    intermediate_size=24,
    heads=4,
    kv_heads=2,
    head_dim=4,
    vocab_size=50,
    max_positions=64,
)


def test_a_summary_counts_every_op_once_whatever_it_lists() -> None:
    trace = build_trace(SHAPE, LlmScenario(prompt_tokens=5, output_tokens=3), name="tiny")
    ops = list(trace)
    for limit in (0, 7, len(ops) + 1):
        found = summary(trace, limit)
        assert (found["schema"], found["workload"], found["sha256"]) == (1, "tiny", trace.sha256())
        assert found["ops"] == [to_record(op) for op in ops[:limit]]
        for row in found["totals"]:
            group = [
                op for op in ops if (op.phase, type(op).__name__) == (row["phase"], row["type"])
            ]
            assert {"phase": row["phase"], "type": row["type"], **asdict(total(group))} == row
        assert sum(row["ops"] for row in found["totals"]) == len(ops)
