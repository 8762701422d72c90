import numpy as np
import pytest
import xgboost

from workbench.models import boosting
from workbench.models.base import Budget
from workbench.models.families.ngboost import natural_gradient
from workbench.models.families.quantile_lightgbm import Curves, QuantileLightGBM, _boost, _weights, pinball
from workbench.models.families.xgboost import read_trees
from workbench.models.learner import Effort
from workbench.models.prepare import make_sample, medians
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted

XGB, QUANTILE, NGB = (FAMILIES[name] for name in ("XGBoost", "QuantileLightGBM", "NGBoost"))
BUDGET = Budget(rounds=60)
HOW = Effort(1, 1, BUDGET, None, "cpu")


def walk(tree, rows):
    """(R,) leaf values, node by node."""
    out = []
    for row in rows:
        node = 0
        while tree.left[node] >= 0:
            side = tree.left if row[tree.feature[node]] <= tree.threshold[node] else tree.right
            node = side[node]
        out.append(tree.value[node])
    return np.array(out)


def weak(rows, seed, ic=0.3, features=6):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features))
    signal = (x[:, 0] + np.sign(x[:, 1])) / np.sqrt(2)
    return x, signal, ic * signal + np.sqrt(1 - ic**2) * rng.standard_normal(rows)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


# ---------------------------------------------------------------------------------------------------- XGBoost


@pytest.mark.parametrize("tasks", [1, 3])
def test_trees_read_from_xgboost_agree_with_it_on_their_own_thresholds(tasks):
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (500, 3)).astype(np.float32) * np.float32(0.1)
    y = x[:, [0]] - 2 * x[:, [1]] * (x[:, [2]] > 0) + np.arange(tasks)
    settings = {"max_leaves": 6, "grow_policy": "lossguide", "max_depth": 0, "base_score": 0.3, "eta": 0.7}
    many = {"multi_strategy": "multi_output_tree"} if tasks > 1 else {}
    booster = xgboost.train({**settings, **many}, xgboost.DMatrix(x, y), 5)
    expected = booster.predict(xgboost.DMatrix(x)).reshape(500, tasks)
    assert expected.std(axis=0).min() > 0.1
    thresholds = []
    for task in range(tasks):
        trees, base = read_trees(booster, task)
        assert base == pytest.approx(0.3)
        np.testing.assert_allclose(base + sum(walk(tree, x) for tree in trees), expected[:, task], atol=1e-6)
        thresholds += [float(t) for tree in trees for t in tree.threshold[tree.left >= 0]]
    edge = np.repeat(np.nextafter(np.float32(thresholds[:60]), np.float32(np.inf)), 3).reshape(-1, 3)
    for rows in (edge, np.nextafter(edge, np.float32(-np.inf))):  # on XGBoost's thresholds, and a hair below
        native = booster.predict(xgboost.DMatrix(rows)).reshape(len(rows), tasks)
        trees, base = read_trees(booster, tasks - 1)
        np.testing.assert_allclose(base + sum(walk(t, rows) for t in trees), native[:, tasks - 1], atol=1e-6)


def test_a_rare_label_learns_from_a_common_one():
    gained = []
    for seed in range(3):
        x, signal, y = weak(8000, seed, ic=0.2, features=12)
        rng = np.random.default_rng(seed + 100)
        rare = np.where(rng.random(8000) < 0.2, 0.2 * signal + rng.standard_normal(8000), np.nan)
        train, test = slice(0, 6000), slice(6000, None)
        together = XGB.fit_tasks(x[train], np.column_stack([y, rare])[train], seed=seed, budget=BUDGET)[1]
        alone = XGB.fit(x[train], rare[train], seed=seed, budget=BUDGET)
        out = [model.predict(x[test]) for model in (together, alone)]
        gained.append(correlation(out[0], signal[test]) - correlation(out[1], signal[test]))
        np.testing.assert_allclose(load_fitted("XGBoost", together.files()).predict(x[test]), out[0], atol=1e-5)
    assert min(gained) > 0
    assert np.mean(gained) > 0.1


def test_a_missing_label_has_no_say():
    x, _, y = weak(2000, 1)
    gone = np.arange(2000) % 3 == 0
    second = np.where(gone, np.nan, -y)
    wild = np.where(gone, 1e6, -y)
    weight = np.column_stack([np.ones(2000), ~gone])
    one = XGB.fit_tasks(x, np.column_stack([y, second]), seed=0, budget=BUDGET)
    two = XGB.fit_tasks(x, np.column_stack([y, wild]), weight, seed=0, budget=BUDGET)
    assert [m.files() for m in one] == [m.files() for m in two]
    assert correlation(one[0].predict(x), one[1].predict(x)) < -0.9


def test_a_label_without_skill_on_later_rows_is_a_constant_of_its_own():
    x, _, y = weak(2000, 2)
    fickle = np.where(np.arange(2000) < 1580, y, -y)  # turns before the later rows
    never = np.where(np.arange(2000) < 1580, y, np.nan)  # is not known there
    fitted = XGB.fit_tasks(x, np.column_stack([y, fickle, never]), seed=0, budget=BUDGET)
    assert ["constant" in model.info for model in fitted] == [False, True, True]


# ------------------------------------------------------------------------------------------- QuantileLightGBM


