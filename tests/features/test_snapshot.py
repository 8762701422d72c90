"""Snapshots: what they hold, when they are refused, and that they are cheap."""

from __future__ import annotations

import time

import numpy as np
import pytest

from workbench.core.horizon import HORIZONS, horizon
from workbench.core.types import Phase, schema_hash
from workbench.features.engine import build_history


@pytest.fixture(scope="module")
def history(market):
    return build_history(market.bars, market.daily, market.universe)


def test_a_snapshot_is_the_row_of_the_history(history, market):
    t = 1400
    s = history.snapshot(t, window=16)
    assert s.known_at == market.bars.ts[t]
    assert s.symbols == market.bars.symbols
    np.testing.assert_array_equal(s.features.latest, history.values[t])
    np.testing.assert_array_equal(s.features.window, history.values[t - 15 : t + 1].transpose(1, 0, 2))
    assert s.features.schema == schema_hash(history.names)
    np.testing.assert_array_equal(s.price, market.bars.close[t])
    np.testing.assert_array_equal(s.mid, market.bars.mid[t])
    np.testing.assert_array_equal(s.quote_age_s, np.zeros(12))
    row = int(np.searchsorted(history.daily_session, s.session))
    for h in HORIZONS:
        expected = history.daily_sigma_h(h)[row] if h.is_day else history.sigma_h(h)[t]
        np.testing.assert_array_equal(s.sigma_h[h.order], expected)
    np.testing.assert_array_equal(s.expected_volume, history.expected_volume(t))
    np.testing.assert_array_equal(s.sigma_1d, history.sigma_1d[t])
    assert s.shortable.all()
    assert not s.halted.any()
    assert not s.spread_estimated
    np.testing.assert_array_equal(s.daily.latest, history.daily_values[row])
    np.testing.assert_array_equal(s.daily.window, history.daily_values[row - 15 : row + 1].transpose(1, 0, 2))


def test_without_quotes_the_quote_is_unknown_and_the_spread_is_estimated(market, without_quotes):
    s = build_history(without_quotes(market.bars), None, market.universe).snapshot(-1)
    for x in (s.bid, s.ask, s.bid_size, s.ask_size, s.quote_age_s):
        assert np.isnan(x).all()
    assert s.spread_estimated
    tick = 0.01 / s.price
    assert (s.spread >= tick * (1 - 1e-12)).all()
    assert (s.spread < 0.01).all()


def test_phase_bucket_and_open_horizons_through_a_short_session(history):
    day = np.flatnonzero(history.bars_in_session == 42)
    snaps = [history.snapshot(int(t)) for t in day]
    assert [s.phase for s in snaps[-4:]] == [Phase.OPEN, Phase.CLOSING, Phase.CLOSING, Phase.CLOSED]
    assert [s.minutes_to_close for s in snaps[-2:]] == [5.0, 0.0]
    assert [snaps[b].bucket for b in (0, 6, 24, 36, 41)] == [0, 1, 2, 4, 4]
    for label, last in (("5m", 40), ("120m", 17)):
        is_open = [bool(s.horizon_open[horizon(label).order]) for s in snaps]
        assert is_open == [True] * (last + 1) + [False] * (41 - last)
    assert all(s.horizon_open[horizon("20d").order] for s in snaps)


def test_day_horizons_are_closed_while_no_daily_feature_is_known(market):
    history = build_history(market.bars, None, market.universe)
    first, last = history.snapshot(0), history.snapshot(-1)
    assert not first.horizon_open[horizon("1d").order]
    assert last.horizon_open[horizon("1d").order]


def test_a_window_that_begins_before_the_history_is_unknown_there(history):
    window = history.window(3, 8)
    assert window.shape == (12, 8, len(history.names))
    assert np.isnan(window[:, :4]).all()
    np.testing.assert_array_equal(history.window(5, 0).shape, (12, 0, len(history.names)))
    with pytest.raises(IndexError, match=f"outside a history of {len(history)} bars"):
        history.snapshot(len(history))


def test_expected_volume_is_near_what_comes(history, market):
    volume = market.bars.volume
    for label in ("5m", "60m"):
        h = horizon(label)
        rows = [t for t in range(1000, 1900, 7) if history.horizon_open[t, h.order]]
        got = np.array([history.expected_volume(t)[h.order] for t in rows])
        came = np.array([volume[t + 1 : t + 1 + h.bars].sum(axis=0) for t in rows])
        assert 0.8 < np.median(came / got) < 1.2
    t = 1200
    np.testing.assert_allclose(
        history.expected_volume(t)[horizon("5d").order], 5 * history.daily_volume[history.session_row[t]]
    )


def test_a_snapshot_is_cheap(history):
    history.snapshot(0)
    times = []
    for t in range(1000, 1500):
        start = time.perf_counter()
        history.snapshot(t)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 400e-6  # about 50 microseconds on an idle core


def test_digests_tell_histories_apart(history, market):
    assert history.digest == build_history(market.bars, market.daily, market.universe).digest
    assert history.digest != history.rows(0, len(history) - 1).digest
