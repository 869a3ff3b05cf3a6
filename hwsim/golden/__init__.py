"""Values: bit-accurate functions on NumPy arrays that the RTL must equal; no clock, no SimPy."""

from __future__ import annotations

__all__: list[str] = []
