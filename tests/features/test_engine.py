"""Batch and streaming, causality, permutation, holes, bounds, and bad input."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from workbench import kernels
from workbench.config import FeatureSettings
from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS
from workbench.core.errors import DataError, LookAheadError
from workbench.core.universe import Instrument, Universe
from workbench.features.catalogue import catalogue, daily_catalogue
from workbench.features.engine import FeatureEngine, build_history, carries_quotes
from workbench.features.history import FeatureHistory
from workbench.features.user import UserFeature

EXTRA = (UserFeature("drift", 5, lambda bars: np.log(bars.close[-1] / bars.close[0])),)


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def differing(a: FeatureHistory, b: FeatureHistory) -> list[str]:
    pairs = [(f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    return [n for n, x, y in pairs if not (same_bits(x, y) if isinstance(x, np.ndarray) else x == y)]


def cut(bars, rng, sizes):
    """Row numbers that cut the bars into random chunks."""
    edges = [0]
    while edges[-1] < len(bars.ts):
        edges.append(min(edges[-1] + int(rng.choice(sizes)), len(bars.ts)))
    return edges


@pytest.fixture(scope="module")
def history(market, holed):
    return build_history(holed, market.daily, market.universe, extra=EXTRA)


@pytest.mark.parametrize("seed", [0, 1])
def test_any_chunking_gives_the_same_bits_as_one_batch(market, holed, history, seed):
    engine = FeatureEngine(market.universe, FeatureSettings(), True, extra=EXTRA)
    engine.load_daily(market.daily)
    edges = cut(holed, np.random.default_rng(seed), [1, 2, 5, 17, 78, 200])
    parts = [engine.advance(holed.rows(a, b)) for a, b in pairwise(edges)]
    streamed = FeatureHistory.concat(parts)
    assert differing(streamed, history) == []
    assert streamed.digest == history.digest
    assert engine.snapshot().digest == history.snapshot(-1, 64).digest


def test_a_day_bar_by_bar_gives_the_same_snapshots(market, holed, history):
    first = int(np.flatnonzero(holed.session == holed.session[-1])[0]) - 78
    engine = FeatureEngine(market.universe, FeatureSettings(), True, extra=EXTRA)
    engine.load_daily(market.daily)
    engine.advance(holed.rows(0, first))
    for t in range(first, first + 90):
        engine.advance(holed.rows(t, t + 1))
        assert engine.snapshot().digest == history.snapshot(t, 64).digest


def test_what_is_cut_off_never_changes_the_past(market, holed, history):
    for stop in (900, 1170, 1481):
        daily = market.daily.upto(int(holed.ts[stop - 1]))
        part = build_history(holed.rows(0, stop), daily, market.universe, extra=EXTRA)
        assert differing(part, history.rows(0, stop)) in ([], ["daily_session", "daily_values", "daily_sigma"])
        n = len(part.daily_session)
        assert same_bits(part.daily_values, history.daily_values[:n])
        assert same_bits(part.daily_sigma, history.daily_sigma[:n])


def test_permuting_symbols_permutes_the_features(market, holed, history):
    order = np.random.default_rng(2).permutation(12)
    symbols = tuple(np.array(holed.symbols)[order].tolist())
    other = build_history(holed.select(symbols), market.daily, market.universe, extra=EXTRA)
    assert other.universe.symbols == symbols
    for name in ("values", "daily_values"):
        assert same_bits(getattr(other, name), np.ascontiguousarray(getattr(history, name)[:, order])), name
    for name in ("level", "spread", "overnight", "daily_volume", "eligible"):
        assert same_bits(getattr(other, name), np.ascontiguousarray(getattr(history, name)[:, order])), name
    assert same_bits(other.profile, history.profile)
    np.testing.assert_allclose(other.correlation, history.correlation[:, order][:, :, order], atol=1e-12)


def test_a_missing_bar_is_nan_and_leaves_the_state_as_it_was(market, holed, history):
    missing = np.isnan(holed.close)
    assert np.isnan(history.values[missing]).all()
    assert np.isnan(history.price[missing]).all()
    assert np.isnan(history.spread[missing]).all()
    nothing = np.full((1, 12), np.nan)
    blank = replace(holed.rows(1300, 1301), **dict.fromkeys((*TRADE_FIELDS, *QUOTE_FIELDS), nothing))
    engine = FeatureEngine(market.universe, FeatureSettings(), True)
    before, skipped, after = (engine.advance(b) for b in (holed.rows(0, 1300), blank, holed.rows(1301, 1302)))
    assert np.isnan(skipped.values).all()
    assert same_bits(skipped.level[0], before.level[-1])
    # the next return spans both bars, over the variance of both
    i = int(np.flatnonzero(~missing[1299] & ~missing[1301])[0])
    slot = int(holed.bar_of_session[1300])
    mass = before.level[-1, i] * after.profile[0, slot : slot + 2].sum()
    want = np.log(holed.close[1301, i] / holed.close[1299, i]) / np.sqrt(mass)
    assert after.values[0, i, 0] == pytest.approx(np.clip(want, -5, 5), rel=1e-9)


def test_warm_up_is_unknown_then_nothing_is(market):
    history = build_history(market.bars, market.daily, market.universe)
    warm = history.session_row < 5
    assert np.isnan(history.values[warm]).all()
    assert np.isnan(history.sigma_5m[warm]).all()
    assert np.isnan(history.sigma_1d[warm]).all()
    assert np.isfinite(history.values[~warm]).all()
    assert np.isfinite(history.sigma_5m[~warm]).all()


def test_a_late_symbol_warms_up_on_its_own_and_a_dead_one_falls_silent(history, holed):
    late, dead = 2, 5
    assert np.isnan(history.sigma_5m[history.session_row < 9, late]).all()
    after = (history.session_row >= 10) & ~np.isnan(holed.close[:, late])
    assert np.isfinite(history.sigma_5m[after, late]).all()
    gone = history.session_row >= 20
    assert np.isnan(history.values[gone, dead]).all()
    assert np.isfinite(history.sigma_5m[gone, dead]).all()  # the last known scale of what may still be held


def test_names_bounds_and_descriptions(history):
    assert [s.name for s in catalogue(True)] == kernels.feature_names(True)
    assert [s.name for s in catalogue(False)] == kernels.feature_names(False)
    assert [s.name for s in daily_catalogue()] == kernels.daily_feature_names()
    assert len(catalogue(False)) >= 50
    assert len(daily_catalogue()) >= 20
    for specs, values in ((catalogue(True), history.values), (daily_catalogue(), history.daily_values)):
        for i, spec in enumerate(specs):
            column = values[:, :, i][np.isfinite(values[:, :, i])]
            assert spec.low <= column.min(), spec.name
            assert column.max() <= spec.high, spec.name
            assert column.std() > 0, spec.name
            assert spec.description


def test_features_are_unit_free(market, without_quotes):
    bars = without_quotes(market.bars)
    names = ("open", "high", "low", "close")
    split = replace(bars, **{n: getattr(bars, n) * 4 for n in names}, volume=bars.volume / 4)
    a, b = (build_history(x, None, market.universe) for x in (bars, split))
    np.testing.assert_allclose(a.values, b.values, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(a.level, b.level, rtol=1e-9)


def test_an_inverse_product_has_the_features_of_the_opposite_return(market, without_quotes):
    bars = without_quotes(market.bars).select(market.bars.symbols[:3])
    inverse = {n: np.array(getattr(bars, n)) for n in ("open", "high", "low", "close", "volume")}
    for to, of in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
        inverse[to][:, 1] = 1e4 / getattr(bars, of)[:, 0]
    inverse["volume"][:, 1] = bars.volume[:, 0]
    bars = replace(bars, **inverse)
    universe = Universe((Instrument("A"), Instrument("B", leverage=-1), Instrument("C")))
    history = build_history(replace(bars, symbols=universe.symbols), None, universe)
    odd = "ret_1 ret_78 ret_open gap rsi_12 ma_39 macd resid_12 beta market_3 breadth seasonal_6"
    for name in odd.split():
        x = history.values[:, :, history.names.index(name)]
        np.testing.assert_allclose(x[:, 0], -x[:, 1], rtol=1e-7, atol=1e-9, err_msg=name)


def test_one_symbol_only(market):
    symbol = market.bars.symbols[:1]
    history = build_history(market.bars.select(symbol), market.daily.select(symbol), market.universe)
    after = history.values[history.session_row >= 5]
    assert np.isfinite(after).all()
    assert (after[:, :, history.names.index("resid_1")] == 0).all()
    assert (after[:, :, history.names.index("rank_ret_1")] == 0).all()
    assert history.snapshot(-1).correlation.tolist() == [[1.0]]


def test_a_price_that_never_moves_is_no_crash(market):
    bars = market.bars
    flat = {n: np.array(getattr(bars, n)) for n in ("open", "high", "low", "close")}
    for n in flat:
        flat[n][:, 0] = 50.0
    history = build_history(replace(bars, **flat), None, market.universe)
    assert np.isfinite(history.values[history.session_row >= 5, 1:]).all()


def test_quotes_that_are_absent_or_crossed_are_nan_and_nothing_else(market):
    bars = market.bars
    bid = np.array(bars.bid)
    bid[1500] = bars.ask[1500] + 0.02
    bid[1501] = np.nan
    history, plain = (build_history(b, None, market.universe) for b in (replace(bars, bid=bid), bars))
    n_bar = len(catalogue(False))
    for t in (1500, 1501):
        assert np.isnan(history.spread[t]).all()
        assert np.isnan(history.values[t, :, n_bar:]).all()
        assert same_bits(history.values[t, :, :n_bar], plain.values[t, :, :n_bar])


def test_bars_with_a_bid_and_an_ask_only_keep_the_quote_features_out(market):
    bars = replace(market.bars, bid_size=None, ask_size=None, ofi=None)
    assert not carries_quotes(bars, FeatureSettings())
    history = build_history(bars, None, market.universe)
    assert history.names == tuple(s.name for s in catalogue(False))
    assert not history.spread_estimated
    assert np.isfinite(history.bid[-1]).all()
    assert np.isnan(history.bid_size).all()


def test_bad_input_is_named(market, without_quotes):
    bars = market.bars
    engine = FeatureEngine(market.universe, FeatureSettings(), True)
    with pytest.raises(DataError, match="lack bid, ask, bid_size, ask_size, ofi"):
        engine.advance(without_quotes(bars))
    with pytest.raises(DataError, match="5-minute bars, not 390-minute"):
        engine.advance(market.daily)
    with pytest.raises(DataError, match="at least one row"):
        engine.advance(bars.rows(0, 0))
    engine.advance(bars.rows(0, 10))
    with pytest.raises(LookAheadError, match="does not come after"):
        engine.advance(bars.rows(9, 12))
    close = np.array(bars.close)
    close[20, 3] = 0.0
    with pytest.raises(DataError, match=rf"{bars.symbols[3]} at .*close 0, volume .* is no bar"):
        engine.advance(replace(bars, close=close).rows(10, 30))
    with pytest.raises(DataError, match="no bars for"):
        engine.advance(bars.select(bars.symbols[:3]).rows(10, 11))
    with pytest.raises(DataError, match="no bar yet"):
        FeatureEngine(market.universe).snapshot()
    with pytest.raises(DataError, match="aggregate them to sessions"):
        engine.load_daily(bars)


def test_the_compiled_engine_refuses_wrong_arrays():
    make = {"signs": [1.0, 1.0], "groups": [0, 0], "has_quotes": False}
    halves = {"sigma_halflife_sessions": 7.0, "profile_halflife_sessions": 20.0, "warmup_sessions": 5}
    with pytest.raises(ValueError, match="one length"):
        kernels.FeatureCore(**make | {"groups": [0]}, **halves)
    with pytest.raises(ValueError, match="half-lives must be > 0"):
        kernels.FeatureCore(**make, **halves | {"sigma_halflife_sessions": 0.0})
    core = kernels.FeatureCore(**make, **halves)
    n = len(kernels.feature_names(False))
    bar, table = np.array([0]), np.ones((1, 5, 2))
    values, level = np.empty((1, 2, n)), np.empty((1, 2))
    with pytest.raises(ValueError, match="session of 0 bars"):
        core.advance(bar, table, None, values, level)
    with pytest.raises(ValueError, match="must be 1 to 78"):
        core.begin_session(79)
    core.begin_session(78)
    core.advance(bar, table, None, values, level)
    with pytest.raises(ValueError, match=r"bars has shape \(1, 5, 3, \)"):
        core.advance(bar, np.ones((1, 5, 3)), None, values, level)
    with pytest.raises(ValueError, match="values has shape"):
        core.advance(bar, table, None, np.empty((1, 2, n - 1)), level)
    with pytest.raises(ValueError, match="quotes must be given exactly"):
        core.advance(bar, table, table, values, level)
    with pytest.raises(ValueError, match="outside a session of 78"):
        core.advance(np.array([78]), table, None, values, level)
    with pytest.raises(TypeError):
        core.advance(bar, table.astype(np.float32), None, values, level)
