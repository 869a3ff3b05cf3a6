"""Memories: what every one of them does for those who read and write it."""

from hwsim.memory.port import Access, IdealMemory, Memory, Region, Stream

__all__ = ["Access", "IdealMemory", "Memory", "Region", "Stream"]
