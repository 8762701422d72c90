"""Several labels at once, context behind the features, and what a family learns from beside the label: every family."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from workbench.core.errors import ConfigError, DataError
from workbench.models.base import Budget, Family, Fitted
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted
from workbench.models.windows import WindowView

EVERY = list(FAMILIES.values())
SHARING = [family for family in EVERY if family.shares]
ALONE = [family for family in EVERY if not family.shares]
NEEDY = [family for family in EVERY if family.needs]
BUDGET = Budget(rounds=60, trees=10, epochs=4, sequence_epochs=4, passes=3)
TRAIN, TEST, LENGTH, SYMBOLS, FEATURES = 2400, 900, 6, 3, 4
ROWS = TRAIN + TEST
LEARN, JUDGE = slice(0, TRAIN), slice(TRAIN + 30, None)


def of(families: list[Family]) -> Any:
    return pytest.mark.parametrize("family", families, ids=lambda f: f.name)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def inputs(family: Family, values: np.ndarray, context: np.ndarray | None = None) -> Any:
    """Row i is bar i // SYMBOLS of symbol i % SYMBOLS of `values` (R, F): a table, or windows that end there."""
    if not family.sequential:
        return values if context is None else np.hstack([values, context])
    bar, column = np.divmod(np.arange(len(values)), SYMBOLS)
    panel = values.reshape(-1, SYMBOLS, values.shape[1])
    return WindowView(panel, np.arange(len(panel)) % 13, bar, column, LENGTH, context)


def rows(x: Any, index: Any) -> Any:
    return x.take(index) if isinstance(x, WindowView) else x[index]


def auxiliary(y: np.ndarray) -> dict[str, np.ndarray]:
    """Everything that a family may learn from beside labels of any shape."""
    return {
        "peak": np.where(np.isfinite(y), y < -1, np.nan),
        "valley": np.where(np.isfinite(y), y > 1, np.nan),
        "highest": np.maximum(y, 0) + 0.3,
        "lowest": np.minimum(y, 0) - 0.3,
        "cost": np.full(y.shape, 0.02),
    }


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """About zero; 0 for what does not vary."""
    scale = np.sqrt(np.mean(a**2) * np.mean(b**2))
    return float(np.mean(a * b) / scale) if scale > 0 else 0.0


class Tasks(NamedTuple):
    """Four labels of the same rows: from feature 0; from feature 1 with 60 % missing; pure noise; none at all."""

    x: Any
    labels: np.ndarray
    signals: np.ndarray
    fitted: tuple[Fitted, ...]


@cache
def tasks_of(name: str) -> Tasks:
    """The family `name` fitted on them, once for all tests."""
    values = noise(1, ROWS, FEATURES)
    signals = values[:, :2]
    labels = np.hstack([0.5 * signals, np.zeros((ROWS, 2))]) + 0.85 * noise(2, ROWS, 4)
    labels[np.random.default_rng(3).random(ROWS) < 0.6, 1] = np.nan
    labels[:, 3] = np.nan
    x, y = inputs(FAMILIES[name], values), labels[LEARN]
    fitted = FAMILIES[name].fit_tasks(rows(x, LEARN), y, seed=3, budget=BUDGET, auxiliary=auxiliary(y))
    return Tasks(x, labels, signals, fitted)


@of(SHARING)
def test_each_task_learns_its_own_signal(family: Family):
    tasks = tasks_of(family.name)
    assert len(tasks.fitted) == 4
    for k in range(2):
        out = tasks.fitted[k].predict(rows(tasks.x, JUDGE))
        own, other = (correlation(out, tasks.signals[JUDGE, j]) for j in (k, 1 - k))
        assert own > 0.6
        assert own > abs(other) + 0.3
        assert 0.05 < out.std() < 1.0  # in sigmas: half a sigma was planted


@of(SHARING)
def test_a_task_of_noise_is_small_or_constant(family: Family):
    tasks = tasks_of(family.name)
    out = tasks.fitted[2].predict(rows(tasks.x, JUDGE))
    assert out.std() < 0.15
    if "constant" in tasks.fitted[2].info:
        assert set(out) == {0.0}


