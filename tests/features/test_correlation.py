"""Correlation of past sessions, and one instrument per cluster of near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.universe import Instrument, Universe
from workbench.features.correlation import CorrelationTracker, eligible
from workbench.features.engine import build_history


def returns(rng, sessions, n):
    common = rng.normal(size=(sessions, 13, 1))
    return 0.5 * common + rng.normal(size=(sessions, 13, n))


def test_what_is_not_known_yet_is_uncorrelated():
    tracker = CorrelationTracker(Universe.of(["A", "B"]), 40, 0.95)
    correlation, keep = tracker.current(np.array([np.nan, np.nan]))
    np.testing.assert_array_equal(correlation, np.eye(2))
    assert keep.all()


def test_a_symbol_with_too_little_data_has_an_identity_row():
    rng = np.random.default_rng(1)
    tracker = CorrelationTracker(Universe.of(["A", "B", "C"]), 40, 0.95)
    for k, day in enumerate(returns(rng, 30, 3)):
        if k < 20:
            day[:, 2] = np.nan
        tracker.close_session(day)
    correlation, _ = tracker.current(np.ones(3))
    assert correlation[2].tolist() == [0.0, 0.0, 1.0]
    assert 0.05 < correlation[0, 1] < 0.4
    np.testing.assert_array_equal(correlation, correlation.T)


def test_only_the_last_sessions_count():
    rng = np.random.default_rng(2)
    tracker = CorrelationTracker(Universe.of(["A", "B"]), 10, 0.95)
    for day in returns(rng, 10, 2):
        tracker.close_session(np.stack([day[:, 0], -day[:, 0]], axis=1))
    assert tracker.current(np.ones(2))[0][0, 1] < -0.9
    for day in returns(rng, 10, 2):
        tracker.close_session(np.stack([day[:, 0], day[:, 0] + 0.01 * day[:, 1]], axis=1))
    correlation, keep = tracker.current(np.array([1.0, 2.0]))
    assert correlation[0, 1] > 0.9
    assert keep.tolist() == [False, True]


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        ([3.0, 1.0, 2.0, 1.0], [True, False, False, True]),
        ([1.0, 1.0, 1.0, np.nan], [True, False, False, True]),
        ([np.nan, np.nan, 0.0, 1.0], [False, False, True, True]),
    ],
)
def test_one_of_a_cluster_and_ties_by_name(dollars, expected):
    universe = Universe.of(["A", "B", "C", "D"])
    c = np.eye(4)
    c[0, 1] = c[1, 0] = 0.97
    c[1, 2] = c[2, 1] = -0.96  # A and C belong together through B
    c[2, 3] = c[3, 2] = 0.95  # not above the bound
    assert eligible(c, np.array(dollars), universe, 0.95).tolist() == expected


def test_instruments_on_the_same_underlying_are_one_cluster():
    universe = Universe(
        (
            Instrument("QQQ"),
            Instrument("SQQQ", "ETF", -3.0, "QQQ"),
            Instrument("TQQQ", "ETF", 3.0, "QQQ"),
            Instrument("MSFT"),
        )
    )
    assert eligible(np.eye(4), np.array([2.0, 1.0, 3.0, 0.1]), universe, 0.95).tolist() == [False, False, True, True]


def test_the_history_carries_a_proper_correlation_per_session(market):
    history = build_history(market.bars, None, market.universe)
    assert history.correlation.shape == (26, 12, 12)
    np.testing.assert_array_equal(history.correlation[0], np.eye(12))
    last = history.correlation[-1]
    np.testing.assert_array_equal(np.diag(last), np.ones(12))
    assert np.linalg.eigvalsh(last).min() > 0
    assert 0.02 < last[np.triu_indices(12, 1)].mean() < 0.6


def test_real_leveraged_twins_are_found(real_bars):
    bars = real_bars.select(("GS", "BAC", "SPXL", "SPY", "UPRO"))
    history = build_history(bars, None, Universe.of(bars.symbols))
    assert history.eligible[-1].tolist() == [True, True, False, True, False]
    assert 0.3 < history.correlation[-1][0, 1] < 0.95
