"""Many simulations from one file: sweeps over grids, and one value at a time."""

from hwsim.explore.columns import Sweep
from hwsim.explore.folder import check_sweep_folder, open_points, sweep_folder, write_sweep
from hwsim.explore.points import Plan, Point, plan_of, points_of
from hwsim.explore.spec import SweepSpec, read_spec
from hwsim.explore.sweep import Found, run_sweep

__all__ = [
    "Found",
    "Plan",
    "Point",
    "Sweep",
    "SweepSpec",
    "check_sweep_folder",
    "open_points",
    "plan_of",
    "points_of",
    "read_spec",
    "run_sweep",
    "sweep_folder",
    "write_sweep",
]
