"""Sigma: its formula, what it may know, and whether returns are as large as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.core.errors import DataError
from workbench.core.horizon import DAY_HORIZONS, HORIZONS, INTRADAY_HORIZONS, horizon
from workbench.core.types import TIME_BUCKETS
from workbench.core.universe import Universe
from workbench.data.simulate import MarketSettings, simulate
from workbench.features.engine import build_history
from workbench.features.timeofday import closes_crossed, slots_of, window_share


def forward_returns(history, price, h):
    """(T, N) log return over the window of `h`: h bars on, or the same bar n sessions on."""
    out = np.full(price.shape, np.nan)
    if not h.is_day:
        out[: -h.bars] = np.log(price[h.bars :] / price[: -h.bars])
        return np.where(history.horizon_open[:, h.order, None], out, np.nan)
    row = {(s, b): t for t, (s, b) in enumerate(zip(history.session_row, history.bar_of_session))}
    for t, (s, b) in enumerate(zip(history.session_row, history.bar_of_session)):
        if (later := row.get((s + h.days, b))) is not None:
            out[t] = np.log(price[later] / price[t])
    return out


def rms(z):
    return float(np.sqrt(np.nanmean(z**2)))


def scaled_returns(history, price, h):
    """(T, N) forward return over the window of `h` in units of sigma_h."""
    return forward_returns(history, price, h) / history.sigma_h(h)


def assert_calibrated(parts, h, low, high):
    """`parts`: (scaled returns, bucket) of each history; the RMS must lie in [low, high], and in every time bucket."""
    z, bucket = np.concatenate([z for z, _ in parts]), np.concatenate([b for _, b in parts])
    assert low <= rms(z) <= high, (h.label, rms(z))
    for b, name in enumerate(TIME_BUCKETS):
        inside = z[bucket == b]
        if np.isfinite(inside).sum() > 1000:
            assert low <= rms(inside) <= high, (h.label, name, rms(inside))


def test_returns_of_the_embedded_market_are_as_large_as_sigma_says():
    parts = {h: [] for h in HORIZONS}
    for seed in range(4):
        market = simulate(
            MarketSettings(symbols=10, intraday_sessions=130, daily_sessions=130, minute=False, seed=seed)
        )
        history = build_history(market.bars, market.daily, market.universe)
        for h in HORIZONS:
            parts[h].append((scaled_returns(history, market.bars.mid, h), history.bucket))
    for h in HORIZONS:
        assert_calibrated(parts[h], h, 0.85, 1.15)


def test_real_returns_are_as_large_as_sigma_says(real_bars):
    history = build_history(real_bars, None, Universe.of(real_bars.symbols))
    for h in HORIZONS:
        # these four months hold three windows of 20 sessions that do not overlap: a wider band
        low, high = (0.6, 1.4) if h.label == "20d" else (0.85, 1.15)
        assert_calibrated([(scaled_returns(history, real_bars.close, h), history.bucket)], h, low, high)


def test_daily_sigma_is_as_large_as_daily_returns():
    market = simulate(MarketSettings(symbols=24, intraday_sessions=10, daily_sessions=500, minute=False))
    history = build_history(market.bars, market.daily, market.universe)
    at = np.searchsorted(market.daily.session, history.daily_session)
    for h in DAY_HORIZONS:
        ahead = np.full(market.daily.shape, np.nan)
        ahead[: -h.days] = np.log(market.daily.open[h.days :] / market.daily.open[: -h.days])
        assert 0.85 <= rms(ahead[at] / history.daily_sigma_h(h)) <= 1.15, h.label
    with pytest.raises(DataError, match="for day horizons, not 5m"):
        history.daily_sigma_h(horizon("5m"))


def test_sigma_h_sums_the_profile_over_the_window_and_the_nights(market):
    history = build_history(market.bars, market.daily, market.universe)
    short = np.flatnonzero(history.bars_in_session == 42)
    assert len(short) == 42
    for t in (1000, 1036, int(short[0]) + 30, len(history) - 40):
        s, b, bars = int(history.session_row[t]), int(history.bar_of_session[t]), int(history.bars_in_session[t])
        today = [history.profile[s][slot] for slot in slots_of(bars)]
        for h in INTRADAY_HORIZONS:
            window = [*today[b + 1 :], *history.profile[s]][: h.bars]
            nights = 1 if b + h.bars >= bars else 0
            want = np.sqrt(history.level[t] * sum(window) + nights * history.overnight[s])
            np.testing.assert_allclose(history.sigma_h(h)[t], want, rtol=1e-12)
        day = np.sqrt(78 * history.level[t] + history.overnight[s])
        np.testing.assert_allclose(history.sigma_1d[t], day, rtol=1e-12)
        for h in DAY_HORIZONS:
            np.testing.assert_allclose(history.sigma_h(h)[t], day * np.sqrt(h.days), rtol=1e-12)
        if b + 1 < bars:
            np.testing.assert_allclose(history.sigma_5m[t], history.sigma_h(horizon("5m"))[t], rtol=1e-12)


def test_a_session_is_learned_from_only_when_it_is_over(market):
    bars = market.bars
    at = int(np.flatnonzero(bars.session == np.unique(bars.session)[15])[0])
    high, low, close = (np.array(x) for x in (bars.high, bars.low, bars.close))
    for x in (high, low, close):
        x[at + 1 : at + 78] *= 1.3
    wild = replace(bars, high=np.maximum(high, bars.open), low=np.minimum(low, bars.open), close=close)
    a, b = (build_history(x, None, market.universe) for x in (bars, wild))
    for name in ("profile", "overnight", "daily_volume", "correlation", "volume_profile"):
        same = [np.array_equal(x, y, equal_nan=True) for x, y in zip(getattr(a, name), getattr(b, name))]
        assert all(same[:16]), name
    assert not np.array_equal(a.overnight[16], b.overnight[16])
    assert np.array_equal(a.level[: at + 1], b.level[: at + 1], equal_nan=True)


def test_profiles_are_normalised_and_look_like_a_day(market):
    history = build_history(market.bars, None, market.universe)
    np.testing.assert_allclose(history.profile.sum(axis=1), 78, rtol=1e-12)
    np.testing.assert_allclose(history.volume_profile.sum(axis=1), 1, rtol=1e-12)
    assert history.profile[-1, 0] > 4 * history.profile[-1, 40]
    assert history.volume_profile[-1, 77] > 2 * history.volume_profile[-1, 50]


def test_windows_of_a_short_session():
    flat = np.ones(78)
    assert window_share(flat, 42)[:, horizon("120m").order].tolist() == [24.0] * 42
    assert closes_crossed(42)[:, horizon("60m").order].tolist() == [0.0] * 30 + [1.0] * 12
    assert closes_crossed(78)[0, horizon("5d").order] == 5
    assert slots_of(78).tolist() == list(range(78))
    assert slots_of(5).tolist() == [73, 74, 75, 76, 77]
