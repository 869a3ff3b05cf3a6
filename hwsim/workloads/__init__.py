"""What is to be computed: traces of typed ops, built from models or read from files."""

from __future__ import annotations

from hwsim.workloads.collective import CollectiveScenario, CollectiveWorkload
from hwsim.workloads.counts import (
    OpCounts,
    bytes_read,
    bytes_written,
    count,
    effective_macs,
    link_bytes,
    macs,
    total,
    weight_bytes,
)
from hwsim.workloads.files import TRACE_SUFFIXES, read_trace, write_trace
from hwsim.workloads.huggingface import MODEL_TYPES, from_hugging_face
from hwsim.workloads.jsonl import read_jsonl, write_jsonl
from hwsim.workloads.kind import Workload
from hwsim.workloads.llm import build_trace
from hwsim.workloads.llm_workload import LlmWorkload
from hwsim.workloads.ops import (
    OP_TYPES,
    Activation,
    Attention,
    Collective,
    Dtype,
    Elementwise,
    Embedding,
    Gemm,
    KvAppend,
    Norm,
    Op,
    Phase,
    Softmax,
)
from hwsim.workloads.parquet import read_parquet, write_parquet
from hwsim.workloads.registry import KINDS, load_workload, workload_kind, workload_names
from hwsim.workloads.scenario import PROJECTION_ROLES, LlmScenario, Numerics
from hwsim.workloads.shapes import Linear, LlmShape
from hwsim.workloads.step import Step
from hwsim.workloads.tensor_parallel import (
    TensorParallelScenario,
    TensorParallelWorkload,
    TransformerShape,
)
from hwsim.workloads.trace import Trace
from hwsim.workloads.trace_workload import TraceWorkload
from hwsim.workloads.transformer import (
    BACKWARD_SUBLAYERS,
    FORWARD_SUBLAYERS,
    LayerShare,
    Projection,
    Sublayer,
)

__all__ = [
    "BACKWARD_SUBLAYERS",
    "FORWARD_SUBLAYERS",
    "KINDS",
    "MODEL_TYPES",
    "OP_TYPES",
    "PROJECTION_ROLES",
    "TRACE_SUFFIXES",
    "Activation",
    "Attention",
    "Collective",
    "CollectiveScenario",
    "CollectiveWorkload",
    "Dtype",
    "Elementwise",
    "Embedding",
    "Gemm",
    "KvAppend",
    "LayerShare",
    "Linear",
    "LlmScenario",
    "LlmShape",
    "LlmWorkload",
    "Norm",
    "Numerics",
    "Op",
    "OpCounts",
    "Phase",
    "Projection",
    "Softmax",
    "Step",
    "Sublayer",
    "TensorParallelScenario",
    "TensorParallelWorkload",
    "Trace",
    "TraceWorkload",
    "TransformerShape",
    "Workload",
    "build_trace",
    "bytes_read",
    "bytes_written",
    "count",
    "effective_macs",
    "from_hugging_face",
    "link_bytes",
    "load_workload",
    "macs",
    "read_jsonl",
    "read_parquet",
    "read_trace",
    "total",
    "weight_bytes",
    "workload_kind",
    "workload_names",
    "write_jsonl",
    "write_parquet",
    "write_trace",
]
