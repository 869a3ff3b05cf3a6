"""T3: GEMMs and collectives overlapped by tracking and triggering, on a node of accelerators.

Start at :mod:`.system`, which runs a trace's tasks; :mod:`.programs` is what runs on the
:mod:`.node`, :mod:`.fused` what T3 adds to a device.

Ref: S. Pati et al., "T3: Transparent Tracking & Triggering for Fine-grained Overlap of Compute &
Collectives", ASPLOS 2024, arXiv 2401.16677.
"""

from hwsim.models.registry import SystemEntry

__all__ = ["SYSTEM"]

SYSTEM = SystemEntry(
    name="t3",
    title="GEMMs overlapped with collectives: track, trigger, near-memory reduction",
    package="hwsim.models.t3",
    config="hwsim.models.t3.config:T3Config",
    simulate="hwsim.models.t3.system:simulate",
    workload_kinds=("tensor_parallel", "collective"),
    benchmarks="hwsim.models.t3.bench:benchmarks",
)
