"""The ``hwsim`` command: parses arguments, prints results, nothing else.

A command's own imports stand inside it, so that ``hwsim --help`` and ``hwsim list`` start quickly.
"""

from hwsim.cli.app import dispatch, main

__all__ = ["dispatch", "main"]
