"""The view of a gate: its shape under the sliders, its evidence, and a backtest's profit with other settings."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
from made_oofs import SamePool, make_oof

from workbench.analysis import what_if
from workbench.config import GatingSettings
from workbench.decision.gating import BarrierGate
from workbench.research import steps
from workbench.widgets import view
from workbench.widgets.gate import PASS_OOFS, PASS_RECALL, GateView, card

STACKS = {2: SamePool(), 3: SamePool(), 4: SamePool(0.1)}


@pytest.fixture(scope="module")
def oofs():
    return {"15m": make_oof("15m")}


@pytest.fixture(scope="module")
def gate(oofs):
    return BarrierGate(GatingSettings()).fit(oofs, SamePool())


@pytest.fixture
def shown(gate, oofs):
    return view(gate, oofs=oofs, stack=STACKS)


@pytest.fixture(scope="module")
def asked(traded):
    """A view with a real backtest behind it."""
    stages = steps.final_stages(traded.job).stages
    return GateView(stages.gate, oofs=steps.oofs(traded.job), stack=steps.stacks(traded.job), recall=traded.recall,
                    blender=stages.blender)  # fmt: skip


def element(figure, kind, label=None):
    return next(e for e in figure.traverse() if type(e).__name__ == kind and (label is None or e.label == label))


def texts(viewable):
    return "".join(str(pane.object) for pane in viewable.select() if hasattr(pane, "object"))


def test_sliders_stand_where_the_fit_stands(shown, gate):
    assert (shown.g_min, shown.gamma, shown.delta) == (0.2, 1.0, 0.5)
    assert shown.chosen == gate.settings


def test_the_surface_follows_the_sliders_and_marks_the_base_rates(shown, gate):
    shown.bucket = "morning"
    base = element(shown.surface(), "Points", "base rates").dframe()
    assert base.iloc[0].tolist() == [gate.base_peak_[2, 1], gate.base_valley_[2, 1]]
    before = element(shown.surface(), "Image").dframe().set_index(["p_peak", "p_valley"])["gate"]
    shown.gamma = 4.0
    after = element(shown.surface(), "Image").dframe().set_index(["p_peak", "p_valley"])["gate"]
    both = np.isfinite(before) & np.isfinite(after)
    bad = both & (before.index.get_level_values(0) > 0.5)
    assert (after[bad] <= before[bad]).all()
    assert (after[bad] < before[bad]).any()


def test_the_section_keeps_the_fitted_curve_beside_the_new_one(shown):
    shown.g_min = 0.6
    fitted = element(shown.section(), "Curve", "as fitted").dframe()["gate"]
    now = element(shown.section(), "Curve", "now").dframe()["gate"]
    assert (fitted.min(), now.min()) == (0.2, 0.6)


def test_reset_goes_back_to_the_fit(shown):
    shown.param.update(g_min=0.9, gamma=3.0, delta=2.0)
    assert '<span class="good">3</span>' in shown.told()
    shown.param.trigger("reset")
    assert (shown.g_min, shown.gamma, shown.delta) == (0.2, 1.0, 0.5)


def test_a_floor_of_one_leaves_all_alpha(shown):
    assert shown.effects()["long", "now"].mean < 1
    shown.g_min = 1.0
    assert shown.effects()["long", "now"].mean == shown.effects()["short", "now"].mean == 1.0
    assert shown.effects()["long", "fitted"].mean < 1


def test_longs_and_shorts_are_told_apart(shown):
    """Two curves a side: as fitted, and now."""
    labels = [e.label for e in shown.distribution()]
    assert labels == ["long, fitted", "long, now", "short, fitted", "short, now"]


def test_reliability_shows_what_the_map_of_a_segment_did(shown):
    """Segments 2 and 3 are right as they are; the shift of 0.1 in segment 4 is seen by segment."""
    folds = {f.fold: f.report for f in shown.calibrated("peak").folds}
    assert set(folds) == {2, 3, 4}
    assert folds[2].after.consistent
    assert not folds[4].after.consistent
    assert folds[4].after.ece == pytest.approx(0.1, abs=0.03)
    dots = element(shown.ece_by_fold(), "Scatter", "after").dframe()
    assert dots["ECE"].iloc[2] == folds[4].after.ece
    assert '<span class="bad">' in shown.calibration_told()


def test_the_side_chooses_the_adverse_barrier(shown):
    long = element(shown.brier_by_fold(), "Scatter", "after").dframe()["Brier"].tolist()
    shown.side = "short"
    short = element(shown.brier_by_fold(), "Scatter", "after").dframe()["Brier"].tolist()
    assert long == [f.brier_after.value for f in shown.calibrated("peak").folds]
    assert short == [f.brier_after.value for f in shown.calibrated("valley").folds]
    assert long != short


def test_what_is_missing_is_said(gate):
    told = texts(GateView(gate).shown())
    assert PASS_OOFS in told
    assert PASS_RECALL in told


def test_an_unfitted_gate_can_be_looked_at():
    empty = GateView(BarrierGate(GatingSettings()))
    assert set(element(empty.section(), "Curve", "now").dframe()["gate"]) == {1.0}
    assert "Not fitted" in card(empty.gate)


def test_a_setting_beyond_the_slider_stretches_it(gate):
    wide = GateView(BarrierGate.from_dict(gate.to_dict(), GatingSettings(gamma=8.0)))
    turns = dict(zip(wide.turns, wide.widget().children[2].children, strict=True))
    assert (turns["gamma"].value, turns["gamma"].max) == (8.0, 8.0)


def test_the_card_tells_settings_and_base_rates(gate):
    told = card(gate)
    assert "15m" in told
    assert f"{gate.mean_gate_[2, 0]:.4g}" in told


def test_a_slider_decides_the_chosen_sessions_again_and_no_more(asked, monkeypatch):
    """One session is 78 decisions; the backtest's own settings and ones seen before cost nothing."""
    decided = []
    monkeypatch.setattr(what_if, "_decide", lambda *given: decided.append(1) or DECIDE(*given))
    asked.span = 1
    asked.profit(), decided.clear()
    asked.gamma = 2.5
    asked.profit()
    assert len(decided) == 78
    asked.profit_told()
    assert len(decided) == 78
    asked.param.trigger("reset")
    asked.profit()
    assert len(decided) == 78


