"""Coverage against the exchange's calendar: early closes, holidays, sessions without any bar, gaps and their kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.coverage import coverage, gaps, known_bars, relative_spread, session_overview
from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.calendar import iso_date, sessions_between

DAYS = ("2025-07-01", "2025-07-07")
"""Tuesday, Wednesday, an early close on Thursday the 3rd, the holiday, and Monday."""


def panel(n=2, quotes=False, interval=5):
    ts, session, number, count = sessions_between(*DAYS).grid(interval)
    flat = np.full((len(ts), n), 100.0)
    extra = {"bid": flat - 0.01, "ask": flat + 0.01} if quotes else {}
    return Bars(
        ("AA", "BB")[:n], interval, ts, session, number, count, flat, flat + 1, flat - 1, flat, flat * 10, **extra
    )


def without(bars, rows, column):
    """The same bars, with those rows of a column unknown."""
    changed = {}
    for name in TRADE_FIELDS:
        changed[name] = getattr(bars, name).copy()
        changed[name][rows, column] = np.nan
    return replace(bars, **changed)


def cut(bars, keep):
    """The rows marked, whatever the calendar says."""
    fields = ("ts", "session", "bar_of_session", "bars_in_session", *TRADE_FIELDS)
    return Bars(bars.symbols, bars.interval_minutes, *(getattr(bars, name)[keep] for name in fields))


def test_the_calendar_says_how_many_bars_a_session_has():
    c = coverage(panel())
    assert [iso_date(d) for d in c.first] == ["2025-07-01", "2025-07-02", "2025-07-03", "2025-07-07"]
    assert c.expected.tolist() == [78, 78, 42, 78]
    assert c.early.tolist() == [False, False, True, False]
    assert (c.share == 1).all()
    assert c.missing == 0


@pytest.mark.parametrize(("interval", "expected"), [(1, [390, 390, 210, 390]), (390, [1, 1, 1, 1])])
def test_bars_of_other_lengths(interval, expected):
    assert coverage(panel(interval=interval)).expected.tolist() == expected


def test_missing_bars_lower_the_share_of_their_symbol_and_day_only():
    c = coverage(without(panel(), slice(78, 117), 1))
    assert c.found[:, 0].tolist() == [78, 78, 42, 78]
    assert c.found[:, 1].tolist() == [78, 39, 42, 78]
    assert c.share[1, 1] == 0.5
    assert c.missing == 39


def test_a_session_without_any_row_is_expected_all_the_same():
    whole = panel()
    c = coverage(cut(whole, whole.session != whole.session[100]))
    assert c.expected.tolist() == [78, 78, 42, 78]
    assert c.found[:, 0].tolist() == [78, 0, 42, 78]


def test_a_panel_that_ends_within_a_session_expects_no_later_bar():
    c = coverage(panel().rows(0, 78 + 10))
    assert c.expected.tolist() == [78, 10]
    assert (c.share == 1).all()


def test_a_bar_with_a_quote_and_no_trade_is_there():
    bars = without(panel(quotes=True), [5, 6], 0)
    assert known_bars(bars)[[5, 6], 0].all()
    bid = bars.bid.copy()
    bid[6, 0] = np.nan
    assert known_bars(replace(bars, bid=bid))[[5, 6], 0].tolist() == [True, False]


def test_pooled_columns_keep_every_bar():
    c = coverage(without(panel(), slice(0, 8), 0))
    p = c.pooled(2)
    assert p.expected.tolist() == [156, 120]
    assert p.found.tolist() == [[148, 156], [120, 120]]
    assert p.early.tolist() == [False, True]
    assert p.missing == c.missing == 8
    assert c.pooled(4) is c


def test_gaps_are_runs_on_the_grid_across_nights_and_name_their_kind():
    bars = without(panel(), slice(0, 3), 0)  # AA starts late
    bars = without(bars, slice(70, 80), 1)  # BB lacks the last 8 bars of a day and the first 2 of the next
    bars = without(bars, slice(275, 276), 1)  # and the very last one
    found = [(g.symbol, g.bars, g.kind) for g in gaps(bars)]
    assert found == [("BB", 10, "gap"), ("AA", 3, "starts late"), ("BB", 1, "ends early")]
    night = gaps(bars)[0]
    assert (night.start, night.end) == (bars.ts[70], bars.ts[79])


def test_no_gap_and_no_bar_at_all():
    assert gaps(panel()) == ()
    empty = gaps(without(panel(), slice(None), 0))
    assert [(g.symbol, g.bars, g.kind) for g in empty] == [("AA", 276, "no bars")]


def test_the_spread_is_relative_to_the_middle_and_unknown_without_a_quote():
    assert np.isnan(relative_spread(panel())).all()
    np.testing.assert_allclose(relative_spread(panel(quotes=True)), 0.02 / 100)


def test_a_session_in_numbers():
    bars = panel(quotes=True)
    close, volume = bars.close.copy(), bars.volume.copy()
    close[78:156, 0] = 101.0
    close[80, 0] = np.nan  # its quote is known: the bar is there
    close[155, 0] = 104.0
    volume[78:156, 0] *= 3
    o = session_overview(replace(bars, close=close, volume=volume), int(bars.session[100]))
    assert (o.open[0], o.close[0], o.expected, o.found[0]) == (100, 104, 78, 78)
    np.testing.assert_allclose([o.change[0], o.gap[0], o.volume_ratio[0]], [0.04, 0.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(o.volatility[0], np.hypot(np.log(1.01), np.log(104 / 101)))
    np.testing.assert_allclose(o.spread[0], 0.0002)
    assert (o.change[1], o.volatility[1]) == (0, 0)


def test_a_session_of_which_nothing_is_known_stays_unknown():
    bars = without(panel(), slice(0, 78), 0)
    o = session_overview(bars, int(bars.session[0]))
    for name in ("open", "high", "low", "close", "change", "gap", "volatility", "volume", "spread"):
        assert np.isnan(getattr(o, name)[0]), name
    assert o.found.tolist() == [0, 78]
    with pytest.raises(ValueError, match="has no row among 4 sessions"):
        session_overview(bars, 1)
