"""Multiple-testing corrections against SciPy, the definitions and the published example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.stats.multiplicity import (
    benjamini_hochberg,
    deflated_sharpe,
    expected_maximum_sharpe,
    holm,
    probabilistic_sharpe,
)

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p_lists)
def test_benjamini_hochberg_is_scipys(p):
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), atol=1e-12)


@given(p_lists, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_rule_rejects(p, level):
    m, rejected = len(p), set()
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (m - step) > level:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(holm(p) <= level)) == rejected


@given(p_lists)
def test_corrections_keep_order_and_lie_above_the_raw_value(p):
    p = np.array(p)
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert (adjusted >= p - 1e-15).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (holm(p) >= benjamini_hochberg(p) - 1e-15).all()


def test_unknown_tests_are_not_counted():
    assert holm([0.01, np.nan, 0.04]).tolist()[::2] == pytest.approx([0.02, 0.04])
    assert np.isnan(holm([0.01, np.nan])[1])
    assert holm(np.full((2, 2), np.nan)).shape == (2, 2)


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_a_p_value_outside_its_range_is_named(bad):
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        holm([0.5, bad])


def test_the_papers_example():
    """Bailey & Lopez de Prado (2014), section "A numerical example": 5 years of 250 days, annualised ratio 2.5, 100
    trials whose annualised variance is 1/2, skew -3, kurtosis 10: benchmark .1132 a day, deflated ratio .9004."""
    best = expected_maximum_sharpe(100, 0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / np.sqrt(250), best, 1250, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-4)


def test_expected_maximum_is_that_of_independent_normals():
    rng = np.random.default_rng(0)
    for n in (5, 50):
        simulated = rng.normal(size=(20_000, n)).max(axis=1).mean()
        assert expected_maximum_sharpe(n, 1.0) == pytest.approx(simulated, rel=0.03)
    assert expected_maximum_sharpe(1, 1.0) == 0.0


def test_more_trials_deflate_more():
    r = np.random.default_rng(1).normal(0.1, 1.0, 250)
    chances = [deflated_sharpe(r, n).probability for n in (1, 10, 100)]
    assert chances[0] > chances[1] > chances[2]
    one = deflated_sharpe(r, 1)
    assert one.probability == pytest.approx(
        probabilistic_sharpe(r.mean() / r.std(ddof=1), 0.0, 250, stats.skew(r), stats.kurtosis(r, fisher=False))
    )


def test_no_ratio_without_returns_that_vary():
    assert deflated_sharpe([0.0, 0.0, 0.0, 0.0], 5).reason == "daily returns do not vary"
    assert deflated_sharpe([0.1, np.nan], 5).reason == "only 1 daily returns"
    assert np.isnan(deflated_sharpe([], 5).probability)


def test_bad_trials_are_named():
    with pytest.raises(ValueError, match="trials 0 must be at least 1"):
        deflated_sharpe([0.1, 0.2, 0.3, 0.1], 0)
    with pytest.raises(ValueError, match="must be >= 0"):
        expected_maximum_sharpe(3, -1.0)
