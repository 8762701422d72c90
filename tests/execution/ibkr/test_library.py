"""Which library is used, and the whole suite again with the other one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.conformance.test_conformance import ib_async_python
from workbench.execution.ibkr import backend
from workbench.execution.ibkr.errors import BrokerError

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
OF_THE_OTHER = ("ib_insync", "ib_async", "eventkit", "aeventkit", "nest_asyncio")


def test_the_library_is_the_one_that_is_installed():
    wanted = os.environ.get("WORKBENCH_TEST_IB", "ib_insync")
    assert wanted == backend.NAME
    assert backend.Client.__module__ == f"{wanted}.client"
    assert "ibapi" not in sys.modules


def test_two_libraries_or_none_are_refused():
    with pytest.raises(BrokerError, match=r"both installed.*pip uninstall -y ib_async aeventkit"):
        backend.choose(["ib_insync", "ib_async"])
    with pytest.raises(BrokerError, match=r"neither.*pip install ib_insync==0\.9\.86"):
        backend.choose([])


@pytest.mark.skipif("WORKBENCH_TEST_IB" in os.environ, reason="this is the run with the other library")
@pytest.mark.slow
def test_the_whole_suite_with_ib_async(tmp_path):
    """Its environment has ib_async alone; everything but the client libraries is lent to it from this one."""
    lent = tmp_path / "lent"
    lent.mkdir()
    (here,) = {Path(p) for p in sys.path if (Path(p) / "ib_insync").is_dir()}
    for entry in here.iterdir():
        name = entry.name.lower().replace("-", "_")
        if entry.suffix != ".pth" and not any(name == n or name.startswith((f"{n}_", f"{n}.")) or f"{n}-" in entry.name
                                              for n in OF_THE_OTHER):  # fmt: skip
            (lent / entry.name).symlink_to(entry)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{lent}", "WORKBENCH_TEST_IB": "ib_async"}
    command = [ib_async_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(HERE)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
