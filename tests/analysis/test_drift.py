"""Drift of features: distances known by hand, a yardstick made of sessions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.drift import feature_drift, ks_distance
from workbench.core.errors import DataError


def test_distance_by_hand() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert ks_distance(a, a[::-1]) == 0.0
    assert ks_distance(a, np.array([3.0, 4.0, 5.0, 6.0])) == 0.5  # at 2.99: 2/4 against 0
    assert ks_distance(np.array([1.0, np.nan, 1.0]), np.array([1.0, 2.0])) == 0.5


def test_distance_agrees_with_scipy() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = rng.integers(0, 6, 37).astype(float), rng.integers(1, 8, 53).astype(float)
        assert ks_distance(a, b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-12)


def test_usual_is_the_quantile_of_sessions_against_the_others() -> None:
    rng = np.random.default_rng(4)
    past = [np.round(rng.normal(rng.normal(), 1.0, (int(rng.integers(5, 30)), 1)), 1) for _ in range(12)]
    past[3][0] = np.nan
    each = []
    for k, own in enumerate(past):  # the slow way
        others = np.concatenate([p for i, p in enumerate(past) if i != k])
        each.append(ks_distance(own[:, 0], others[:, 0]))
    found = feature_drift(("x",), past[0], past)
    assert found.usual[0] == pytest.approx(np.quantile(each, 0.95), abs=1e-12)


def test_a_shifted_feature_stands_out_and_a_missing_one_is_told() -> None:
    rng = np.random.default_rng(5)
    past = [rng.normal(size=(40, 3)) for _ in range(20)]
    live = rng.normal(size=(40, 3))
    live[:, 1] += 2.0
    live[:, 2] = np.nan
    found = feature_drift(("same", "moved", "gone"), live, past)
    assert found.drifted.tolist() == [False, True, False]
    assert np.isnan(found.distance[2])
    assert found.missing.tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(found.live_mean[2])
    np.testing.assert_allclose(found.past_sd, np.concatenate(past).std(axis=0, ddof=1))


def test_without_enough_sessions_there_is_no_yardstick() -> None:
    past = [np.ones((4, 1)) * k for k in range(9)]
    found = feature_drift(("x",), np.ones((2, 1)), past)
    assert np.isnan(found.usual[0])
    assert not found.drifted[0]


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(DataError, match=r"past\[1\] has shape \(3, 2\); give \(rows, 1\)"):
        feature_drift(("x",), np.ones((2, 1)), [np.ones((3, 1)), np.ones((3, 2))])
    with pytest.raises(DataError, match="no past session"):
        feature_drift(("x",), np.ones((2, 1)), [])
