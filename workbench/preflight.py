"""What a machine must have before `make` can set the workbench up; runs on a bare Python, standard library only.

    python3 workbench/preflight.py [PYTHON]

Prints one line per thing that is missing, each with its remedy, and exits 1; prints nothing else and exits 0 when
all is there.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
FREE_GIB = 4


def python_version(version: tuple[int, int]) -> str | None:
    """The remedy if this Python is too old or too new."""
    if OLDEST <= version <= NEWEST:
        return None
    found = ".".join(map(str, version))
    return f"Python {found} will not do: 3.11, 3.12 or 3.13 is needed. Install one and run `make PYTHON=python3.12 ...`"


def venv_module() -> str | None:
    """The remedy if virtual environments cannot be made (Debian keeps ensurepip in a package of its own)."""
    try:
        for name in ("venv", "ensurepip"):
            importlib.import_module(name)
    except ImportError:
        return "Python's venv module is incomplete: `apt-get install python3-venv` (Fedora: python3-devel)"
    return None


def python_headers(include: str) -> str | None:
    """The remedy if Python.h is absent, without which no extension compiles."""
    if Path(include, "Python.h").is_file():
        return None
    return f"Python's headers are missing ({include}/Python.h): `apt-get install python3-dev` (Fedora: python3-devel)"


def compiler() -> str | None:
    """The remedy if no C++20 compiler works."""
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    found = next((c for c in candidates if shutil.which(c)), None)
    if found is None:
        return f"no C++ compiler ({', '.join(candidates)}): `apt-get install g++` (macOS: xcode-select --install)"
    probe = subprocess.run(
        [found, "-std=c++20", "-fsyntax-only", "-x", "c++", "-"],
        input="#include <concepts>\nint main() { return 0; }\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode == 0:
        return None
    return f"{found} cannot compile C++20 (needs gcc 11 or clang 14 or newer): {probe.stderr.strip().splitlines()[:1]}"


def make_tool() -> str | None:
    """The remedy if make is absent."""
    return None if shutil.which("make") else "make is missing: `apt-get install make`"


def disk_space(where: Path) -> str | None:
    """The remedy if the environment will not fit."""
    free = shutil.disk_usage(where).free / 2**30
    if free >= FREE_GIB:
        return None
    return f"only {free:.1f} GiB free at {where}: the environment needs about {FREE_GIB} GiB; free some space"


def problems() -> list[str]:
    """Everything that is missing, as sentences with their remedies."""
    found = [
        python_version(sys.version_info[:2]),
        venv_module(),
        python_headers(sysconfig.get_paths()["include"]),
        compiler(),
        make_tool(),
        disk_space(Path.cwd()),
    ]
    return [p for p in found if p]


if __name__ == "__main__":
    missing = problems()
    for line in missing:
        print(f"preflight: {line}", file=sys.stderr)
    sys.exit(1 if missing else 0)
