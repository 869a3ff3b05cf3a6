"""hwsim: cycle-level simulation of machine-learning accelerators.

This module imports nothing, so that the command line starts quickly. Start at :mod:`hwsim.run` to
simulate from Python, at ``docs/add_an_accelerator.md`` to model a machine of your own.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
