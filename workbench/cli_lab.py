"""`workbench lab`: JupyterLab on the notebooks of the walk, on loopback, asking nothing of the internet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.core.errors import ConfigError

LANDING = "00_start_here.ipynb"
QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
"""JupyterLab's own settings, unless the user chose others: no news and no update checks, which are calls home."""

Notebooks = Annotated[Path, typer.Option("--notebooks", help="Folder of the notebooks.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on loopback; the next free one if taken.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")]


def lab(notebooks: Notebooks = Path("notebooks"), port: Port = 8888, no_browser: NoBrowser = False) -> None:
    """Open JupyterLab on the notebooks: the walk from raw bars to a live session.

    Example: workbench lab --notebooks notebooks
    """
    if not (notebooks / LANDING).is_file():
        raise ConfigError(
            f"{notebooks} holds no {LANDING}; run this in the folder of workbench's sources, or name the notebooks "
            "with --notebooks"
        )
    code = subprocess.call(command(port, no_browser), cwd=notebooks, env=environment(notebooks))
    if code:
        raise typer.Exit(code)


def command(port: int, no_browser: bool) -> list[str]:
    """What is run in the folder of the notebooks."""
    browser = ["--no-browser"] if no_browser else []
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    place = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--LabApp.default_url=/lab/tree/{LANDING}"]
    return [sys.executable, "-m", "jupyterlab", *place, *browser, *root]


def environment(notebooks: Path) -> dict[str, str]:
    """The environment with QUIET as JupyterLab's defaults, which the user's own settings override."""
    folder = notebooks.resolve().parent / "runs" / ".lab"
    defaults = folder / "labconfig" / "default_setting_overrides.json"
    defaults.parent.mkdir(parents=True, exist_ok=True)
    defaults.write_text(json.dumps(QUIET), encoding="utf-8")
    path = [str(folder), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(path)}
