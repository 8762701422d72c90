"""The gateway under the checks of `ib_checks`, with ib_insync in this process and ib_async in its own environment."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.gateway.limits import HistoricalPacing
from workbench.gateway.simulated import SimulatedGateway

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
GROUPS = ("instruments", "quotes", "past", "orders", "families", "account", "sharing", "refusals", "everything",
          "limits", "closing")  # fmt: skip
SPEED = 20.0
NOON, TO_THE_CLOSE = "2026-03-02T12:00", 3000.0
AT_THE_CLOSE = 5
"""Orders with which the check of the close begins."""


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


@contextlib.contextmanager
def gateway_for(group: str) -> Iterator[SimulatedGateway]:
    """A gateway for the checks of a group: none of them is in a hurry.

    The day of `closing` runs to its end once its orders are there. Clients pace themselves by the machine's clock: it
    stands still for `limits`, so that what is asked for in turn is asked for at one time.
    """
    with SimulatedGateway(speed=SPEED, start=NOON if group == "closing" else None) as gateway:
        assert gateway._loop is not None
        if group == "limits":
            gateway.hub.pacing = HistoricalPacing(now=lambda: 0.0)
        if group == "closing":
            asyncio.run_coroutine_threadsafe(_run_to_the_close(gateway), gateway._loop)
        yield gateway


async def _run_to_the_close(gateway: SimulatedGateway) -> None:
    while len(gateway.brokerage.open_orders()) < AT_THE_CLOSE:
        await asyncio.sleep(0.02)
    gateway.server.speed = TO_THE_CLOSE


def report(outcome: dict[str, str]) -> None:
    assert outcome, "the group has no checks"
    bad = {name: text for name, text in outcome.items() if text}
    assert not bad, "\n".join(f"--- {name}\n{text}" for name, text in bad.items())


@pytest.mark.parametrize("group", GROUPS)
def test_ib_insync(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    harness = importlib.import_module("ib_checks.harness")
    with gateway_for(group) as gateway:
        report(asyncio.run(harness.run_group("ib_insync", gateway.port, group)))


@pytest.mark.parametrize("group", GROUPS)
def test_ib_async(group: str) -> None:
    python = ib_async_python()
    with gateway_for(group) as gateway:
        command = [python, "-m", "ib_checks", "ib_async", str(gateway.port), group]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report(json.loads(done.stdout.splitlines()[-1]))
