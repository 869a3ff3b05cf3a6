"""One module a block."""
