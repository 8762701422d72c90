"""Moments, screen, ridge, simplex weights, slope: against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from workbench.stats.ridge import (
    Moments,
    choose_penalty,
    cluster_slope,
    fit_blend,
    fit_weights,
    fold_edges,
    moments,
    positive_part,
    ridge,
    scale_of,
    screen,
)

PENALTIES = (1e-3, 1e-1, 10.0)


def table(days: int = 40, rows: int = 300, ic: tuple[float, ...] = (0.1, 0.05, 0.0, 0.0), seed: int = 0) -> Moments:
    rng = np.random.default_rng(seed)
    n = days * rows
    x = rng.normal(size=(n, len(ic)))
    y = x @ np.array(ic) + rng.normal(size=n)
    day = np.repeat(np.arange(days), rows)
    return moments(x, y, day, day * 100, day * 100 + 50)


def test_moments_are_sums_over_blocks_in_any_row_order() -> None:
    rng = np.random.default_rng(0)
    x, y, day = rng.normal(size=(50, 3)), rng.normal(size=50), rng.integers(0, 4, 50)
    x[rng.random(x.shape) < 0.2] = np.nan
    m = moments(x, y, day, day * 10 + 1, day * 10 + 7)
    clean = np.nan_to_num(x)
    for b in range(4):
        rows = day == b
        np.testing.assert_allclose(m.gram[b], clean[rows].T @ clean[rows], atol=1e-12)
        np.testing.assert_allclose(m.cross[b], clean[rows].T @ y[rows], atol=1e-12)
        assert m.square[b] == pytest.approx(y[rows] @ y[rows])
        np.testing.assert_array_equal(m.seen[b], np.isfinite(x[rows]).sum(0))
    assert m.first_known.tolist() == [1, 11, 21, 31]
    assert len(m.take(slice(1, 3))) == 2
    assert len(moments(np.zeros((0, 2)), *(np.zeros(0, int),) * 4)) == 0


def test_training_blocks_have_matured() -> None:
    m = table(days=10)
    assert len(m.before(5, embargo_ns=50)) == 5
    assert len(m.before(5, embargo_ns=51)) == 4


def test_ridge_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 4)), rng.normal(size=80)
    want = Ridge(alpha=0.3 * 80, fit_intercept=False).fit(x, y).coef_
    np.testing.assert_allclose(ridge(x.T @ x, x.T @ y, 80, 0.3), want, rtol=1e-10)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
@example([2.2e-311, -1.0])
@settings(max_examples=80, deadline=None)
def test_positive_part_keeps_proportions(values: list[float]) -> None:
    w = np.array(values)
    p = positive_part(w)
    kept = np.maximum(w, 0)
    want = kept / kept.sum() if kept.sum() > 0 else kept * 0
    np.testing.assert_allclose(p, want, atol=1e-12)


def test_cluster_slope_is_the_robust_regression_by_hand() -> None:
    rng = np.random.default_rng(2)
    cross, square = rng.normal(size=30), rng.uniform(1, 2, 30)
    slope, se = cluster_slope(cross, square)
    assert slope == pytest.approx(cross.sum() / square.sum())
    residual = cross - slope * square
    assert se == pytest.approx(np.sqrt((residual**2).sum() * 30 / 29) / square.sum())
    _, wide = cluster_slope(np.repeat(cross, 2), np.repeat(square, 2), overlap=True)
    _, narrow = cluster_slope(np.repeat(cross, 2), np.repeat(square, 2))
    assert wide > narrow
    assert np.isnan(cluster_slope(cross[:1], square[:1])[1])


def test_cluster_slope_has_the_right_size_under_the_null() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=(600, 40, 1))
    cross = (common + rng.normal(size=(600, 40, 5))).sum(2)
    t = np.array([np.divide(*cluster_slope(c, np.full(40, 5.0))) for c in cross])
    assert 0.85 < t.std() < 1.2


def test_screen_keeps_evidence_and_drops_noise() -> None:
    keep, t = screen(table())
    assert keep.tolist() == [True, True, False, False]
    assert (t[:2] > 3).all()
    assert screen(table(ic=(-0.2, 0.1)))[0].tolist() == [False, True], "a model that is always wrong is no evidence"
    assert not screen(table(days=2))[0].any(), "two blocks are no evidence"


def test_scale_is_the_root_mean_square_where_seen() -> None:
    x = np.array([[3.0, np.nan], [4.0, 2.0], [0.0, np.nan]])
    m = moments(x, np.ones(3), np.zeros(3, int), np.zeros(3, int), np.ones(3, int))
    np.testing.assert_allclose(scale_of(m), [np.sqrt(25 / 3), 2.0])


def test_weights_are_in_proportion_to_what_each_adds() -> None:
    w = fit_weights(table(days=60, rows=2000), PENALTIES)
    np.testing.assert_allclose(w.p, [2 / 3, 1 / 3, 0, 0], atol=0.05)
    assert w.rms == pytest.approx(np.sqrt((w.p**2).sum()), rel=0.05)


def test_largest_penalty_within_one_standard_error() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=20_000)
    x = np.stack([signal + 0.1 * rng.normal(size=20_000) for _ in range(5)], axis=1)
    y = 0.05 * signal + rng.normal(size=20_000)
    day = np.repeat(np.arange(40), 500)
    m = moments(x, y, day, day * 100, day * 100 + 50)
    assert choose_penalty(m, np.ones(5, bool), PENALTIES) == 10.0
    bad = np.stack([signal, signal + rng.normal(size=20_000)], axis=1)
    strong = moments(bad, bad[:, 0] - bad[:, 1] + 0.01 * y, day, day * 100, day * 100 + 50)
    assert choose_penalty(strong, np.ones(2, bool), PENALTIES) <= 10.0


def test_slope_is_that_of_the_final_blend() -> None:
    fit = fit_blend(table(days=60, rows=1000), PENALTIES)
    # y = .1 x1 + .05 x2 and s = 2/3 x1 + 1/3 x2, so y = .15 s
    assert fit.slope == pytest.approx(0.15, rel=0.1)
    assert 0 < fit.lower < fit.slope
    assert fit.se == pytest.approx((fit.slope - fit.lower) / 1.68, rel=0.05)
    assert [f.start for f in fit.forward] == [12, 24, 36, 48]


def test_no_evidence_no_slope() -> None:
    zero = [fit_blend(table(ic=(0.0,) * 5, seed=s), PENALTIES) for s in range(10)]
    assert all(f.slope == 0.0 for f in zero)
    forced = fit_blend(table(ic=(0.0,) * 5), PENALTIES, screened=False)
    assert forced.weights.p.sum() == pytest.approx(1)


def test_no_rows_no_weights() -> None:
    empty = moments(np.zeros((0, 2)), np.zeros(0), *(np.zeros(0, int),) * 3)
    assert fit_blend(empty, PENALTIES).weights.p.tolist() == [0, 0]


def test_constant_zero_models_are_ignored() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2))
    y = 0.2 * x[:, 0] + rng.normal(size=4000)
    x[:, 1] = 0.0
    day = np.repeat(np.arange(40), 100)
    fit = fit_blend(moments(x, y, day, day * 10, day * 10 + 5), PENALTIES)
    assert fit.weights.p.tolist() == [1.0, 0.0]


def test_folds_cover_all_but_the_first() -> None:
    for blocks in (0, 1, 3, 17):
        edges = fold_edges(blocks, 5)
        assert all(a < b for a, b in edges)
        if blocks > 1:
            assert edges[-1][1] == blocks
