"""One conformance suite for every family: what base.py promises."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest

from workbench.core.errors import ConfigError, DataError, InsufficientDataError
from workbench.models.base import Family, Fitted
from workbench.models.fitted import ONNX_FILE
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted
from workbench.models.windows import WindowView

REGRESSORS = list(FAMILIES.values())
CLASSIFIERS = [family for family in REGRESSORS if family.classifies]
ROWS = 2400

every = pytest.mark.parametrize("family", REGRESSORS, ids=lambda f: f.name)
every_classifier = pytest.mark.parametrize("family", CLASSIFIERS, ids=lambda f: f.name)


def fit(family: Family, x, y, weight=None, drift=0.0, **how):
    """`family` fitted to y + drift, with everything that it may want to learn from beside the label."""
    y = np.asarray(y, float)
    auxiliary = {
        "peak": np.where(np.isfinite(y), y < -1, np.nan),
        "valley": np.where(np.isfinite(y), y > 1, np.nan),
        "highest": np.maximum(y, 0) + 0.3,
        "lowest": np.minimum(y, 0) - 0.3,
        "cost": np.full(len(y), 0.02),
    }
    return family.fit(x, y + drift, weight, auxiliary=auxiliary, **how)


def rows_of(x, index):
    return x.take(index) if isinstance(x, WindowView) else x[index]


def nan_like(x, index):
    """The same inputs with the features of row `index` unknown."""
    if isinstance(x, WindowView):
        values = x.values.copy()
        values[x.rows[index], x.columns[index]] = np.nan
        return replace(x, values=values)
    x = x.copy()
    x[index] = np.nan
    return x


@every
def test_learns_a_planted_signal_and_exports_it_exactly(family: Family, problem, quick):
    data = problem(family, ROWS + 1200)
    train, test = data.rows(slice(0, ROWS)), data.rows(slice(ROWS + 30, None))
    fitted = fit(family, train.x, train.y, seed=3, budget=quick)
    assert isinstance(fitted, Fitted)
    assert "constant" not in fitted.info

    prediction = fitted.predict(test.x)
    known = np.isfinite(prediction)
    assert np.corrcoef(prediction[known], test.signal[known])[0, 1] > 0.6
    assert prediction[known].std() < 1.0  # sigma-scaled, and never wilder than the label

    files = fitted.files()
    assert all(type(content) is bytes for content in files.values())
    exported = load_fitted(family.name, files).predict(test.x)
    np.testing.assert_array_equal(np.isnan(exported), ~known)
    np.testing.assert_allclose(exported[known], prediction[known], atol=1e-5)


@every
def test_extreme_and_unknown_features_agree_too(family: Family, problem, quick):
    data = problem(family, ROWS)
    fitted = fit(family, data.x, data.y, seed=3, budget=quick)
    model = load_fitted(family.name, fitted.files())
    x = data.x
    values = (x.values if family.sequential else x).copy()
    rng = np.random.default_rng(1)
    for bad in (np.nan, np.inf, -np.inf, 1e300, -1e30, 0.0):
        values[rng.random(values.shape) < 0.1] = bad
    x = replace(x, values=values) if family.sequential else values
    native, exported = fitted.predict(x), model.predict(x)
    np.testing.assert_allclose(exported, native, atol=1e-5)
    assert np.isfinite(native).mean() > 0.9


@every
def test_a_row_without_features_abstains(family: Family, problem, quick):
    data = problem(family, ROWS)
    fitted = fit(family, data.x, data.y, seed=3, budget=quick)
    x = nan_like(data.x, 1000)
    for model in (fitted, load_fitted(family.name, fitted.files())):
        out = model.predict(x)
        assert np.isnan(out[1000])
        assert np.isfinite(out[[0, 999, 1001]]).all()


@every
def test_same_seed_same_bytes(family: Family, problem, quick):
    data = problem(family, ROWS)
    one, two = (fit(family, data.x, data.y, seed=11, budget=quick).files() for _ in range(2))
    assert one == two


@every
def test_a_constant_label_is_no_forecast(family: Family, problem, quick):
    data = problem(family, 600)
    fitted = fit(family, data.x, np.full(600, 0.7), seed=0, budget=quick)
    assert fitted.info["constant"] == 1
    for model in (fitted, load_fitted(family.name, fitted.files())):
        out = model.predict(data.x)
        assert set(out[np.isfinite(out)]) == {0.0}


@every
def test_a_common_drift_is_no_forecast(family: Family, problem, quick):
    data = problem(family, ROWS)
    plain = fit(family, data.x, data.y, seed=0, budget=quick).predict(data.x)
    lifted = fit(family, data.x, data.y, drift=5.0, seed=0, budget=quick).predict(data.x)
    np.testing.assert_allclose(lifted, plain, atol=1e-3)


@every
def test_pure_noise_is_shrunk_or_given_up(family: Family, problem, quick):
    data = problem(family, ROWS, ic=0.0, seed=5)
    out = fit(family, data.x, data.y, seed=0, budget=quick).predict(data.x)
    assert np.nanstd(out) < 0.3


@every
def test_too_few_rows_are_named(family: Family, problem, quick):
    data = problem(family, 60)
    with pytest.raises(InsufficientDataError, match=f"{family.name} needs at least {family.min_rows} rows.*got"):
        fit(family, data.x, data.y, seed=0, budget=quick)
    data = problem(family, 900)
    label = np.where(np.arange(900) < 880, np.nan, data.y)
    with pytest.raises(InsufficientDataError, match=r"got \d+ of 900"):
        fit(family, data.x, label, seed=0, budget=quick)


@every
def test_a_gap_that_leaves_nothing_is_named(family: Family, problem, quick):
    data = problem(family, 600)
    with pytest.raises(InsufficientDataError, match=r"before a gap of 590 rows.*give more history"):
        fit(family, data.x, data.y, seed=0, budget=quick, gap=590)


@every
def test_rows_without_label_or_weight_do_not_count(family: Family, problem, quick):
    data = problem(family, ROWS)
    label, weight = data.y.copy(), np.ones(ROWS)
    label[::7] = np.nan
    weight[::5] = 0
    label[::5] = 1e6  # would wreck everything
    keep = np.isfinite(label) & (weight > 0)
    masked = fit(family, data.x, label, weight, seed=2, budget=quick)
    cut = data.x.take(keep) if family.sequential else data.x[keep]
    assert masked.files() == fit(family, cut, label[keep], weight[keep], seed=2, budget=quick).files()


@every
def test_bad_arguments_are_named(family: Family, problem, quick):
    data = problem(family, 600)
    with pytest.raises(ValueError, match=rf"{family.name}: y has shape \(599,\)"):
        fit(family, data.x, data.y[1:], seed=0, budget=quick)
    with pytest.raises(ValueError, match=r"weights must be finite and >= 0; row 4 is -1\.0"):
        fit(family, data.x, data.y, np.where(np.arange(600) == 4, -1.0, 1.0), seed=0, budget=quick)
    with pytest.raises(ValueError, match=r"takes a WindowView|takes a \(R, F\) array"):
        fit(family, np.zeros((600, 3)) if family.sequential else problem(FAMILIES["LSTM"], 600).x, data.y, seed=0)
    fitted = fit(family, data.x, data.y, seed=0, budget=quick)
    other = problem(family, 50, features=2 if family.sequential else 4)
    with pytest.raises((ValueError, DataError), match=r"shape|fitted on"):
        fitted.predict(other.x)


@every
def test_no_rows_no_predictions(family: Family, problem, quick):
    data = problem(family, ROWS)
    fitted = fit(family, data.x, data.y, seed=0, budget=quick)
    none = data.rows(slice(0, 0)).x
    assert fitted.predict(none).shape == (0,)
    assert load_fitted(family.name, fitted.files()).predict(none).shape == (0,)


@every_classifier
def test_classifies_a_planted_event(family: Family, problem, quick):
    data = problem(family, ROWS + 1200)
    event = (data.y > 0.8).astype(float)
    train, test = slice(0, ROWS), slice(ROWS + 30, None)
    fitted = fit(family, rows_of(data.x, train), event[train], seed=3, classify=True, budget=quick)
    out = fitted.predict(rows_of(data.x, test))
    known = np.isfinite(out)
    base = event[train].mean()
    brier = np.mean((out[known] - event[test][known]) ** 2)
    assert brier < np.mean((base - event[test][known]) ** 2)
    assert (out[known] > 0).all()
    assert (out[known] < 1).all()
    assert abs(out[known].mean() - base) < 0.06
    exported = load_fitted(family.name, fitted.files())
    assert exported.task == "classify"
    np.testing.assert_allclose(exported.predict(rows_of(data.x, test)), out, atol=1e-5)


@every_classifier
def test_an_event_that_never_happens_has_its_base_rate(family: Family, problem, quick):
    data = problem(family, 600)
    fitted = fit(family, data.x, np.zeros(600), seed=0, classify=True, budget=quick)
    assert np.nanmax(fitted.predict(data.x)) == 0.0
    with pytest.raises(ValueError, match="a classifier's label is 0 or 1"):
        fit(family, data.x, data.y, seed=0, classify=True, budget=quick)


def test_a_family_that_cannot_classify_says_so(problem):
    data = problem(FAMILIES["Ensemble"], 600)
    with pytest.raises(ConfigError, match="Ensemble has no classifier"):
        fit(FAMILIES["Ensemble"], data.x, np.zeros(600), seed=0, classify=True)


def test_one_symbol_is_enough(problem, quick):
    data = problem(FAMILIES["LSTM"], 900, symbols=1)
    out = FAMILIES["LSTM"].fit(data.x, data.y, seed=0, budget=quick).predict(data.x)
    assert np.isfinite(out).sum() > 890


def test_seeds_differ(problem, quick):
    data = problem(FAMILIES["LightGBM"], ROWS)
    one, two = (FAMILIES["LightGBM"].fit(data.x, data.y, seed=s, budget=quick).files() for s in (1, 2))
    assert one != two


def test_onnx_files_are_valid_and_self_contained(problem, quick):
    for family in REGRESSORS:
        data = problem(family, ROWS)
        files = fit(family, data.x, data.y, seed=3, budget=quick).files()
        if ONNX_FILE not in files:
            continue
        model = onnx.load_from_string(files[ONNX_FILE])
        onnx.checker.check_model(model, full_check=True)
        assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
        assert [o.name for o in model.graph.output] == ["prediction"]


RUN = """
import sys
from pathlib import Path
import numpy as np
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted
import workbench.models.predictor, workbench.models.recorded
for folder in sorted(Path(sys.argv[1]).iterdir()):
    model = load_fitted(folder.name, {p.name: p.read_bytes() for p in folder.iterdir()})
    shape = (3, model.length, model.n_features + 1) if model.length else (3, model.n_features)
    assert np.isfinite(model.predict(np.ones(shape))).all(), folder.name
print(sorted({"torch", "sklearn", "onnx", "joblib"} & set(sys.modules)))
"""


def test_nothing_live_imports_torch(problem, quick, tmp_path):
    for family in REGRESSORS:
        data = problem(family, ROWS)
        folder = tmp_path / family.name
        folder.mkdir()
        for name, content in fit(family, data.x, data.y, seed=3, budget=quick).files().items():
            (folder / name).write_bytes(content)
    out = subprocess.run([sys.executable, "-c", RUN, tmp_path], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert "torch" not in out.stdout
    assert "onnx'" not in out.stdout
