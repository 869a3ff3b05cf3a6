"""One module a block: its description for the flow and the bench that checks it."""
