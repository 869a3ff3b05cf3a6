"""What can be done with a block: generate, verify, prove, synthesise."""
