"""The gateway under the checks of `ib_checks`, with ib_insync in this process and ib_async in its own environment."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from workbench.gateway.simulated import SimulatedGateway

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
GROUPS = ("instruments", "quotes", "past", "orders", "families", "account", "sharing", "refusals", "limits", "closing")
SPEED = {"closing": 3000.0}  # a day in eight seconds; the others run at 20


def ib_async_python() -> str:
    """The interpreter that has ib_async; without one the test fails in CI, and is skipped elsewhere."""
    named = os.environ.get("WORKBENCH_IB_ASYNC_PYTHON", "")
    path = Path(named) if named else ROOT / ".venv-ib-async" / "bin" / "python"
    if path.exists():
        return str(path)
    text = f"no interpreter with ib_async at {path}: run `make ib-async-env`, or set WORKBENCH_IB_ASYNC_PYTHON"
    if os.environ.get("WORKBENCH_CI"):
        pytest.fail(text)
    pytest.skip(text)


def report(outcome: dict[str, str]) -> None:
    assert outcome, "the group has no checks"
    bad = {name: text for name, text in outcome.items() if text}
    assert not bad, "\n".join(f"--- {name}\n{text}" for name, text in bad.items())


@pytest.mark.parametrize("group", GROUPS)
def test_ib_insync(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    harness = importlib.import_module("ib_checks.harness")
    with SimulatedGateway(speed=SPEED.get(group, 20.0)) as gateway:
        report(asyncio.run(harness.run_group("ib_insync", gateway.port, group)))


@pytest.mark.parametrize("group", GROUPS)
def test_ib_async(group: str) -> None:
    python = ib_async_python()
    with SimulatedGateway(speed=SPEED.get(group, 20.0)) as gateway:
        command = [python, "-m", "ib_checks", "ib_async", str(gateway.port), group]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report(json.loads(done.stdout.splitlines()[-1]))
