"""Copies of the notebooks with other parameters, in a folder of their own: what the tests run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from workbench.research.walk import walk

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL: dict[str, Any] = {"symbols": 5, "sessions": 30, "families": ["LightGBM", "FTRLProximal"]}
"""Parameters of the walk with which every notebook runs within seconds."""
OWN: dict[str, dict[str, Any]] = {"09_live_session": {"minutes": 10, "speed": 300.0, "lead_s": 6.0}}
"""Notebook -> what else is made smaller."""


def small_copy(notebook: Path, folder: Path, workspace: Path) -> Path:
    """A copy of `notebook` in `folder` with small parameters, which works in `workspace`."""
    wanted = {"workspace": str(workspace), **SMALL, **OWN.get(notebook.stem, {})}
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


def small_walk(workspace: Path) -> Any:
    """The job of the small walk, with bars and nothing else."""
    return walk(workspace, symbols=SMALL["symbols"], sessions=SMALL["sessions"], families=tuple(SMALL["families"]))
