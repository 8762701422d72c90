"""HorizonBlender: weights, slope, abstention, smoothing, JSON; values against tests/reference."""

from __future__ import annotations

import json
from dataclasses import replace

import decision_reference as reference
import numpy as np
import pytest
from decision_builders import (
    SESSION,
    all_oofs,
    equal_blender,
    model_keys,
    oof_rows,
    random_forecasts,
    snapshot,
)

from workbench.config import BlendingSettings, Settings
from workbench.core.errors import ProvenanceError
from workbench.core.types import Carry, Forecasts
from workbench.decision.blending import HorizonBlender, count_windows
from workbench.decision.smoothing import choose_halflife, paths, smooth

SETTINGS = BlendingSettings()


@pytest.fixture(scope="module")
def fitted() -> HorizonBlender:
    return HorizonBlender(SETTINGS).fit(all_oofs())


def carry(smoothed: np.ndarray, session: int = SESSION) -> Carry:
    return replace(Carry.empty(smoothed.shape[1]), smoothed=smoothed, session=session)


def test_blend_agrees_with_the_reference() -> None:
    s = snapshot(7)
    f = random_forecasts(s, missing=0.3)
    blender = equal_blender(model_keys()[::-1], Settings())
    got = blender.blend(f, s, Carry.empty(7)).raw
    fits = {k: v.to_dict() for k, v in blender.fits_.items()}
    for fit in fits.values():
        fit["keys"] = [tuple(k) for k in fit["keys"]]
    want = reference.blend(fits, [tuple(k) for k in f.keys], f.expected_return, SETTINGS.min_mass)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert np.isnan(got).any()
    assert np.isfinite(got).any()


def test_noise_models_weigh_less_than_a_tenth() -> None:
    for seed in range(3):
        oof = oof_rows(good=5, noise=15, days=50, symbols=20, ic=0.03, seed=seed, scales=True)
        weights = HorizonBlender(SETTINGS).fit({"5m": oof}).weights_["5m"]
        assert sum(weights.values()) == pytest.approx(1)
        assert sum(w for name, w in weights.items() if name.startswith("Noise")) < 0.10


def test_the_scale_of_a_model_does_not_matter() -> None:
    oof = oof_rows(good=3, noise=2, days=30)
    twin = replace(oof, forecast=oof.forecast * np.array([1e-4, 1, 1e4, 1, 30]))
    a, b = (HorizonBlender(SETTINGS).fit({"5m": o}).fits_["5m"] for o in (oof, twin))
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-9)
    assert a.slope == pytest.approx(b.slope, rel=1e-9)


def test_the_blend_is_calibrated() -> None:
    train, test = (oof_rows(good=3, days=60, symbols=20, ic=0.08, seed=s) for s in (1, 2))
    alpha = HorizonBlender(SETTINGS).fit({"5m": train}).oof_alpha(test)
    slope = (alpha / test.sigma_h) @ (test.label / test.sigma_h) / ((alpha / test.sigma_h) ** 2).sum()
    assert 0.75 < slope < 1.25


def test_without_signal_nothing_trades() -> None:
    for seed in range(12):
        fit = HorizonBlender(SETTINGS).fit({"5m": oof_rows(ic=0.0, noise=5, good=0, days=30, seed=seed)}).fits_["5m"]
        assert fit.slope == 0.0
        assert fit.reason


def test_signal_of_early_days_only_has_no_slope() -> None:
    oof = oof_rows(ic=0.3, days=40, symbols=8)
    late = oof.session > np.quantile(oof.session, 0.2)
    label = np.where(late, np.random.default_rng(0).permutation(oof.label), oof.label)
    blender = HorizonBlender(SETTINGS).fit({"5m": replace(oof, label=label)})
    fit = blender.fits_["5m"]
    assert fit.slope == 0.0
    assert fit.abstains or "no evidence: slope" in fit.reason


def test_forced_slope_trades_even_noise() -> None:
    oof = oof_rows(ic=0.0, noise=4, good=0, days=30)
    blender = HorizonBlender(BlendingSettings(force_slope=0.02)).fit({"5m": oof})
    assert blender.slope_["5m"] == 0.02
    assert np.isfinite(blender.oof_alpha(oof)).all()
    assert not blender.abstained_


def test_insufficient_data_abstains_and_says_so() -> None:
    oof = oof_rows("20d", days=28 * 20 + 5, symbols=4, ic=0.3)
    blender = HorizonBlender(SETTINGS, min_windows=30).fit({"20d": oof})
    assert blender.abstained_ == {"20d": "insufficient data: 28 of 30 windows"}
    assert np.isnan(blender.oof_alpha(oof)).all()


@pytest.mark.parametrize(("label", "days", "windows"), [("5m", 2, 154), ("120m", 2, 6), ("1d", 40, 40), ("5d", 43, 8)])
def test_windows_do_not_overlap(label: str, days: int, windows: int) -> None:
    assert count_windows(oof_rows(label, days=days, symbols=2)) == windows


def test_only_out_of_fold_rows_are_accepted() -> None:
    with pytest.raises(ProvenanceError, match="accepts only OofForecasts"):
        HorizonBlender(SETTINGS).fit({"5m": np.zeros((3, 2))})  # type: ignore[dict-item]
    with pytest.raises(ProvenanceError, match="file them under their own label"):
        HorizonBlender(SETTINGS).fit({"10m": oof_rows("5m", days=3)})


