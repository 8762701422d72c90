"""Whitening against generalised least squares with the explicit covariance matrix."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.stats.whiten import common_correlation, whiten


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_regressing_whitened_rows_is_gls(rho, n):
    rng = np.random.default_rng(n)
    when = np.repeat(np.arange(5), n)
    x, y = rng.normal(size=(2, 5 * n))
    inverse = np.linalg.inv((1 - rho) * np.eye(n) + rho)
    top = sum(x[when == t] @ inverse @ y[when == t] for t in range(5))
    bottom = sum(x[when == t] @ inverse @ x[when == t] for t in range(5))
    wx, wy = whiten(x, when, rho), whiten(y, when, rho)
    np.testing.assert_allclose((wx @ wy) / (wx @ wx), top / bottom, rtol=1e-10)


def test_the_common_correlation_is_found():
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 20))
    y = (np.sqrt(0.3) * common + np.sqrt(0.7) * own).ravel()
    assert common_correlation(y, np.repeat(np.arange(4000), 20)) == pytest.approx(0.3, abs=0.02)


def test_missing_stays_missing_and_sides_mirror():
    v = np.array([[1.0, np.nan], [3.0, 2.0], [5.0, 6.0]])
    when = np.array([0, 0, 1])
    out = whiten(v, when, 0.5)
    assert np.isnan(out[0, 1])
    assert np.isfinite(out).sum() == 5
    np.testing.assert_array_equal(whiten(-v, when, 0.5), -out)
