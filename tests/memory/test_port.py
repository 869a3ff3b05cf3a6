"""What a memory is to those who use it."""

from __future__ import annotations

from hwsim.memory import Access, IdealMemory, Memory, Region, Stream
from hwsim.sim import Kernel, Process


def test_a_region_has_the_bytes_of_its_rows() -> None:
    assert Region(base=64, row_bytes=96).bytes == 96
    assert Region(base=64, row_bytes=96, rows=5, stride=4096).bytes == 480


def test_an_ideal_memory_counts_bytes_and_takes_no_time() -> None:
    kernel = Kernel()
    memory: Memory = IdealMemory(kernel, "memory")

    def main() -> Process:
        yield memory.access(Region(0, 64), Access.READ)
        yield memory.access(Region(0, 32, 3, 128), Access.UPDATE, Stream.COMMUNICATION)
        yield memory.access(Region(0, 32), Access.UPDATE, Stream.COMMUNICATION, source=4)
        yield memory.flush()

    kernel.run(main())
    assert kernel.now == 0
    counted = {key: counter.value for key, counter in memory.bytes.items() if counter.value}
    assert counted == {
        (Stream.COMPUTE, Access.READ): 64,
        (Stream.COMMUNICATION, Access.UPDATE): 128,
    }
