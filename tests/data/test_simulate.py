"""The embedded market: grid, determinism, exact aggregation, planted alpha and its absence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS
from workbench.core.errors import DataError
from workbench.data.aggregate import to_bars, to_daily
from workbench.data.market_model import MarketModel
from workbench.data.market_truth import oracle_forecast
from workbench.data.simulate import Market, MarketSettings, simulate

SMALL = MarketSettings(symbols=5, intraday_sessions=22, daily_sessions=60, end="2025-12-05")


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(SMALL)


@pytest.fixture(scope="module", params=[7, 8])
def planted(request: pytest.FixtureRequest) -> Market:
    return simulate(MarketSettings(seed=request.param, minute=False))


@pytest.fixture(scope="module", params=[7, 8])
def empty(request: pytest.FixtureRequest) -> Market:
    return simulate(MarketSettings(seed=request.param, ic=0.0, minute=False))


def test_sessions_are_the_exchanges_with_holidays_and_early_closes(market: Market) -> None:
    bars = market.bars
    dates = np.unique(bars.session).astype("datetime64[D]").astype(str).tolist()
    assert "2025-11-27" not in dates  # Thanksgiving
    assert "2025-11-28" in dates
    early = bars.session == np.datetime64("2025-11-28").astype(int)
    assert early.sum() == 42
    assert set(bars.bars_in_session[early]) == {42}
    assert set(bars.bars_in_session[~early]) == {78}
    assert market.minute.shape == (21 * 390 + 210, 5)


def test_an_early_close_keeps_the_shape_of_open_and_close(market: Market) -> None:
    early = market.minute.session == np.datetime64("2025-11-28").astype(int)
    volume = market.minute.volume[early].sum(1)
    assert volume[:5].mean() > 2 * volume[100:110].mean()
    assert volume[-5:].mean() > 2 * volume[100:110].mean()


def test_coarser_bars_are_exact_aggregates(market: Market) -> None:
    minute, bars, daily = market.minute, market.bars, market.daily
    groups = {name: getattr(minute, name).reshape(-1, 5, 5) for name in (*TRADE_FIELDS, *QUOTE_FIELDS)}
    assert np.array_equal(bars.open, groups["open"][:, 0])
    assert np.array_equal(bars.high, groups["high"].max(1))
    assert np.array_equal(bars.low, groups["low"].min(1))
    assert np.array_equal(bars.close, groups["close"][:, -1])
    assert np.array_equal(bars.volume, groups["volume"].sum(1))
    assert np.array_equal(bars.ofi, groups["ofi"].sum(1))
    for name in ("bid", "ask", "bid_size", "ask_size"):
        assert np.array_equal(getattr(bars, name), groups[name][:, -1])
    again = to_daily(bars)
    for name in TRADE_FIELDS:
        assert np.array_equal(getattr(daily, name)[-22:], getattr(again, name))
    assert to_bars(minute, 5).digest == bars.digest


def test_prices_are_on_the_tick_and_consistent(market: Market) -> None:
    for bars in (market.minute, market.bars, market.daily):
        for name in ("open", "high", "low", "close"):
            price = getattr(bars, name)
            assert np.array_equal(price, np.round(price, 2))
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.low > 0).all()
        assert (bars.volume > 0).all()
        assert bars.data_origin == "embedded"
    minute = market.minute
    assert (minute.ask - minute.bid > 0.009).all()
    assert ((minute.close == minute.bid) | (minute.close == minute.ask)).all()
    assert (minute.bid_size % 100 == 0).all()
    assert (minute.bid_size >= 100).all()


def test_daily_history_joins_the_intraday_sessions_without_a_seam(planted: Market) -> None:
    daily, cut = planted.daily, 756 - 120
    assert daily.shape == (756, 30)
    size = np.log(daily.close / daily.open)
    for x in (np.log(daily.volume), np.log(daily.high / daily.low), np.abs(size)):
        before, after = x[:cut].mean(0), x[cut:].mean(0)
        spread = x.std(0)
        assert abs(np.median((after - before) / spread)) < 0.35
    gap = np.log(daily.open[cut] / daily.close[cut - 1])
    assert np.abs(gap).max() < 0.15


def test_the_same_seed_gives_the_same_market_and_another_another(market: Market) -> None:
    again, other = simulate(SMALL), simulate(SMALL.model_copy(update={"seed": 8}))
    assert again.minute.digest == market.minute.digest
    assert again.daily.digest == market.daily.digest
    assert other.bars.digest != market.bars.digest


def test_minutes_are_optional_and_change_nothing_else(market: Market) -> None:
    without = simulate(SMALL.model_copy(update={"minute": False}))
    assert without.minute is None
    assert without.bars.digest == market.bars.digest


def test_order_flow_agrees_in_sign_with_the_move_and_the_quotes(market: Market) -> None:
    minute = market.minute
    bid, ask, bs, as_ = minute.bid, minute.ask, minute.bid_size, minute.ask_size
    up = (bid[1:] >= bid[:-1]) * bs[1:] - (bid[1:] <= bid[:-1]) * bs[:-1]
    down = (ask[1:] <= ask[:-1]) * as_[1:] - (ask[1:] >= ask[:-1]) * as_[:-1]
    inside = minute.bar_of_session[1:] > 0
    r = np.corrcoef(np.sign(up - down)[inside].ravel(), np.sign(minute.ofi[1:][inside]).ravel())[0, 1]
    assert r > 0.3


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    simulate(SMALL, progress=lambda *a: seen.append(a))
    assert [s[:2] for s in seen] == [(20, 22), (22, 22)]


def test_settings_out_of_bounds_name_the_bound() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        MarketSettings(symbols=0)
    with pytest.raises(ValidationError, match="must not exceed daily_sessions 10"):
        MarketSettings(intraday_sessions=11, daily_sessions=10)
    with pytest.raises(DataError, match="begin before the calendar does"):
        simulate(MarketSettings(end="1990-02-01"))


def _scaled_moves(market: Market, bars: int) -> np.ndarray:
    """(T, N) log mid move over the next `bars`, in sigmas of the bar of the day; NaN across the close."""
    panel, mid = market.bars, np.log(market.bars.mid)
    out = np.full_like(mid, np.nan)
    out[:-bars] = np.where((panel.session[bars:] == panel.session[:-bars])[:, None], mid[bars:] - mid[:-bars], np.nan)
    day_sigma = np.log(market.daily.close / market.daily.open)[-len(np.unique(panel.session)) :].std(0)
    out /= day_sigma
    for k in range(78):
        rows = (panel.bar_of_session == k) & (panel.bars_in_session == 78)
        if np.isfinite(out[rows]).any():
            out[rows] /= np.nanstd(out[rows])
    out[panel.bars_in_session < 78] = np.nan
    return out


def _ic(forecast: np.ndarray, outcome: np.ndarray) -> float:
    ok = np.isfinite(forecast) & np.isfinite(outcome)
    return float(np.corrcoef(forecast[ok], outcome[ok])[0, 1])


def _unit(forecast: np.ndarray) -> np.ndarray:
    """Rows to unit root mean square, so that no time of the day outweighs the others."""
    known = np.isfinite(forecast)
    size = np.sqrt(np.where(known, forecast**2, 0).sum(1, keepdims=True) / np.maximum(1, known.sum(1, keepdims=True)))
    return np.divide(forecast, size, out=np.full_like(forecast, np.nan), where=size > 0)


def _demean(x: np.ndarray) -> np.ndarray:
    """Less the mean of the row; a row without values stays NaN."""
    known = np.isfinite(x)
    return x - (np.where(known, x, 0).sum(1) / np.maximum(1, known.sum(1)))[:, None]


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [("5m", 0.024, 0.036), ("10m", 0.024, 0.040), ("60m", 0.012, 0.065), ("120m", 0.010, 0.080)],
)
def test_the_planted_ic_is_there(planted: Market, label: str, low: float, high: float) -> None:
    bars = {"5m": 1, "10m": 2, "60m": 12, "120m": 24}[label]
    assert low < _ic(_unit(planted.truth.expected(label)), _scaled_moves(planted, bars)) < high


def test_the_oracle_sees_most_of_it_through_the_observables(planted: Market) -> None:
    ic = _ic(_unit(oracle_forecast(planted.bars, planted.truth)), _scaled_moves(planted, 1))
    assert 0.020 < ic < 0.031


def test_the_oracle_uses_no_future(market: Market) -> None:
    whole = oracle_forecast(market.bars, market.truth)
    cut = 500
    truth = replace(market.truth, row=market.truth.row[:cut], bar_of_session=market.truth.bar_of_session[:cut])
    assert np.array_equal(oracle_forecast(market.bars.rows(0, cut), truth), whole[:cut], equal_nan=True)


def test_the_day_alpha_moves_the_day(planted: Market) -> None:
    expected, opened = planted.truth.expected("1d"), np.log(planted.daily.open)
    scale = planted.truth.traits.sigma_day * planted.truth.volatility
    ic = _ic((expected / scale)[:-1], np.diff(opened, axis=0) / scale[:-1])
    assert 0.02 < ic < 0.06


def test_without_planted_alpha_nothing_observable_predicts_mids(empty: Market) -> None:
    """Every observable of the oracle, at every horizon: within 4 standard errors of 0 (overlap counted)."""
    market, bars = empty, empty.bars
    truth = replace(market.truth, model=MarketModel(ic=0.03))  # what the oracle would forecast if there were alpha
    last = np.vstack([np.full((1, bars.shape[1]), np.nan), np.diff(np.log(bars.close), axis=0)])
    signals = {
        "oracle": _unit(oracle_forecast(bars, truth)),
        "flow": _unit(bars.ofi / market.daily.volume.mean(0)),
        "queues": _unit(np.log(bars.bid_size / bars.ask_size)),
        "last return": _unit(np.where(bars.bar_of_session[:, None] > 0, last, np.nan)),
    }
    for horizon in (1, 6, 24):
        moves = _scaled_moves(market, horizon)
        bound = 4 * np.sqrt(horizon / np.isfinite(moves).sum()) + 0.002
        for name, signal in signals.items():
            ic = _ic(_demean(signal), _demean(moves))
            assert abs(ic) < bound, (name, horizon)


def test_without_planted_alpha_volume_does_not_predict_days(empty: Market) -> None:
    volume, opened = np.log(empty.daily.volume), np.log(empty.daily.open)
    abnormal = volume[20:-2] - np.stack([volume[i : i + 20].mean(0) for i in range(len(volume) - 22)])
    moves = (opened[22:] - opened[21:-1]) / empty.truth.volatility[21:-1]
    moves -= moves.mean(1, keepdims=True)
    assert abs(_ic(abnormal - abnormal.mean(1, keepdims=True), moves)) < 0.025


def test_expected_is_zero_and_prices_are_martingales_without_alpha(empty: Market) -> None:
    assert not np.nan_to_num(empty.truth.expected("5m")).any()
    assert not empty.truth.expected("20d").any()
    simple = empty.daily.close[1:] / empty.daily.close[:-1] - 1
    market = simple.mean(1)
    assert abs(market.mean()) < 4 * market.std() / np.sqrt(len(market))
