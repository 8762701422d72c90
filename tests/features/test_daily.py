"""Daily features and sigma: only what had closed before the session opened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.core.bars import TRADE_FIELDS
from workbench.features.engine import FeatureEngine, build_history


@pytest.fixture(scope="module")
def history(market):
    return build_history(market.bars, market.daily, market.universe)


def column(history, name):
    return history.daily_values[:, :, history.daily_names.index(name)]


def test_there_is_a_row_for_every_session_of_the_daily_bars(history, market):
    np.testing.assert_array_equal(history.daily_session, market.daily.session)
    assert np.isnan(history.daily_values[0]).all()
    assert np.isfinite(history.daily_values[70:]).all()


def test_a_session_sees_the_days_before_it_and_no_more(history, market):
    daily = market.daily
    for row in (100, 280):
        changed = {n: np.array(getattr(daily, n)) for n in TRADE_FIELDS}
        for values in changed.values():
            values[row:] *= 1.7
        other = build_history(market.bars, replace(daily, **changed), market.universe)
        np.testing.assert_array_equal(other.daily_values[: row + 1], history.daily_values[: row + 1])
        np.testing.assert_array_equal(other.daily_sigma[: row + 1], history.daily_sigma[: row + 1])
        assert not np.array_equal(other.daily_values[row + 1], history.daily_values[row + 1])


def test_values_against_the_textbook(history, market):
    d, close = 250, np.log(market.daily.close)
    past = np.diff(close[:d], axis=0)
    weights = 0.5 ** (np.arange(len(past))[::-1] / 20)
    sigma = np.sqrt((weights[:, None] * past**2).sum(axis=0) / weights.sum())
    np.testing.assert_allclose(history.daily_sigma[d], sigma, rtol=1e-10)
    for k in (1, 2, 5, 20, 60, 120):
        want = np.clip((close[d - 1] - close[d - 1 - k]) / sigma / np.sqrt(k), -5, 5)
        np.testing.assert_allclose(column(history, f"d_ret_{k}")[d], want, rtol=1e-8)
    want = np.clip((close[d - 1] - close[0]) / sigma / np.sqrt(d - 1), -5, 5)  # 249 sessions are what there is
    np.testing.assert_allclose(column(history, "d_ret_250")[d], want, rtol=1e-8)
    want = (close[d - 1] - close[d - 50 : d].mean(axis=0)) / sigma / np.sqrt(50 / 3)
    np.testing.assert_allclose(column(history, "d_ma_50")[d], np.clip(want, -5, 5), rtol=1e-7)
    volume = np.log(market.daily.volume)
    spread = volume[d - 60 : d].std(axis=0)
    want = (volume[d - 5 : d].mean(axis=0) - volume[d - 60 : d].mean(axis=0)) / spread
    np.testing.assert_allclose(column(history, "d_volume_5")[d], want, rtol=1e-7)
    gap = np.log(market.daily.open[d - 1]) - close[d - 2]
    np.testing.assert_allclose(column(history, "d_gap_1")[d], np.clip(gap / sigma / np.sqrt(0.3), -5, 5), rtol=1e-8)
    high, low = market.daily.high[d - 60 : d].max(axis=0), market.daily.low[d - 60 : d].min(axis=0)
    want = (market.daily.close[d - 1] - low) / (high - low) - 0.5
    np.testing.assert_allclose(column(history, "d_position_60")[d], want, rtol=1e-9, atol=1e-12)


def test_sessions_seen_as_bars_stand_in_for_daily_bars_that_are_not_there(market, history):
    """The embedded market's daily bars are the aggregate of its 5-minute bars, so both ways agree to the bit."""
    first = int(np.searchsorted(market.daily.session, market.bars.session[0]))
    own = build_history(market.bars, market.daily.rows(0, first), market.universe)
    np.testing.assert_array_equal(own.daily_session, history.daily_session)
    np.testing.assert_array_equal(own.daily_values, history.daily_values)
    alone = build_history(market.bars, None, market.universe)
    assert len(alone.daily_session) == 26
    assert np.isfinite(alone.daily_sigma[12:]).all()


def test_daily_bars_may_be_loaded_anew_every_morning(market, history):
    engine = FeatureEngine(market.universe, None, True)
    for session, start, stop in market.bars.sessions():
        engine.load_daily(market.daily.upto(int(np.datetime64(session, "D").astype("datetime64[ns]").astype(np.int64))))
        last = engine.advance(market.bars.rows(start, stop))
    np.testing.assert_array_equal(last.daily_values, history.daily_values)
    np.testing.assert_array_equal(last.daily_session, history.daily_session)


def test_daily_bars_loaded_within_a_session_leave_it_what_it_started_with(market):
    engine = FeatureEngine(market.universe, None, True)
    engine.load_daily(market.daily)
    engine.advance(market.bars.rows(0, 100))
    before = engine.snapshot()
    engine.load_daily(market.daily)
    engine.advance(market.bars.rows(100, 101))
    after = engine.snapshot()
    np.testing.assert_array_equal(after.daily.latest, before.daily.latest)
    np.testing.assert_array_equal(after.horizon_open[-3:], [True, True, True])


def test_a_symbol_without_daily_bars_is_unknown(market):
    daily = market.daily.select(market.bars.symbols[:11])
    history = build_history(market.bars.rows(0, 78), daily, market.universe)
    assert np.isnan(history.daily_values[-1, 11]).all()
    assert np.isfinite(history.daily_values[-1, :11]).all()