@of(SHARING)
def test_every_task_exports_exactly(family: Family):
    tasks = tasks_of(family.name)
    for fitted in tasks.fitted:
        model = load_fitted(fitted.family, fitted.files())
        assert (model.task, model.n_features, model.context) == ("regress", FEATURES, ())
        x = rows(tasks.x, JUDGE)
        np.testing.assert_allclose(model.predict(x), fitted.predict(x), atol=1e-5)


@of(SHARING)
def test_a_missing_label_and_one_without_weight_are_the_same_to_the_byte(family: Family):
    tasks = tasks_of(family.name)
    y = tasks.labels[LEARN]
    told = np.where(np.isnan(y), 1e6, y)
    again = family.fit_tasks(
        rows(tasks.x, LEARN), told, np.isfinite(y) * 1.0, seed=3, budget=BUDGET, auxiliary=auxiliary(y)
    )
    for one, two in zip(tasks.fitted, again, strict=True):
        assert one.files() == two.files()


@of(SHARING)
def test_tasks_whose_labels_never_vary_are_constant(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES)), np.full((600, 2), [0.3, -2.0])
    for fitted in family.fit_tasks(x, y, seed=0, budget=BUDGET, auxiliary=auxiliary(y)):
        assert fitted.info["constant"] == 1
        assert set(fitted.predict(x)) == {0.0}


@of(SHARING)
def test_a_task_without_any_label_is_constant(family: Family):
    without = tasks_of(family.name).fitted[3]
    assert without.info["constant"] == 1
    assert set(without.predict(rows(tasks_of(family.name).x, JUDGE))) == {0.0}


@of(ALONE)
def test_a_family_that_does_not_share_says_so(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES)), noise(2, 600, 2)
    with pytest.raises(ConfigError, match=f"{family.name} does not learn several labels at once"):
        family.fit_tasks(x, y, seed=0, budget=BUDGET, auxiliary=auxiliary(y))


@of(SHARING)
def test_labels_and_weights_of_tasks_have_their_shape_checked(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES)), noise(2, 600, 2)
    with pytest.raises(ValueError, match=rf"{family.name}: y has shape \(600,\)"):
        family.fit_tasks(x, y[:, 0], seed=0, auxiliary=auxiliary(y[:, 0]))
    with pytest.raises(ValueError, match=rf"{family.name}: y has shape \(599, 2\)"):
        family.fit_tasks(x, y[1:], seed=0, auxiliary=auxiliary(y[1:]))
    with pytest.raises(ValueError, match=rf"{family.name}: weight has shape \(600,\)"):
        family.fit_tasks(x, y, np.ones(600), seed=0, auxiliary=auxiliary(y))
    weight = np.ones((600, 2))
    weight[7, 1] = -0.5
    with pytest.raises(ValueError, match=r"weights must be finite and >= 0; row 7"):
        family.fit_tasks(x, y, weight, seed=0, auxiliary=auxiliary(y))


@of(EVERY)
def test_one_label_is_a_vector(family: Family):
    y = noise(2, 600, 2)
    with pytest.raises(ValueError, match=rf"{family.name}: y has shape \(600, 2\)"):
        family.fit(inputs(family, noise(1, 600, FEATURES)), y, seed=0, auxiliary=auxiliary(y))


class Told(NamedTuple):
    """Noise for features, and a label that depends on p_peak - p_valley alone."""

    values: np.ndarray
    context: np.ndarray
    names: tuple[str, ...]
    signal: np.ndarray
    label: np.ndarray
    fitted: Fitted


@cache
def told_to(name: str) -> Told:
    """The family `name` fitted on it, once for all tests."""
    family = FAMILIES[name]
    values = noise(4, ROWS, FEATURES)
    odds = np.random.default_rng(5).uniform(0.1, 0.5, (ROWS, 2))
    signal = odds[:, 1] - odds[:, 0]
    signal /= signal.std()
    label = 0.5 * signal + 0.85 * noise(6, ROWS)
    names = ("p_peak", "p_valley", "symbol") if family.per_symbol else ("p_peak", "p_valley")
    context = np.column_stack([odds, np.arange(ROWS) % SYMBOLS])[:, : len(names)]
    x, y = rows(inputs(family, values, context), LEARN), label[LEARN]
    fitted = family.fit(x, y, seed=3, budget=BUDGET, context=names, auxiliary=auxiliary(y))
    return Told(values, context, names, signal, label, fitted)


