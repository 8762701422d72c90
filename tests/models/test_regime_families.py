import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from workbench.models.families import change_point
from workbench.models.families.change_point import SHORTEST, breaks, segment
from workbench.models.families.gmm_regime import COMPONENTS, Regimes
from workbench.models.prepare import make_sample
from workbench.models.registry import FAMILIES
from workbench.models.ridge import linear, scale_of
from workbench.models.runtime import load_fitted

CHANGE, GMM = FAMILIES["ChangePoint"], FAMILIES["GMMRegime"]


def flipped(rows, at, seed=0, ic=0.25, features=12):
    """Features, the signal that is true since row `at`, and labels with the opposite sign before."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features))
    signal = (x[:, 0] - x[:, 1]) / np.sqrt(2)
    sign = np.where(np.arange(rows) < at, -1.0, 1.0)
    return x, signal, ic * sign * signal + np.sqrt(1 - ic**2) * rng.standard_normal(rows)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


# ------------------------------------------------------------------------------------------------- ChangePoint


@pytest.mark.parametrize("at", [1300, 3000, 4400])
def test_a_flip_is_found_where_it_is(at):
    for seed in range(3):
        x, _, y = flipped(6000, at, seed)
        found = breaks(x, y, np.ones(6000), 60)
        assert len(found) == 1
        assert abs(found[0] - at) <= 150  # a block


def test_two_breaks_are_found():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9000, 8))
    which = np.repeat([0, 3, 5], 3000)
    y = 0.4 * x[np.arange(9000), which] + rng.standard_normal(9000)
    assert breaks(x, y, np.ones(9000), 100) == pytest.approx([3000, 6000], abs=225)


def test_what_is_no_break_is_not_found():
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((6000, 40))
        storm = np.where(np.arange(6000) < 3000, 0.4, 2.0)  # the variance changes, the relation does not
        steady = storm * (0.2 * x[:, 0] + rng.standard_normal(6000))
        false += len(breaks(x, steady, np.ones(6000), 60)) > 0
        overlapping = np.convolve(rng.standard_normal(6011), np.ones(12), "valid")
        slow = np.lib.stride_tricks.sliding_window_view(rng.standard_normal((6039, 40)), 40, axis=0).mean(axis=2)
        false += len(breaks(slow / slow.std(), overlapping, np.ones(6000), 60)) > 0
    assert false <= 3


def test_the_model_follows_the_new_sign():
    x, signal, y = flipped(5000, 2000)
    fitted = CHANGE.fit(x[:4000], y[:4000], seed=0)
    assert fitted.info["breaks"] == 1
    assert abs(fitted.info["rows_since"] - 2000) <= 100
    assert fitted.info["share_since"] == 1
    assert correlation(fitted.predict(x[4000:]), signal[4000:]) > 0.9
    event = CHANGE.fit(x[:4000], (y[:4000] > 0.5).astype(float), seed=0, classify=True)
    assert correlation(event.predict(x[4000:]), signal[4000:]) > 0.9


def test_without_a_break_every_row_is_used():
    x, signal, y = flipped(4000, 0)
    fitted = CHANGE.fit(x, y, seed=0)
    assert (fitted.info["breaks"], fitted.info["rows_since"]) == (0, 4000)
    assert correlation(fitted.predict(x), signal) > 0.9
    standard = (x - x.mean(0)) / x.std(0)
    plain = standard @ np.linalg.solve(standard.T @ standard + 1000 * np.eye(12), standard.T @ (y - y.mean()))
    assert correlation(fitted.predict(x), plain) > 0.9995


def test_later_rows_do_not_place_the_breaks_that_predict_them(monkeypatch):
    seen = []

    def watched(z, y, weight, gap):
        seen.append((len(z), gap))
        return breaks(z, y, weight, gap)

    monkeypatch.setattr(change_point, "breaks", watched)
    x, _, y = flipped(4000, 2000)
    CHANGE.fit(x, y, seed=0, gap=100)
    assert seen == [(3100, 100), (4000, 100)]  # tuned on rows 3200 to 4000 with what 3100 rows know


def test_segments_are_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        signal = rng.standard_normal((13, 2)) + np.repeat(rng.normal(0, 2, (3, 2)), [4, 4, 5], axis=0)
        penalty = float(rng.uniform(1, 12))

        def cost(cuts, signal=signal, penalty=penalty):
            parts = np.split(signal, cuts)
            if min(len(p) for p in parts) < SHORTEST:
                return np.inf
            return sum(((p - p.mean(axis=0)) ** 2).sum() for p in parts) + penalty * len(cuts)

        every = [c for k in range(3) for c in itertools.combinations(range(1, 13), k)]
        assert segment(signal, penalty) == list(min(every, key=cost))


# --------------------------------------------------------------------------------------------------- GMMRegime


def regimes(rows, seed, ic=0.4):
    """Features of which six tell three regimes apart, in each of which the last one means something else."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, rows)
    place = np.array([[4.0, 0.0], [0.0, 4.0], [-3.0, -3.0]])[which] + rng.standard_normal((rows, 2))
    seen = np.repeat(place, 3, axis=1) + 0.5 * rng.standard_normal((rows, 6))
    x = np.column_stack([seen, rng.standard_normal((rows, 2))])
    signal = np.array([1.0, -1.0, 0.2])[which] * x[:, 7]
    return x, which, signal, ic * signal + rng.standard_normal(rows)


