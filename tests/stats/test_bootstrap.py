"""Day-block bootstrap against analytic standard errors and a slow resampler."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.stats.bootstrap import Estimate, day_block_bootstrap, session_sums


def mean(sums):
    return sums[..., 0] / sums[..., 1]


def columns(x):
    return np.c_[x, np.ones(len(x))]


def test_standard_error_of_a_mean_is_the_textbook_one():
    x = np.random.default_rng(0).normal(0.3, 2.0, 250)
    boot = day_block_bootstrap(columns(x), mean, draws=4000, seed=1)
    assert boot.estimate == pytest.approx(x.mean(), rel=1e-12)
    assert boot.se == pytest.approx(x.std(ddof=1) / np.sqrt(250), rel=0.05)


def test_rows_of_one_day_are_not_counted_as_independent():
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(100), 50)
    x = np.repeat(rng.normal(size=100), 50) + 0.1 * rng.normal(size=5000)
    _, sums = session_sums(columns(x), day)
    boot = day_block_bootstrap(sums, mean, draws=2000)
    by_day = pd.Series(x).groupby(day).mean()
    assert boot.se == pytest.approx(by_day.std() / 10, rel=0.08)
    assert boot.se > 5 * x.std() / np.sqrt(5000)


def test_long_blocks_see_the_correlation_of_overlapping_labels():
    rng = np.random.default_rng(2)
    n, overlap = 4000, 10
    x = np.convolve(rng.normal(size=n + overlap - 1), np.ones(overlap), mode="valid")  # sums of 10 overlapping days
    truth = overlap / np.sqrt(n)  # long-run standard deviation over sqrt(n)
    short = day_block_bootstrap(columns(x), mean, draws=1500).se
    long = day_block_bootstrap(columns(x), mean, block=40, draws=1500).se
    assert long == pytest.approx(truth, rel=0.2)
    assert short < 0.5 * truth


def test_draws_equal_a_slow_resampler():
    rng = np.random.default_rng(3)
    sums, block, draws = rng.normal(size=(17, 2)) + 5, 4, 50
    fast = day_block_bootstrap(sums, mean, block=block, draws=draws, seed=9)
    picks = np.random.default_rng(9).integers(17, size=(draws, 5))
    for b in range(draws):
        days = np.concatenate([(p + np.arange(block)) % 17 for p in picks[b]])
        assert fast.draws[b] == pytest.approx(sums[days, 0].sum() / sums[days, 1].sum(), rel=1e-12)


def test_totals_are_scaled_to_the_number_of_days():
    boot = day_block_bootstrap(np.ones((10, 1)), lambda s: s[..., 0], block=4, draws=20)
    np.testing.assert_allclose(boot.draws, 10.0)
    assert boot.blocks == 2


def test_p_value_agrees_with_the_t_test():
    x = np.random.default_rng(4).normal(0.2, 1.0, 120)
    boot = day_block_bootstrap(columns(x), mean, draws=8000)
    assert boot.p_value() == pytest.approx(stats.ttest_1samp(x, 0).pvalue, abs=0.02)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for i in range(300):
        boot = day_block_bootstrap(columns(rng.normal(size=25)), mean, draws=300, seed=i)
        low, high = boot.interval(0.9)
        hits += low <= 0 <= high
    assert 0.85 <= hits / 300 <= 0.95


def test_interval_and_percentiles_agree_with_many_days():
    boot = day_block_bootstrap(columns(np.random.default_rng(6).normal(size=800)), mean, draws=8000)
    np.testing.assert_allclose(boot.interval(0.9), boot.percentile(0.9), atol=0.15 * boot.se)
    assert boot.lower(0.95) == pytest.approx(boot.interval(0.9)[0], rel=1e-9)


def test_same_seed_same_draws_and_chunks_do_not_matter(monkeypatch):
    sums = columns(np.random.default_rng(7).normal(size=60))
    one = day_block_bootstrap(sums, mean, draws=100, seed=3)
    assert np.array_equal(one.draws, day_block_bootstrap(sums, mean, draws=100, seed=3).draws)
    monkeypatch.setattr("workbench.stats.bootstrap._CHUNK_CELLS", 600)
    np.testing.assert_allclose(day_block_bootstrap(sums, mean, draws=100, seed=3).draws, one.draws, rtol=1e-12)


def test_one_session_says_nothing_about_uncertainty():
    boot = day_block_bootstrap(columns(np.array([2.0])), mean)
    e = boot.scalar(reason="one session only")
    assert e.value == 2.0
    assert np.isnan([e.se, e.low, e.high, boot.p_value()]).all()
    assert e.reason == "one session only"


def test_a_constant_zero_is_never_significant():
    boot = day_block_bootstrap(columns(np.zeros(20)), mean)
    assert boot.p_value() == 1.0


def test_vector_statistics_keep_their_shape():
    boot = day_block_bootstrap(np.ones((30, 4, 2)), mean, draws=10)
    assert boot.estimate.shape == (4,)
    assert boot.draws.shape == (10, 4)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-100, 100)), min_size=1, max_size=40))
def test_session_sums_are_a_group_by(rows):
    session, x = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    days, sums = session_sums(x, session)
    expected = pd.Series(x).groupby(session).sum()
    assert days.tolist() == expected.index.tolist()
    np.testing.assert_allclose(sums, expected.to_numpy(), atol=1e-9)


@pytest.mark.parametrize(
    ("sums", "options", "message"),
    [
        (np.zeros((0, 2)), {}, "at least one session"),
        (np.array([[np.nan, 1.0]]), {}, "NaN or infinity"),
        (np.ones((3, 2)), {"block": 0}, "block 0 must be >= 1"),
        (np.ones((3, 2)), {"draws": 1}, "draws 1 >= 2"),
    ],
)
def test_bad_input_is_named(sums, options, message):
    with pytest.raises(ValueError, match=message):
        day_block_bootstrap(sums, mean, **options)


def test_bad_level_and_lengths_are_named():
    boot = day_block_bootstrap(np.ones((3, 2)), mean)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        boot.interval(1.0)
    with pytest.raises(ValueError, match="one session per row"):
        session_sums(np.ones(3), np.ones(2))


def test_unknown_estimate_keeps_its_reason():
    e = Estimate.unknown("nothing was held")
    assert np.isnan(e.value)
    assert e.reason == "nothing was held"
    assert not e.excludes_zero()
