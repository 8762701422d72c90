from dataclasses import dataclass, replace

import numpy as np
import pytest

from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.core.horizon import HORIZONS, horizon
from workbench.core.types import Features, ModelKey
from workbench.models.base import BarrierKey, ModelFailure
from workbench.models.predictor import ModelPredictor
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted

NAMES, DAILY = ("a", "b", "c"), ("d", "e")


@dataclass
class Fake:
    """Answers with the sum of each row's latest features times `factor`; counts how often it is asked."""

    factor: float = 1.0
    n_features: int = 3
    length: int = 0
    context: tuple[str, ...] = ()
    error: Exception | None = None
    asked: int = 0
    family: str = "Fake"
    task: str = "regress"

    @property
    def digest(self):
        return f"fake{self.factor}{self.n_features}{self.length}{self.error}"

    def predict(self, X):
        self.asked += 1
        if self.error is not None:
            raise self.error
        latest = X[:, -1, :-1] if self.length else X
        return self.factor * latest.sum(axis=1).astype(np.float64)


def key(label, family="F"):
    return ModelKey(family, "single_task", label)


def build(models, barriers=None, stack=None, symbols=(), **options):
    return ModelPredictor(models, barriers or {}, stack, NAMES, DAILY, symbols, **options)


def test_predictions_come_back_in_returns(snapshot_of):
    snapshot = snapshot_of()
    models = {key("5m"): Fake(), key("30m"): Fake(2.0), key("5d"): Fake(n_features=2)}
    out = build(models).predict(snapshot)
    assert out.keys == tuple(models)
    intraday, daily = (f.latest.astype(np.float32).sum(1) for f in (snapshot.features, snapshot.daily))
    for row, (label, raw) in enumerate((("5m", intraday), ("30m", 2 * intraday), ("5d", daily))):
        np.testing.assert_allclose(out.expected_return[row], raw * snapshot.sigma_h[horizon(label).order], rtol=1e-6)
    assert np.isnan(out.p_peak).all()


def test_a_closed_horizon_and_an_unknown_sigma_abstain(snapshot_of):
    sigma = snapshot_of().sigma_h.copy()
    sigma[:, 2] = np.nan
    model = Fake()
    snapshot = snapshot_of(horizon_open=np.array([h.label != "120m" for h in HORIZONS]), sigma_h=sigma)
    out = build({key("5m"): Fake(), key("120m"): model}).predict(snapshot)
    assert np.isnan(out.expected_return[1]).all()
    assert model.asked == 0
    assert np.isnan(out.expected_return[0]).tolist() == [False, False, True, False]


def test_sequential_models_read_the_window(snapshot_of):
    snapshot = snapshot_of(window=9)
    predictor = build({key("5m"): Fake(length=6), key("10m"): Fake(length=9)})
    assert predictor.window == 9
    out = predictor.predict(snapshot).expected_return / snapshot.sigma_h[:2]
    np.testing.assert_allclose(out, np.tile(snapshot.features.latest.sum(1), (2, 1)), rtol=1e-5)
    with pytest.raises(DataError, match=r"reads 6 bars per symbol, the snapshot carries 0: .* window=6"):
        predictor.predict(snapshot_of())


def test_a_day_window_that_is_not_there_abstains(snapshot_of):
    predictor = build({key("1d"): Fake(n_features=2, length=6)})
    assert np.isnan(predictor.predict(snapshot_of()).expected_return).all()
    assert predictor.failed["F/single_task/1d"] == 1
    assert predictor.window == 6


def test_a_failing_model_abstains_and_is_counted(snapshot_of):
    models = {key("5m"): Fake(error=ModelFailure("no")), key("10m"): Fake(), key("15m"): Fake(np.nan)}
    predictor = build(models)
    for _ in range(2):
        out = predictor.predict(snapshot_of())
    assert np.isnan(out.expected_return).all(axis=1).tolist() == [True, False, True]
    assert +predictor.failed == {"F/single_task/5m": 2}
    assert +predictor.silent == {"F/single_task/15m": 2}
    broken = build({key("5m"): Fake(error=ZeroDivisionError())})
    with pytest.raises(ZeroDivisionError):  # a bug is not an abstention
        broken.predict(snapshot_of())


