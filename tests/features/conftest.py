"""A small embedded market, with holes, for the tests of the features room."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.calendar import sessions_between
from workbench.data.simulate import MarketSettings, simulate


def _punch(bars: Bars, hole: np.ndarray) -> Bars:
    """The same bars with every field NaN where `hole` (T, N)."""
    names = [n for n in (*TRADE_FIELDS, *QUOTE_FIELDS) if getattr(bars, n) is not None]
    return replace(bars, **{n: np.where(hole, np.nan, getattr(bars, n)) for n in names})


@pytest.fixture(scope="session")
def punch():
    return _punch


@pytest.fixture(scope="session")
def without_quotes():
    return lambda bars: replace(bars, **dict.fromkeys(QUOTE_FIELDS))


@pytest.fixture(scope="session")
def market():
    """12 symbols, 26 sessions (an early close among them), a year of daily bars."""
    return simulate(
        MarketSettings(symbols=12, intraday_sessions=26, daily_sessions=300, minute=False, end="2025-12-12", seed=3)
    )


@pytest.fixture(scope="session")
def holed(market):
    """The market's bars, 3 % of them missing; one symbol late by 4 sessions, one dead after 20; a day without bars."""
    rng = np.random.default_rng(5)
    hole = rng.random(market.bars.shape) < 0.03
    session = np.unique(market.bars.session, return_inverse=True)[1]
    hole[session < 4, 2] = True
    hole[session >= 20, 5] = True
    hole[session == 9] = True
    return _punch(market.bars, hole)


@pytest.fixture(scope="session")
def real_bars():
    """17 of the real symbols, four months of them; skipped where the shared data is absent."""
    shared = os.environ.get("WORKBENCH_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data"
    folder = Path(shared) / "us_equity_5min"
    if not folder.is_dir():
        pytest.skip(
            f"REAL DATA ABSENT: no folder {folder.name} under WORKBENCH_SHARED_DATA; this test proves nothing here"
        )
    names = "AAPL AMZN BA BAC C COIN CRM GE GS INTC KWEB MARA MSFT SPXL SPY UPRO XOM".split()  # noqa: SIM905
    frame = pd.concat([pd.read_parquet(f, filters=[("symbol", "in", names)]) for f in sorted(folder.iterdir())[1:6]])
    ts = frame.ts.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    grid = sessions_between("2025-05-12", "2025-08-29").grid(5)
    row = np.minimum(np.searchsorted(grid[0], ts), len(grid[0]) - 1)
    keep = grid[0][row] == ts
    fields = {}
    for name in TRADE_FIELDS:
        fields[name] = np.full((len(grid[0]), len(names)), np.nan)
        fields[name][row[keep], frame.symbol[keep].map(names.index)] = frame[name][keep]
    return Bars(tuple(names), 5, *grid, **fields, data_origin="real")
