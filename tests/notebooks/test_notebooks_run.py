"""Every notebook runs: at small parameters through nbval, at its own through papermill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import papermill
import pytest

from tests.notebooks.copies import NOTEBOOKS, ROOT, quiet_environment, small_copy, small_walk

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
"""Notebook -> cell id -> what the cell prints, written by hand, with stand-ins for what differs from run to run (see
`sanitize.cfg`): checked by nbval."""


def with_expected(path: Path, expected: dict[str, str]) -> None:
    """Put what is expected into the copy at `path`, where nbval looks for it."""
    notebook = nbformat.read(path, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    for name, text in expected.items():
        cells[name].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        cells[name].execution_count = 1  # nbval believes no output of a cell that was never run
        cells[name].metadata.setdefault("tags", []).append("nbval-check-output")
    nbformat.write(notebook, path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_notebook_at_small_parameters(tmp_path: Path):
    folder, told = tmp_path / "notebooks", tmp_path / "told.xml"
    folder.mkdir()
    small_walk(tmp_path / "walk")
    for notebook in NOTEBOOKS:
        with_expected(small_copy(notebook, folder, tmp_path / "walk"), EXPECTED.get(notebook.stem, {}))
    options = ["--nbval-lax", "--nbval-cell-timeout=120", f"--nbval-sanitize-with={HERE / 'sanitize.cfg'}"]
    apart = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder), f"--junitxml={told}"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *apart, *(n.name for n in NOTEBOOKS)],
        cwd=folder, env=quiet_environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds: Counter[str] = Counter()
    for cell in ElementTree.parse(told).iter("testcase"):
        seconds[cell.get("classname", "").split(".")[0]] += float(cell.get("time", "0"))
    print("\n" + "\n".join(f"  {name}: {took:.1f} s" for name, took in sorted(seconds.items())))
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert len(seconds) == len(NOTEBOOKS)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that the notebooks share."""
    return tmp_path_factory.mktemp("papermill") / "walk"


@pytest.mark.slow
@pytest.mark.xdist_group("papermill")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_at_its_own_parameters_through_papermill(path: Path, walked: Path):
    began = time.monotonic()
    out = walked.parent / path.name
    papermill.execute_notebook(
        str(path), str(out), {"workspace": str(walked)}, cwd=str(ROOT / "notebooks"), progress_bar=False,
        iopub_timeout=300, execution_timeout=600,
    )  # fmt: skip
    print(f"\n  {path.stem}: {time.monotonic() - began:.1f} s, {out.stat().st_size / 2**20:.1f} MiB with outputs")
    outputs = [o for c in nbformat.read(out, as_version=4).cells if c.cell_type == "code" for o in c.outputs]
    assert outputs
    assert not [o for o in outputs if o.output_type == "error"]
