"""Every notebook runs: at small parameters through nbval, at its own through papermill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.notebooks.copies import NOTEBOOKS, ROOT, quiet_environment, small_copy, small_walk

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
"""Notebook -> cell id -> what the cell prints, worked out by hand from its parameters: checked by nbval."""


def with_expected(path: Path, expected: dict[str, str]) -> None:
    """Put what is expected into the copy at `path`, where nbval looks for it."""
    notebook = nbformat.read(path, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    for name, text in expected.items():
        cells[name].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        cells[name].metadata.setdefault("tags", []).append("nbval-check-output")
    nbformat.write(notebook, path)


@pytest.mark.timeout(600)
def test_every_notebook_at_small_parameters(tmp_path: Path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    small_walk(tmp_path / "walk")
    for notebook in NOTEBOOKS:
        with_expected(small_copy(notebook, folder, tmp_path / "walk"), EXPECTED.get(notebook.stem, {}))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-cell-timeout=120",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    failed = []
    for notebook in NOTEBOOKS:
        began = time.monotonic()
        told = subprocess.run(
            [*command, "--rootdir", str(folder), notebook.name],
            cwd=folder, env=quiet_environment(tmp_path), capture_output=True, text=True, check=False,
        )  # fmt: skip
        print(f"  {notebook.stem}: {time.monotonic() - began:.1f} s")
        if told.returncode:
            failed.append(told.stdout[-6000:] + told.stderr[-2000:])
    assert not failed, "\n\n".join(failed)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that the notebooks share."""
    return tmp_path_factory.mktemp("papermill") / "walk"


@pytest.mark.slow
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
