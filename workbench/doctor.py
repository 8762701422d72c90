"""`workbench doctor`: what is installed, how the kernels were built, and what is missing for live trading."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench import __version__, preflight

NAMED = (
    "jupyterlab", "ipywidgets", "panel", "holoviews", "numpy", "pandas", "torch", "onnxruntime", "scikit-learn",
    "scipy", "joblib", "pybind11", "ib_insync", "papermill", "nbval", "lightgbm", "pyarrow", "exchange_calendars",
)  # fmt: skip
ISA_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f")


def versions() -> dict[str, str | None]:
    """Package -> installed version, None where it is absent."""
    return {name: _version(name) for name in NAMED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def instruction_sets() -> list[str] | None:
    """Vector instruction sets of this processor that matter here; None where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return None
    flags = next((x.split(":")[1].split() for x in cpuinfo.read_text().splitlines() if x.startswith("flags")), [])
    return [f for f in ISA_FLAGS if f in flags]


def kernels() -> dict[str, Any]:
    """How the compiled kernels were built, or the one sentence that says how to build them."""
    try:
        from workbench.kernels import build_info
    except ImportError as error:
        return {"missing": str(error)}
    return dict(build_info())


def missing_for_live(installed: dict[str, str | None]) -> list[str]:
    """What stands between this installation and trading at a broker, as sentences with their remedies."""
    found = [] if installed["ib_insync"] else ["ib_insync is not installed: `pip install ib_insync==0.9.86`"]
    found.append("this version has no live engine yet: it fits and backtests, and sends nothing to a broker")
    return found


def examine() -> dict[str, Any]:
    """Everything the command prints, as plain data for ``--json``."""
    installed = versions()
    absent = [name for name, version in installed.items() if version is None]
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
