"""The folder of a sweep: points as they end, then the table and the figures."""

from __future__ import annotations

import shutil
from pathlib import Path

from hwsim.errors import ConfigError, Problem
from hwsim.explore.columns import Sweep
from hwsim.replace import check_writable, replaced_file, replaced_folder

__all__ = ["check_sweep_folder", "open_points", "sweep_folder", "write_sweep"]

RUNS = Path("runs")
WRITTEN = {"sweep.csv", "sweep.md", "points", "figures"}


def sweep_folder(spec: Path) -> Path:
    """Where a sweep goes by default: ``runs/sweep-<name of its file>``."""
    return RUNS / f"sweep-{spec.stem}"


def check_sweep_folder(folder: Path) -> None:
    """Refuse, before anything is simulated, a folder that can't be written or isn't a sweep's.

    Raises
    ------
    ConfigError
        Which of the two.
    """
    try:
        check_writable(folder)
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        rule = f"can't be written: {error.strerror}"
        raise ConfigError([Problem(str(folder), "", rule)]) from None
    if others := sorted(names - WRITTEN):
        rule = f"must be new, empty or of an earlier sweep, and holds {others[0]}"
        raise ConfigError([Problem(str(folder), "", rule)])


def open_points(folder: Path, resume: bool) -> Path:
    """The folder of the points, there and, unless they are to be taken up again, empty."""
    points = folder / "points"
    if not resume:
        shutil.rmtree(points, ignore_errors=True)
    points.mkdir(parents=True, exist_ok=True)
    return points


def write_sweep(sweep: Sweep, folder: Path) -> None:
    """Write ``sweep.csv``, ``sweep.md`` and ``figures/``, each whole or not at all."""
    from hwsim.explore.figures import draw_figure

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("sweep.csv", sweep.csv()), ("sweep.md", sweep.markdown())):
        with replaced_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    with replaced_folder(folder / "figures") as figures:
        for name, figure in sweep.spec.figures_drawn.items():
            (figures / f"{name}.png").write_bytes(draw_figure(sweep, name, figure))