def test_answers_are_remembered_by_model_and_input(snapshot_of):
    one, two = Fake(), Fake(2.0)
    predictor = build({key("5m"): one, key("10m"): two}, cache_size=2)
    first = predictor.predict(snapshot_of())
    again = predictor.predict(snapshot_of(known_at=2_000))
    assert (one.asked, two.asked) == (1, 1)
    np.testing.assert_array_equal(first.expected_return, again.expected_return)
    predictor.predict(snapshot_of(seed=1))
    predictor.predict(snapshot_of())  # forgotten: only two answers are kept
    assert (one.asked, two.asked) == (3, 3)


def test_day_forecasts_follow_the_daily_features_only(snapshot_of):
    model = Fake(n_features=2)
    predictor = build({key("1d"): model})
    predictor.predict(snapshot_of())
    changed = snapshot_of(seed=1)
    predictor.predict(replace(changed, daily=snapshot_of().daily))
    assert model.asked == 1


def test_threads_change_nothing(snapshot_of):
    models = {key(h.label): Fake(0.1 * h.order, 2 if h.is_day else 3) for h in HORIZONS}
    serial, threaded = build(models), build(models, threads=3)
    for seed in range(3):
        snapshot = snapshot_of(seed=seed)
        assert serial.predict(snapshot).digest == threaded.predict(snapshot).digest


def test_permuting_symbols_permutes_forecasts(snapshot_of):
    snapshot = snapshot_of()
    order = np.array([2, 0, 3, 1])
    features = Features(NAMES, snapshot.features.latest[order], snapshot.features.window[order])
    shuffled = replace(snapshot, features=features, sigma_h=snapshot.sigma_h[:, order])
    one, two = (build({key("5m"): Fake()}).predict(s).expected_return for s in (snapshot, shuffled))
    np.testing.assert_array_equal(one[:, order], two)


def test_barriers_go_through_the_stack(snapshot_of, half_stack):
    barriers = {BarrierKey("B", side, "5m"): Fake(f) for side, f in (("peak", 0.1), ("valley", 0.2))}
    snapshot = snapshot_of()
    out = build({key("5m"): Fake()}, barriers, half_stack("5m", "10m")).predict(snapshot)
    raw = snapshot.features.latest.sum(1)
    np.testing.assert_allclose(out.p_peak[0], 0.05 * raw, rtol=1e-5)
    np.testing.assert_allclose(out.p_valley[0], 0.1 * raw, rtol=1e-5)
    assert np.isnan(out.p_peak[1:]).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "x", "c"), "intraday features differ from training: feature 1 is 'x', the models were trained on 'b'"),
        (("a", "b"), "feature 2 is missing, the models were trained on 'c'"),
        (("a", "b", "c", "d"), "feature 3 is 'd', the models were trained without it"),
    ],
)
def test_another_schema_is_refused(snapshot_of, names, message):
    features = Features(names, np.zeros((4, len(names))), np.zeros((4, 0, len(names))))
    with pytest.raises(DataError, match=message):
        build({key("5m"): Fake()}).predict(snapshot_of(features=features))
    build({key("1d"): Fake(n_features=2)}).predict(snapshot_of(features=features))  # does not read them


def test_bad_construction_is_named():
    with pytest.raises(ArtifactError, match="F/single_task/5m was fitted on 2 features, its schema names 3"):
        build({key("5m"): Fake(n_features=2)})
    with pytest.raises(ConfigError, match="strategy 'multi' is unknown"):
        build({ModelKey("F", "multi", "5m"): Fake()})
    with pytest.raises(ConfigError, match="cache_size is 0"):
        build({}, cache_size=0)
    with pytest.raises(ConfigError, match="device 'gpu'"):
        build({}, device="gpu")


