"""Models that the user brings: into our form, proved, bound to the workbench's columns, and back from the zoo."""

from __future__ import annotations

import json
import pickle
import sys
import time
from dataclasses import replace

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workbench.config import Settings
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.features.catalogue import catalogue, daily_catalogue
from workbench.models.base import Family, Fitted
from workbench.models.brought import Brought
from workbench.models.brought_form import normalise
from workbench.models.runtime import load_fitted
from workbench.models.windows import WindowView
from workbench.research.bring import bring, moment
from workbench.research.brought_models import brought_models
from workbench.research.steps import Job, simulate

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
WEIGHTS = np.array([0.5, -1.0, 2.0], np.float32)
NAMES = ("ret_1", "gap", "rsi_12")
SCHEMA = ("vwap", "rsi_12", "ret_1", "body", "gap")  # what the workbench has: other order, more columns


def linear(kind=FLOAT, rows="n", width=3, name="x", column=False, opset=21, metadata=(), extra=()) -> bytes:
    """x @ WEIGHTS as somebody would export it; the names meet those that the workbench uses."""
    weights = WEIGHTS[:, None] if column else WEIGHTS
    w = numpy_helper.from_array(weights.astype(np.float64 if kind == DOUBLE else np.float32), "columns")
    out = helper.make_tensor_value_info("prediction", kind, ["n", 1] if column else ["n"])
    nodes = [helper.make_node("MatMul", [name, "columns"], ["prediction"]), *extra]
    graph = helper.make_graph(nodes, "own", [helper.make_tensor_value_info(name, kind, [rows, width])], [out], [w])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for key, value in dict(metadata).items():
        made.metadata_props.add(key=key, value=value)
    return made.SerializeToString()


