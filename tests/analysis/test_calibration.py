"""Calibration against scikit-learn, and its null against simulated perfect forecasters."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from workbench.analysis.calibration import calibration, calibration_report


def perfect(seed, days=60, per=50, cluster=0.0):
    """Outcomes drawn from the stated probabilities, with a common daily shift of the log-odds that averages out."""
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(days), per)
    p = rng.uniform(0.2, 0.8, days * per)
    sign = np.repeat(np.where(np.arange(days) % 2, 1.0, -1.0)[rng.permutation(days)], per)
    y = (rng.random(len(p)) < np.clip(p + cluster * sign, 0, 1)).astype(float)
    return p, y, session


def test_scores_are_scikit_learns():
    p, y, session = perfect(0)
    c = calibration(p, y, session)
    assert c.brier == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert c.base_rate == pytest.approx(y.mean())
    assert c.skill.value == pytest.approx(1 - brier_score_loss(y, p) / brier_score_loss(y, np.full(len(y), y.mean())))
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(c.reliability.observed, observed, rtol=1e-9)
    np.testing.assert_allclose(c.reliability.predicted, predicted, rtol=1e-9)
    assert c.ece == pytest.approx(np.average(np.abs(observed - predicted), weights=c.reliability.count), rel=1e-9)


def test_skill_over_a_base_rate_that_was_known_before():
    p, y, session = perfect(1)
    base = np.full(len(y), 0.3)
    c = calibration(p, y, session, base=base)
    assert c.skill.value == pytest.approx(1 - np.mean((p - y) ** 2) / np.mean((base - y) ** 2))
    assert c.skill.value > calibration(p, y, session).skill.value


@pytest.mark.parametrize("cluster", [0.0, 0.15])
def test_a_perfect_forecaster_passes_its_null_about_95_times_in_100(cluster):
    passed = [calibration(*perfect(s, cluster=cluster), draws=200).consistent for s in range(120)]
    assert np.mean(passed) >= 0.88


def test_days_that_cluster_widen_the_null():
    loose = calibration(*perfect(2, cluster=0.2)).ece_null_95
    assert loose > 1.3 * calibration(*perfect(2)).ece_null_95


def test_bold_probabilities_fail_and_their_calibration_passes():
    p, y, session = perfect(3)
    bold = np.clip(0.5 + 1.8 * (p - 0.5), 0, 1)
    report = calibration_report(bold, p, y, session)
    assert not report.before.consistent
    assert report.after.consistent
    assert report.before.skill.value < report.after.skill.value
    assert report.after.skill.low > 0


def test_noise_has_no_skill():
    rng = np.random.default_rng(4)
    p, y, session = perfect(4)
    c = calibration(rng.permutation(p), y, session)
    assert c.skill.high < 0.02


def test_rows_are_those_where_all_is_known():
    p, y, session = perfect(5)
    raw, after, y = p.copy(), p.copy(), y.copy()
    raw[:10], after[10:30], y[30:60] = np.nan, np.nan, np.nan
    report = calibration_report(raw, after, y, session)
    assert report.before.rows == report.after.rows == len(p) - 60
    assert report.before.brier == report.after.brier == pytest.approx(np.mean((p[60:] - y[60:]) ** 2))


def test_equal_probabilities_share_one_bin():
    p, y, session = np.full(200, 0.4), np.tile([0.0, 1.0], 100), np.repeat(np.arange(10), 20)
    c = calibration(p, y, session)
    assert c.reliability.count.tolist() == [200]
    assert c.ece == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("p", "y", "session", "reason"),
    [
        ([np.nan, np.nan], [0.0, 1.0], [1, 2], "no row has a probability"),
        ([0.2, 0.3, 0.4], [0.0, 0.0, 0.0], [1, 2, 3], "all outcomes are the same"),
    ],
)
def test_nothing_to_measure_is_nan_with_a_reason(p, y, session, reason):
    c = calibration(np.array(p), np.array(y), np.array(session))
    assert np.isnan(c.skill.value)
    assert reason in c.reason
    assert reason in c.skill.reason


def test_one_session_has_no_null():
    p, y, _ = perfect(6)
    c = calibration(p, y, np.zeros(len(p), int))
    assert np.isnan(c.ece_null_95)
    assert not c.consistent
    assert np.isnan(c.skill.low)


def test_bad_input_is_named():
    ok = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match=r"probability 1\.5 lies outside \[0, 1\]"):
        calibration(np.array([0.5, 1.5]), ok * 0, np.arange(2))
    with pytest.raises(ValueError, match=r"outcome 0\.5 must be 0, 1 or NaN"):
        calibration(ok, ok, np.arange(2))
    with pytest.raises(ValueError, match="2, 2, 2 and 3 rows"):
        calibration_report(ok, ok, ok, np.arange(3))
    with pytest.raises(ValueError, match="bins 0"):
        calibration(ok, ok * 0, np.arange(2), bins=0)
