"""Labels against a slow, obvious loop; order of touch; what is NaN."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.config import LabelSettings
from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError
from workbench.core.horizon import DAY_HORIZONS, INTRADAY_HORIZONS, horizon
from workbench.training.labels import first_touch, make_daily_labels, make_labels

RNG = np.random.default_rng(5)


def panel(first="2025-07-01", last="2025-07-08", n=3, interval=5, quotes=False, seed=5):
    """A random panel on the exchange's own grid; 2025-07-03 is an early close."""
    rng = np.random.default_rng(seed)
    ts, session, number, count = sessions_between(first, last).grid(interval)
    step = rng.normal(0, 0.002, (len(ts), n))
    close = 100 * np.exp(np.cumsum(step, axis=0))
    open_ = close * np.exp(rng.normal(0, 0.0005, close.shape) - step)
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.001, close.shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.001, close.shape)))
    extra = {}
    if quotes:
        extra = dict(bid=close - 0.02, ask=close + 0.01, bid_size=close * 0 + 5, ask_size=close * 0 + 5)
    symbols = tuple(f"S{i}" for i in range(n))
    return Bars(symbols, interval, ts, session, number, count, open_, high, low, close, close * 0 + 1000, **extra)


def history_of(bars, daily=None, sigma=0.004):
    t, n = bars.shape
    s = len(daily.session) if daily is not None else 0
    return SimpleNamespace(
        ts=bars.ts,
        daily_session=daily.session[1:] if daily is not None else np.array([], np.int64),
        sigma_h=lambda h: np.full((t, n), sigma * np.sqrt(h.bars)),
        daily_sigma_h=lambda h: np.full((max(s - 1, 0), n), 0.02 * np.sqrt(h.days)),
    )


def slow_touch(high, low, entry, width):
    """(peak, valley) of one entry by walking its bars."""
    if not np.isfinite(entry):
        return np.nan, np.nan
    for hi, lo in zip(high, low):
        if np.isnan(hi) or np.isnan(lo):
            return np.nan, np.nan
        up, down = hi >= entry * np.exp(width), lo <= entry * np.exp(-width)
        if up or down:
            return float(down), float(up)
    return 0.0, 0.0


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("label", ["5m", "15m", "120m"])
def test_intraday_labels_equal_a_slow_loop(quotes, label):
    bars = panel(quotes=quotes)
    close = bars.close.copy()
    close[40, 1] = np.nan
    bars = Bars(*(close if f == "close" else getattr(bars, f) for f in Bars.__slots__))
    h = horizon(label)
    got = make_labels(bars, history_of(bars), LabelSettings())[label]
    mid = bars.mid
    for t in range(len(bars.ts)):
        inside = bars.bar_of_session[t] + h.bars < bars.bars_in_session[t]
        assert (got.matured_at[t] >= 0) == inside
        if not inside:
            assert np.isnan(got.value[t]).all()
            assert np.isnan(got.peak[t]).all()
            continue
        assert got.matured_at[t] == bars.ts[t + h.bars]
        for n in range(3):
            entry = mid[t, n] if quotes else bars.open[t + 1, n]
            leave = mid[t + h.bars, n] if quotes else bars.close[t + h.bars, n]
            np.testing.assert_allclose(got.value[t, n], leave / entry - 1, atol=1e-15)
            np.testing.assert_allclose(got.naive[t, n], bars.close[t + h.bars, n] / bars.close[t, n] - 1, atol=1e-15)
            part = slice(t + 1, t + 1 + h.bars)
            want = slow_touch(bars.high[part, n], bars.low[part, n], entry, 0.004 * np.sqrt(h.bars))
            np.testing.assert_array_equal((got.peak[t, n], got.valley[t, n]), want)
            strayed = max(bars.high[part, n]) / entry - 1, min(bars.low[part, n]) / entry - 1
            np.testing.assert_allclose((got.highest[t, n], got.lowest[t, n]), strayed, atol=1e-15)
            if bars.bar_of_session[t] + h.bars + 1 < bars.bars_in_session[t]:
                later = mid[t + 1, n] if quotes else bars.open[t + 2, n]
                out = mid[t + 1 + h.bars, n] if quotes else bars.close[t + 1 + h.bars, n]
                np.testing.assert_allclose(got.skip[t, n], out / later - 1, atol=1e-15)
            else:
                assert np.isnan(got.skip[t, n])


