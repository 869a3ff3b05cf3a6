"""Components: what the kernel finds in them, and when they are at rest."""

from __future__ import annotations

import pytest

from hwsim.sim import Component, Counter, In, Kernel, Out, Process, StageAccount


class Wiring(Component[None]):
    """Nothing but attributes; the config is none of them."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "wiring", None)
        # ports
        self.tiles: In[int] = In(self.name, "tiles")
        self.credits = {
            "left": Out[None](self.name, "left"),
            "right": Out[None](self.name, "right"),
        }
        self.lanes = [In[int](self.name, f"lane{i}") for i in range(2)]
        # state
        self._pending = {"tiles": 3}
        # stats
        self._stage = StageAccount(kernel)
        self.banks = (StageAccount(kernel), StageAccount(kernel))
        self.macs = Counter("1")
        self.moved = {"read": Counter("B")}


def test_ports_stages_and_counters_are_found_by_type() -> None:
    kernel = Kernel()
    wiring = Wiring(kernel)

    assert list(wiring.ports()) == [
        "tiles", "credits[left]", "credits[right]", "lanes[0]", "lanes[1]",
    ]  # fmt: skip
    assert list(wiring.stages()) == ["_stage", "banks[0]", "banks[1]"]
    assert list(wiring.counters()) == ["macs", "moved[read]"]
    assert wiring.ports()["credits[left]"] is wiring.credits["left"]
    assert kernel.components == [wiring]


def test_a_component_without_processes_is_at_rest() -> None:
    assert Wiring(Kernel()).at_rest()


def test_a_component_with_processes_is_not_at_rest_unless_it_says_so() -> None:
    class Busy(Wiring):
        def processes(self) -> list[Process]:
            return []

    assert not Busy(Kernel()).at_rest()


def test_what_a_component_remembers_it_must_also_recall() -> None:
    wiring = Wiring(Kernel())
    wiring.recall(wiring.memory())

    with pytest.raises(NotImplementedError, match=r"^Wiring remembers but can't recall$"):
        wiring.recall((1,))
