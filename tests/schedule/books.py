"""Small notebooks and runs of them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat

from workbench.schedule.runner import PROGRESS, Spec, Step


def book(folder: Path, name: str, *cells: str, parameters: str = "") -> Path:
    """A notebook of code cells; `parameters` is the content of its parameters cell."""
    first = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    made = nbformat.v4.new_notebook(cells=[*first, *map(nbformat.v4.new_code_cell, cells)])
    made.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def spec(folder: Path, *books: Path, parameters: dict[str, Any] | None = None, timeout_s: float = 0.0) -> Path:
    """The folder of a run of these notebooks."""
    steps = tuple(Step(str(b), parameters or {}) for b in books)
    where = folder / "runs" / f"r{len(list((folder / 'runs').glob('*'))) if (folder / 'runs').is_dir() else 0}"
    Spec(where.name, "job", "2026-03-02", steps, timeout_s, str(folder / "job.lock"), {"name": "job"}).write(where)
    return where


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The runner as a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "workbench.schedule.runner", str(folder)], start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def wait_for(path: Path, timeout_s: float = 60.0) -> Path:
    """Until a file is there: a cell says by it that it runs."""
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come within {timeout_s:g} s"
        time.sleep(0.05)
    return path


def progress_of(folder: Path) -> Path:
    """The file by which a run tells how far it is."""
    return folder / PROGRESS
