"""Calibration maps and their choice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from workbench.core.errors import ArtifactError
from workbench.stats.calibration import (
    FITTERS,
    CalibrationMap,
    beta,
    brier,
    brier_skill,
    choose,
    choose_with_evidence,
    ece,
    isotonic,
    platt,
    reliability,
)


def sample(rows: int = 20_000, slope: float = 1.0, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Raw p whose truth is expit(slope*logit(p) + shift); 40 sessions."""
    rng = np.random.default_rng(seed)
    raw = expit(rng.normal(size=rows) * 1.5)
    y = (rng.random(rows) < expit(slope * logit(raw) + shift)) * 1.0
    return raw, y, np.sort(rng.integers(0, 40, rows))


def test_platt_agrees_with_scikit_learn() -> None:
    p, y, _ = sample(slope=0.4, shift=-0.5)
    want = LogisticRegression(C=1e9, tol=1e-10).fit(logit(p)[:, None], y)
    np.testing.assert_allclose(platt(p, y).values, [want.coef_[0, 0], want.intercept_[0]], rtol=1e-3)


def test_beta_agrees_with_scikit_learn() -> None:
    p, y, _ = sample(slope=0.6)
    want = LogisticRegression(C=1e9, tol=1e-10).fit(np.stack([np.log(p), -np.log1p(-p)], axis=1), y)
    np.testing.assert_allclose(beta(p, y).values, [*want.coef_[0], want.intercept_[0]], rtol=2e-2, atol=2e-3)


def test_isotonic_agrees_with_scikit_learn_on_few_rows() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(60)
    y = (rng.random(60) < p) * 1.0
    want = IsotonicRegression(out_of_bounds="clip").fit(p, y)
    np.testing.assert_allclose(isotonic(p, y)(p), want.predict(p), atol=1e-12)


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_every_map_is_monotone_and_a_probability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.random(400), (rng.random(400) < rng.random()) * 1.0
    grid = np.r_[0.0, np.sort(rng.random(50)), 1.0, np.nan]
    for fit in FITTERS.values():
        q = fit(p, y)(grid)
        assert np.isnan(q[-1])
        assert (np.diff(q[:-1]) >= -1e-12).all()
        assert ((q[:-1] >= 0) & (q[:-1] <= 1)).all()


def test_calibration_repairs_what_is_distorted() -> None:
    p, y, when = sample(slope=0.4, shift=-0.6)
    fresh, outcome, _ = sample(slope=0.4, shift=-0.6, seed=1)
    chosen = choose_with_evidence(p, y, when)
    assert chosen.map.kind != "constant"
    assert chosen.skill > 2 * chosen.se > 0
    q = chosen.map(fresh)
    assert ece(q, outcome) < 0.02 < ece(fresh, outcome)
    assert brier(q, outcome) < brier(fresh, outcome)
    assert brier_skill(q, outcome, float(outcome.mean())) > 0


def test_without_skill_the_base_rate_is_the_answer() -> None:
    rng = np.random.default_rng(5)
    for seed in range(5):
        p, _, when = sample(4000, seed=seed)
        y = (rng.random(len(p)) < 0.3) * 1.0
        q = choose(p, y, when)(p)
        assert q.max() - q.min() < 0.08


def test_anti_skill_is_not_trusted() -> None:
    p, y, when = sample(5000, slope=-1.0)
    assert choose(p, y, when).kind == "constant"


def test_few_rows_give_the_base_rate() -> None:
    p, y, when = sample(150)
    assert choose(p, y, when) == CalibrationMap("constant", (float(y.mean()),))
    assert choose(np.full(500, 0.5), np.zeros(500), np.arange(500)).values == (0.0,)


def test_separable_data_stay_finite() -> None:
    p = np.linspace(0.01, 0.99, 400)
    y = (p > 0.5) * 1.0
    assert np.isfinite(platt(p, y).values).all()
    assert np.isfinite(beta(p, y).values).all()


@pytest.mark.parametrize("name", list(FITTERS))
def test_json_round_trip_is_exact(name: str) -> None:
    p, y, _ = sample(3000, slope=0.7)
    m = FITTERS[name](p, y)
    twin = CalibrationMap.from_dict(json.loads(json.dumps(m.to_dict())))
    assert twin == m
    np.testing.assert_array_equal(twin(p), m(p))


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ArtifactError, match="calibration map 'magic' is unknown"):
        CalibrationMap.from_dict({"kind": "magic", "values": [], "x": []})


def test_reliability_bins_hold_equal_rows() -> None:
    p, y, _ = sample(1000)
    mean_p, mean_y, rows = reliability(p, y, 7)
    assert rows.sum() == 1000
    assert rows.max() - rows.min() <= 1
    assert (np.diff(mean_p) > 0).all()
    assert ((mean_y >= 0) & (mean_y <= 1)).all()
