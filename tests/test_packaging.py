"""What the user named is there, in both worlds; every pin is one version; the preflight names what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from workbench import preflight

ROOT = Path(__file__).resolve().parent.parent
NAMED = (
    "jupyterlab", "ipywidgets", "panel", "holoviews", "numpy", "pandas", "torch", "onnxruntime", "scikit-learn",
    "scipy", "joblib", "pybind11", "ib_insync", "papermill", "nbval",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_every_package_the_user_named_is_in_pyproject_and_environment(name):
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    listed = pyproject["project"]["dependencies"] + extras["dev"] + extras["ib-insync"]
    assert name in {re.split(r"[<>=!~ ]", line)[0] for line in listed}
    assert re.search(rf"(- |`){re.escape(name)}\b", (ROOT / "environment.yml").read_text())


def test_constraints_pin_one_version_each():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    names = [x.split("==")[0].lower().replace("-", "_") for x in lines]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", x) for x in lines)
    assert len(set(names)) == len(names)
    assert "torch==2.13.0" in lines


def test_every_direct_dependency_is_pinned():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = pyproject["project"]["dependencies"] + pyproject["project"]["optional-dependencies"]["dev"]
    pinned = {x.split("==")[0].lower().replace("-", "_") for x in (ROOT / "constraints.txt").read_text().split("\n")}
    missing = {re.split(r"[\[<>=!~ ]", w)[0].lower().replace("-", "_") for w in wanted} - pinned
    assert not missing


def test_importing_the_package_is_cheap():
    heavy = ("torch", "pandas", "sklearn")
    code = f"import sys, workbench, workbench.config; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.strip() == "[]"


def test_preflight_names_the_remedy(tmp_path, monkeypatch):
    assert "3.11, 3.12 or 3.13" in preflight.python_version((3, 10))
    assert "3.11, 3.12 or 3.13" in preflight.python_version((3, 14))
    assert preflight.python_version((3, 12)) is None
    assert "python3-dev" in preflight.python_headers(str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in preflight.compiler()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install make" in preflight.make_tool()


def test_no_path_of_a_machine_and_no_data_is_tracked():
    listing = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    files = listing.stdout.split()
    assert not [f for f in files if f.endswith((".parquet", ".csv", ".pkl", ".joblib"))]
