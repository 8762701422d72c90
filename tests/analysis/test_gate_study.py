"""Surface, calibration by segment and effect of the gate, against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.gate_study import (
    EDGES,
    GateRows,
    along_adverse,
    brier,
    side_calibration,
    side_effect,
    surface,
    through_own_stack,
    with_settings,
)
from workbench.config import GatingSettings
from workbench.core.horizon import N_HORIZONS, horizon
from workbench.decision.gating import BarrierGate


@pytest.fixture
def gate():
    """Base rates .25 of a peak and .3 of a valley, everywhere."""
    rates = {"base_peak": [[0.25] * 5] * N_HORIZONS, "base_valley": [[0.3] * 5] * N_HORIZONS}
    settings = GatingSettings(g_min=0.2, gamma=1.0, delta=0.5)
    return BarrierGate.from_dict(BarrierGate(settings).to_dict() | rates)


class Says:
    """A stack that always says the same."""

    def __init__(self, peak, valley):
        self.p = peak, valley

    def apply_rows(self, oof):
        return tuple(np.full(len(oof), p) for p in self.p)


@pytest.fixture
def oof(make):
    return make.oof(horizon("15m"), symbols=6)


def test_the_surface_is_the_formula_by_hand(gate):
    s = surface(gate, "15m", 2, short=False, points=11)
    at = {round(float(p), 1): i for i, p in enumerate(s.p)}
    base = 0.75 * np.sqrt(0.5 + 0.15)
    assert s.gate[at[0.2], at[0.5]] == pytest.approx(0.5 * np.sqrt(0.6) / base)
    assert s.gate[at[0.1], at[0.9]] == 0.2  # the floor: 0.1 * sqrt(0.55) / base is 0.12
    assert s.gate[at[0.5], at[0.1]] == 1.0  # a good path is never more than whole
    assert s.base == (0.25, 0.3)


def test_probabilities_that_cannot_be_are_left_open(gate):
    s = surface(gate, "15m", 2, short=False, points=11)
    peak, valley = np.meshgrid(s.p, s.p)
    np.testing.assert_array_equal(np.isnan(s.gate), peak + valley > 1 + 1e-9)


def test_for_a_short_the_barriers_swap(gate):
    swapped = BarrierGate.from_dict(
        gate.to_dict() | {"base_peak": gate.base_valley_.tolist(), "base_valley": gate.base_peak_.tolist()}
    )
    long, short = surface(gate, "15m", 0, short=False), surface(swapped, "15m", 0, short=True)
    np.testing.assert_allclose(short.gate, long.gate.T)


def test_along_the_adverse_probability_the_gate_never_rises(gate):
    for short, rate in ((False, 0.25), (True, 0.3)):
        p, g = along_adverse(gate, "15m", 1, short=short)
        assert (np.diff(g) <= 0).all()
        assert (g[p <= rate] == 1).all()
        assert g[p > rate + 0.02].max() < 1
        assert g[-1] == 0.2


def test_every_fold_goes_through_its_own_stack(oof):
    rows, peak, valley = through_own_stack(oof, {2: Says(0.2, 0.25), 4: Says(0.4, 0.45)})
    assert set(rows.fold.tolist()) == {2, 4}
    np.testing.assert_array_equal(peak, rows.fold / 10)
    np.testing.assert_array_equal(valley, rows.fold / 10 + 0.05)


def test_brier_and_its_interval_by_segment(oof):
    stacks = {2: Says(0.5, 0.5), 3: Says(1.0, 0.0)}
    c = side_calibration(oof, stacks, "peak")
    assert [f.fold for f in c.folds] == [2, 3]
    assert c.folds[0].brier_after.value == pytest.approx(0.25)
    assert c.folds[0].brier_after.se == pytest.approx(0.0, abs=1e-12)
    third = oof.peak[oof.fold == 3]
    assert c.folds[1].brier_after.value == pytest.approx((third == 0).mean())
    assert c.folds[1].brier_after.low < c.folds[1].brier_after.value < c.folds[1].brier_after.high
    assert c.report.after.rows == np.isin(oof.fold, [2, 3]).sum()
    before = oof.p_peak[oof.fold == 2].mean(axis=1)
    assert c.folds[0].brier_before.value == pytest.approx(((before - oof.peak[oof.fold == 2]) ** 2).mean())


def test_unknown_outcomes_are_left_out_of_a_segment(oof):
    gone = replace(oof, peak=np.where(oof.fold == 2, np.nan, oof.peak))
    assert [f.fold for f in side_calibration(gone, {2: Says(0.5, 0.5), 3: Says(0.5, 0.5)}, "peak").folds] == [3]


def test_one_day_has_a_brier_score_without_interval():
    e = brier(np.array([0.5, 0.0]), np.array([1.0, 0.0]), np.array([1, 1]))
    assert e.value == 0.125
    assert np.isnan(e.low)
    assert e.reason


def test_the_effect_is_that_of_the_rows_by_hand(gate):
    rows = GateRows(
        "15m", np.array([0.25, 0.5, 0.95]), np.array([0.3, 0.3, 0.0]), np.zeros(3, int), np.array([0.001, 0.003, -1.0])
    )
    longs = side_effect(gate, rows, short=False)
    half = 0.5 / 0.75
    assert longs.mean == pytest.approx((1 + half + 0.2) / 3)
    assert longs.kept == pytest.approx((0.001 + half * 0.003) / 0.004)
    assert (longs.rows, longs.at_floor) == (2, pytest.approx(1 / 3))
    assert longs.share.sum() == pytest.approx(1.0)
    assert longs.share[np.searchsorted(EDGES, half) - 1] == pytest.approx(1 / 3)
    assert side_effect(gate, rows, short=True).kept == 1.0  # a peak is good for the short


def test_a_floor_of_one_leaves_everything(gate):
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 0.5, (2, 100))
    rows = GateRows("15m", *p, rng.integers(0, 5, 100), rng.normal(size=100))
    whole = side_effect(with_settings(gate, GatingSettings(g_min=1.0)), rows, short=False)
    assert (whole.mean, whole.kept) == (1.0, 1.0)
    assert side_effect(gate, rows, short=False).mean < 1.0


def test_other_settings_keep_what_was_fitted(gate):
    other = with_settings(gate, GatingSettings(gamma=3.0))
    np.testing.assert_array_equal(other.base_peak_, gate.base_peak_)
    assert (other.settings.gamma, gate.settings.gamma) == (3.0, 1.0)


def test_rows_without_a_probability_are_left_out_with_their_alpha(oof):
    alpha = np.arange(len(oof), dtype=float)
    rows = GateRows.of(oof, {2: Says(0.2, 0.3), 3: Says(np.nan, 0.3)}, alpha)
    np.testing.assert_array_equal(rows.alpha, alpha[oof.fold == 2])
    assert np.isnan(GateRows.of(oof, {2: Says(0.2, 0.3)}).alpha).all()


def test_no_rows_have_no_effect(gate, oof):
    effect = side_effect(gate, GateRows.of(oof, {2: Says(np.nan, np.nan)}), short=False)
    assert np.isnan([effect.mean, effect.kept, effect.at_floor]).all()
