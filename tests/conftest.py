"""What tests of several rooms share: a workspace that was really trained and backtested, made once per process."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest


def pytest_configure() -> None:
    """A suite that a script started in its background inherits an ignored Ctrl-C, and so would all it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def traded(tmp_path_factory) -> SimpleNamespace:
    """`job` after its backtest (4 symbols, 4 sessions traded, three horizons) and its `recall`; some 5 seconds."""
    from workbench.config import Settings
    from workbench.research import steps
    from workbench.research.job import Job
    from workbench.research.recall import recall_backtest

    settings = Settings().change(
        training={"profile": "demo", "families": ("FTRLProximal",), "barriers": ("FTRLProximal",), "segments": 2,
                  "initial_fraction": 0.5, "max_rows": 5000, "jobs": 1},
        features={"quotes": "top", "warmup_sessions": 3},
        system={"horizons": ("15m", "60m", "1d")},
        blending={"force_slope": 0.5},
        backtest={"spread_multipliers": (1.0, 2.0)},
    )  # fmt: skip
    job = Job.open(tmp_path_factory.mktemp("traded"), settings)
    steps.simulate(job, symbols=4, days=16, daily=260, ic=0.1)
    for step in (steps.train, steps.blend, steps.calibrate, steps.backtest):
        step(job)
    return SimpleNamespace(job=job, recall=recall_backtest(job))
