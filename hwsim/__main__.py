"""``python -m hwsim``: the same as the ``hwsim`` command."""

from __future__ import annotations

from hwsim.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
