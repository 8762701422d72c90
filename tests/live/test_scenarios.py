"""Every scenario of the gateway against the live engine, with ib_insync here and with ib_async in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.conformance.test_conformance import ib_async_python
from tests.live.scenario_cases import CASES
from tests.live.scenario_checks import check_everything
from tests.live.scenario_runs import play
from workbench.execution.ibkr import backend
from workbench.gateway.scenarios import names

ROOT = Path(__file__).parents[2]
OF_THE_LIBRARIES = ("ib_insync", "ib_async", "eventkit", "aeventkit", "nest_asyncio")
QUICK = (
    "restart_swallows_order",
    "fill_after_cancel",
    "modify_doubles_order",
    "executions_replayed",
    "manual_sale_of_own_position",
    "live_updates_lost",
)
"""The most telling, for every run of the tests."""
OTHERS = sorted(set(CASES) - set(QUICK))
HALVES = [pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)]
"""With ib_async, every second of the others runs with the slow suite, the rest by hand."""


def test_every_scenario_has_its_case():
    assert sorted(CASES) == sorted(names())


def test_the_library_is_the_one_that_is_meant():
    assert os.environ.get("WORKBENCH_TEST_IB", "ib_insync") == backend.NAME


@pytest.mark.parametrize("name", QUICK)
def test_a_telling_scenario(name, tmp_path):
    play(name, CASES[name], tmp_path, check_everything)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_any_other_scenario(name, tmp_path):
    play(name, CASES[name], tmp_path, check_everything)


def under_ib_async(folder: Path, *arguments: str, timeout_s: float) -> None:
    """These tests in the environment that has ib_async alone; all but the client libraries is lent to it from here."""
    lent = folder / "lent"
    lent.mkdir()
    (here,) = {Path(p) for p in sys.path if (Path(p) / "ib_insync").is_dir()}
    for entry in here.iterdir():
        if entry.suffix != ".pth" and not entry.name.lower().replace("-", "_").startswith(OF_THE_LIBRARIES):
            (lent / entry.name).symlink_to(entry)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{lent}", "WORKBENCH_TEST_IB": "ib_async"}
    command = [ib_async_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif("WORKBENCH_TEST_IB" in os.environ, reason="this is the run with the other library")
def test_the_telling_scenarios_with_ib_async(tmp_path):
    under_ib_async(tmp_path, "-m", "not slow and not soak", __file__, timeout_s=250)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.timeout(900)
@pytest.mark.skipif("WORKBENCH_TEST_IB" in os.environ, reason="this is the run with the other library")
def test_the_other_scenarios_with_ib_async(half, tmp_path):
    tests = (f"{__file__}::test_any_other_scenario[{name}]" for name in OTHERS[half::2])
    under_ib_async(tmp_path, *tests, timeout_s=850)
