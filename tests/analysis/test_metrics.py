"""Backtest metrics against slow loops and hand-made accounts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workbench.analysis.metrics import (
    alpha_weighted_horizon,
    daily_gross_returns,
    daily_returns,
    drawdown,
    holding_minutes,
    mean_horizon_share,
    performance,
    sharpe,
)
from workbench.analysis.waterfall import accounts_close, cost_waterfall
from workbench.core.horizon import HORIZONS


@pytest.fixture(scope="module")
def result(make):
    return make.result()


def test_daily_returns_come_from_the_last_nav_of_each_session(result):
    last = pd.Series(result.nav).groupby(np.asarray(result.session)).last()
    expected = last.to_numpy() / np.r_[1e6, last.to_numpy()[:-1]] - 1
    np.testing.assert_allclose(daily_returns(result), expected, rtol=1e-12)
    assert np.prod(1 + daily_returns(result)) == pytest.approx(result.nav[-1] / 1e6)


def test_sharpe_is_mean_over_deviation(result):
    r = daily_returns(result)
    e = sharpe(r)
    assert e.value == pytest.approx(r.mean() / r.std(ddof=1) * np.sqrt(252), rel=1e-9)
    # Lo (2002): se of the daily ratio is sqrt((1 + SR^2/2) / D)
    assert e.se == pytest.approx(np.sqrt(252 / len(r)), rel=0.15)
    assert e.low < e.value < e.high


def test_drawdown_by_hand():
    nav = np.array([90.0, 120.0, 60.0, 130.0])
    np.testing.assert_allclose(drawdown(nav, 100.0), [0.1, 0.0, 0.5, 0.0])


def test_holding_time_of_a_round_trip(make):
    base = make.result(idle=True)
    n = len(base.ts)
    gross, turnover = np.zeros(n), np.zeros(n)
    gross[10:22] = 0.1  # held for 12 bars = 60 minutes
    turnover[[10, 22]] = 0.1
    held = replace(base, gross=gross, turnover=turnover)
    assert holding_minutes(held) == pytest.approx(60.0)


def test_horizon_behind_the_alpha_is_weighted_by_exposure(make):
    base = make.result(idle=True)
    share, gross = np.full(base.horizon_share.shape, np.nan), np.zeros(len(base.ts))
    share[0], share[1] = np.eye(9)[0], np.eye(9)[6]
    gross[:3] = [0.3, 0.1, 0.5]  # the third bar has no shares and does not count
    r = replace(base, horizon_share=share, gross=gross)
    assert alpha_weighted_horizon(r) == pytest.approx((0.3 * 5 + 0.1 * 390) / 0.4)
    np.testing.assert_allclose(mean_horizon_share(r)[[0, 6]], 0.5)


def test_performance_of_a_known_account(result):
    p = performance(result)
    by_day = pd.Series(result.turnover).groupby(np.asarray(result.session)).sum()
    assert p.turnover == pytest.approx(by_day.mean())
    assert p.gross_exposure == pytest.approx(result.gross.mean())
    assert p.net_exposure == pytest.approx(np.abs(result.net).mean())
    assert p.max_drawdown == pytest.approx(max(1 - result.nav[i] / max(1e6, result.nav[: i + 1].max()) for i in range(0, len(result.nav), 1)))  # fmt: skip # noqa: E501
    assert p.hit_rate == pytest.approx((daily_returns(result) > 0).mean())
    assert p.net_bps.value == pytest.approx(1e4 * daily_returns(result).mean())
    assert p.horizon_minutes == pytest.approx(np.average(result.horizon_share @ [h.minutes for h in HORIZONS], weights=result.gross))  # fmt: skip # noqa: E501
    ends_below = pd.Series(result.nav).groupby(np.asarray(result.session)).last() < np.maximum.accumulate(np.r_[1e6, result.nav])[1:][np.r_[np.flatnonzero(np.diff(result.session)), len(result.nav) - 1]]  # fmt: skip # noqa: E501
    runs = (~ends_below).cumsum()[ends_below]
    assert p.under_water == (runs.value_counts().max() if len(runs) else 0)


def test_an_account_that_never_traded_has_no_sharpe(make):
    p = performance(make.result(idle=True))
    assert p.net_bps.value == 0.0  # known: it made nothing
    for value in (p.sharpe.value, p.hit_rate, p.holding_minutes, p.horizon_minutes):
        assert np.isnan(value)
    assert "nothing was held" in p.sharpe.reason


def test_one_session_and_no_session(make):
    day = make.result(first="2025-05-12", last="2025-05-12")
    assert performance(day).sharpe.reason == "fewer than two sessions"
    cut = {f: getattr(day, f)[:0] for f in day.__slots__ if isinstance(getattr(day, f), np.ndarray)}
    none = replace(day, **cut, fills=(), orders=0)
    p = performance(none)
    assert p.sessions == 0
    assert np.isnan(p.max_drawdown)


def test_a_nav_that_is_not_a_number_is_named(result):
    nav = result.nav.copy()
    nav[7] = np.nan
    with pytest.raises(ValueError, match="NAV at bar 7 is nan"):
        daily_returns(replace(result, nav=nav))


def test_waterfall_closes(result):
    fall = cost_waterfall(result)
    assert fall.other == 0.0
    assert accounts_close(fall)
    assert fall.gross.value - fall.costs == pytest.approx(fall.net.value, abs=1e-9)
    assert fall.gross.value == pytest.approx(1e4 * daily_gross_returns(result).mean())
    assert sum(v for _, v in fall.steps()) == pytest.approx(fall.net.value, abs=1e-9)


def test_waterfall_shows_money_that_is_missing(result):
    lost = replace(result, nav=result.nav - 50.0 * np.arange(len(result.nav)))
    fall = cost_waterfall(lost)
    assert fall.other < -1.0
    assert not accounts_close(fall)