DECIDE = what_if._decide


def test_profit_is_that_of_the_what_if(asked, traded):
    asked.span = 4
    asked.param.update(g_min=0.05, gamma=3.0)
    expected = traded.recall.what_if().run(GatingSettings(g_min=0.05, gamma=3.0))
    drawn = element(asked.profit(), "Curve", "decided again, now").dframe()["net"]
    np.testing.assert_allclose(drawn, 1e4 * np.cumsum(expected.net), atol=1e-9)
    own = element(asked.profit(), "Curve", "backtest").dframe()["net"]
    assert len(own) == len(drawn) == 4 * 78
    assert "mean gate, longs" in asked.profit_told()
    asked.param.trigger("reset")


def test_trades_of_unknown_cost_are_not_hidden(asked, monkeypatch):
    assert "counted as free" not in asked.profit_told()
    made = asked.traded()
    monkeypatch.setattr(asked, "traded", lambda: {**made, "now": replace(made["now"], unpriced=3)})
    assert "3 trades of unknown cost were counted as free" in asked.profit_told()


def test_the_live_span_is_no_longer_than_the_backtest(asked):
    assert list(asked.param["span"].objects)[-1] == 4
    assert asked.turns[-2:] == ("span", "reset")


def test_ipywidgets_move_the_view(shown):
    turns = dict(zip(shown.turns, shown.widget().children[2].children, strict=True))
    assert isinstance(turns["gamma"], ipywidgets.FloatSlider)
    turns["gamma"].value = 2.0
    assert shown.chosen.gamma == 2.0
    turns["reset"].click()
    assert turns["gamma"].value == 1.0