def chain(*nodes, weights=(), outputs=(("y", FLOAT, ["n"]),)) -> bytes:
    info = [helper.make_tensor_value_info(*o) for o in outputs]
    x = helper.make_tensor_value_info("x", FLOAT, ["n", 3])
    graph = helper.make_graph([helper.make_node(*n[:3], **n[3]) for n in nodes], "g", [x], info, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def brought(**changes) -> Brought:
    made = Brought("Mine", ("30m",), normalise(linear(), "mine.onnx", 3), NAMES, 10**18)
    return replace(made, **changes)


def fit(family: Brought, x):
    return family.fit(x, np.zeros(len(x)), seed=0)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(("opset", "name"), [(21, "x"), (13, "float_input"), (9, "prediction_in")])
def test_it_takes_its_own_columns_whatever_the_names_and_shapes_of_the_file(opset, name, column):
    family = brought(content=normalise(linear(opset=opset, name=name, column=column), "mine.onnx", 3)).on(SCHEMA)
    x = np.random.default_rng(0).standard_normal((50, 5))
    want = x[:, [2, 4, 1]] @ WEIGHTS
    fitted = fit(family, x)
    assert isinstance(family, Family)
    assert isinstance(fitted, Fitted)
    exported = load_fitted("Mine", fitted.files())
    for model in (fitted, exported):
        np.testing.assert_allclose(model.predict(x), want, atol=1e-5)
    assert (exported.n_features, exported.length, exported.task) == (5, 0, "regress")
    assert fitted.files() == fit(family, x).files()
    assert fit(family, x[:0]).predict(x[:0]).shape == (0,)


def test_unknown_values_reach_the_model_and_rows_it_knows_nothing_of_abstain():
    known = ("IsNaN", ["x"], ["u"], {}), ("Where", ["u", "seven", "x"], ["k"], {}), ("ReduceMax", ["k", "axis"], ["y"],
                                                                                     {"keepdims": 0})  # fmt: skip
    weights = [numpy_helper.from_array(np.float32(7), "seven"), numpy_helper.from_array(np.array([1]), "axis")]
    file = chain(*known, weights=weights)
    x = np.array([[9, 1, 2, 9, 3], [9, np.nan, 2, 9, 3], [9, np.nan, np.nan, 9, np.nan], [np.inf, 1, 2, np.nan, 3]])
    family = brought(content=normalise(file, "mine.onnx", 3)).on(SCHEMA)
    np.testing.assert_array_equal(fit(family, x).predict(x), [3, 7, np.nan, 3])
    strict = brought(content=normalise(file, "mine.onnx", 3, every=True)).on(SCHEMA)
    np.testing.assert_array_equal(load_fitted("Mine", fit(strict, x).files()).predict(x), [3, np.nan, np.nan, 3])


def test_it_says_what_it_knows_and_its_repr_tells_its_content():
    family = brought()
    assert (family.knows_until, family.horizons, family.sequential, family.min_rows) == (10**18, ("30m",), False, 0)
    other = replace(family, content=normalise(linear().replace(b"\x00\x00\x00@", b"\x00\x00\x80@"), "o.onnx", 3))
    assert repr(other) != repr(family)
    assert repr(brought()) == repr(family)
    assert repr(family.on(SCHEMA)) != repr(family)
    assert len(repr(family)) < 300
    assert pickle.loads(pickle.dumps(family)) == family  # it travels to worker processes


def test_what_it_cannot_do_is_named():
    family, x = brought(), np.zeros((4, 3))
    with pytest.raises(
        DataError, match=r"Mine reads the feature 'rsi_12', which these data do not have \(2 features\)"
    ):
        family.on(("ret_1", "gap"))
    with pytest.raises(ConfigError, match="Mine has no classifier"):
        family.fit(x, np.zeros(4), seed=0, classify=True)
    with pytest.raises(ConfigError, match="knows no p_peak: it runs under single_task only"):
        family.fit(np.zeros((4, 5)), np.zeros(4), seed=0, context=("p_peak", "p_valley"))
    with pytest.raises(ConfigError, match="several labels"):
        family.fit_tasks(x, np.zeros((4, 2)), seed=0)
    with pytest.raises(ValueError, match=r"Mine: X has shape \(4, 5\)"):
        fit(family, np.zeros((4, 5)))
    with pytest.raises(ValueError, match="takes a \\(R, F\\) array, got WindowView"):
        fit(family, WindowView(np.zeros((4, 1, 3)), np.zeros(4), np.arange(4), np.zeros(4), 2))


TWO = (("y", FLOAT, ["n"]), ("z", FLOAT, ["n"]))
AXIS = numpy_helper.from_array(np.array([1]), "axis")
ALL = numpy_helper.from_array(np.array([0]), "axis")
SUM = ("ReduceSum", ["x", "axis"], ["y"], {"keepdims": 0})
NAN = numpy_helper.from_array(np.float32(np.nan), "nan")
TEN = numpy_helper.from_array(np.array([256, 3]), "ten")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (linear(width=5), "takes 5 features, its feature schema names 3"),
        (linear(width="any").replace(b"MatMul", b"MatMux"), "'MatMux', which opset 21"),
        (linear(DOUBLE), r"input 'x' is of type double, must be float \(32 bit\)"),
        (linear(rows=1), r"input 'x' takes exactly 1 row\(s\) at a time; export it with a dynamic first"),
        (linear(opset=7), "is of opset 7, must be at least 9"),
        (chain(SUM, ("Relu", ["y"], ["z"], {}), weights=[AXIS], outputs=TWO), r"has 2 outputs \(y, z\); it must"),
        (chain(("Relu", ["x"], ["y"], {}), outputs=[("y", FLOAT, ["n", 3])]), r"of shape \(256, 3\) to 256 rows"),
        (chain(SUM, weights=[ALL], outputs=[("y", FLOAT, ["m"])]), r"of shape \(3,\) to 256 rows"),
        (chain(("ArgMax", ["x"], ["y"], {"axis": 1, "keepdims": 0}), outputs=[("y", TensorProto.INT64, ["n"])]),
         "output 'y' is of type int64, must be float"),
        (chain(SUM, ("Add", ["y", "nan"], ["z"], {}), weights=[AXIS, NAN], outputs=[("z", FLOAT, ["n"])]),
         "answers NaN to every one of 256 rows"),
        (chain(("Reshape", ["x", "ten"], ["r"], {}), ("ReduceSum", ["r", "axis"], ["y"], {"keepdims": 0}),
               weights=[TEN, AXIS]), "fails on other numbers of rows, or on unknown values"),
        (chain(SUM, ("ReduceMean", ["y"], ["m"], {}), ("Sub", ["y", "m"], ["z"], {}), weights=[AXIS],
               outputs=[("z", FLOAT, ["n"])]), "answers a row by the rows beside it"),
        (chain(("RandomUniformLike", ["x"], ["r"], {}), ("ReduceSum", ["r", "axis"], ["y"], {"keepdims": 0}),
               weights=[AXIS]), "draws random numbers"),
        (b"nonsense", "it is no ONNX"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_by_name(file, message):
    with pytest.raises(ArtifactError, match=rf"mine\.onnx.*{message}"):
        normalise(file, "mine.onnx", 3)


# The zoo -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("job")
    simulate(Job.open(root, Settings()), symbols=2, days=20, daily=60)
    return root


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my model.onnx"
    path.write_bytes(linear(metadata={"features": json.dumps(NAMES), "fitted_until": "2025-03-31"}))
    return path


def test_a_model_comes_back_from_the_zoo_as_it_was_brought(workspace, file):
    told = bring(workspace, file, ["60m", "30m", "30m"])
    assert (told["model"], told["horizons"], told["features"]) == ("my_model", ["30m", "60m"], 3)
    assert told["knows_until"] == "2025-04-01T03:59:59Z"
    (family,) = brought_models(workspace)
    assert (family.name, family.features, family.horizons) == ("my_model", NAMES, ("30m", "60m"))
    x = np.random.default_rng(0).standard_normal((9, 5))
    np.testing.assert_allclose(fit(family.on(SCHEMA), x).predict(x), x[:, [2, 4, 1]] @ WEIGHTS, atol=1e-5)
    assert bring(workspace, file, ["30m", "60m"])["id"] == told["id"]
    assert str(workspace) not in (workspace / "zoo" / "my_model" / told["id"] / "manifest.json").read_text()


def test_brought_again_the_new_one_counts_and_a_changed_byte_is_refused(workspace, file):
    bring(workspace, file, ["30m"], name="Again")
    told = bring(workspace, file, ["5m"], name="Again")
    assert {f.name: f.horizons for f in brought_models(workspace)}["Again"] == ("5m",)
    stored = workspace / "zoo" / "Again" / told["id"] / "model.onnx"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"model\.onnx was changed since it was saved"):
        brought_models(workspace)
    stored.write_bytes(whole)
    (workspace / "zoo" / "Again").rename(workspace / "zoo" / "Other")
    with pytest.raises(ArtifactError, match="holds the model 'Again': give the folder that name"):
        brought_models(workspace)
    (workspace / "zoo" / "Other").rename(workspace / "zoo" / "Again")


def test_nothing_brought_is_no_model(tmp_path):
    assert brought_models(tmp_path) == ()


def test_the_schema_comes_from_a_file_the_model_or_the_workbench(workspace, tmp_path):
    names = [s.name for s in daily_catalogue()]
    path, schema = tmp_path / "m.onnx", tmp_path / "schema"
    path.write_bytes(linear())
    with pytest.raises(ConfigError, match=r"takes 3 features and does not name them; the workbench has \d+ for 1d"):
        bring(workspace, path, ["1d"])
    for text in (json.dumps(names[:3]), "\n".join(names[:3]) + "\n"):
        schema.write_text(text)
        assert bring(workspace, path, ["1d"], schema=schema, name="Named")["features"] == 3
    for text, message in (
        ("ret_1\ngap\nrsi_21", r"reads 'rsi_21', which is no feature of 30m here.*Did you mean 'rsi_"),
        ("ret_1\ngap\ngap", "names 'gap' more than once"),
        ("[1, 2, 3]", "names no features"),
        ("[", "is no JSON list"),
        ("", "names no features"),
    ):
        schema.write_text(text)
        with pytest.raises(ConfigError, match=message):
            bring(workspace, path, ["30m"], schema=schema)
    schema.write_text("ret_1\ngap")
    with pytest.raises(ArtifactError, match="takes 3 features, its feature schema names 2"):
        bring(workspace, path, ["30m"], schema=schema)
    schema.write_text(json.dumps(NAMES))
    with pytest.raises(ConfigError, match="'ret_1', which is no feature of 1d here"):
        bring(workspace, path, ["30m", "1d"], schema=schema)
    with pytest.raises(ConfigError, match="cannot be read"):
        bring(workspace, path, ["30m"], schema=tmp_path / "none")
    whole = len(names)
    sums = numpy_helper.from_array(np.array([1]), "axis")
    made = onnx.load_model_from_string(chain(SUM, weights=[sums]))
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = whole
    path.write_bytes(made.SerializeToString())
    assert bring(workspace, path, ["1d"], name="Whole")["features"] == whole


def test_names_files_and_times_are_checked(workspace, file, tmp_path):
    for how, message in (
        ({"name": "../up"}, "cannot name a model"),
        ({"name": "LightGBM"}, "is a family already"),
        ({"fitted_until": time.time_ns() + 10**15}, "lies in the future"),
    ):
        with pytest.raises(ConfigError, match=message):
            bring(workspace, file, ["30m"], **how)
    with pytest.raises(ConfigError, match="horizon '31m' is unknown"):
        bring(workspace, file, ["31m"])
    with pytest.raises(ConfigError, match="name the horizon"):
        bring(workspace, file, [])
    with pytest.raises(DataError, match="is no file"):
        bring(workspace, tmp_path / "none.onnx", ["30m"])
    with pytest.raises(DataError, match="has no bars yet"):
        bring(tmp_path / "nowhere", file, ["30m"])
    assert not (tmp_path / "nowhere").exists()
    for text, message in (("last June", "is no time"), ("2025-06-30T16:00", "has no zone")):
        with pytest.raises(ConfigError, match=message):
            moment(text)
    assert moment("2025-06-30") == 1751342399 * 10**9  # 23:59:59 in New York, summer time
    file.write_bytes(linear(metadata={"features": json.dumps(NAMES)}))
    before = time.time_ns()
    told = bring(workspace, file, ["30m"], name="Unsaid")
    assert {f.name: f.knows_until >= before for f in brought_models(workspace)}["Unsaid"]
    assert "nobody said until when" in told["remarks"][0]


# Pickles -------------------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_is_read_only_when_it_is_trusted(workspace, tmp_path):
    """A pickle that writes a file when it is read: refused unread, whatever it is called."""
    bomb = Bomb()
    bomb.path = tmp_path / "ran"
    for name in ("m.joblib", "m.pkl", "m.onnx"):
        (tmp_path / name).write_bytes(pickle.dumps(bomb))
        with pytest.raises(ArtifactError, match=r"is a pickle, which can run any code.*--trust-pickle"):
            bring(workspace, tmp_path / name, ["30m"])
    assert not bomb.path.exists()


@pytest.fixture
def training():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, 3)).astype(np.float32)
    return x, x @ WEIGHTS + rng.standard_normal(400)