def test_real_models_answer_as_they_did_in_training(snapshot_of, quick):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 3))
    y = x[:, 0] + rng.standard_normal(1500)
    fits = {key("5m", n): FAMILIES[n].fit(x, y, seed=0, budget=quick) for n in ("LightGBM", "FTRLProximal", "Ensemble")}
    predictor = build({k: load_fitted(k.family, f.files()) for k, f in fits.items()})
    snapshot = snapshot_of()
    out = predictor.predict(snapshot)
    expected = [f.predict(snapshot.features.latest) * snapshot.sigma_h[0] for f in fits.values()]
    np.testing.assert_allclose(out.expected_return, expected, atol=1e-5 * snapshot.sigma_h[0].min())


class Echo(Fake):
    """Answers with one column of its context."""

    def predict(self, X):
        row = X[:, -1] if self.length else X
        return row[:, self.n_features + int(self.factor)].astype(np.float64)


@pytest.mark.parametrize("length", [0, 4])
def test_a_cascade_sees_the_calibrated_probabilities_of_its_own_horizon(snapshot_of, half_stack, length):
    snapshot = snapshot_of(window=6)
    p = ("p_peak", "p_valley")
    models = {
        ModelKey(f"F{c}", "cascade", h): Echo(float(c), length=length, context=p) for c in (0, 1) for h in ("5m", "30m")
    }
    barriers = {
        BarrierKey("B", side, h): Constant(value)
        for (side, h), value in {
            ("peak", "5m"): 0.2,
            ("valley", "5m"): 0.4,
            ("peak", "30m"): 0.6,
            ("valley", "30m"): 0.8,
        }.items()
    }
    out = build(models, barriers, half_stack("5m", "30m")).predict(snapshot)
    got = {k: out.expected_return[i] / snapshot.sigma_h[horizon(k.horizon).order] for i, k in enumerate(out.keys)}
    want = {"F05m": 0.1, "F030m": 0.3, "F15m": 0.2, "F130m": 0.4}
    for k, values in got.items():
        np.testing.assert_allclose(values, want[k.family + k.horizon], rtol=1e-6)


class Constant(Fake):
    def predict(self, X):
        return np.full(len(X), self.factor)


def test_a_cascade_without_probabilities_abstains_and_is_not_counted_as_silent(snapshot_of):
    cascade = ModelKey("F", "cascade", "5m")
    predictor = build({cascade: Abstainer(context=("p_peak", "p_valley"))})
    out = predictor.predict(snapshot_of())
    assert np.isnan(out.expected_return).all()
    assert predictor.silent[str(cascade)] == 0


class Abstainer(Fake):
    def predict(self, X):
        return np.where(np.isnan(X).any(axis=1), np.nan, 1.0)


def test_a_model_of_single_symbols_gets_their_codes_and_minus_one_for_a_stranger(snapshot_of):
    snapshot = snapshot_of()  # S0..S3
    model = Echo(0.0, context=("symbol",))
    out = build({key("5m"): model}, symbols=("S2", "S0")).predict(snapshot)
    np.testing.assert_allclose(out.expected_return[0] / snapshot.sigma_h[0], [1, -1, 0, -1])


def test_every_model_is_timed_and_a_remembered_answer_costs_nothing(snapshot_of):
    predictor = build({key("5m"): Fake(), key("10m"): Fake(2.0)})
    snapshot = snapshot_of()
    predictor.predict(snapshot)
    first = dict(predictor.seconds)
    predictor.predict(snapshot)
    assert dict(predictor.seconds) == first
    assert set(first) == {str(key("5m")), str(key("10m"))}
    assert min(first.values()) > 0
    assert dict(predictor.asked) == {name: 1 for name in first}
