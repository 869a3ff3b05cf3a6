"""How weights are stored: density, bits, a user's density map, and the metadata of sparse ones."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.errors import WorkloadError
from hwsim.laws.flightllm_isa import LoadMode, Opcode
from hwsim.models.flightllm.block import Block
from hwsim.models.flightllm.config import FlightLLMConfig
from hwsim.models.flightllm.core import SegmentTimes
from hwsim.models.flightllm.density import DensityMaps
from hwsim.models.flightllm.memory_map import MemoryMap
from hwsim.models.flightllm.plan import Plan
from hwsim.models.flightllm.schedule_mm import linear_mm
from hwsim.models.flightllm.schedule_mv import linear_mv
from hwsim.models.flightllm.tiling import Linear
from hwsim.models.flightllm.timing import LumpedTiming
from hwsim.outcome import OpRow, Outcome
from hwsim.workloads import Gemm

Run = Callable[..., Outcome]
Plans = Callable[..., Plan]
Words = NDArray[np.uint32]
LD, ST, MM, MV, MISC, SYS = Opcode
STEP = ("workload.phase=decode_step", "workload.kv_length=64")
PREFILL = ("workload.phase=prefill", "workload.prompt_tokens=128")
GROUP = 512  # columns of an MV instruction; the last group of a projection is padded

both_phases = pytest.mark.parametrize("phase", [STEP, PREFILL], ids=["decode", "prefill"])


def metric(outcome: Outcome, name: str) -> int | float:
    return outcome.metrics[name].value


def rows_of(outcome: Outcome, *names: str) -> list[OpRow]:
    return [row for row in outcome.ops() if row.name.endswith(names)]


def gemms(plan: Plan) -> Iterator[Gemm]:
    """The projections of the first step."""
    yield from (op for op in next(plan.trace.steps()).ops if isinstance(op, Gemm))


def streamed_weights(plan: Plan) -> dict[str, Fraction]:
    """Law: kept weights of each projection that a step streams, columns padded in MV alone."""
    padding = GROUP if next(plan.trace.steps()).phase == "decode" else 16
    return {
        op.name: op.k * -(-op.n // padding) * padding * plan.config.density(op.role)
        for op in gemms(plan)
    }


# Bits


@both_phases
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8, "mixed"])
def test_weight_bytes_are_the_kept_weights_times_their_bits(
    run: Run, plan: Plans, small: str, phase: tuple[str, ...], bits: int | str
) -> None:
    weights = sum(streamed_weights(plan("u280", small, *phase)).values())
    others = metric(run("u280", small, *phase), "bytes_read") - weights * 4 / 8
    stored = Fraction(7, 2) if bits == "mixed" else bits
    outcome = run("u280", small, *phase, f"machine.weights.bits={bits}")
    assert metric(outcome, "bytes_read") == pytest.approx(
        float(others + weights * stored / 8), abs=1
    )


def test_fewer_bits_are_sooner_read(run: Run, small: str) -> None:
    times = [
        metric(run("u280", small, *STEP, f"machine.weights.bits={bits}"), "latency")
        for bits in (2, 3, "mixed", 4, 5, 8)
    ]
    assert times == sorted(set(times))


def test_the_average_of_mixed_bits_is_the_machine_s(run: Run, small: str) -> None:
    mixed = run(
        "u280", small, *STEP, "machine.weights.bits=mixed", "machine.weights.mixed_average_bits=4"
    )
    assert metric(mixed, "latency") == metric(run("u280", small, *STEP), "latency")
    assert metric(mixed, "bytes_read") == metric(run("u280", small, *STEP), "bytes_read")


def test_bits_of_one_role_change_that_projection_alone(run: Run, plan: Plans, small: str) -> None:
    base = list(run("u280", small, *STEP).ops())
    wide = list(run("u280", small, *STEP, "machine.weights.bits_by_role.up_proj=8").ops())
    streamed = streamed_weights(plan("u280", small, *STEP))
    for before, after in zip(base, wide, strict=True):
        grown = streamed[before.name] / 2 if before.name.endswith("up_proj") else 0
        assert after.bytes_read - before.bytes_read == grown, before.name


def test_the_model_takes_the_room_of_its_bits(run: Run, small: str, plan: Plans) -> None:
    kept = sum(
        op.k * op.n * plan("u280", small).config.density(op.role)
        for op in gemms(plan("u280", small))
    )
    four, eight = (
        metric(run("u280", small, *STEP, f"machine.weights.bits={bits}"), "peak_memory")
        for bits in (4, 8)
    )
    assert eight - four == pytest.approx(float(kept) / 2, abs=1)


# Density of a role


@both_phases
def test_q_and_k_at_density_07_read_less_and_run_less(
    run: Run, plan: Plans, small: str, phase: tuple[str, ...]
) -> None:
    dense_roles = ("machine.weights.density.q_proj=1.0", "machine.weights.density.k_proj=1.0")
    sparse, dense = run("u280", small, *phase), run("u280", small, *phase, *dense_roles)
    weights = streamed_weights(plan("u280", small, *phase, *dense_roles))
    for kept, full in zip(
        rows_of(sparse, "q_proj", "k_proj"), rows_of(dense, "q_proj", "k_proj"), strict=True
    ):
        saved = Fraction(3, 10) * weights[kept.name] / 2
        assert full.bytes_read - kept.bytes_read == pytest.approx(float(saved), abs=1)
        assert kept.cycles < full.cycles
    assert metric(sparse, "latency") < metric(dense, "latency")
    assert metric(sparse, "executed_macs") < metric(dense, "executed_macs")
    assert metric(sparse, "dense_macs") == metric(dense, "dense_macs")


@pytest.mark.parametrize(("phase", "unit"), [(STEP, MV), (PREFILL, MM)])
def test_the_matrix_unit_is_busy_in_proportion_to_density(
    run: Run, small: str, phase: tuple[str, ...], unit: Opcode
) -> None:
    def busy(density: float) -> float:
        overrides = [f"machine.weights.default_density={density}"]
        overrides += [f"machine.weights.density.{role}_proj={density}" for role in "qk"]
        work = run("vhk158", small, *phase, *overrides).tables["work"]
        return next(float(row[2]) for row in work.rows if row[0] == unit.name)

    full, half, quarter = busy(1.0), busy(0.5), busy(0.25)
    assert full - half == pytest.approx(2 * (half - quarter), rel=1e-6)
    assert full > half > quarter


def test_sparse_instructions_say_so_in_their_words(
    plan: Plans, small: str, program: Callable[[Plan], Words], fields: Any
) -> None:
    """Of the small model q and k: one group of 512 columns and one K tile a layer."""
    flags = fields(program(plan("u280", small, *STEP)), MV)["sparse"]
    assert flags.sum() == 2 * 2
    dense = plan("u280", small, *STEP, "machine.sparse_dsp_chain=false")
    assert fields(program(dense), MV)["sparse"].sum() == 0


# Metadata

HALF = tuple(f"machine.weights.density.{role}_proj=0.5" for role in "qk")


def metadata_bytes(plan: Plan) -> int:
    """Law: 4 bits of index a kept weight, and a byte a 16 x 16 block."""
    kept = {op.name: op.k for op in gemms(plan) if plan.config.density(op.role) < 1}
    streamed = streamed_weights(plan)
    return int(sum(streamed[name] / 2 + streamed[name] * 2 / 256 for name in kept))


@both_phases
def test_counting_metadata_adds_exactly_the_indices_and_the_block_counts(
    run: Run, plan: Plans, small: str, phase: tuple[str, ...]
) -> None:
    without = run("u280", small, *phase, *HALF)
    counted = run("u280", small, *phase, *HALF, "machine.count_metadata=true")
    added = metric(counted, "bytes_read") - metric(without, "bytes_read")
    assert added == metadata_bytes(plan("u280", small, *phase, *HALF)) > 0
    for name in ("executed_macs", "bytes_written", "instructions_st", "instructions_sys"):
        assert metric(counted, name) == metric(without, name)
    assert metric(counted, "latency") > metric(without, "latency")


def test_dense_projections_have_no_metadata(run: Run, small: str) -> None:
    counted = run("u280", small, *STEP, "machine.count_metadata=true")
    without = run("u280", small, *STEP)
    for before, after in zip(without.ops(), counted.ops(), strict=True):
        sparse = before.name.endswith(("q_proj", "k_proj"))
        assert (after.bytes_read > before.bytes_read) is sparse, before.name


@both_phases
def test_each_sparse_product_has_its_metadata_in_their_own_buffers(
    plan: Plans,
    small: str,
    program: Callable[[Plan], Words],
    fields: Any,
    phase: tuple[str, ...],
) -> None:
    words = program(plan("u280", small, *phase, "machine.count_metadata=true"))
    modes, products = fields(words, LD)["mode"], fields(words, MV if phase == STEP else MM)
    assert np.sum(modes == LoadMode.META) == np.sum(modes == LoadMode.FSB)
    assert np.sum(modes == LoadMode.META) == products["sparse"].sum() > 0
    modes = fields(program(plan("u280", small, *phase)), LD)["mode"]
    assert not np.isin(modes, (LoadMode.META, LoadMode.FSB)).any()


def test_metadata_cuts_k_where_its_buffers_are_smaller(run: Run, model: Callable[..., str]) -> None:
    """A tile of 128 blocks of K by 512 columns has 0.37 MB of indices; the buffer is 64 KiB."""
    wide = model(hidden_size=2048, num_attention_heads=16, num_key_value_heads=16)
    without = run("u280", wide, *STEP)
    counted = run("u280", wide, *STEP, "machine.count_metadata=true")
    assert metric(counted, "instructions_mv") > metric(without, "instructions_mv")
    assert metric(counted, "executed_macs") == metric(without, "executed_macs")


# A user's density map


def saved(path: Path, plan: Plan, n: Callable[[int, int], NDArray[np.uint8]]) -> str:
    """A map of every role: ``n(k blocks, column blocks)``."""
    shapes = {op.role: (-(-op.k // 16), -(-op.n // 16)) for op in gemms(plan)}
    np.savez(path, **{role: n(*shape) for role, shape in shapes.items()})
    return f"machine.weights.density_map={path}"


def uniform(n: int) -> Callable[[int, int], NDArray[np.uint8]]:
    return lambda k, columns: np.full((k, columns), n, np.uint8)


@both_phases
@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_a_uniform_map_is_the_scalar_density(
    run: Run, plan: Plans, small: str, tmp_path: Path, phase: tuple[str, ...], n: int
) -> None:
    density = n / 16
    scalar = [f"machine.weights.density.{role}_proj={density}" for role in "qk"]
    expected = run("u280", small, *phase, *scalar, f"machine.weights.default_density={density}")
    given = saved(tmp_path / "n.npz", plan("u280", small, *phase), uniform(n))
    found = run("u280", small, *phase, given)
    assert dict(found.metrics) == dict(expected.metrics)
    assert list(found.ops()) == list(expected.ops())


@pytest.mark.parametrize("length", [40, 96, 2048])
def test_a_uniform_map_of_a_padded_projection_is_the_scalar_density(
    run: Run, plan: Plans, model: Callable[..., str], tmp_path: Path, length: int
) -> None:
    """Key and value projections of 128 columns fill a quarter of a group of 512."""
    narrow = model(num_key_value_heads=1)
    phase = ("workload.phase=decode_step", f"workload.kv_length={length}")
    scalar = [f"machine.weights.density.{role}_proj=0.5" for role in "qk"]
    expected = run("u280", narrow, *phase, *scalar, "machine.weights.default_density=0.5")
    given = saved(tmp_path / "n.npz", plan("u280", narrow, *phase), uniform(8))
    found = run("u280", narrow, *phase, given)
    assert dict(found.metrics) == dict(expected.metrics)


MapCase = tuple[FlightLLMConfig, MemoryMap, NDArray[np.uint8]]


@pytest.fixture
def mixed_map(config: Callable[..., FlightLLMConfig]) -> MapCase:
    """One projection, K = 4096 by N = 1024: a quarter dense, the rest N = 4, 2 and 0."""
    n = np.empty((256, 64), np.uint8)
    n[:128, :32], n[128:, :32], n[:128, 32:], n[128:, 32:] = 16, 4, 2, 0
    op = Gemm(
        index=0, name="layers.0.gate_proj", phase="decode", step=1, layer=0, deps=(),
        m=1, n=1024, k=4096, role="gate_proj",
    )  # fmt: skip
    cfg = config()
    return cfg, MemoryMap(cfg, (op,), 1, DensityMaps({"gate_proj": n})), n


def bound(block: Block, memory: MemoryMap) -> Words:
    slots = dict.fromkeys(block.slots, memory.base("")) | {
        "weight": memory.base("layers.0.gate_proj.weight")
    }
    return block.encode(slots)


def test_tiles_of_a_mixed_map_differ_in_bytes_and_time(
    mixed_map: MapCase, execute: Callable[..., SegmentTimes]
) -> None:
    """Two groups of columns by two tiles of K, each with the N of its own blocks."""
    cfg, memory, _ = mixed_map
    timing = LumpedTiming(cfg)
    op = Linear(rows=0, k=4096, n=1024, density=Fraction(11, 32), sparse=True)
    times = execute(cfg, bound(linear_mv(cfg, op), memory), memory)
    products = times.units[MV].ends - times.units[MV].starts
    densities = [Fraction(n, 16) for n in (16, 4, 2, 0)]
    assert products.tolist() == [timing.compute_fs(MV, 128, d) for d in densities]
    loads = (times.units[LD].ends - times.units[LD].starts).tolist()
    rate = timing.transfer_fs
    access = 0  # striped
    expected = [8 * rate(128 * 1024, access, d / 2) for d in densities]  # type: ignore[arg-type]
    vector = rate(4096, 2, Fraction(1))  # type: ignore[arg-type]  # across the crossbar
    assert loads == [vector + expected[0], *expected[1:]]
    assert times.units[LD].stream.hbm_bytes == (4096 + 4096 * 1024 * Fraction(11, 32) / 2,)


def test_a_mixed_map_holds_in_a_matrix_product_too(
    mixed_map: MapCase, execute: Callable[..., SegmentTimes]
) -> None:
    """Blocks of 16 columns, all of K at once: the mean of a column."""
    cfg, memory, n = mixed_map
    op = Linear(rows=128, k=4096, n=1024, density=Fraction(11, 32), sparse=True)
    times = execute(cfg, bound(linear_mm(cfg, op), memory), memory)
    products = times.units[MM].ends - times.units[MM].starts
    means = [Fraction(int(n[:, column].sum()), 16 * 256) for column in range(64)]
    timing = LumpedTiming(cfg)
    assert products.tolist() == [timing.compute_fs(MM, 256, mean) for mean in means]


def test_a_map_of_one_layer_leaves_the_others_alone(
    run: Run, small: str, plan: Plans, tmp_path: Path
) -> None:
    op = next(op for op in gemms(plan("u280", small)) if op.name == "layers.1.up_proj")
    path = tmp_path / "one.npz"
    np.savez(path, **{op.name: np.full((op.k // 16, op.n // 16), 2, np.uint8)})
    base = run("u280", small, *STEP)
    sparse = run("u280", small, *STEP, f"machine.weights.density_map={path}")
    changed = {
        after.name
        for before, after in zip(base.ops(), sparse.ops(), strict=True)
        if after.bytes_read != before.bytes_read
    }
    assert changed == {"layers.1.up_proj"}
    assert metric(sparse, "latency") < metric(base, "latency")


def test_a_map_sparser_than_the_scalar_counts_fewer_macs(
    run: Run, small: str, plan: Plans, tmp_path: Path
) -> None:
    given = saved(tmp_path / "n.npz", plan("u280", small), uniform(2))
    base, sparse = run("u280", small, *STEP), run("u280", small, *STEP, given)
    assert metric(sparse, "macs") < metric(base, "macs")
    assert metric(sparse, "macs") <= metric(sparse, "executed_macs")


def test_macs_of_the_op_rows_follow_the_map_as_the_metric_does(
    run: Run, small: str, plan: Plans, tmp_path: Path
) -> None:
    given = saved(tmp_path / "n.npz", plan("u280", small), uniform(2))
    sparse = run("u280", small, *STEP, given)
    assert sum(row.macs for row in sparse.ops()) == metric(sparse, "macs")


@pytest.mark.parametrize("named", ["role", "name"])
def test_the_roofline_counts_the_macs_of_the_op_rows_under_a_map(
    run: Run, small: str, plan: Plans, tmp_path: Path, named: str
) -> None:
    """By role the builder puts the map's density into the trace, by name the plan does."""
    path = tmp_path / "n.npz"
    shapes = {
        getattr(op, named): (-(-op.k // 16), -(-op.n // 16)) for op in gemms(plan("u280", small))
    }
    np.savez(path, **{key: uniform(2)(*shape) for key, shape in shapes.items()})
    sparse = run("u280", small, *STEP, f"machine.weights.density_map={path}")
    drawn = sum(rate * seconds / 2 for *_, rate, seconds in sparse.tables["roofline"].rows)
    assert drawn == pytest.approx(sum(row.macs for row in sparse.ops()), rel=1e-12)
    [figure] = [figure for figure in sparse.figures if figure.kind == "roofline"]
    peak, bandwidth = next((p, b) for name, p, b in figure.roofs if name == "MM peak")
    for _, intensity, rate, _ in sparse.tables["roofline"].rows:
        assert rate <= min(peak, intensity * bandwidth) * (1 + 1e-9)


# What is refused


def refused(path: Path, message: str) -> pytest.RaisesExc[WorkloadError]:
    return pytest.raises(WorkloadError, match=f"^{re.escape(f'{path}: {message}')}$")


WRONG_ARRAYS = [
    (np.full((32, 32), 3, np.uint8), "q_proj must hold N among (0, 2, 4, 8, 16), got 3"),
    (np.full((32, 32), -2, np.int8), "q_proj must hold N among (0, 2, 4, 8, 16), got -2"),
    (
        np.full((32, 32), 8.0),
        "q_proj must be a two-dimensional integer array, got float64 [32, 32]",
    ),
    (np.full(32, 8, np.uint8), "q_proj must be a two-dimensional integer array, got uint8 [32]"),
    (
        np.zeros((0, 32), np.uint8),
        "q_proj must be a two-dimensional integer array, got uint8 [0, 32]",
    ),
    (
        np.full((32, 31), 8, np.uint8),
        "layers.0.q_proj must have shape [32, 32] (16 x 16 blocks), got [32, 31]",
    ),
]


@pytest.mark.parametrize(("blocks", "message"), WRONG_ARRAYS)
def test_a_wrong_map_is_refused(
    plan: Plans, small: str, tmp_path: Path, blocks: NDArray[Any], message: str
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, q_proj=blocks)
    with refused(path, message):
        plan("u280", small, f"machine.weights.density_map={path}")


def test_a_missing_map_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "missing.npz"
    with refused(path, "weights.density_map must be readable, got No such file or directory"):
        plan("u280", small, f"machine.weights.density_map={path}")


NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n\x08"


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x80\x04N.", bytes(range(256)), NPY])
def test_a_map_that_is_no_archive_is_refused(
    plan: Plans, small: str, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)
    with refused(path, "weights.density_map must be an .npz archive, got another format"):
        plan("u280", small, f"machine.weights.density_map={path}")


def test_a_member_that_is_no_array_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("q_proj", "8 8")
    with refused(path, "q_proj must be a two-dimensional integer array, got |S3 []"):
        plan("u280", small, f"machine.weights.density_map={path}")


def test_a_map_of_nothing_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.npz"
    np.savez(path)
    with refused(path, "weights.density_map must hold at least one array"):
        plan("u280", small, f"machine.weights.density_map={path}")


def test_an_array_of_no_projection_is_refused(plan: Plans, small: str, tmp_path: Path) -> None:
    path = tmp_path / "strangers.npz"
    n = np.full((32, 32), 8, np.uint8)
    np.savez(path, **{"q_proj": n, "layers.1.k_proj": n, "layers.2.k_proj": n, "fc1": n})
    message = (
        "arrays must be named after a role (q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
        "down_proj, lm_head) or a projection (such as layers.0.q_proj), got layers.2.k_proj, fc1"
    )
    with refused(path, message):
        plan("u280", small, f"machine.weights.density_map={path}")


def test_an_archive_damaged_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    path = tmp_path / "wrong.npz"
    np.savez_compressed(path, q_proj=np.full((2, 2), 8, np.uint8))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            DensityMaps.load(str(path))
        except WorkloadError:
            continue