def store(tmp_path, model, names=NAMES):
    joblib.dump(model, tmp_path / "own.joblib")
    (tmp_path / "names").write_text(json.dumps(names))
    return tmp_path / "own.joblib"


def test_a_trusted_model_is_converted_and_only_the_onnx_is_kept(workspace, tmp_path, training):
    pytest.importorskip("skl2onnx")
    x, y = training
    own = make_pipeline(StandardScaler(), Ridge()).fit(x, y)
    path = store(tmp_path, own)
    told = bring(workspace, path, ["30m"], schema=tmp_path / "names", name="Ridge1", trust_pickle=True)
    assert told["kind"] == "scikit-learn"
    family = {f.name: f for f in brought_models(workspace)}["Ridge1"]
    rows = np.random.default_rng(4).standard_normal((60, 5))
    np.testing.assert_allclose(fit(family.on(SCHEMA), rows).predict(rows), own.predict(rows[:, [2, 4, 1]]), atol=1e-5)
    rows[0, 2] = np.nan  # a linear model of scikit-learn refuses this row; here it abstains
    assert np.isnan(fit(family.on(SCHEMA), rows).predict(rows)).tolist() == [True] + [False] * 59
    assert "abstains where any of its features is unknown" in told["remarks"][-1]
    kept = sorted(p.name for p in (workspace / "zoo" / "Ridge1").rglob("*") if p.is_file())
    assert kept == ["CURRENT", "manifest.json", "model.onnx"]


