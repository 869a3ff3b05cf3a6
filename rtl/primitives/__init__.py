"""Vendor primitives that the blocks instantiate, with simulation models of our own."""
