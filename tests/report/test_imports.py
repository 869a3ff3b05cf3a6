"""What the report package costs before anything is drawn."""

from __future__ import annotations

import subprocess
import sys


def test_drawing_libraries_are_imported_only_to_draw() -> None:
    code = (
        "import sys, hwsim.report, hwsim.report.figures, hwsim.report.html;"
        "print(*sorted({'matplotlib', 'jinja2', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
