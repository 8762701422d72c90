"""The blend refitted for looking at it is the blend that was fitted; its ridge path is that of a plain loop."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.blend_study import calibration_slope, keep_models, learned_rows, ridge_path, solve
from workbench.config import BlendingSettings
from workbench.core.horizon import horizon
from workbench.decision.blending import HorizonBlender, whitened


@pytest.fixture(scope="module")
def oof(make):
    return make.oof(horizon("15m"), signal=0.3, symbols=8)


@pytest.fixture(scope="module")
def blender(oof):
    return HorizonBlender(BlendingSettings()).fit({"15m": oof})


def test_with_all_models_it_is_what_the_blender_learned(blender, oof):
    fitted, solved = blender.fits_["15m"], solve(blender, oof, oof.keys)
    assert solved.fit == fitted
    assert solved.forward.slope.value == pytest.approx(fitted.raw_slope)
    assert solved.forward.slope.low == pytest.approx(fitted.slope_lower)
    assert fitted.slope > 0


def test_without_a_model_it_is_a_blender_that_never_had_it(blender, oof):
    rest = replace(oof, keys=(oof.keys[0], *oof.keys[2:]), forecast=np.delete(oof.forecast, 1, axis=1))
    never = HorizonBlender(BlendingSettings()).fit({"15m": rest}).fits_["15m"]
    assert solve(blender, oof, rest.keys).fit == never
    assert len(never.keys) == 4


def test_the_best_model_is_missed(blender, oof):
    """Model 0 forecasts best: without it the blend's IC falls."""
    assert blender.fits_["15m"].weights[0] == max(blender.fits_["15m"].weights)
    whole, without = solve(blender, oof, oof.keys), solve(blender, oof, oof.keys[1:])
    assert without.forward.ic.value < whole.forward.ic.value - 0.01


def test_keeping_models_keeps_their_order_and_columns(oof):
    kept = keep_models(oof, (oof.keys[3], oof.keys[1]))
    assert kept.keys == (oof.keys[1], oof.keys[3])
    np.testing.assert_array_equal(kept.forecast, oof.forecast[:, [1, 3]])


def test_the_path_ends_in_the_blenders_own_choice(blender, oof):
    path, fit = ridge_path(oof, blender.settings), blender.fits_["15m"]
    assert path.penalties.tolist() == sorted(blender.settings.lambdas, reverse=True)
    assert path.chosen == fit.penalty
    np.testing.assert_allclose(path.p[path.penalties == path.chosen][0], fit.weights)
    assert path.score[path.penalties == path.chosen][0] >= path.score.max() - path.se


def test_scores_are_those_of_a_plain_loop(oof):
    """Weights from earlier days, score on the next quarter of them: rows in a loop, no block sums."""
    settings = BlendingSettings(lambdas=(0.1, 1.0), force_slope=1.0)
    rows = learned_rows(oof)
    x, y = whitened(rows)
    day = np.unique(rows.session, return_inverse=True)[1]
    edges = np.linspace(0, day.max() + 1, 5).astype(int)
    expected = []
    for penalty in (1.0, 0.1):
        cross = square = 0.0
        for start, stop in itertools.pairwise(edges[1:]):
            first = rows.known_at[day >= start].min()
            late = np.array([rows.matured_at[day == d].max() + rows.embargo_ns <= first for d in range(start)])
            train, test = np.isin(day, np.flatnonzero(late)), (day >= start) & (day < stop)
            scale = np.sqrt((x[train] ** 2).mean(axis=0))
            z = x[train] / scale
            w = np.linalg.solve(z.T @ z + penalty * train.sum() * np.eye(5), z.T @ y[train])
            p = np.maximum(w, 0) / np.maximum(w, 0).sum()
            s = (x[test] / scale) @ p
            cross, square = cross + s @ y[test], square + s @ s
        expected.append(cross / np.sqrt(square))
    np.testing.assert_allclose(ridge_path(oof, settings).score, expected, rtol=1e-9)


def test_the_slope_goes_through_the_bins(blender, oof):
    """Least squares through the origin over the bins is near the slope that was fitted on the rows."""
    made = calibration_slope(oof, blender.settings)
    b = made.bins
    fitted = (b.count * b.x * b.y).sum() / (b.count * b.x * b.x).sum()
    assert fitted == pytest.approx(made.slope.value, rel=0.1)
    assert made.slope.low < made.slope.value < made.slope.high
    assert made.slope.value - made.slope.low == pytest.approx(made.slope.high - made.slope.value)


def test_noise_has_no_slope_and_says_why(make):
    noise = make.oof(horizon("15m"), signal=0.0, symbols=8, seed=5)
    made = calibration_slope(noise, BlendingSettings())
    assert np.isnan(made.slope.value)
    assert made.slope.reason == "no model shows evidence of its own out of fold"
    assert np.isnan(made.ic.value)
    assert len(made.bins.x) == 0
