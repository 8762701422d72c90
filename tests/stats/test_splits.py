"""Segments, their cutoffs, uniqueness weights and thinning."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.calendar import exchange_sessions, sessions_between
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY
from workbench.stats.splits import average_uniqueness, day_walk_forward, embargo_ns, thin, walk_forward

INTRADAY = sessions_between("2025-01-02", "2025-06-30")
DAILY = sessions_between("2022-06-01", "2025-06-30")


def test_intraday_segments_are_contiguous_and_cover_what_follows_the_initial_part():
    parts = walk_forward(INTRADAY, 5, 0.35, 1)
    start = int(np.ceil(0.35 * len(INTRADAY)))
    assert [p.number for p in parts] == [1, 2, 3, 4, 5]
    assert parts[0].first == INTRADAY.date[start]
    assert parts[-1].last == INTRADAY.date[-1]
    held = sum(p.holds(INTRADAY.date) for p in parts)
    np.testing.assert_array_equal(held, np.arange(len(INTRADAY)) >= start)


@pytest.mark.parametrize("embargo", [1, 2, 5])
def test_the_cutoff_leaves_whole_sessions_before_the_first_known_row(embargo):
    every = exchange_sessions()
    intraday = walk_forward(INTRADAY, 5, 0.35, embargo)
    for part in intraday:
        first = int(np.searchsorted(every.date, part.first))
        assert part.cutoff_ns == every.open_ns[first - embargo]
        assert part.cutoff_ns + embargo_ns(embargo) <= every.open_ns[first]  # every intraday row is known after it
    for part in day_walk_forward(DAILY, intraday, 0.35, embargo):
        known = int(np.searchsorted(every.date, part.first)) - 1
        assert part.cutoff_ns == every.open_ns[known - embargo]
        assert part.cutoff_ns + embargo_ns(embargo) < every.close_ns[known]


def test_the_embargo_in_ns_holds_over_every_pair_of_sessions_since_1990():
    opens = exchange_sessions().open_ns
    for embargo in (1, 2, 3, 5, 10, 20):
        assert (opens[embargo:] - opens[:-embargo]).min() >= embargo * NS_PER_DAY


def test_day_segments_share_the_intraday_boundaries_and_add_earlier_ones():
    intraday = walk_forward(INTRADAY, 5, 0.35, 1)
    day = day_walk_forward(DAILY, intraday, 0.35, 1)
    assert [p.number for p in day] == [-3, -2, -1, 0, 1, 2, 3, 4, 5]
    assert [(p.first, p.last) for p in day[4:]] == [(p.first, p.last) for p in intraday]
    assert day[0].first == DAILY.date[int(np.ceil(0.35 * len(DAILY)))]
    assert all(a.last < b.first for a, b in pairwise(day))


def test_a_short_daily_history_gets_no_earlier_segments():
    intraday = walk_forward(INTRADAY, 5, 0.35, 1)
    assert [p.number for p in day_walk_forward(INTRADAY, intraday, 0.35, 1)] == [1, 2, 3, 4, 5]


def test_too_few_sessions_name_the_remedy():
    with pytest.raises(DataError, match="5 sessions of bars leave 3 after the initial 2, too few for 5"):
        walk_forward(sessions_between("2025-01-06", "2025-01-13"), 5, 0.35, 1)


def slow_uniqueness(exists, bars):
    t = len(exists)
    count = np.zeros(t + bars)
    for i in np.flatnonzero(exists):
        count[i + 1 : i + 1 + bars] += 1
    return np.array([np.mean(1 / count[i + 1 : i + 1 + bars]) if exists[i] else 0.0 for i in range(t)])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 8))
def test_uniqueness_equals_a_slow_count(exists, bars):
    mask = np.array(exists)
    got = average_uniqueness(mask[:, None], bars)[:, 0]
    np.testing.assert_allclose(got, slow_uniqueness(mask, bars), atol=1e-14)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 700))
def test_thinning_keeps_the_last_row_and_spreads_the_rest(rows, cap):
    kept = thin(rows, cap)
    assert len(kept) == min(rows, cap)
    assert (np.diff(kept) > 0).all()
    if rows:
        assert kept[-1] == rows - 1
    if rows > cap:
        bounds = np.arange(cap + 1) * rows // cap
        np.testing.assert_array_equal(np.searchsorted(bounds, kept, side="right") - 1, np.arange(cap))


def test_thinning_does_not_resonate_with_the_number_of_symbols():
    symbol = thin(30 * 4000, 4000) % 30
    assert np.bincount(symbol, minlength=30).min() > 100
