"""CostView: what turning k1..k3 does to the waterfall, the survivors and the arbitration; cards."""

from __future__ import annotations

import time

import ipywidgets
import numpy as np
import pytest

from workbench.analysis import cost_study
from workbench.config import ArbitrationSettings, CostSettings
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.costs import CostModel
from workbench.research import steps
from workbench.widgets import view
from workbench.widgets.costs import CostView, arbitrator_card, costs_card


@pytest.fixture(scope="module")
def stages(traded):
    return steps.final_stages(traded.job).stages


@pytest.fixture
def shown(stages, traded) -> CostView:
    return view(stages.costs, arbitrator=stages.arbitrator, recall=traded.recall)


def sliders(box) -> dict[str, ipywidgets.Widget]:
    return {w.description: w for w in box.children[2].children}


def boxes(view: CostView) -> dict[str, tuple[float, float]]:
    """Step -> (from, to) of the waterfall."""
    frame = next(iter(view.waterfall())).dframe()
    return {row.step: (row.y0, row.y1) for row in frame.itertuples()}


def test_the_waterfall_goes_down_by_a_round_trip_and_ends_at_the_net(shown) -> None:
    got = boxes(shown)
    fall = cost_study.waterfalls(shown.alphas, cost_study.estimates(shown.model, shown.moments))
    expected = next(f for f in fall if f.horizon == shown.horizon)
    assert got["mean |alpha|"] == (0.0, pytest.approx(expected.gross * 1e4))
    low, high = got["2 × spread"]
    assert high - low == pytest.approx(2 * expected.spread * 1e4)
    assert got["net"][1] == pytest.approx(expected.net * 1e4)


def test_without_costs_everything_survives(shown) -> None:
    before = boxes(shown)
    shown.param.update(k1=0.0, k2=0.0, k3=0.0)
    after = boxes(shown)
    assert after["2 × spread"][0] == after["2 × spread"][1]
    assert after["net"][1] > before["net"][1]
    commission = after["2 × commission"]
    assert commission[1] - commission[0] == pytest.approx(before["2 × commission"][1] - before["2 × commission"][0])


def test_the_mean_cost_follows_k1(shown) -> None:
    def spread() -> float:
        frame = shown.by_name().dframe()
        return float(frame[frame.part == "spread"].cost.sum())

    one = spread()
    shown.k1 = 2 * shown.k1
    assert spread() == pytest.approx(2 * one)


def test_the_marks_show_now_fitted_and_default(shown, stages) -> None:
    shown.k1 = 1.25
    marks = {m.label: m.dframe()["k"].tolist() for m in shown.weights()}
    assert marks["now"][0] == 1.25
    assert marks["fitted"] == [stages.costs.k1_, stages.costs.k2_, stages.costs.k3_]
    assert marks["default"] == [0.5, 0.0, 0.142]


def test_reset_and_defaults(shown, stages) -> None:
    shown.param.update(k1=1.0, k2=0.2, k3=0.0)
    shown.param.trigger("fitted")
    assert (shown.k1, shown.k2, shown.k3) == (stages.costs.k1_, stages.costs.k2_, stages.costs.k3_)
    shown.param.trigger("defaults")
    assert (shown.k1, shown.k2, shown.k3) == (0.5, 0.0, 0.142)


def test_dearer_trading_admits_fewer_names(shown) -> None:
    def admitted() -> float:
        return float(next(e for e in shown.survivors() if e.label == "admitted").dframe()["names"].sum())

    before = admitted()
    shown.param.update(k1=1.5, k2=0.5, k3=0.6)
    assert admitted() < before


def test_shares_of_both_ways_sum_to_one_and_softmax_spreads(shown) -> None:
    for figure in (shown.winner_shares, shown.softmax_shares):
        frame = figure().dframe().dropna()
        assert frame.groupby("minutes since the open")["weight"].sum().to_numpy() == pytest.approx(100.0)
    shown.beta = 0.1
    blunt = shown.softmax_shares().dframe().groupby("horizon")["weight"].mean().max()
    shown.beta = 20.0
    assert shown.softmax_shares().dframe().groupby("horizon")["weight"].mean().max() >= blunt


def test_more_cost_leaves_fewer_forecasts(shown) -> None:
    curve = next(iter(shown.survival())).dframe()
    assert (np.diff(curve["survive"]) <= 0).all()
    assert curve["survive"].iloc[0] > 50


def test_the_tables_name_every_horizon_with_forecasts(shown) -> None:
    table, agreement = shown.table(), shown.comparison()
    assert all(label in table for label in shown.param.horizon.objects)
    assert "Winner against softmax" in agreement
    assert "both admit" in agreement


def test_the_widget_is_made_of_ipywidgets_and_linked(shown) -> None:
    box = shown.widget()
    assert isinstance(box, ipywidgets.VBox)
    found = sliders(box)
    found["k1 spread"].value = 0.9
    assert shown.k1 == 0.9
    found["Reset to fitted"].click()
    assert shown.k1 == shown.model.k1_
    assert found["k1 spread"].value == pytest.approx(shown.model.k1_)


def test_a_slider_is_followed_quickly(shown) -> None:
    shown.shown()
    shown.k1 = 0.7
    start = time.perf_counter()
    shown.k1 = 0.8
    shown.waterfall(), shown.survivors(), shown.winner_shares()
    assert time.perf_counter() - start < 2.0  # some 0.2 s alone on a core


def test_an_arbitrator_brings_its_own_model(stages, traded) -> None:
    shown = view(stages.arbitrator, recall=traded.recall)
    assert shown.model is stages.costs
    assert shown.arbitrator is stages.arbitrator


def test_without_a_recall_out_of_fold_rows_still_say_what_survives(stages, traded) -> None:
    oofs = steps.oofs(traded.job)
    shown = CostView(stages.costs, oofs=oofs, blender=stages.blender)
    assert {c.label for c in shown.survival()} == set(shown.param.horizon.objects) <= set(oofs)
    shown.shown()
    bare = CostView(CostModel(CostSettings()))
    bare.shown()
    assert {m.label for m in bare.weights()} == {"default", "fitted", "now"}


def test_cards_tell_what_was_learned() -> None:
    model = CostModel(CostSettings(k1=0.7))
    model.bucket_multiplier_ = (1.5, 1.0, 0.75, 1.0, 1.25)
    assert "not fitted" in costs_card(model)
    assert "midday" in costs_card(model)
    assert "0.75" in costs_card(model)
    softmax = arbitrator_card(CostArbitrator(model, ArbitrationSettings(method="softmax", force_trading=True)))
    assert "softmax" in softmax
    assert "force_trading" in softmax
    assert "CostModel" in softmax
