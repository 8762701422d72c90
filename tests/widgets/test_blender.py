"""The view of a blender: its weights, its path, and the horizon solved again when a model goes."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest
from made_oofs import make_oof

from workbench.config import BlendingSettings
from workbench.core.errors import DataError
from workbench.decision.blending import HorizonBlender
from workbench.widgets import view
from workbench.widgets.blender import PASS_OOFS, BlenderView, card

MODELS = (("A", 0.3), ("B", 0.2), ("C", 0.0))


@pytest.fixture(scope="module")
def oofs():
    return {"15m": make_oof("15m", MODELS), "30m": make_oof("30m", (("A", 0.0), ("B", 0.0), ("C", 0.0)), seed=4)}


@pytest.fixture(scope="module")
def blender(oofs):
    return HorizonBlender(BlendingSettings()).fit(oofs)


@pytest.fixture
def shown(blender, oofs):
    return view(blender, oofs=oofs)


def bars(figure):
    return figure.dframe()


def test_weights_are_those_that_were_fitted(shown, blender):
    table = bars(shown.weights()).set_index(["horizon", "model"])["weight"]
    assert table["15m"].sum() == pytest.approx(100)
    assert table["30m"].sum() == 0
    np.testing.assert_allclose(table["15m"][["A", "B", "C"]], 100 * np.array(blender.fits_["15m"].weights))


def test_it_opens_at_a_horizon_that_trades(shown):
    assert shown.horizon == "15m"
    assert shown.kept == ["A", "B", "C"]


def test_the_chosen_penalty_is_marked_on_both_paths(shown, blender):
    chosen = blender.fits_["15m"].penalty
    marks = next(e for e in shown.score() if e.label == "chosen").dframe()
    assert marks["penalty"].tolist() == [chosen]
    line = next(e for e in shown.path_weights() if type(e).__name__ == "VLine")
    assert line.data == chosen
    curves = {e.label: e.dframe() for e in shown.path_weights() if type(e).__name__ == "Curve"}
    assert set(curves) == {"A", "B", "C"}
    at = curves["A"].set_index("penalty")["weight"][chosen]
    assert at == pytest.approx(100 * blender.fits_["15m"].weights[0])


def test_dropping_a_model_solves_the_horizon_again(shown, blender, oofs):
    shown.kept = ["B", "C"]
    table = bars(shown.drop()).set_index(["which", "model"])["weight"]
    assert table["as fitted"]["A"] > 0
    assert table["solved again"]["A"] == 0
    assert table["solved again"].sum() == pytest.approx(100)
    told = shown.effect()
    assert "without A" in told
    again = shown.solved()
    assert again.forward.ic.value < 0.27  # B alone has .2


def test_with_all_kept_nothing_changes(shown, blender):
    assert shown.solved().fit.weights == blender.fits_["15m"].weights
    assert "nothing is left out" in shown.effect()


def test_keep_all_brings_back_the_blend(shown):
    shown.kept = ["C"]
    shown.param.trigger("whole")
    assert shown.kept == ["A", "B", "C"]


def test_keeping_none_is_a_message(shown):
    shown.shown()
    shown.kept = []
    assert "no model is kept" in shown.problem
    shown.kept = ["A"]
    assert shown.problem == ""


def test_the_slope_is_drawn_as_fitted(shown, blender):
    line = next(e for e in shown.slope() if e.label.startswith("slope")).dframe()
    rise = np.diff(line["realised"])[0] / np.diff(line["blend"])[0]
    assert rise == pytest.approx(blender.fits_["15m"].raw_slope)


def test_an_abstaining_horizon_says_why_and_draws_nothing(shown):
    shown.horizon = "30m"
    assert "no model shows evidence of its own out of fold" in shown.slope_told()
    assert len(next(e for e in shown.slope() if type(e).__name__ == "Scatter")) == 0
    assert not bars(shown.drop())["weight"].any()


def test_without_forecasts_it_says_what_to_pass(blender):
    shown = BlenderView(blender)
    assert shown.turns == ("horizon",)
    assert PASS_OOFS in "".join(str(pane.object) for pane in shown.shown() if hasattr(pane, "object"))


def test_an_unfitted_blender_is_refused():
    with pytest.raises(DataError, match="has not been fitted"):
        BlenderView(HorizonBlender(BlendingSettings()))


def test_the_card_tells_weights_and_reasons(blender):
    told = card(blender)
    assert "1 of 2 horizons have evidence enough to trade" in told
    assert "no model shows evidence" in told
    assert "not fitted" in card(HorizonBlender(BlendingSettings()))


def test_ipywidgets_drop_a_model(shown):
    turns = dict(zip(shown.turns, shown.widget().children[2].children, strict=True))
    assert isinstance(turns["kept"], ipywidgets.SelectMultiple)
    turns["kept"].value = ("A",)
    assert shown.kept == ["A"]
    assert shown.solved().fit.keys[0].family == "A"
    turns["whole"].click()
    assert turns["kept"].value == ("A", "B", "C")
