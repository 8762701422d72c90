"""Estimated spreads by month: last month's bars, never below a tick, wider at the open, no future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.core.units import BPS
from workbench.core.universe import Universe
from workbench.features.engine import build_history


def test_the_first_session_is_unknown_then_the_prior_then_last_months_estimate(market, without_quotes):
    bars = without_quotes(market.bars)
    history = build_history(bars, None, market.universe)
    month = bars.session.astype("datetime64[D]").astype("datetime64[M]")
    assert np.isnan(history.spread[:78]).all()
    assert np.isfinite(history.spread[78:]).all()
    assert (history.spread >= 0.01 / bars.close - 1e-15)[78:].all()
    wild = np.array(bars.close)
    change = (month == month[-1]) & (np.arange(len(month)) % 2 == 0)
    wild[change] *= 1.001
    other = build_history(replace(bars, close=wild, high=np.maximum(bars.high, wild)), None, market.universe)
    midday = (bars.bar_of_session == 40) & ~change
    np.testing.assert_array_equal(
        history.spread[midday & (month == month[-1])], other.spread[midday & (month == month[-1])]
    )


def test_a_wide_symbol_is_wider_at_the_open_and_narrower_at_the_close(market, without_quotes):
    history = build_history(without_quotes(market.bars), None, market.universe)
    tick = 0.01 / history.price
    last = history.session == history.session[-1]
    spread, tick = history.spread[last], tick[last]
    wide = spread[40] > 3 * tick[40]
    if wide.any():
        assert np.allclose(spread[0, wide] / spread[40, wide], 2.5)
        assert np.allclose(spread[77, wide] / spread[40, wide], 0.55)


def test_estimates_on_real_stocks_are_sane(real_bars):
    history = build_history(real_bars, None, Universe.of(real_bars.symbols))
    last = history.spread[-1000:][(history.bar_of_session[-1000:] > 12) & (history.bar_of_session[-1000:] < 70)]
    median = dict(zip(history.symbols, np.nanmedian(last, axis=0) / BPS))
    tick = dict(zip(history.symbols, 100 / np.nanmedian(real_bars.close[-1000:], axis=0)))
    assert median["SPY"] < 1.0
    assert median["AAPL"] < 2.0
    for bound in ("INTC", "MARA", "BAC"):  # spreads of one tick
        assert median[bound] < 1.6 * tick[bound], bound
    assert 1.0 < median["GS"] < 8.0
    assert 1.0 < median["COIN"] < 10.0
