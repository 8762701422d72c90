"""Copies of the notebooks with other parameters, in a folder of their own: what the tests run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from workbench.config import Settings
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.live_session import HELD_OUT, hold_out

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL: dict[str, Any] = {"symbols": 5, "sessions": 16, "families": ["LightGBM", "FTRLProximal"]}
"""Parameters of the walk with which every notebook runs within seconds."""
OWN: dict[str, dict[str, Any]] = {
    "02_features_and_labels": {"horizon": "15m"},
    "09_live_session": {"minutes": 5, "speed": 300.0, "lead_s": 3.0},
}
"""Notebook -> what else is made smaller."""


def small_copy(notebook: Path, folder: Path, workspace: Path, **own: Any) -> Path:
    """A copy of `notebook` in `folder` with small parameters and its `own`, which works in `workspace`."""
    wanted = {"workspace": str(workspace), **SMALL, **OWN.get(notebook.stem, {}), **own}
    made = parameterize_notebook(load_notebook_node(str(notebook)), wanted)
    path = folder / notebook.name
    nbformat.write(made, path)
    return path


def parameters(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells tagged `parameters`."""
    return [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]


def quiet_environment(folder: Path) -> dict[str, str]:
    """The environment of a kernel that must not leave anything in the user's home."""
    return {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}


def small_walk(workspace: Path) -> Job:
    """The job of a walk so small that every notebook runs within seconds: they open it as they find it.

    Four horizons, two segments; the slope is forced, so that something trades.
    """
    settings = Settings().change(
        training={"profile": "demo", "families": tuple(SMALL["families"]), "segments": 2, "initial_fraction": 0.5,
                  "max_rows": 4000, "jobs": 1},
        features={"quotes": "top", "warmup_sessions": 3},
        system={"horizons": ("5m", "15m", "60m", "1d")},
        blending={"force_slope": 0.5},
        backtest={"spread_multipliers": (1.0, 2.0)},
    )  # fmt: skip
    job = Job.open(workspace, settings)
    steps.simulate(job, symbols=SMALL["symbols"], days=SMALL["sessions"] + HELD_OUT, daily=260, ic=0.1)
    return hold_out(job)