def test_a_feature_may_mean_something_else_in_each_regime():
    x, _, signal, y = regimes(6000, 0)
    fitted = GMM.fit(x[:4000], y[:4000], seed=0)
    assert correlation(fitted.predict(x[4000:]), signal[4000:]) > 0.9
    assert (
        abs(correlation(FAMILIES["FTRLProximal"].fit(x[:4000], y[:4000], seed=0).predict(x[4000:]), signal[4000:]))
        < 0.5
    )
    event = GMM.fit(x[:4000], (y[:4000] > 0.7).astype(float), seed=0, classify=True)
    assert correlation(event.predict(x[4000:]), signal[4000:]) > 0.9


def test_responsibilities_are_those_of_the_gaussians():
    x, which, _, _ = regimes(3000, 1)
    z = (x - x.mean(0)) / x.std(0)
    found = Regimes.fit(z, 0)
    share = found.weights(z)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    table = np.array([[np.mean(share.argmax(1)[which == k] == j) for j in range(3)] for k in range(3)])
    assert (table.max(axis=1) > 0.9).all()
    assert sorted(table.argmax(axis=1)) == [0, 1, 2]

    u = np.clip(z @ found.rotate, -6, 6)
    np.testing.assert_allclose(u.var(axis=0), 1, atol=0.01)
    parts = np.split(found.whiten, 3, axis=1)
    log = []
    for k, root in enumerate(parts):
        precision = root @ root.T
        mean = np.linalg.solve(root.T, np.split(found.shift, 3)[k])
        weight = np.exp(found.offset[k] - 0.5 * np.linalg.slogdet(precision)[1])
        log.append(np.log(weight) + multivariate_normal(mean, np.linalg.inv(precision)).logpdf(u))
    density = np.exp(np.array(log).T)
    np.testing.assert_allclose(density / density.sum(axis=1, keepdims=True), share, atol=1e-9)
    assert sum(np.exp(found.offset[k] - 0.5 * np.linalg.slogdet(p @ p.T)[1]) for k, p in enumerate(parts)) == (
        pytest.approx(1)
    )


def test_fewer_features_than_components_and_far_away_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 2))
    fitted = GMM.fit(x, x[:, 0] * np.sign(x[:, 1]) + 0.5 * x[:, 1] + rng.standard_normal(1500), seed=0)
    assert x.shape[1] < COMPONENTS
    far = rng.standard_normal((500, 2)) * 1e6
    np.testing.assert_allclose(load_fitted("GMMRegime", fitted.files()).predict(far), fitted.predict(far), atol=1e-5)


def test_features_that_never_vary_give_a_constant():
    fitted = GMM.fit(np.ones((500, 3)), np.random.default_rng(0).standard_normal(500), seed=0)
    assert fitted.info["reason"] == "no feature varies"


# ------------------------------------------------------------------------------------------------ linear models


@pytest.mark.parametrize("task", ["regress", "classify"])
def test_linear_minimises_what_it_says(task):
    rng = np.random.default_rng(0)
    z, weight, prior = rng.standard_normal((300, 3)), rng.random(300), np.array([0.3, -0.2, 0.0])
    y = z @ [1.0, -0.5, 0.2] + rng.standard_normal(300)
    y = (y > 0).astype(float) if task == "classify" else y

    def objective(b):
        score = 0.4 + z @ b if task == "classify" else z @ b
        if task == "regress":
            return weight @ (y - score) ** 2 + 40 * np.sum((b - prior) ** 2)
        return weight @ (np.logaddexp(0, score) - y * score) + 5 * np.sum((b - prior) ** 2)

    expected = minimize(objective, np.zeros(3), tol=1e-12).x
    base = 0.4 if task == "classify" else 0.0
    np.testing.assert_allclose(linear(z, y, weight, 40.0, task, base, prior), expected, atol=1e-5)


def test_a_score_that_swings_too_far_is_scaled_down():
    rng = np.random.default_rng(1)
    raw = rng.standard_normal(20_000)
    event = (rng.random(20_000) < 1 / (1 + np.exp(1 - 0.3 * raw))).astype(float)
    sample = make_sample(CHANGE, np.ones((20_000, 1)), event, classify=True)
    assert scale_of(raw, sample, -1.0) == pytest.approx(0.3, abs=0.05)
    assert scale_of(-raw, sample, -1.0) == 0
    returns = make_sample(CHANGE, np.ones((20_000, 1)), 0.1 * raw + rng.standard_normal(20_000))
    assert scale_of(raw, returns, 0.0) == pytest.approx(0.1, abs=0.02)
