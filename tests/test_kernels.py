"""The kernels against slow references: the six of the seed, and covariances. Sizing: test_kernels_sizing.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from workbench import kernels

_path = Path(__file__).parent / "reference" / "kernels_reference.py"
_spec = importlib.util.spec_from_file_location("kernels_reference", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

NAN, INF = np.nan, np.inf
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def floats(low, high, nan=False):
    return st.floats(low, high, allow_subnormal=False) | (st.just(NAN) if nan else st.nothing())


def vectors(low, high, *, min_size=1, max_size=40, nan=False):
    return hnp.arrays(float, st.integers(min_size, max_size), elements=floats(low, high, nan))


def rng_of(seed):
    return np.random.default_rng(seed)


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 30)


# ---- the six of the seed ------------------------------------------------------------------------------------------


@given(seeds, st.integers(0, 70), floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7]), floats(0, 6))
def test_barrier_gate(seed, n, g_min, gamma, delta):
    p_peak, p_valley = rng_of(seed).uniform(-0.2, 1.2, (2, n))
    p_peak[::7] = NAN
    p_valley[3::7] = 0.0
    got = kernels.barrier_gate_batch(p_peak, p_valley, g_min, gamma, delta)
    np.testing.assert_allclose(got, reference.barrier_gate(p_peak, p_valley, g_min, gamma, delta), **EXACT)


def test_barrier_gate_at_the_corners():
    corners = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    for gamma, delta in [(1.0, 0.5), (0.0, 0.0), (0.0, 1.0), (2.0, 0.0), (1.5, 3.0)]:
        got = kernels.barrier_gate_batch(*corners, 0.0, gamma, delta)
        assert got == pytest.approx(reference.barrier_gate(*corners, 0.0, gamma, delta), abs=1e-15)


def test_default_exponents_agree_with_the_general_path():
    p_peak, p_valley = rng_of(1).random((2, 1000))
    special = kernels.barrier_gate_batch(p_peak, p_valley, 0.0, 1.0, 0.5)
    general = kernels.barrier_gate_batch(p_peak, p_valley, 0.0, 1.0, np.nextafter(0.5, 1))
    np.testing.assert_allclose(special, general, rtol=1e-14)


@given(vectors(-100, 100, max_size=60))
def test_project_simplex(weights):
    got = kernels.project_simplex(weights)
    np.testing.assert_allclose(got, reference.simplex(weights), **EXACT)
    assert got.min() >= 0
    assert got.sum() == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("weights", [[7.0], [0.25, 0.75], [0.0, 0.0, 0.0], [1e9, 1e9 + 0.25], [-1e300, 5.0]])
def test_project_simplex_by_hand(weights):
    expected = {1: [1.0], 3: [1 / 3] * 3}.get(len(weights))
    expected = expected or {0.25: [0.25, 0.75], 1e9: [0.375, 0.625], -1e300: [0.0, 1.0]}[weights[0]]
    np.testing.assert_allclose(kernels.project_simplex(np.array(weights)), expected, atol=1e-15)


@given(seeds, sizes, st.floats(0.05, 50))
def test_risk_parity_ridge(seed, n, lam):
    rng = rng_of(seed)
    x = rng.normal(size=(2 * n, n))
    covariance, z = x.T @ x / len(x), rng.normal(size=n)
    got = kernels.risk_parity_ridge(z, covariance, lam)
    np.testing.assert_allclose(got, reference.ridge(z, covariance, lam), **EXACT)
    np.testing.assert_array_equal(kernels.risk_parity_ridge(-z, covariance, lam), -got)


@given(seeds, st.integers(1, 150), st.integers(1, 9), floats(-20, 20))
def test_horizon_softmax(seed, n, h, beta):
    rng = rng_of(seed)
    alpha, vol = rng.normal(size=(n, h)) * 1e-3, rng.uniform(0, 2e-3, (n, h))
    mixed, best = kernels.horizon_softmax(alpha, vol, beta)
    expected, mean_weight = reference.horizon_softmax(alpha, vol, beta)
    np.testing.assert_allclose(mixed, expected, rtol=1e-12, atol=1e-15)
    assert mean_weight[best] == pytest.approx(mean_weight.max(), rel=1e-12)


@pytest.mark.parametrize("beta", [1e308, -1e308, 0.0])
def test_horizon_softmax_never_overflows(beta):
    alpha = np.array([[1e300, -1e300, 0.0], [-1e308, 1e308, 1e308]])
    mixed, best = kernels.horizon_softmax(alpha, np.zeros((2, 3)), beta)
    assert np.isfinite(mixed).all()
    assert best in (0, 1, 2)


def test_horizon_softmax_mixes_many_rows_as_it_mixes_few():
    alpha, vol = rng_of(3).normal(size=(5000, 9)), rng_of(4).random((5000, 9))
    whole, _ = kernels.horizon_softmax(alpha, vol, 1.0)
    parts = [kernels.horizon_softmax(alpha[i : i + 77], vol[i : i + 77], 1.0)[0] for i in range(0, 5000, 77)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@given(vectors(-0.1, 0.1, min_size=0, max_size=80, nan=True), st.floats(1e-4, 1))
def test_ewma_vol(returns, alpha):
    np.testing.assert_allclose(
        kernels.ewma_vol(returns, alpha), reference.ewma_vol(returns, alpha), rtol=1e-12, atol=1e-150
    )


@given(seeds, st.integers(1, 70), st.integers(1, 140))
@settings(max_examples=20)
def test_ewma_vol_of_a_panel_is_that_of_its_columns(seed, rows, columns):
    returns = rng_of(seed).normal(size=(rows, columns))
    returns[rng_of(seed + 1).random(returns.shape) < 0.2] = NAN
    panel = kernels.ewma_vol(returns, 0.06)
    for j in range(columns):
        np.testing.assert_array_equal(panel[:, j], kernels.ewma_vol(returns[:, j], 0.06))


@given(seeds, st.integers(0, 60))
def test_ofi(seed, n):
    rng = rng_of(seed)
    quotes = [rng.integers(0, 3, n).astype(float) for _ in range(8)]
    for x in quotes:
        x[rng.random(n) < 0.03] = NAN
    np.testing.assert_array_equal(kernels.ofi_batch(*quotes), reference.ofi(*quotes))


# ---- covariance ---------------------------------------------------------------------------------------------------


@given(seeds, st.integers(1, 25), st.integers(1, 8), st.floats(0.5, 100), st.sampled_from([0.0, 0.3, 0.9]))
def test_ewma_covariance(seed, rows, names, halflife, missing):
    returns = rng_of(seed).normal(size=(rows, names))
    returns[rng_of(seed + 1).random(returns.shape) < missing] = NAN
    got = kernels.ewma_covariance(returns, halflife)
    np.testing.assert_allclose(got, reference.ewma_covariance(returns, halflife), **EXACT)
    np.testing.assert_array_equal(got, got.T)


@given(seeds, st.integers(1, 60), st.integers(1, 90), st.sampled_from([1e-4, 1.0, 1e3]))
@settings(max_examples=40)
def test_ledoit_wolf_is_scikit_learns(seed, rows, names, scale):
    rng = rng_of(seed)
    returns = scale * (rng.normal(size=(rows, names)) + rng.normal(size=(rows, 1))) * rng.uniform(0.5, 2, names)
    cov, shrinkage = kernels.ledoit_wolf(returns)
    if rows == 1:  # scikit-learn warns about a single row, and a warning is an error here
        assert shrinkage == pytest.approx(0, abs=1e-12)
        return
    expected, expected_shrinkage = sklearn_ledoit_wolf(returns, assume_centered=True)
    np.testing.assert_allclose(cov, expected, rtol=1e-10, atol=1e-12 * scale**2)
    assert shrinkage == pytest.approx(expected_shrinkage, abs=1e-11)


@given(seeds, st.integers(2, 60), st.integers(1, 70))
@settings(max_examples=40)
def test_ledoit_wolf_correlation(seed, rows, names):
    rng = rng_of(seed)
    returns = (rng.normal(size=(rows, names)) + rng.normal(size=(rows, 1))) * 10.0 ** rng.uniform(-200, 2, names)
    got = kernels.ledoit_wolf_correlation(returns)
    assert (np.diag(got) == 1.0).all()
    np.testing.assert_array_equal(got, got.T)
    assert np.abs(got).max() <= 1
    assert np.linalg.eigvalsh(got).min() > -1e-12
    scaled = returns / np.abs(returns).max(axis=0)
    scaled = scaled / np.sqrt((scaled**2).mean(axis=0))
    np.testing.assert_allclose(got, kernels.ledoit_wolf(scaled)[0], atol=1e-12)