def test_a_forest_answers_as_it_did(workspace, tmp_path, training):
    pytest.importorskip("skl2onnx")
    x, y = training
    own = RandomForestRegressor(10, max_depth=4, random_state=0).fit(x, y)
    bring(workspace, store(tmp_path, own), ["5m"], schema=tmp_path / "names", name="Forest", trust_pickle=True)
    family = {f.name: f for f in brought_models(workspace)}["Forest"]
    rows = x[:, [0, 2, 0, 1, 1]]
    np.testing.assert_allclose(fit(family.on(SCHEMA), rows).predict(rows), own.predict(x), atol=1e-5)


def test_what_is_no_regressor_or_no_pickle_is_refused(workspace, tmp_path, training):
    pytest.importorskip("skl2onnx")
    x, y = training
    for model, message in (
        (LogisticRegression().fit(x, y > 0), "holds a LogisticRegression; it must be a fitted scikit-learn regressor"),
        (Ridge(), "holds a Ridge; it must be a fitted"),
        ({"a": 1}, "holds a dict"),
    ):
        with pytest.raises(ArtifactError, match=message):
            bring(workspace, store(tmp_path, model), ["30m"], schema=tmp_path / "names", trust_pickle=True)
    (tmp_path / "own.joblib").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(ArtifactError, match=r"own\.joblib cannot be read"):
        bring(workspace, tmp_path / "own.joblib", ["30m"], trust_pickle=True)


