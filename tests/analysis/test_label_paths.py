"""The path of a label says what the label says, for every row; and when."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.analysis.label_paths import barrier_path, entry_price
from workbench.config import LabelSettings
from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.horizon import horizon
from workbench.core.units import NS_PER_MINUTE
from workbench.data.simulate import MarketSettings, simulate
from workbench.training.labels import make_labels

SIGMA = 0.002


@pytest.fixture(scope="module")
def market():
    return simulate(MarketSettings(symbols=3, intraday_sessions=3, daily_sessions=3, seed=11))


def labelled(bars, minute=None):
    sigma = lambda h: np.full(bars.shape, SIGMA * np.sqrt(h.bars))  # noqa: E731 - a stand-in of one line
    return make_labels(bars, SimpleNamespace(ts=bars.ts, sigma_h=sigma), LabelSettings(), minute)


@pytest.mark.parametrize("quotes", [True, False])
@pytest.mark.parametrize("minutes", [True, False])
@pytest.mark.parametrize("label", ["5m", "30m", "120m"])
def test_the_path_agrees_with_the_label_of_every_row(market, quotes, minutes, label):
    bars = market.bars if quotes else replace(market.bars, bid=None, ask=None)
    high = bars.high.copy()
    high[50, 1] = np.nan
    bars = replace(bars, high=high)
    minute = market.minute if minutes else None
    h, made = horizon(label), labelled(bars, minute)[label]
    both = 0
    for t in np.flatnonzero(made.exists):
        for n in range(3):
            entry = entry_price(bars, n, t)
            path = barrier_path(bars, n, (t + 1, t + 1 + h.bars), entry, SIGMA * np.sqrt(h.bars), minute)
            got = [path.peak, path.valley]
            np.testing.assert_array_equal(got, [made.peak[t, n], made.valley[t, n]], err_msg=f"{t} {n} {path}")
            exit_ = (bars.mid if quotes else bars.close)[t + h.bars, n]
            np.testing.assert_allclose(exit_ / entry - 1, made.value[t, n], atol=1e-12)
            both += path.outcome == "both in one bar"
            if path.touch_ts >= 0:
                assert bars.ts[t] < path.touch_ts <= made.matured_at[t]
    assert minutes or label != "5m" or both > 0, "the market should hold a bar that touches both"


def flat_day(**bars_at):
    """A day at 100; `r3=(high, low)` is the third 5-minute bar (row 3) of symbol A."""
    ts, session, number, count = sessions_between("2025-07-01", "2025-07-01").grid(5)
    price = np.full((len(ts), 1), 100.0)
    high, low = price + 0.01, price - 0.01
    for name, (top, bottom) in bars_at.items():
        high[int(name[1:])], low[int(name[1:])] = top, bottom
    return Bars(("A",), 5, ts, session, number, count, price, high, low, price, price)


@pytest.mark.parametrize(
    ("touches", "outcome", "row"),
    [
        ({"r4": (101.1, 99.9)}, "upper", 4),
        ({"r4": (100.1, 98.9)}, "lower", 4),
        ({"r4": (100.1, 98.9), "r3": (101.1, 99.9)}, "upper", 3),
        ({"r4": (101.1, 98.9)}, "both in one bar", 4),
        ({"r2": (101.1, 99.9)}, "neither", None),  # the decision's own bar
        ({"r9": (101.1, 99.9)}, "neither", None),  # after the horizon
    ],
)
def test_what_is_touched_first_and_when(touches, outcome, row):
    bars = flat_day(**touches)
    path = barrier_path(bars, 0, (3, 9), 100.0, 0.01)
    assert path.outcome == outcome
    assert path.touch_ts == (-1 if row is None else bars.ts[row])
    np.testing.assert_allclose([path.upper, path.lower], [100 * np.exp(0.01), 100 * np.exp(-0.01)])
    want = {"upper": path.upper, "lower": path.lower}.get(outcome, np.nan)
    np.testing.assert_equal(path.touch_price, want)


def minutes_of(bars, touches):
    """1-minute bars of the day at 100; `touches`: minute of row 4 (1..5) -> (high, low)."""
    ts, session, number, count = sessions_between("2025-07-01", "2025-07-01").grid(1)
    price = np.full((len(ts), 1), 100.0)
    high, low = price + 0.01, price - 0.01
    for minute, (top, bottom) in touches.items():
        high[4 * 5 + minute - 1], low[4 * 5 + minute - 1] = top, bottom
    return Bars(bars.symbols, 1, ts, session, number, count, price, high, low, price, price)


@pytest.mark.parametrize(
    ("touches", "outcome", "minute"),
    [
        ({2: (101.1, 99.9), 4: (100.0, 98.9)}, "upper", 2),
        ({2: (100.0, 98.9), 4: (101.1, 99.9)}, "lower", 2),
        ({3: (101.1, 98.9)}, "both in one bar", 3),
        ({}, "both in one bar", 5),  # the minutes tell nothing: the end of the bar
    ],
)
def test_minutes_order_two_touches_of_one_bar(touches, outcome, minute):
    bars = flat_day(r4=(101.1, 98.9))
    path = barrier_path(bars, 0, (3, 9), 100.0, 0.01, minutes_of(bars, touches))
    assert path.outcome == outcome
    assert path.touch_ts == bars.ts[4] - (5 - minute) * NS_PER_MINUTE


def test_what_is_missing_is_unknown():
    bars = flat_day(r5=(np.nan, np.nan), r6=(101.1, 99.9))
    for path in (
        barrier_path(bars, 0, (3, 9), 100.0, 0.01),  # a gap before the touch
        barrier_path(bars, 0, (3, 5), np.nan, 0.01),
        barrier_path(bars, 0, (3, 5), 100.0, np.nan),
        barrier_path(bars, 0, (76, 80), 100.0, 0.01),  # beyond the panel
    ):
        assert path.outcome == "unknown"
        assert np.isnan([path.peak, path.valley, path.touch_price]).all()
        assert path.touch_ts == -1
    assert np.isnan(entry_price(bars, 0, 77))
