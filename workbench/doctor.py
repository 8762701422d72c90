"""`workbench doctor`: what is installed, how the kernels were built, and what is missing for live trading."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from workbench import __version__, preflight
from workbench.core.machine import instruction_sets

NAMED = (
    "jupyterlab", "ipywidgets", "panel", "holoviews", "numpy", "pandas", "torch", "onnxruntime", "scikit-learn",
    "scipy", "joblib", "pybind11", "ib_insync", "ib_async", "papermill", "nbval", "lightgbm", "pyarrow",
    "exchange_calendars",
)  # fmt: skip
LIBRARIES = ("ib_insync", "ib_async")
"""Clients for Interactive Brokers: exactly one must be installed to trade."""


def versions() -> dict[str, str | None]:
    """Package -> installed version, None where it is absent."""
    return {name: _version(name) for name in NAMED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def kernels() -> dict[str, Any]:
    """How the compiled kernels were built, or the one sentence that says how to build them."""
    try:
        from workbench.kernels import build_info
    except ImportError as error:
        return {"missing": str(error)}
    return dict(build_info())


def missing_for_live(installed: dict[str, str | None]) -> list[str]:
    """What stands between this installation and trading at a broker, as sentences with their remedies."""
    libraries = [name for name in LIBRARIES if installed[name]]
    if len(libraries) == 1:
        return []
    if libraries:
        return ["ib_insync and ib_async are both installed and break each other: uninstall both, install one again"]
    return ["no library for Interactive Brokers: `pip install 'ib-workbench[ib-insync]'`"]


def examine() -> dict[str, Any]:
    """Everything the command prints, as plain data for ``--json``."""
    installed = versions()
    absent = [name for name, version in installed.items() if version is None and name not in LIBRARIES]
    return {
        "workbench": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "instruction_sets": instruction_sets(),
        "packages": installed,
        "kernels": kernels(),
        "problems": preflight.problems() + [f"{k} is not installed: run `make build`" for k in absent],
        "missing_for_live": missing_for_live(installed),
    }
