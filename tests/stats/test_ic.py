"""Information coefficient against SciPy, row by row."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workbench.stats.ic import information_coefficient


def panel(rows=600, names=12, models=3, seed=0, per_day=5):
    rng = np.random.default_rng(seed)
    when = np.repeat(np.arange(rows // names), names)
    latent = rng.normal(size=rows)
    label = 0.3 * latent + rng.normal(size=rows)
    forecast = np.c_[latent, rng.normal(size=rows), -latent][:, :models].copy()
    return forecast, label, when, when // per_day


def test_cross_section_is_the_mean_of_pearson_over_times():
    f, y, when, session = panel()
    sigma = np.exp(np.random.default_rng(1).normal(size=len(y)))
    got = information_coefficient(f, y, when, session, sigma=sigma)
    for m in range(3):
        r = [stats.pearsonr((f[:, m] / sigma)[when == t], (y / sigma)[when == t])[0] for t in np.unique(when)]
        assert got.value[m] == pytest.approx(np.mean(r), rel=1e-10)
        days = [np.mean([r[t] for t in np.unique(when) if t // 5 == d]) for d in got.session]
        np.testing.assert_allclose(got.by_session[:, m], days, rtol=1e-10)


def test_pooled_is_one_pearson():
    f, y, when, session = panel()
    got = information_coefficient(f + 100.0, y, when, session, kind="pooled")
    for m in range(3):
        assert got.value[m] == pytest.approx(stats.pearsonr(f[:, m], y)[0], rel=1e-9)


@pytest.mark.parametrize("kind", ["cross_section", "pooled"])
def test_unknown_rows_are_left_out_not_filled(kind):
    f, y, when, session = panel()
    rng = np.random.default_rng(2)
    f[rng.random(f.shape) < 0.2] = np.nan
    y[rng.random(len(y)) < 0.1] = np.nan
    got = information_coefficient(f, y, when, session, kind=kind, min_names=5)
    for m in range(3):
        ok = np.isfinite(f[:, m]) & np.isfinite(y)
        groups = [when == t for t in np.unique(when)] if kind == "cross_section" else [np.ones(len(y), bool)]
        r = [stats.pearsonr(f[g & ok, m], y[g & ok])[0] for g in groups if (g & ok).sum() >= 5]
        assert got.value[m] == pytest.approx(np.mean(r), rel=1e-9)
        assert got.pairs[m] == ok.sum()


def test_row_order_does_not_matter():
    f, y, when, session = panel()
    mix = np.random.default_rng(3).permutation(len(y))
    for kind in ("cross_section", "pooled"):
        a = information_coefficient(f, y, when, session, kind=kind)
        b = information_coefficient(f[mix], y[mix], when[mix], session[mix], kind=kind)
        np.testing.assert_allclose(a.value, b.value, rtol=1e-9)
        np.testing.assert_allclose(a.overall.se, b.overall.se, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from(["cross_section", "pooled"]))
def test_scale_and_shift_of_a_forecast_do_not_matter_and_its_sign_flips(scale, shift, kind):
    f, y, when, session = panel(rows=120, models=1)
    base = information_coefficient(f, y, when, session, kind=kind, draws=10).value
    moved = information_coefficient(scale * f + shift, y, when, session, kind=kind, draws=10).value
    np.testing.assert_allclose(moved, base, atol=1e-9)
    flipped = information_coefficient(-f, y, when, session, kind=kind, draws=10).value
    np.testing.assert_allclose(flipped, -base, atol=1e-12)


def test_a_market_move_drops_out_of_the_cross_section_only():
    f, y, when, session = panel(models=1)
    market = np.repeat(np.random.default_rng(4).normal(size=when.max() + 1), 12)
    cross = information_coefficient(f, y + 5 * market, when, session).value
    assert cross == pytest.approx(information_coefficient(f, y, when, session).value, rel=1e-9)
    assert information_coefficient(f, y + 5 * market, when, session, kind="pooled").value < 0.5 * cross


def test_common_days_widen_the_interval():
    rng = np.random.default_rng(5)
    when = np.repeat(np.arange(1000), 10)
    session = when // 20
    view, move = rng.normal(size=50), rng.normal(size=50)
    f = view[session] + 0.1 * rng.normal(size=10_000)
    y = move[session] + 0.1 * rng.normal(size=10_000)
    got = information_coefficient(f, y, when, session, kind="pooled")
    assert got.overall.se[0] > 0.08  # 50 independent days, not 10,000 rows (0.01)
    assert got.overall.p_value()[0] > 0.01


def test_noise_is_called_significant_about_as_often_as_promised():
    rng = np.random.default_rng(6)
    when = np.repeat(np.arange(240), 10)
    f, y = rng.normal(size=(2400, 200)), rng.normal(size=2400)
    p = information_coefficient(f, y, when, when // 6, draws=500).overall.p_value()
    assert 0.01 <= (p < 0.05).mean() <= 0.11


def test_nothing_known_is_nan_not_zero():
    f, y, when, session = panel(models=2)
    f[:, 0] = np.nan
    f[:, 1] = 3.3  # no view on who is better
    for kind in ("cross_section", "pooled"):
        got = information_coefficient(f, y, when, session, kind=kind)
        assert np.isnan(got.value).all()
        assert np.isnan(got.overall.p_value()).all()


def test_too_few_names_have_no_cross_section():
    f, y, when, session = panel(names=4)
    assert np.isnan(information_coefficient(f, y, when, session).value).all()
    assert np.isfinite(information_coefficient(f, y, when, session, kind="pooled").value).all()


def test_no_rows_at_all():
    none = np.zeros(0)
    for kind in ("cross_section", "pooled"):
        got = information_coefficient(np.zeros((0, 2)), none, none.astype(int), none.astype(int), kind=kind)
        assert np.isnan(got.value).tolist() == [True, True]
        assert np.isnan(got.overall.interval(0.95)[0]).all()


def test_sigma_that_is_not_positive_is_unknown():
    f, y, when, session = panel(models=1)
    sigma = np.ones(len(y))
    sigma[:12] = 0.0
    assert information_coefficient(f, y, when, session, sigma=sigma).times[0] == len(np.unique(when)) - 1


def test_bad_input_is_named():
    f, y, when, session = panel()
    with pytest.raises(ValueError, match="forecast has 10 rows, label 600"):
        information_coefficient(f[:10], y, when, session)
    with pytest.raises(ValueError, match="'rank' is unknown"):
        information_coefficient(f, y, when, session, kind="rank")
    with pytest.raises(ValueError, match="a time belongs to one session"):
        information_coefficient(f, y, when, np.arange(len(y)))


def test_large_tables_are_quick():
    rng = np.random.default_rng(7)
    rows = 400_000
    when = np.repeat(np.arange(rows // 40), 40)
    f, y = rng.normal(size=(rows, 5)), rng.normal(size=rows)
    start = time.perf_counter()
    information_coefficient(f, y, when, when // 78)
    assert time.perf_counter() - start < 6  # about 0.5 s on an idle core
