"""FlightLLM: large-language-model inference on an FPGA.

Sparse DSP chains, always-on-chip decode, length-adaptive compilation. Start at :mod:`.system`,
which builds the machine of :mod:`.core` from a :mod:`.config` and feeds it the programs that
:mod:`.compiler` makes of a workload trace.

Ref: S. Zeng et al., "FlightLLM: Efficient Large Language Model Inference with a Complete Mapping
Flow on FPGAs", FPGA 2024, arXiv 2401.03868.
"""

from hwsim.models.registry import SystemEntry

__all__ = ["SYSTEM"]

SYSTEM = SystemEntry(
    name="flightllm",
    title="LLM inference on FPGA: sparse DSP chains, always-on-chip decode",
    package="hwsim.models.flightllm",
    config="hwsim.models.flightllm.config:FlightLLMConfig",
    simulate="hwsim.models.flightllm.system:simulate",
    program="hwsim.models.flightllm.system:programs",
    benchmarks="hwsim.models.flightllm.bench:benchmarks",
    workload_kinds=("llm", "trace"),
)
