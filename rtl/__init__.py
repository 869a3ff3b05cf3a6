"""Synthesisable twins of the simulator's key blocks, equal to it in values and cycles."""
