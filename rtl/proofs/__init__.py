"""Harnesses of the proofs: assertions around the blocks, outside their RTL."""
