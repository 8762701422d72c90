"""Binned predictions and two cells side by side, against answers worked out another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.model_study import NO_COMMON_DAY, NOTHING_SHARED, binned, compare, prediction_bins
from workbench.core.horizon import horizon
from workbench.core.types import ModelKey


@pytest.fixture
def oof(make):
    return make.oof(horizon("15m"), signal=0.1, symbols=8)


def with_forecast(oof, column, forecast):
    changed = oof.forecast.copy()
    changed[:, column] = forecast
    return replace(oof, forecast=changed)


def test_bins_hold_equal_numbers_and_the_means_of_their_rows():
    rng = np.random.default_rng(1)
    x, y, session = rng.normal(size=1000), rng.normal(size=1000), np.repeat(np.arange(20), 50)
    b = binned(x, y, session, bins=10)
    assert b.count.tolist() == [100] * 10
    order = np.argsort(x)
    np.testing.assert_allclose(b.y, y[order].reshape(10, 100).mean(axis=1))
    np.testing.assert_allclose(b.x, x[order].reshape(10, 100).mean(axis=1))
    half = (b.high - b.low) / 2
    np.testing.assert_allclose(half, 2.09 * 0.1, rtol=0.5)  # t_19 times sigma / sqrt(100), rows being independent


def test_intervals_count_days_not_rows():
    """All rows of a day share one shock: the interval is that of 20 days, not of 2,000 rows."""
    rng = np.random.default_rng(2)
    shock, session = np.repeat(rng.normal(size=20), 100), np.repeat(np.arange(20), 100)
    b = binned(np.zeros(2000), shock, session)
    assert b.count.tolist() == [2000]
    assert (b.high - b.low)[0] / 2 == pytest.approx(2.09 * shock[::100].std(ddof=1) / np.sqrt(20), rel=0.15)


def test_unknown_rows_are_left_out_and_nothing_known_is_no_bin():
    x = np.array([1.0, np.nan, 3.0])
    assert binned(x, np.array([1.0, 1.0, np.nan]), np.arange(3)).count.tolist() == [1]
    assert len(binned(x, np.full(3, np.nan), np.arange(3)).x) == 0


def test_a_model_that_says_what_comes_lies_on_the_diagonal(oof):
    b = prediction_bins(with_forecast(oof, 0, oof.label), 0)
    np.testing.assert_allclose(b.x, b.y)


def test_a_cell_compared_with_itself_does_not_differ(oof):
    c = compare((oof, oof.keys[0]), (oof, oof.keys[0]))
    assert c.correlation == pytest.approx(1.0)
    assert (c.difference.value, c.difference.low, c.difference.high) == (0.0, 0.0, 0.0)
    assert c.rows == len(oof)


def test_the_opposite_forecast_has_the_opposite_ic(oof):
    turned = with_forecast(oof, 1, -oof.forecast[:, 0])
    c = compare((turned, oof.keys[0]), (turned, oof.keys[1]))
    assert c.correlation == pytest.approx(-1.0)
    assert c.second.value == pytest.approx(-c.first.value)
    assert c.difference.value == pytest.approx(2 * c.first.value)


def test_correlation_and_daily_ic_are_those_of_numpy(oof):
    c = compare((oof, oof.keys[0]), (oof, oof.keys[1]))
    x = oof.forecast / oof.sigma_h[:, None]
    assert c.correlation == pytest.approx(np.corrcoef(x[:, 0], x[:, 1])[0, 1])
    y, first = oof.label / oof.sigma_h, oof.session == c.session[0]
    daily = [np.corrcoef(x[here, 1], y[here])[0, 1] for t in np.unique(oof.known_at[first])
             for here in [oof.known_at == t]]  # fmt: skip
    assert c.by_session[0, 1] == pytest.approx(np.mean(daily))


def test_the_difference_is_paired(oof):
    """Two nearly equal models differ by little even where each IC is uncertain."""
    rng = np.random.default_rng(3)
    near = oof.forecast[:, 0] + 0.05 * oof.sigma_h * rng.normal(size=len(oof))
    c = compare((oof, oof.keys[0]), (with_forecast(oof, 1, near), oof.keys[1]))
    assert c.difference.se < 0.3 * c.first.se


def test_only_common_decisions_count(oof):
    part = oof.take((oof.symbol < 6) & (oof.session > np.unique(oof.session)[9]))
    c = compare((oof, oof.keys[0]), (part, oof.keys[1]))
    assert c.rows == len(part)


def test_cells_of_two_horizons_share_moments(make, oof):
    other = make.oof(horizon("30m"), signal=0.1, symbols=8)
    assert compare((oof, oof.keys[0]), (other, other.keys[1])).rows == len(oof)


def test_cells_without_a_common_moment_are_not_compared(make, oof):
    daily = make.oof(horizon("1d"), symbols=8)
    c = compare((oof, oof.keys[0]), (daily.take(np.zeros(0, int)), ModelKey("MLP", "single_task", "1d")))
    assert (c.rows, c.difference.reason) == (0, NOTHING_SHARED)
    assert np.isnan(c.correlation)


def test_only_days_on_which_both_have_an_ic_are_paired(oof):
    """A forecast that says the same of every name on some day has no IC there."""
    first = np.unique(oof.session)[0]
    constant = np.where(oof.session == first, 0.001 * oof.sigma_h, oof.forecast[:, 1])
    c = compare((oof, oof.keys[0]), (with_forecast(oof, 1, constant), oof.keys[1]))
    assert np.isnan(c.by_session[0, 1])
    assert np.isfinite(c.by_session[0, 0])
    later = oof.take(oof.session > first)
    assert c.difference == compare((later, oof.keys[0]), (later, oof.keys[1])).difference


def test_a_constant_cell_has_no_day_in_common(oof):
    never = with_forecast(oof, 1, 0.001 * oof.sigma_h)
    assert compare((oof, oof.keys[0]), (never, oof.keys[1])).difference.reason == NO_COMMON_DAY