def test_a_crossed_or_empty_quote_makes_no_label():
    """Nothing fills on such a quote; its middle would be a return of -50 % for a bid of 0."""
    bars = panel(quotes=True)
    bid, ask = bars.bid.copy(), bars.ask.copy()
    bid[10, 0], ask[10, 1] = 0.0, bid[10, 1] - 0.01
    got = make_labels(replace(bars, bid=bid, ask=ask), history_of(bars), LabelSettings())["5m"]
    for name in ("value", "peak", "valley"):
        assert np.isnan(getattr(got, name)[10]).tolist() == [True, True, False]
    assert np.isnan(got.value[9]).tolist() == [True, True, False]


def test_a_panel_cut_within_a_session_keeps_its_labels_and_their_times():
    bars = panel()
    whole = make_labels(bars, history_of(bars), LabelSettings())["30m"]
    part = bars.rows(0, 120)
    cut = make_labels(part, history_of(part), LabelSettings())["30m"]
    matured = cut.exists & (cut.matured_at <= part.ts[-1])
    np.testing.assert_array_equal(cut.matured_at, whole.matured_at[:120])
    for name in ("value", "naive", "peak", "valley"):
        np.testing.assert_array_equal(getattr(cut, name)[matured], getattr(whole, name)[:120][matured])
    assert np.isnan(cut.value[~matured]).all()


def one_bar(high, low):
    """A day whose second 5-minute bar has this high and low around 100, the others none to speak of."""
    bars = panel("2025-07-01", "2025-07-01", n=1)
    flat = np.full(bars.shape, 100.0)
    hi, lo = flat + 0.01, flat - 0.01
    hi[1], lo[1] = high, low
    return Bars(bars.symbols, 5, bars.ts, bars.session, bars.bar_of_session, bars.bars_in_session, flat, hi, lo, flat,
                flat)  # fmt: skip


def minutes_of(bars, touches):
    """1-minute bars of the same day; `touches` maps the minute (1..5 of the second bar) to (high, low)."""
    ts, session, number, count = sessions_between("2025-07-01", "2025-07-01").grid(1)
    flat = np.full((len(ts), 1), 100.0)
    hi, lo = flat.copy(), flat.copy()
    for minute, (high, low) in touches.items():
        hi[4 + minute], lo[4 + minute] = high, low
    return Bars(bars.symbols, 1, ts, session, number, count, flat, hi, lo, flat, flat)


def test_a_bar_that_touches_both_is_adverse_for_both_sides_unless_minutes_tell():
    bars = one_bar(103, 97)
    entry, width = np.full(bars.shape, 100.0), np.full(bars.shape, 0.02)
    peak, valley = first_touch(bars, entry, width, 1, first=1)
    assert (peak[0, 0], valley[0, 0]) == (1, 1)
    rises_first = minutes_of(bars, {2: (103, 100), 4: (100, 97)})
    peak, valley = first_touch(bars, entry, width, 1, first=1, minute=rises_first)
    assert (peak[0, 0], valley[0, 0]) == (0, 1)
    falls_first = minutes_of(bars, {1: (100, 97), 2: (103, 100)})
    peak, valley = first_touch(bars, entry, width, 1, first=1, minute=falls_first)
    assert (peak[0, 0], valley[0, 0]) == (1, 0)
    same_minute = minutes_of(bars, {3: (103, 97), 4: (103, 100)})
    peak, valley = first_touch(bars, entry, width, 1, first=1, minute=same_minute)
    assert (peak[0, 0], valley[0, 0]) == (1, 1)


