"""BarrierStack: pooling, calibration, missing classifiers, JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from decision_builders import oof_rows

from workbench.core.errors import ProvenanceError
from workbench.core.types import OofForecasts
from workbench.stats.calibration import brier_skill, ece
from workbench.stats.stack import BarrierStack, pool, simplex_brier


def two_classifiers(seed: int = 0, days: int = 60) -> OofForecasts:
    """The second classifier is pure noise."""
    oof = oof_rows("5m", days=days, symbols=10, skill=0.8, ic=0.1, seed=seed)
    rng = np.random.default_rng(seed)
    noise = rng.random((len(oof), 1))
    return replace(oof, barrier_families=("Good", "Noise"), p_peak=np.hstack([oof.p_peak, noise]),
                   p_valley=np.hstack([oof.p_valley, 1 - noise]))  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> BarrierStack:
    return BarrierStack().fit({"5m": two_classifiers()})


def test_noise_gets_little_weight(fitted: BarrierStack) -> None:
    for side in fitted.sides_["5m"].values():
        assert side.weights[0] > 0.85
        assert side.skill > 2 * side.se > 0


def test_fresh_rows_are_calibrated(fitted: BarrierStack) -> None:
    fresh = two_classifiers(seed=9)
    peak, valley = fitted.apply_rows(fresh)
    for p, y in ((peak, fresh.peak), (valley, fresh.valley)):
        assert ece(p, y) < 0.02
        assert brier_skill(p, y, float(y.mean())) > 0.05


def test_live_and_research_agree(fitted: BarrierStack) -> None:
    oof = two_classifiers(seed=3, days=4)
    rows = slice(0, 20)
    peak, valley = fitted.apply({"5m": oof.p_peak[rows].T}, {"5m": oof.p_valley[rows].T})
    want = fitted.apply_rows(oof)
    np.testing.assert_array_equal(peak[0], want[0][rows])
    np.testing.assert_array_equal(valley[0], want[1][rows])
    assert np.isnan(peak[1:]).all()


def test_a_missing_classifier_leaves_the_pool(fitted: BarrierStack) -> None:
    raw = np.array([[np.nan, 0.4, np.nan], [0.7, np.nan, np.nan]])
    p, _ = fitted.apply({"5m": raw}, {"5m": raw})
    assert np.isfinite(p[0, 1])
    assert np.isnan(p[0, 2])


def test_horizons_without_classifiers_are_left_out() -> None:
    oof = two_classifiers()
    none = replace(oof, barrier_families=(), p_peak=np.zeros((len(oof), 0)), p_valley=np.zeros((len(oof), 0)))
    unknown = replace(oof, peak=np.full(len(oof), np.nan))
    for rows in (none, unknown):
        stack = BarrierStack().fit({"5m": rows})
        assert stack.sides_ == {}
        assert np.isnan(stack.apply_rows(rows)[0]).all()
    assert stack.apply({}, {}, n=3)[0].shape == (9, 3)


def test_bad_input(fitted: BarrierStack) -> None:
    with pytest.raises(
        ValueError, match=r"5m peak: raw probabilities have shape \(1, 3\), expected \(2, N\), one row for"
    ):
        fitted.apply({"5m": np.zeros((1, 3))}, {"5m": np.zeros((1, 3))})
    with pytest.raises(ProvenanceError, match=r"BarrierStack.fit accepts only OofForecasts, got ndarray"):
        BarrierStack().fit({"5m": np.zeros(3)})  # type: ignore[dict-item]


def test_json_round_trip_is_exact(fitted: BarrierStack) -> None:
    twin = BarrierStack.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert twin.to_dict() == fitted.to_dict()
    oof = two_classifiers(seed=5, days=3)
    np.testing.assert_array_equal(twin.apply_rows(oof), fitted.apply_rows(oof))


def test_pool_weights_minimise_brier_on_the_simplex() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((500, 4))
    y = (rng.random(500) < 0.6 * p[:, 0] + 0.4 * p[:, 2]) * 1.0
    w = cp.Variable(4)
    cp.Problem(cp.Minimize(cp.sum_squares(p @ w - y)), [w >= 0, cp.sum(w) == 1]).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(simplex_brier(p, y), w.value, atol=1e-4)
    np.testing.assert_allclose(pool(p.T, np.full(4, 0.25)), p.mean(axis=1))
