"""The spread estimated from prices: unbiased on known spreads, shrunk sensibly, near the measured medians."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.units import BPS
from workbench.features.spreads import SHAPE, quoted_spread
from workbench.stats.spread import edge, shrink_spread, spread_prior


def ticks_to_bars(rng, spread, volatility, n_bars=1500, n=30, trades=60):
    """(T, N) bars of trades at mid * (1 +- spread / 2) of a random walk with `volatility` per bar."""
    steps = rng.normal(size=(n_bars * trades, n)) * volatility / np.sqrt(trades)
    price = 50 * np.exp(np.cumsum(steps, axis=0)) * (1 + spread / 2 * rng.choice([-1, 1], size=steps.shape))
    price = price.reshape(n_bars, trades, n)
    return price[:, 0], price.max(axis=1), price.min(axis=1), price[:, -1]


@pytest.mark.parametrize("spread_bps", [5.0, 10.0, 30.0])
def test_a_known_spread_is_found(spread_bps):
    squared, error = edge(*ticks_to_bars(np.random.default_rng(1), spread_bps * BPS, 15 * BPS))
    assert np.sqrt(squared.mean()) / BPS == pytest.approx(spread_bps, rel=0.15)
    assert 0.5 < squared.std() / error.mean() < 2


def test_no_spread_is_no_spread_within_its_error():
    squared, error = edge(*ticks_to_bars(np.random.default_rng(2), 0.0, 15 * BPS))
    assert abs(squared.mean()) < 4 * error.mean() / np.sqrt(len(squared))


def test_too_few_bars_or_prices_that_never_move_say_nothing():
    bars = ticks_to_bars(np.random.default_rng(3), 10 * BPS, 15 * BPS, n_bars=15, n=2)
    assert np.isnan(edge(*bars)[0]).all()
    flat = np.full((500, 2), 20.0)
    assert np.isnan(edge(flat, flat, flat, flat)[0]).all()


def test_rows_of_nan_separate_sessions():
    o, h, l, c = (x.copy() for x in ticks_to_bars(np.random.default_rng(4), 20 * BPS, 15 * BPS, n=4))  # noqa: E741
    jump = 1 + 0.2 * (np.arange(len(o)) >= 700)[:, None]
    bars = [x * jump for x in (o, h, l, c)]
    for x in bars:
        x[699] = np.nan
    squared, _ = edge(*bars)
    assert np.sqrt(np.abs(squared)).mean() / BPS == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize(
    ("name", "price", "dollars", "measured_bps"),
    [("AAPL 2014", 645, 6.0e9, 1.4), ("IBM 2013", 183, 0.8e9, 2.2), ("GOOG 2015", 755, 1.2e9, 4.9)],
)
def test_the_prior_is_near_the_measured_medians(name, price, dollars, measured_bps):
    assert spread_prior(np.array([price]), np.array([dollars]))[0] / BPS == pytest.approx(measured_bps, rel=0.35)


@pytest.mark.parametrize(("price", "dollars"), [(168.1, 20e9), (14.0, 1.4e9), (49.0, 0.5e9)])
def test_the_prior_leaves_spy_bac_and_aig_at_their_tick(price, dollars):
    assert spread_prior(np.array([price]), np.array([dollars]))[0] < 1.25 * 0.01 / price


def test_shrinking_follows_precision():
    prior = np.full(4, 4 * BPS)
    squared = np.array([np.nan, (8 * BPS) ** 2, (8 * BPS) ** 2, -((9 * BPS) ** 2)])
    error = np.array([np.nan, 1e-12, 1.0, 1e-12])
    got = shrink_spread(squared, error, prior) / BPS
    assert got[:3].tolist() == pytest.approx([4.0, 8.0, 4.0], rel=1e-3)
    assert got[3] == pytest.approx(4 / np.e)


def test_quoted_spread_and_its_shape_over_the_day():
    got = quoted_spread(np.array([10.0, 10.0, np.nan, 0.0]), np.array([10.01, 10.0, 10.0, 1.0]))
    np.testing.assert_allclose(got, [0.01 / 10.005, 0.0, np.nan, np.nan])
    assert 2 <= SHAPE[:2].mean() / SHAPE[30:50].mean() <= 3
    assert 0.5 <= SHAPE[-3:].mean() / SHAPE[30:50].mean() <= 0.6
