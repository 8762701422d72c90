"""Distribution, stability, IC and correlations of features against numbers made by hand or by NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.feature_study import distribution, edges_for, feature_correlation, feature_ic, stability
from workbench.core.horizon import horizon

RNG = np.random.default_rng(3)
T, N = 40 * 6, 24
SESSION = np.repeat(np.arange(40), 6)
WHEN = np.arange(T)


def test_the_density_integrates_to_one_and_moments_are_those_of_the_values():
    values = RNG.normal(2.0, 3.0, 20_000)
    values[:100] = np.nan
    d = distribution(values, edges_for(values))
    assert (d.rows, d.known) == (20_000, 19_900)
    inside = (d.density * np.diff(d.edges)).sum()
    assert 0.997 < inside <= 1.0
    np.testing.assert_allclose([d.mean, d.sd, d.skew, d.kurtosis], [2, 3, 0, 0], atol=0.1)
    np.testing.assert_allclose(d.quantiles, np.quantile(values[100:], [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert np.isnan(d.at_bounds)


def test_values_at_the_bounds_are_counted_among_the_known():
    d = distribution(np.array([-1.0, 1.0, 0.0, 0.5, np.nan]), np.array([-1.0, 1.0]), (-1.0, 1.0))
    assert d.at_bounds == 0.5


def test_nothing_known_is_unknown_not_zero():
    d = distribution(np.full(5, np.nan), edges_for(np.full(5, np.nan)))
    assert d.known == 0
    assert np.isnan([d.mean, d.sd, d.skew, d.kurtosis, *d.quantiles]).all()
    assert (d.density == 0).all()


def test_a_level_that_moves_shows_as_drift_and_one_that_stays_does_not():
    still = RNG.normal(0, 1, (T, N))
    assert abs(stability(still, SESSION).drift) < 0.1
    moved = still + (SESSION >= 20)[:, None] * 1.349  # one interquartile range of a normal
    np.testing.assert_allclose(stability(moved, SESSION).drift, 1.0, atol=0.1)


def test_a_session_without_a_value_has_unknown_quantiles():
    values = np.ones((T, N))
    values[:6] = np.nan
    s = stability(values, SESSION)
    assert np.isnan(s.quantiles[0]).all()
    assert (s.known[0], s.known[1]) == (0.0, 1.0)
    assert (s.quantiles[1:] == 1).all()


def planted(strength):
    """(feature, label, sigma): the feature explains `strength` of the scaled label, names differ in sigma."""
    rng = np.random.default_rng(5)
    feature, noise = rng.normal(size=(T, N)), rng.normal(size=(T, N))
    sigma = 0.001 * np.arange(1, N + 1)[None].repeat(T, axis=0)
    return feature, sigma * (strength * feature + np.sqrt(1 - strength**2) * noise), sigma


@pytest.mark.parametrize("kind", ["cross_section", "pooled"])
def test_a_planted_feature_is_found_within_its_interval(kind):
    feature, label, sigma = planted(0.3)
    labels = {"tradable": label, "one bar later": label * np.nan, "own close": sigma * feature}
    ic = feature_ic(feature, labels, sigma, WHEN, SESSION, horizon("30m"), kind=kind)
    found = ic.of["tradable"]
    assert found.low < 0.3 < found.high
    assert found.excludes_zero()
    assert np.isnan(ic.of["one bar later"].value)
    assert ic.of["one bar later"].reason
    np.testing.assert_allclose(ic.of["own close"].value, 1.0)
    assert (ic.kind, ic.pairs, ic.blocks) == (kind, T * N, 40)


def test_noise_is_not_told_from_zero():
    feature, label, sigma = planted(0.0)
    ic = feature_ic(feature, {"tradable": label}, sigma, WHEN, SESSION, horizon("5m"))
    assert not ic.of["tradable"].excludes_zero()


def test_a_feature_of_the_market_has_no_cross_section_but_a_pooled_ic():
    market = RNG.normal(size=(T, 1)).repeat(N, axis=1)
    sigma = np.full((T, N), 0.01)
    for kind, known in (("cross_section", False), ("pooled", True)):
        ic = feature_ic(market, {"tradable": market * sigma}, sigma, WHEN, SESSION, horizon("5m"), kind=kind)
        assert np.isfinite(ic.of["tradable"].value) == known


def test_few_names_are_pooled_and_long_labels_resampled_in_long_blocks():
    feature, label, sigma = planted(0.3)
    ic = feature_ic(feature[:, :1], {"tradable": label[:, :1]}, sigma[:, :1], WHEN, SESSION, horizon("5d"))
    assert ic.kind == "pooled"
    assert ic.blocks == 40 // 5


def test_correlations_equal_numpy_and_twins_stand_side_by_side():
    x = RNG.normal(size=(300, 4, 5))
    x[..., 4] = x[..., 0] + 0.1 * x[..., 1]  # a twin of a
    names = ("a", "b", "c", "d", "e")
    c = feature_correlation(x, names)
    back = [c.names.index(n) for n in names]
    np.testing.assert_allclose(c.matrix[np.ix_(back, back)], np.corrcoef(x.reshape(-1, 5).T), atol=1e-12)
    assert abs(c.names.index("a") - c.names.index("e")) == 1
    assert c.nearest("a", 1)[0][0] == "e"
    assert c.rows == 1200


def test_each_pair_uses_the_rows_that_know_both_and_constants_are_unknown():
    x = RNG.normal(size=(500, 1, 3))
    x[:250, 0, 1] = np.nan
    x[:, 0, 2] = 1.0
    c = feature_correlation(x, ("a", "b", "flat"))
    a, b, flat = (c.names.index(n) for n in ("a", "b", "flat"))
    np.testing.assert_allclose(c.matrix[a, b], np.corrcoef(x[250:, 0, 0], x[250:, 0, 1])[0, 1], atol=1e-12)
    assert np.isnan(c.matrix[a, flat])
    assert np.isnan(c.matrix[flat, flat])
    assert [n for n, _ in c.nearest("a")] == ["b"]