def test_missing_models_are_renormalised_until_too_few_are_left() -> None:
    s = snapshot(2)
    keys = model_keys()[:5]
    value = np.array([[0.01, 0.01]] * 5)
    value[:2, 0] = np.nan
    value[:3, 1] = np.nan
    f = Forecasts(keys, value, np.full((9, 2), np.nan), np.full((9, 2), np.nan))
    raw = equal_blender(model_keys(), Settings()).blend(f, s, Carry.empty(2)).raw
    assert raw[0, 0] == pytest.approx(0.05 * 0.01 / 0.05)
    assert np.isnan(raw[0, 1])


def test_horizons_past_the_close_abstain() -> None:
    still_open = np.ones(9, bool)
    still_open[3:6] = False
    s = snapshot(4, horizon_open=still_open)
    raw = equal_blender(model_keys(), Settings()).blend(random_forecasts(s), s, Carry.empty(4)).raw
    np.testing.assert_array_equal(np.isnan(raw).all(axis=1), ~still_open)


def test_smoothing_follows_its_halflife_and_resets() -> None:
    s = snapshot(5)
    f = random_forecasts(s)
    blender = equal_blender(model_keys(), Settings(), halflife=1.0)
    before = np.full((9, 5), 0.004)
    before[0, 0] = np.nan
    same = blender.blend(f, s, carry(before))
    intraday = same.raw[:6] / 2 + 0.002
    intraday[0, 0] = same.raw[0, 0]
    np.testing.assert_allclose(same.smoothed[:6], intraday, rtol=1e-12)
    np.testing.assert_array_equal(same.smoothed[6:], same.raw[6:])
    np.testing.assert_array_equal(blender.blend(f, s, carry(before, SESSION - 1)).smoothed, same.raw)


def test_unknown_stays_unknown_through_smoothing() -> None:
    s = snapshot(3)
    f = random_forecasts(s)
    silent = Forecasts(f.keys, np.full_like(f.expected_return, np.nan), f.p_peak, f.p_valley)
    alphas = equal_blender(f.keys, Settings()).blend(silent, s, carry(np.full((9, 3), 0.01)))
    assert np.isnan(alphas.smoothed).all()


def test_json_round_trip_is_exact(fitted: HorizonBlender) -> None:
    twin = HorizonBlender.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert twin.to_dict() == fitted.to_dict()
    oof = all_oofs()["30m"]
    np.testing.assert_array_equal(twin.oof_alpha(oof), fitted.oof_alpha(oof))
    assert HorizonBlender.from_dict(fitted.to_dict(), BlendingSettings(min_mass=0.9)).settings.min_mass == 0.9


def test_fit_is_deterministic(fitted: HorizonBlender) -> None:
    assert HorizonBlender(SETTINGS).fit(all_oofs()).to_dict() == fitted.to_dict()


def test_live_blend_equals_the_out_of_fold_one(fitted: HorizonBlender) -> None:
    oof = all_oofs()["5m"]
    rows = slice(0, 8)
    s = snapshot(8)
    nothing = np.full((9, 8), np.nan)
    f = Forecasts(oof.keys, oof.forecast[rows].T, nothing, nothing)
    np.testing.assert_allclose(fitted.blend(f, s, Carry.empty(8)).raw[0], fitted.oof_alpha(oof)[rows], rtol=1e-12)


def test_reweighting_is_a_new_blender_bounded_around_the_old(fitted: HorizonBlender) -> None:
    name = max(fitted.weights_["5m"], key=lambda k: fitted.weights_["5m"][k])
    before = fitted.to_dict()
    twin = fitted.reweighted("5m", {name: 50.0, next(k for k in fitted.weights_["5m"] if k != name): 0.0}, 1.0, 1.5)
    assert fitted.to_dict() == before
    assert sum(twin.weights_["5m"].values()) == pytest.approx(1)
    assert twin.weights_["5m"][name] >= fitted.weights_["5m"][name] / 1.5 - 1e-15
    assert twin.weights_["5m"][name] < fitted.weights_["5m"][name]


def test_paths_and_smoothing_by_hand() -> None:
    known = np.array([2, 1, 1, 3, 9])
    grid = paths(known, np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 0, 0]))
    assert grid.tolist() == [[1, 0, 3], [2, -1, -1], [4, -1, -1]]
    values = np.array([[1.0, np.nan, 2.0, 4.0]])
    np.testing.assert_allclose(smooth(values, 1.0), [[1.0, np.nan, 2.0, 3.0]])


def test_halflife_is_longer_where_costs_bite() -> None:
    rng = np.random.default_rng(0)
    lines, length = 300, 60
    slow = np.zeros((lines, length))
    for t in range(1, length):
        slow[:, t] = 0.9 * slow[:, t - 1] + rng.normal(size=lines)
    score = slow + 2 * rng.normal(size=slow.shape)
    label = 0.002 * (0.3 * slow + rng.normal(size=slow.shape))
    grid = np.arange(lines * length).reshape(lines, length)
    flat = (score.ravel(), label.ravel(), np.full(lines * length, 0.002), grid, 1, (0.0, 1.0, 4.0))
    assert choose_halflife(*flat, one_way_cost=0.0) > 0
    assert choose_halflife(*flat, one_way_cost=5e-4) == 4.0
    assert choose_halflife(*flat[:5], (0.0,), one_way_cost=1.0) == 0.0
