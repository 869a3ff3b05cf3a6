"""What a run leaves behind for people and scripts: its folder, figures, report and comparison.

Drawing libraries are imported when something is drawn, not before.
"""

from hwsim.report.compare import compare_notes, compare_runs, compare_settings
from hwsim.report.folder import check_run_folder, rebuild_report, run_folder, write_run
from hwsim.report.saved import SavedRun, load_run

__all__ = [
    "SavedRun",
    "check_run_folder",
    "compare_notes",
    "compare_runs",
    "compare_settings",
    "load_run",
    "rebuild_report",
    "run_folder",
    "write_run",
]