class Shifted(Ridge):
    """Converts as a Ridge, but answers more."""

    def predict(self, X):
        return super().predict(X) + 0.01


def test_a_conversion_that_does_not_agree_is_refused(workspace, tmp_path, training):
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
    from skl2onnx.operator_converters.linear_regressor import convert_sklearn_linear_regressor

    skl2onnx.update_registered_converter(Shifted, "Shifted", calculate_linear_regressor_output_shapes,
                                         convert_sklearn_linear_regressor)  # fmt: skip
    path = store(tmp_path, Shifted().fit(*training))
    with pytest.raises(ArtifactError, match=r"its ONNX differs from the model by 0\.01 \(bound"):
        bring(workspace, path, ["30m"], schema=tmp_path / "names", name="Shifted", trust_pickle=True)
    assert not (workspace / "zoo" / "Shifted").exists()


def test_without_the_converter_the_package_is_named(workspace, tmp_path, training, monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    path = store(tmp_path, Ridge().fit(*training))
    with pytest.raises(ConfigError, match="pip install skl2onnx"):
        bring(workspace, path, ["30m"], schema=tmp_path / "names", trust_pickle=True)


def test_quote_features_need_quotes(workspace, tmp_path):
    """The embedded market has quotes, so its features may be used."""
    quotes = [s.name for s in catalogue(True)][-3:]
    (tmp_path / "q.onnx").write_bytes(linear(metadata={"features": ",".join(quotes)}))
    with pytest.raises(ConfigError, match="which is no feature of 30m"):  # one name per line, not commas
        bring(workspace, tmp_path / "q.onnx", ["30m"])
    (tmp_path / "q.onnx").write_bytes(linear(metadata={"features": "\n".join(quotes)}))
    assert bring(workspace, tmp_path / "q.onnx", ["30m"], name="Quotes")["features"] == 3
