"""The view of models: what it draws is what was forecast, and turning a parameter changes the right picture."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest
from made_oofs import make_oof

from workbench.analysis.zoo import ZooCell
from workbench.core.errors import DataError
from workbench.widgets import view
from workbench.widgets.models import ModelsView, card, interval, ramp


@pytest.fixture(scope="module")
def oofs():
    return {
        "15m": make_oof("15m"),
        "30m": make_oof("30m", (("A", 0.2), ("B", 0.0)), seed=1),
    }


@pytest.fixture
def models(oofs):
    return ModelsView(oofs)


def layer(overlay, kind, label=None):
    """The data of the first element of that kind (and label) of an overlay."""
    elements = [e for e in overlay if type(e).__name__ == kind and (label is None or e.label == label)]
    return elements[0].dframe()


def test_the_view_of_forecasts_is_found_by_their_type(oofs):
    shown = view(oofs["15m"])
    assert isinstance(shown, ModelsView)
    assert shown.param["horizon"].objects == ["15m"]


def test_the_heat_map_holds_every_cell_and_marks_what_beats_a_constant(models, oofs):
    cells = layer(models.heat_map(), "HeatMap")
    assert sorted(zip(cells["model"], cells["horizon"])) == [
        ("A", "15m"), ("A", "30m"), ("B", "15m"), ("B", "30m"), ("C", "15m")
    ]  # fmt: skip
    ic = dict(zip(zip(cells["model"], cells["horizon"]), cells["IC"]))
    grids = [v.reshape(-1, 8) for v in (oofs["15m"].forecast[:, 0], oofs["15m"].label)]
    assert ic["A", "15m"] == pytest.approx(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(*grids, strict=True)]))
    written = layer(models.heat_map(), "Labels").set_index(["model", "horizon"])["written"]
    assert "•" in written["A", "15m"]
    assert "•" not in written["C", "15m"]


def test_a_strategy_shows_its_own_cells(oofs):
    cells = [
        ZooCell("A", strategy, "15m", trained=True, ic=ic, ic_low=0.0, ic_high=0.4, weight=0.6, p_corrected=0.01)
        for strategy, ic in (("single_task", 0.3), ("cascade", 0.1))
    ]
    shown = ModelsView(oofs, cells=cells)
    assert shown.param["strategy"].objects == ["single_task", "cascade"]
    shown.strategy = "cascade"
    assert layer(shown.heat_map(), "HeatMap")["IC"].tolist() == [0.1]
    assert "60 %" in shown.zoo_table()
    assert layer(shown.heat_map(), "Labels")["written"].tolist() == ["0.100 • 60 %"]


def test_the_table_has_the_models_of_the_horizon(models):
    models.horizon = "30m"
    told = models.zoo_table()
    assert "<td>A</td>" in told.replace(' class="t"', "")
    assert ">C<" not in told
    assert "zoo_cells" in told  # what to pass to see more


def test_intervals_hold_the_ic(models, oofs):
    bars = layer(models.intervals(), "ErrorBars")
    assert bars["model"].tolist() == ["A", "B", "C"]
    noise = bars[bars["model"] == "C"].iloc[0]
    assert noise["IC"] - noise["below"] < 0 < noise["IC"] + noise["above"]
    best = bars[bars["model"] == "A"].iloc[0]
    assert best["IC"] - best["below"] > 0.1


def test_the_scatter_rises_for_a_model_that_knows_something(models):
    points = layer(models.scatter(), "Scatter")
    assert points["rows"].sum() == 60 * 6 * 8
    assert np.corrcoef(points["forecast"], points["realised"])[0, 1] > 0.9
    models.model = "C"
    assert abs(np.polyfit(*layer(models.scatter(), "Scatter")[["forecast", "realised"]].to_numpy().T, 1)[0]) < 0.1


def test_two_cells_side_by_side(models):
    models.model, models.other = "A", "C"
    c = models.comparison()
    assert c.difference.value == pytest.approx(c.first.value - c.second.value)
    assert "excludes zero" in models.side_by_side()
    first, second = (e.dframe()["IC, added up"] if "IC, added up" in e.dframe() else e.dframe().iloc[:, 1]
                     for e in models.day_by_day() if type(e).__name__ == "Curve")  # fmt: skip
    assert first.iloc[-1] == pytest.approx(np.nansum(c.by_session[:, 0]))
    assert first.iloc[-1] > 5 > abs(second.iloc[-1])


def test_a_model_that_is_not_there_is_a_message(models):
    models.model, models.horizon = "C", "30m"
    with pytest.raises(DataError, match="C made no forecasts at 30m; at that horizon there are A, B"):
        models.scatter()
    models.shown()
    assert "C made no forecasts at 30m" in models.problem
    models.model = "A"
    assert models.problem == ""


def test_nothing_to_show_says_what_to_do():
    with pytest.raises(DataError, match="train models first"):
        ModelsView({})


def test_ipywidgets_move_the_view(models):
    box = models.widget()
    turns = dict(zip(models.turns, box.children[2].children, strict=True))
    assert isinstance(turns["model"], ipywidgets.ToggleButtons)
    turns["model"].value = "B"
    assert models.model == "B"
    models.horizon = "30m"
    assert (turns["horizon"].value, turns["other_horizon"].value) == ("30m", "30m")


def test_the_card_names_models_with_their_ic(oofs):
    told = card(oofs["15m"])
    assert "Out-of-fold forecasts, 15m" in told
    assert "2,880" in told
    assert "2025-05-12" in told


def test_an_unknown_interval_is_a_dash():
    from workbench.stats.bootstrap import Estimate

    assert interval(Estimate.unknown("why")) == "–"
    assert interval(Estimate(0.1, float("nan"), float("nan"), float("nan"), 0.95), 1) == "+0.1"


def test_a_ramp_passes_through_its_colours():
    assert ramp(["#ff000000", "#00ff0080", "#0000ff"], 5) == [
        "#ff000000", "#80800040", "#00ff0080", "#008080c0", "#0000ffff"
    ]  # fmt: skip