@of(EVERY)
def test_context_is_learned(family: Family):
    told = told_to(family.name)
    x = rows(inputs(family, told.values, told.context), JUDGE)
    out = told.fitted.predict(x)
    assert correlation(out, told.signal[JUDGE]) > 0.6
    model = load_fitted(family.name, told.fitted.files())
    assert (model.n_features, model.context) == (FEATURES, told.names)
    np.testing.assert_allclose(model.predict(x), out, atol=1e-5)
    if isinstance(x, WindowView):  # live, a window comes as an array
        np.testing.assert_array_equal(model.predict(x.batch(0, 50)), model.predict(rows(x, slice(0, 50))))


@of(EVERY)
def test_unknown_context_abstains(family: Family):
    told = told_to(family.name)
    context, values = told.context.copy(), told.values.copy()
    context[-5, 0] = np.nan
    context[-9, 1] = np.inf
    values[-14] = np.nan  # the features unknown, the context known
    values[-20, 1:] = np.nan  # one feature known
    x = rows(inputs(family, values, context), slice(-60, None))
    expected = np.isin(np.arange(60), [60 - 5, 60 - 9, 60 - 14])
    for model in (told.fitted, load_fitted(family.name, told.fitted.files())):
        np.testing.assert_array_equal(np.isnan(model.predict(x)), expected)


@of(EVERY)
def test_inputs_without_the_context_are_refused(family: Family):
    told = told_to(family.name)
    bare = rows(inputs(family, told.values), slice(0, 50))
    for model in (told.fitted, load_fitted(family.name, told.fitted.files())):
        with pytest.raises((ValueError, DataError), match=r"shape|was fitted on"):
            model.predict(bare)


@of(EVERY)
def test_wrong_context_is_named(family: Family):
    values, y = noise(1, 600, FEATURES), noise(2, 600)
    x = inputs(family, values, np.full((600, 2), 0.3))
    with pytest.raises(ValueError, match=rf"{family.name}: context 'p_up' is unknown: choose from p_peak, p_valley"):
        family.fit(x, y, seed=0, context=("p_peak", "p_up"), auxiliary=auxiliary(y))
    few = inputs(family, values[:, :1], np.empty((600, 0)))
    with pytest.raises(ValueError, match=rf"{family.name}: context names 2 columns"):
        family.fit(few, y, seed=0, context=("p_peak", "p_valley"), auxiliary=auxiliary(y))


@of([family for family in EVERY if family.sequential])
def test_windows_and_names_of_context_must_agree(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES), np.full((600, 2), 0.3)), noise(2, 600)
    with pytest.raises(ValueError, match=rf"{family.name}: context names 1 columns, but X holds 2"):
        family.fit(x, y, seed=0, context=("p_peak",), auxiliary=auxiliary(y))


@of(NEEDY)
def test_what_else_is_learned_from_must_be_there(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES)), noise(2, 600)
    for name in family.needs:
        given = auxiliary(y)
        short = {**given, name: given[name][1:]}
        with pytest.raises(ValueError, match=rf"{family.name}: {name} has shape \(599,\)"):
            family.fit(x, y, seed=0, auxiliary=short)
        del given[name]
        with pytest.raises(ValueError, match=f"{family.name} also learns from '{name}'"):
            family.fit(x, y, seed=0, auxiliary=given)


@of([family for family in EVERY if not family.needs])
def test_what_is_not_needed_is_not_looked_at(family: Family):
    x, y = inputs(family, noise(1, 600, FEATURES)), noise(1, 600, FEATURES)[:, 0]
    wrong = {"peak": np.zeros(3), "nonsense": np.zeros((2, 2))}
    one = family.fit(x, y, seed=0, budget=Budget(20, 5, 1, 1, 1), auxiliary=wrong).files()
    assert one == family.fit(x, y, seed=0, budget=Budget(20, 5, 1, 1, 1)).files()
