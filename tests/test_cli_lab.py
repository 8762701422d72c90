"""`workbench lab`: what it starts, and what it says where there are no notebooks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from workbench.cli_lab import LANDING, command, environment


def test_it_stays_on_loopback_and_opens_the_landing_notebook():
    told = command(8899, True)
    assert "--ServerApp.ip=127.0.0.1" in told
    assert f"--LabApp.default_url=/lab/tree/{LANDING}" in told
    assert "--no-browser" in told
    assert not [part for part in told if "token" in part or "password" in part]


def test_jupyterlab_reads_that_it_must_not_call_home(tmp_path: Path):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    code = "import json, jupyterlab_server.settings_utils as s; print(json.dumps(s._get_overrides('')[0]))"
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment(notebooks), capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_without_notebooks_it_says_where_to_look(tmp_path: Path):
    told = subprocess.run(
        [sys.executable, "-m", "workbench.cli", "lab", "--notebooks", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    assert "--notebooks" in told.stderr