def test_exported_quantiles_cover_what_they_say():
    """Leaves must hold the renewed values: gradients alone would leave the outer quantiles near the median."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8000, 4))
    y = 0.3 * x[:, 0] + np.where(x[:, 1] > 0, 2.0, 0.5) * rng.standard_normal(8000)
    sample = make_sample(QUANTILE, x, y)
    early, late = sample.split(None)
    fresh = slice(6500, 7000)
    for level in (0.1, 0.9):
        booster = _boost(early, late, medians(early.x), level, Effort(1, 1, Budget(rounds=150), None, "cpu"))
        trees = boosting.trees_of(booster, 1.0)
        quantile = sum(walk(tree, sample.x[fresh]) for tree in trees)
        wide = sample.x[fresh, 1] > 0
        for rows in (wide, ~wide):
            assert np.mean(sample.y[fresh][rows] < quantile[rows]) == pytest.approx(level, abs=0.05)


def test_a_spread_is_no_forecast():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6000, 4))
    spread = np.exp(0.7 * x[:, 1])
    fitted = QUANTILE.fit(x, spread * rng.standard_normal(6000), seed=0, budget=BUDGET)
    fresh = np.column_stack([np.zeros(200), np.linspace(-2, 2, 200), np.zeros((200, 2))])
    assert np.ptp(fitted.predict(fresh)) < 0.2  # while the distance of the outer quantiles goes from .6 to 10


def test_a_skew_that_all_rows_share_is_no_forecast():
    rng = np.random.default_rng(2)
    x, signal, _ = weak(4000, 3)
    y = 0.3 * signal + rng.exponential(1.0, 4000)  # median and midpoint are far from the mean
    out = QUANTILE.fit(x, y, seed=0, budget=BUDGET).predict(x)
    assert abs(out.mean()) < 0.03
    assert correlation(out, signal) > 0.8


def test_weights_of_the_terms_are_never_negative():
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((4000, 2))
    late = make_sample(QUANTILE, np.ones((4000, 1)), 0.6 * terms[:, 0] - 0.3 * terms[:, 1])
    assert _weights(terms, late) == pytest.approx([0.6 / 1.5, 0.0], abs=0.02)  # shrunk by the penalty of a half
    assert _weights(-terms * [1, 0], late) == pytest.approx([0, 0])


def test_pinball_loss_is_least_at_the_quantile():
    y = np.random.default_rng(0).uniform(-1, 1, 3001)
    sample = make_sample(QUANTILE, np.ones((3001, 1)), y)
    grid = np.linspace(-1, 1, 201)
    losses = [pinball(np.full(3001, q), sample, 0.9) for q in grid]
    assert grid[np.argmin(losses)] == pytest.approx(np.quantile(sample.y, 0.9), abs=0.011)
    assert pinball(np.full(3001, 1e3), sample, 0.9) == pytest.approx(0.1 * 1e3)  # too high costs a tenth


def test_a_quantile_that_learned_nothing_adds_nothing():
    assert isinstance(QUANTILE, QuantileLightGBM)
    assert (
        Curves(np.zeros(2, np.float32), (None, None, None), 1).predict(np.ones((3, 2), np.float32)).tolist()
        == [[0.0, 0.0]] * 3
    )


# ----------------------------------------------------------------------------------------------------- NGBoost


def log_score(y, mu, s, sigma):
    return s + np.log(sigma) + (y - mu) ** 2 / (2 * (sigma * np.exp(s)) ** 2)


def test_the_natural_gradient_is_the_gradient_over_the_information():
    rng = np.random.default_rng(0)
    x, _, y = weak(400, 0)
    sample = make_sample(NGB, x, 2 * y, rng.random(400) + 0.5)
    sigma, step = 1.7, 1e-5
    mu, s = rng.normal(0, 0.3, 400), rng.uniform(-1, 1, 400)  # within a third and three times sigma_0
    given, importance = natural_gradient(np.column_stack([mu, s]), sample, sigma)

    def slopes(y, mu, s):
        up_mu, up_s = (mu + step, s), (mu, s + step)
        down_mu, down_s = (mu - step, s), (mu, s - step)
        return [(log_score(y, *u, sigma) - log_score(y, *d, sigma)) / (2 * step)
                for u, d in ((up_mu, down_mu), (up_s, down_s))]  # fmt: skip

    nodes, shares = np.polynomial.hermite_e.hermegauss(20)  # information: the mean square of the score under the model
    shares = shares / shares.sum()
    drawn = mu[:, None] + sigma * np.exp(s)[:, None] * nodes
    for j, slope in enumerate(slopes(drawn, mu[:, None], s[:, None])):
        information = (slope**2) @ shares
        natural = slopes(sample.y, mu, s)[j] / information
        np.testing.assert_allclose(given[:, j] / importance[:, j], natural, atol=1e-5)
        np.testing.assert_allclose(importance[:, j], sample.weight * information * (sigma**2, 0.5)[j], rtol=1e-5)


def test_sigma_is_learned():
    x, _, y = weak(4000, 5, ic=0.4)
    info = NGB.fit(x, 3 * y, seed=0, budget=BUDGET).info
    assert info["sigma"] == pytest.approx(3 * np.sqrt(1 - 0.4**2), rel=0.06)


def test_rows_known_to_be_noisy_say_less():
    found = []
    for seed in range(4):
        x, signal, _ = weak(8000, seed, features=10)
        loud = np.where(x[:, 5] > 0.7, 4.0, 0.7)
        y = 0.15 * signal + loud * np.random.default_rng(seed + 100).standard_normal(8000)
        train, test = slice(0, 5000), slice(5000, None)
        out = [f.fit(x[train], y[train], seed=seed, budget=Budget(rounds=120)).predict(x[test]) for f in (NGB, XGB)]
        found.append([correlation(prediction, signal[test]) for prediction in out])
    normal, squares = np.transpose(found)
    assert normal.min() > 0.65
    assert np.mean(normal - squares) > 0.1
