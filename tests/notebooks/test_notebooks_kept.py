"""What a committed notebook must be: without outputs, parameterised as papermill needs it, and of one house."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.notebooks.copies import NOTEBOOKS, OWN, SMALL, parameters

STAGES = (
    "00_start_here", "01_market_data", "02_features_and_labels", "03_train_models", "04_fit_blenders",
    "05_calibrate_gates", "06_costs_and_arbitration", "07_position_sizing", "08_backtest", "09_live_session",
    "10_session_report", "11_pre_open", "12_candidate",
)  # fmt: skip
COMMON = {
    "workspace": ("str", "../runs/walk"), "data": ("str", ""), "symbols": ("int", 12), "sessions": ("int", 60),
    "families": ("list", ["LightGBM", "FTRLProximal", "MLP"]),
}  # fmt: skip
LINE = re.compile(r"^(\w+): (\w+) = (.+?)  # (.+)$")
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def test_every_stage_has_its_notebook():
    assert tuple(p.stem for p in NOTEBOOKS) == STAGES


@every
def test_it_has_no_outputs_and_stable_ids(path: Path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_nbstripout_finds_nothing_to_strip():
    told = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", *map(str, NOTEBOOKS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr


@every
def test_it_names_no_place_of_one_machine(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not re.search(r"""["'`(](?:~|/[A-Za-z]|[A-Za-z]:[\\\\/])""", cell.source), cell.source


@every
def test_its_parameters_are_typed_explained_and_used(path: Path):
    notebook = nbformat.read(path, as_version=4)
    (cell,) = parameters(notebook)
    lines = [LINE.match(line) for line in cell.source.splitlines()]
    assert all(lines), f"one `name: type = value  # help` per line: {cell.source}"
    told = {m[1]: (m[2], ast.literal_eval(m[3])) for m in lines if m}
    assert {name: told[name] for name in COMMON if name in told} == {n: v for n, v in COMMON.items() if n in told}
    assert list(told)[: len(COMMON)] == list(COMMON)
    rest = "\n".join(c.source for c in notebook.cells if c.cell_type == "code" and c is not cell)
    names = {node.id for node in ast.walk(ast.parse(rest)) if isinstance(node, ast.Name)}
    assert not set(told) - names, "stale parameters: nothing uses them"
    assert set(SMALL) | set(OWN.get(path.stem, {})) <= set(told), "the tests set a parameter that it does not have"


@every
def test_papermill_can_inspect_its_parameters(path: Path):
    told = papermill.inspect_notebook(str(path))
    assert set(COMMON) <= set(told)
    assert all(p["help"] and p["inferred_type_name"] != "None" for p in told.values())


@every
def test_its_links_lead_somewhere(path: Path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert not target.startswith("http"), f"{target} needs the internet"
        assert (path.parent / target).exists(), target


@every
def test_it_can_be_read_in_ten_minutes(path: Path):
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    assert len(code) <= 16
    assert words <= 1200
