"""Aggregation with holes: known bars count, nothing is invented."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError
from workbench.data.aggregate import to_bars, to_daily

NAN = float("nan")


def _bars(interval: int = 1, day: str = "2025-07-03", quotes: bool = False) -> Bars:
    """One early close of a rising price, one symbol."""
    grid = sessions_between(day, day).grid(interval)
    price = (10 + np.arange(len(grid[0])) / 100)[:, None]
    extra = {"bid": price - 0.01, "ask": price + 0.01, "bid_size": price, "ask_size": price, "ofi": price}
    return Bars(
        ("AA",), interval, *grid, price, price + 0.5, price - 0.5, price, price * 100, **(extra if quotes else {})
    )


def _without(bars: Bars, rows: list[int]) -> Bars:
    fields = {}
    for name in ("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size", "ofi"):
        if (value := getattr(bars, name)) is not None:
            fields[name] = value.copy()
            fields[name][rows] = NAN
    grid = bars.ts, bars.session, bars.bar_of_session, bars.bars_in_session
    return Bars(bars.symbols, bars.interval_minutes, *grid, **fields)


def test_known_minutes_make_the_bar() -> None:
    bars = _without(_bars(quotes=True), [0, 3, 4])
    five = to_bars(bars, 5)
    assert five.open[0, 0] == bars.open[1, 0]
    assert five.close[0, 0] == bars.close[2, 0]
    assert five.high[0, 0] == bars.high[2, 0]
    assert five.low[0, 0] == bars.low[1, 0]
    assert five.volume[0, 0] == bars.volume[1, 0] + bars.volume[2, 0]
    assert np.isnan(five.bid[0, 0])  # the quote at the bar's end is not known
    assert np.isnan(five.ofi[0, 0])
    assert five.bid[1, 0] == bars.bid[9, 0]


def test_no_minute_no_bar() -> None:
    five = to_bars(_without(_bars(), [0, 1, 2, 3, 4]), 5)
    assert np.isnan([five.open[0, 0], five.high[0, 0], five.low[0, 0], five.close[0, 0], five.volume[0, 0]]).all()
    assert np.isfinite(five.close[1:]).all()


def test_a_day_needs_half_of_its_bars() -> None:
    bars = _bars(5)
    assert len(bars.ts) == 42
    assert np.isfinite(to_daily(_without(bars, list(range(21)))).close[0, 0])
    assert np.isnan(to_daily(_without(bars, list(range(22)))).close[0, 0])
    assert to_daily(_without(bars, [41])).close[0, 0] == bars.close[40, 0]
    assert to_daily(bars).ts[0] == bars.ts[-1]


def test_intervals_that_do_not_divide_are_refused() -> None:
    with pytest.raises(DataError, match="5-minute bars cannot become 7-minute bars"):
        to_bars(_bars(5), 7)
    with pytest.raises(DataError, match="give whole sessions"):
        to_bars(_bars(1).rows(2, 100), 5)


def test_an_empty_panel_stays_empty() -> None:
    none = _bars(1).rows(0, 0)
    assert to_bars(none, 5).shape == (0, 1)
    assert to_daily(none).shape == (0, 1)
