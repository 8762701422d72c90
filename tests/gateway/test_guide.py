"""The guide's snippets run as they stand, and it knows every option of the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
import typer

import workbench
from workbench.cli_gateway import gateway

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "gateway.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE, re.S)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs this interpreter with arguments, in an empty folder; its output."""
    monkeypatch.setenv("PYTHONPATH", str(Path(workbench.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def go(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return go


def test_the_script_trades(run):
    (script,) = (s for s in SNIPPETS if "with SimulatedGateway" in s)
    out = run("-c", script)
    assert out.startswith("Filled ")
    assert "position=100.0" in out


def test_the_tests_pass(run, tmp_path):
    (tests,) = (s for s in SNIPPETS if "def test_" in s)
    (tmp_path / "test_snippet.py").write_text(tests)
    assert "2 passed" in run("-m", "pytest", "-q", "-p", "workbench.gateway.pytest_plugin", "-p", "no:cacheprovider")


def test_the_notebook_cell_runs_on_its_loop(run):
    (cell,) = (s for s in SNIPPETS if "await gateway.serve()" in s)
    code = "import asyncio\nasync def cell():\n" + indent(cell, "    ") + "    print(len(bars))\nasyncio.run(cell())\n"
    assert int(run("-c", code)) > 15


def test_every_option_is_there():
    app = typer.Typer(add_completion=False)
    app.command()(gateway)
    known = {option for p in typer.main.get_command(app).params for option in p.opts}
    assert known - {"--help"} == set(re.findall(r"--[a-z][a-z-]*", GUIDE.replace("---", ""))) - {"--help"}