def test_a_missing_bar_after_the_touch_does_not_matter_and_before_it_makes_nan():
    bars = one_bar(103, 99)
    high = bars.high.copy()
    high[2] = np.nan
    bars = Bars(*(high if f == "high" else getattr(bars, f) for f in Bars.__slots__))
    entry, width = np.full(bars.shape, 100.0), np.full(bars.shape, 0.02)
    peak, valley = first_touch(bars, entry, width, 5, first=1)
    assert (peak[0, 0], valley[0, 0]) == (0, 1)
    assert np.isnan(peak[1, 0])
    assert np.isnan(valley[1, 0])


@pytest.mark.parametrize("label", ["1d", "5d"])
def test_day_labels_run_from_open_to_open(label):
    daily = panel("2025-06-02", "2025-07-08", interval=390)
    bars = panel()
    h = horizon(label)
    got = make_daily_labels(daily, history_of(bars, daily), LabelSettings())[label]
    calendar = sessions_between("2025-05-01", "2025-12-31")
    for s, session in enumerate(got.session):
        d = int(np.flatnonzero(daily.session == session)[0])
        place = int(np.flatnonzero(calendar.date == session)[0])
        assert got.known_at[s] == calendar.close_ns[place - 1]
        assert got.matured_at[s] == calendar.open_ns[place + h.days]
        if d + h.days < len(daily.session):
            np.testing.assert_allclose(got.value[s], daily.open[d + h.days] / daily.open[d] - 1, atol=1e-15)
            np.testing.assert_allclose(got.naive[s], daily.close[d + h.days - 1] / daily.close[d - 1] - 1, atol=1e-15)
            want = [slow_touch(daily.high[d : d + h.days, n], daily.low[d : d + h.days, n], daily.open[d, n],
                               0.02 * np.sqrt(h.days)) for n in range(3)]  # fmt: skip
            np.testing.assert_array_equal(np.c_[got.peak[s], got.valley[s]], want)
            way = slice(d, d + h.days)
            np.testing.assert_allclose(got.highest[s], daily.high[way].max(axis=0) / daily.open[d] - 1, atol=1e-15)
            np.testing.assert_allclose(got.lowest[s], daily.low[way].min(axis=0) / daily.open[d] - 1, atol=1e-15)
        else:
            for panel_ in (got.value, got.peak, got.valley, got.highest, got.lowest):
                assert np.isnan(panel_[s]).all()  # a barrier touched early is no outcome of a window that is not over
    assert got.matured_at[np.isfinite(got.peak).any(axis=1)].max() <= daily.ts[-1]


def test_dividends_between_entry_and_exit_are_part_of_the_return():
    daily = panel("2025-06-02", "2025-07-08", interval=390)
    bars = panel()
    dividends = np.zeros(daily.shape)
    dividends[5, 0] = 1.0  # ex-date: session 5
    plain = make_daily_labels(daily, history_of(bars, daily), LabelSettings())["1d"]
    paid = make_daily_labels(daily, history_of(bars, daily), LabelSettings(), dividends)["1d"]
    extra = paid.value - plain.value
    at = int(np.flatnonzero(plain.session == daily.session[4])[0])
    np.testing.assert_allclose(extra[at, 0], 1 / daily.open[4, 0])
    extra[at, 0] = 0
    assert np.nanmax(np.abs(extra)) == 0


def test_every_horizon_is_there_and_bad_input_is_named():
    bars, daily = panel(), panel("2025-06-02", "2025-07-08", interval=390)
    assert list(make_labels(bars, history_of(bars), LabelSettings())) == [h.label for h in INTRADAY_HORIZONS]
    assert list(make_daily_labels(daily, history_of(bars, daily), LabelSettings())) == [h.label for h in DAY_HORIZONS]
    with pytest.raises(DataError, match="build both from the same bars"):
        make_labels(bars.rows(0, 50), history_of(bars), LabelSettings())
    kept = np.r_[0:5, 6 : len(daily.session)]
    holed = daily._map(lambda a: a[kept])
    with pytest.raises(DataError, match="skip an exchange session after 2025-06-06"):
        make_daily_labels(holed, history_of(bars, holed), LabelSettings())
