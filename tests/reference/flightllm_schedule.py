"""FlightLLM's published instruction schedule, written from its rules alone: an oracle for tests.

Shares no code with :mod:`hwsim`. One instruction stream holds a whole LLaMA model; six in-order
queues (LD ST MM MV MISC SYS) are ordered only by FIFO tokens, ``start = max(unit free, tokens)``,
tokens are stamped with the end time, and every time is divided by cores x 0.8. Instructions are
emitted so that the n-th token of a pair of units is made before it is taken: one pass is the exact
event simulation, and a missing token is an ``IndexError``. Times are whole femtoseconds, each
instruction's exact duration rounded once, half to even.

Ref: FlightLLM, FPGA'24, arXiv 2401.03868; schedule and timing formulas of the authors' public
artifact (instruction generator, profiler, configuration).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

UNITS = ("LD", "ST", "MM", "MV", "MISC", "SYS")
ONE = Fraction(1)
PATHS = {"par 8": Fraction(56, 10), "par 1": Fraction(7, 10), "cross": Fraction(35, 100)}
Mask = NDArray[np.bool_]
Units = Sequence[str]
Size = int | Fraction


@dataclass(frozen=True)
class Machine:
    """Durations in femtoseconds; ``channel`` is the bytes a second of one HBM channel."""

    cores: int
    channel: Fraction
    clock: int = 225_000_000

    def cycles(self, cycles: Size) -> int:
        return round(Fraction(cycles) / self.clock * 10**15 / (self.cores * Fraction(8, 10)))

    def transfer(self, size: Size, path: str) -> int:
        rate = Fraction(256 * 8) if path == "zero" else self.channel * PATHS[path] / self.clock
        return self.cycles(size / rate)


VHK158 = Machine(4, Fraction(8192, 10) * 2**30 / 32)
U280 = Machine(3, Fraction(460 * 10**9, 32))


@dataclass(frozen=True)
class Shape:
    """A LLaMA model without grouped queries; LLaMA2-7B by default."""

    layers: int = 32
    hidden: int = 4096
    ffn: int = 11008
    vocab: int = 32000
    heads: int = 32
    head_dim: int = 128


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def tiles(k_blocks: int, rows: int) -> tuple[list[int], int]:
    """Cut K so that a tile takes at most 2048 of ``rows`` a block; and how many tiles run ahead."""
    n = ceil_div(rows * k_blocks, 2048)
    size = k_blocks // n
    rest = k_blocks - n * size
    return [size] * n + ([rest] if rest else []), 4096 // (8 * size)


class Schedule:
    """Runs the schedule as it is emitted; the sums are the result."""

    def __init__(self, machine: Machine, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        self.free = dict.fromkeys(UNITS, 0)
        self.busy = dict.fromkeys(UNITS, 0)
        self.count = dict.fromkeys(UNITS, 0)
        self.stored_bytes, self._after_barrier = 0, False
        self._loads: Counter[tuple[str, Size]] = Counter()
        self.mix: Counter[tuple[str, str, int]] = Counter()
        self._tokens: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
        self._transfer, self._cycles = cache(machine.transfer), cache(machine.cycles)

    @property
    def end(self) -> int:
        """When the last unit falls idle, in femtoseconds."""
        return max(self.free.values())

    @property
    def loaded_bytes(self) -> dict[str, Fraction]:
        """HBM bytes loaded, by what they were."""
        sums: defaultdict[str, Fraction] = defaultdict(Fraction)
        for (kind, size), n in self._loads.items():
            sums[kind] += n * size
        return sums

    def _run(self, unit: str, duration: int, waits: Units = (), releases: Units = ()) -> None:
        start = self.free[unit]
        for other in waits:
            start = max(start, self._tokens[other, unit].popleft())
        self.free[unit] = end = start + duration
        self.busy[unit] += duration
        self.count[unit] += 1
        for other in releases:
            self._tokens[unit, other].append(end)

    def _ld(
        self, kind: str, size: Size, path: str = "par 8", n: int = 1, w: Units = (), rel: Units = ()
    ) -> None:
        """``n`` LDs of ``size`` HBM bytes: waits on the first, releases on the last."""
        duration = self._transfer(size, path)
        self._loads[kind, size] += n if path != "zero" else 0
        w, self._after_barrier = [*w, *["SYS"] * self._after_barrier], False
        for i in range(n):
            self._run("LD", duration, w if i == 0 else (), rel if i == n - 1 else ())

    def _st(self, sizes: Sequence[int], path: str, w: Units = (), rel: Units = ()) -> None:
        self.stored_bytes += sum(sizes)
        for i, size in enumerate(sizes):
            last = i == len(sizes) - 1
            self._run("ST", self._transfer(size, path), () if i else w, rel if last else ())

    def _mac(self, unit: str, k: int, density: Fraction, w: Units, rel: Units = ()) -> None:
        self._run(unit, self._cycles(8 * k * density), w, rel)
        self.mix[unit, f"density {float(density)}", k] += 1

    def _misc(self, op: str, k: int, w: Units = (), rel: Units = ()) -> None:
        self._run("MISC", self._cycles((2 if op in ("softmax", "norm") else 1) * k), w, rel)
        self.mix["MISC", op, k] += 1

    def _sys(self) -> None:
        self._run("SYS", self._cycles(1), ["ST"], ["LD"])
        self._after_barrier = True

    def _fused(self, fuse: str, k: int, size: int, after: str, rel: Units) -> None:
        """The MISCs (and operand loads) after one group of columns; ``rel`` is the last's."""
        operands = {"": 0, "silu": 0, "rope": 2}.get(fuse, 1)
        for _ in range(operands):
            self._ld("operand", size, n=8, rel=["MISC"])
        if fuse == "rope":  # the add is coded as a third multiply
            self._misc("mul", k, ["LD", after])
            self._misc("mul", k, ["LD"])
        if fuse:
            waits = {"rope": [], "silu": [after]}.get(fuse, ["LD", after])
            self._misc("mul" if fuse == "rope" else fuse, k, waits, rel)

    def _linear_mv(self, k: int, n: int, fuse: str, density: Fraction) -> None:
        sizes, ahead = tiles(k // 16, 16)
        groups = ceil_div(n, 512)
        total, c = groups * len(sizes), 0
        for g in range(groups):
            end = g == groups - 1
            for i, t in enumerate(sizes):
                c += 1
                held = ["MV"] if c > ahead else []
                self._ld("weight", 512 * t * density, n=8, w=held, rel=["MV"])  # INT4
                out = ["MISC"] if fuse else ["ST"] * end
                rel = ["LD"] * (c + ahead <= total) + (out if i == len(sizes) - 1 else [])
                self._mac("MV", t, density, ["LD"], rel)
            self._fused(fuse, 32, 512, "MV", ["ST"] if end else [])
        self._st([n], "par 1", ["MISC" if fuse else "MV"], ["SYS"])

    def _linear_mm(self, tokens: int, k: int, n: int, fuse: str, density: Fraction) -> None:
        sizes, ahead = tiles(k // 16, 8)
        columns, rows = n // 16, tokens // 128
        total, source = columns * len(sizes), "MISC" if fuse else "ST"
        after = "MISC" if fuse else "MM"
        for row in range(rows):
            c, last_row = 0, row == rows - 1
            self._ld("activation", 256 * (k // 16), n=8, w=["MM"] if row else [])
            for b in range(columns):
                frees = ["MM"] if b + 512 < columns else []
                for i, t in enumerate(sizes):
                    c += 1
                    held = ["MM"] if c > ahead else []
                    self._ld("weight", 128 * t * density, "cross", w=held, rel=["MM"])  # INT4
                    rel = ["LD"] * (c + ahead <= total or (c == total and not last_row))
                    rel += [source] * (i == len(sizes) - 1)
                    room = [source] if i == 0 and b >= 512 else []
                    self._mac("MM", t, density, ["LD", *room], rel)
                self._fused(fuse, 8, 256, "MM", ["ST", *frees])
                rel = ([] if fuse else frees) + ["SYS"] * (last_row and b == columns - 1)
                self._st([256] * 7 + [16 if last_row else 256], "par 8", [after], rel)

    def _attention_mv(self, k: int, n: int, *, softmax: bool) -> None:
        heads, groups = self.shape.heads, ceil_div(n, 512)
        blocks = n // 16 if n <= 512 else 32
        self._ld("vector", heads * k, "cross")
        for head in range(heads):
            last = ["ST"] * (head == heads - 1)
            for g in range(groups):
                for channel in range(8):
                    size = 16 * k * ceil_div(blocks - channel, 8)
                    self._ld("KV", size, rel=["MV"] if channel == 7 else [])
                done = ["MISC"] if softmax else last
                self._mac("MV", k // 16, ONE, ["LD"], done if g == groups - 1 else [])
            if softmax:
                self._misc("softmax", n // 16, ["MV"], last)
        self._st([heads * n], "par 1", ["MISC" if softmax else "MV"], ["SYS"])
        self._sys()

    def _attention_mm(self, tokens: int, mask: Sequence[Mask] | Mask, *, softmax: bool) -> None:
        dim, heads, rows = self.shape.head_dim, self.shape.heads, tokens // 128
        for head in range(heads):
            fine = np.repeat(np.repeat(mask[head], 4, 0), 4, 1)[: tokens // 16, : tokens // 16]
            for row in range(rows):
                block, free = fine[8 * row : 8 * row + 8], ["MM"] if row else []
                if softmax:
                    self._ld("Q", 16 * dim, n=8, w=free)
                    self._products(int(block.any(0).sum()), dim // 16, "MISC", row == rows - 1)
                else:
                    self._load_scores(block, free)
                    self._products(dim // 16, tokens // 16, "ST", row == rows - 1)
                for i, line in enumerate(block):
                    end = (head, row, i) == (heads - 1, rows - 1, 7)
                    kept, once = int(line.sum()), ["MM"] * (i == 0)
                    for j in range(16 if softmax else 0):
                        self._misc("softmax", kept, [] if j else once, ["ST"] if j == 15 else [])
                    size = 256 * kept if softmax else 16 * dim
                    self._st([size], "par 8", ["MISC"] if softmax else once, ["SYS"] * end)
        self._sys()

    def _load_scores(self, block: Mask, free: list[str]) -> None:
        for line in block:
            if not line.all():
                self._ld("zero", 256 * int((~line).sum()), "zero", w=[free.pop()] if free else [])
            kept = np.flatnonzero(line)
            for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
                self._ld("S", 256 * len(run), w=[free.pop()] if free else [])

    def _products(self, columns: int, k: int, then: str, last_row: bool) -> None:
        ahead = 4096 // (8 * k)
        for c in range(1, columns + 1):
            self._ld("KV", 256 * k, "cross", w=["MM"] if c > ahead else [], rel=["MM"])
            last = c == columns
            frees = c + ahead <= columns or (last and not last_row)
            self._mac("MM", k, ONE, ["LD"], ["LD"] * frees + [then] * last)

    def _norm(self, tokens: int) -> None:
        for i in range(tokens):
            self._ld("norm", self.shape.hidden, "par 1", w=["ST"] * (i >= 16), rel=["MISC"])
            self._misc("norm", self.shape.hidden // 16, ["LD"], ["ST"])
            rel = ["LD"] * (i + 16 < tokens) + ["SYS"] * (i == tokens - 1)
            self._st([self.shape.hidden], "par 1", ["MISC"], rel)
        self._sys()

    def _linear(self, tokens: int, k: int, n: int, fuse: str = "", *, bias: bool = False) -> None:
        density = Fraction(7, 10) if fuse == "rope" else ONE  # q and k alone are sparse
        if not tokens:
            self._ld("vector", k, "cross")
        if bias:
            self._ld("bias", 4 * n, "par 1")
        if tokens:
            self._linear_mm(tokens, k, n, fuse, density)
        else:
            self._linear_mv(k, n, fuse, density)
        self._sys()

    def prefill(self, tokens: int, masks: Mask | None = None) -> Schedule:
        """A prompt of ``tokens``, a multiple of 128; ``masks[layer, head]`` in 64 x 64 blocks."""
        causal = [np.tri(ceil_div(tokens, 64), dtype=bool)] * self.shape.heads
        return self._model(tokens, 0, [causal] * self.shape.layers if masks is None else masks)

    def decode(self, positions: int) -> Schedule:
        """One token at ``positions`` positions, rounded up to the bucket of 16."""
        return self._model(0, 16 * ceil_div(positions, 16), [])

    def _model(self, tokens: int, kv: int, masks: Sequence[Sequence[Mask]] | Mask) -> Schedule:
        d, ffn = self.shape.hidden, self.shape.ffn
        for layer in range(self.shape.layers):
            self._norm(tokens or 1)
            self._linear(tokens, d, d, "rope", bias=True)
            self._linear(tokens, d, d, "rope", bias=True)
            self._linear(tokens, d, d, bias=True)
            if tokens:
                self._attention_mm(tokens, masks[layer], softmax=True)
                self._attention_mm(tokens, masks[layer], softmax=False)
            else:
                for _ in "KV":
                    self._ld("KV reload", ceil_div(d * (kv - 1), 8), n=8)
                    self._st([0], "par 1", rel=["SYS"])
                    self._sys()
                self._attention_mv(self.shape.head_dim, kv, softmax=True)
                self._attention_mv(kv, self.shape.head_dim, softmax=False)
            self._linear(tokens, d, d, "add", bias=True)
            self._norm(tokens or 1)
            self._linear(tokens, d, ffn, "silu")
            self._linear(tokens, d, ffn, "mul")
            self._linear(tokens, ffn, d, "add")
        self._norm(tokens or 1)
        self._linear(tokens, d, self.shape.vocab)
        return self
