"""The features view: figures hold the study's numbers, the path is the label's, nothing younger than the decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workbench.config import Settings
from workbench.core.errors import DataError
from workbench.core.horizon import INTRADAY_HORIZONS
from workbench.research import steps
from workbench.research.job import Job
from workbench.widgets import view
from workbench.widgets.features import FeaturesView, features_card, history_card, labels_card


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    settings = Settings().change(features={"quotes": "top", "warmup_sessions": 2})
    made = Job.open(tmp_path_factory.mktemp("features"), settings)
    steps.simulate(made, symbols=6, days=12, daily=90, ic=0.1)
    return made


@pytest.fixture
def shown(job):
    return view(job.history, labels=job.labels, bars=job.bars, minute=job.minute)


def part(figure, kind, label=None):
    """The first element of an overlay of this type (and label)."""
    every = figure.traverse(lambda e: e)
    return next(e for e in every if type(e).__name__ == kind and (label is None or e.label == label))


def test_the_histogram_is_that_of_the_chosen_symbols_beside_the_outline_of_all(shown, job):
    shown.feature = "vol_fast"
    every = job.history.values[:, :, job.history.names.index("vol_fast")]
    first = part(shown.histogram(), "Histogram").dframe()
    outline = part(shown.histogram(), "Curve").dframe()
    np.testing.assert_allclose(first["density"], outline["density"])
    shown.symbol = job.history.symbols[2]
    one = part(shown.histogram(), "Histogram").dframe()
    np.testing.assert_allclose(part(shown.histogram(), "Curve").dframe()["density"], outline["density"])
    edges = shown.distributions()[0].edges
    known = every[np.isfinite(every[:, 2]), 2]
    want = np.histogram(known, edges)[0] / (len(known) * np.diff(edges))
    np.testing.assert_allclose(one["density"], want)


def test_the_median_of_each_session_is_drawn_over_its_date(shown, job):
    shown.feature = "ret_12"
    line = part(shown.quantiles(), "Curve").dframe()
    values = job.history.values[:, :, job.history.names.index("ret_12")]
    last = job.history.session == job.history.intraday_session[-1]
    np.testing.assert_allclose(line["value"].iloc[-1], np.nanmedian(values[last]))
    assert line["session"].iloc[-1] == pd.Timestamp(np.datetime64(int(job.history.intraday_session[-1]), "D"))


def test_ic_of_an_intraday_feature_is_drawn_at_intraday_horizons_and_of_a_daily_one_at_days(shown):
    shown.feature = "resid_3"
    tradable = part(shown.ic(), "Scatter", "tradable").dframe()
    assert tradable["label"].tolist() == [h.label for h in INTRADAY_HORIZONS]
    assert (tradable["low"] < tradable["IC"]).all()
    shown.feature = "d_ret_5"
    assert part(shown.ic(), "Scatter", "tradable").dframe()["label"].tolist() == ["1d", "5d", "20d"]


def test_each_entry_is_set_against_its_own_return(job):
    """A feature that is the return from the bar's own close, scaled, has an IC of 1 there and nowhere else."""
    made = job.labels["15m"]
    told = job.history.values[:, :, job.history.names.index("ret_1")]
    bent = view(job.history, labels={"15m": replace(made, naive=told * made.sigma_h)})
    bent.feature = "ret_1"
    (c,) = bent.coefficients()
    np.testing.assert_allclose(c.of["own close"].value, 1.0)
    assert abs(c.of["tradable"].value) < 0.2
    assert abs(c.of["one bar later"].value) < 0.2
    drawn = part(bent.ic(), "Scatter", "own close (not tradable)").dframe()
    np.testing.assert_allclose(drawn["IC"], 1.0)


def test_a_feature_of_the_market_has_a_pooled_ic_only(shown):
    shown.feature, shown.kind = "market_3", "cross-section"
    assert np.isnan(part(shown.ic(), "Scatter", "tradable").dframe()["IC"]).all()
    shown.kind = "pooled"
    assert np.isfinite(part(shown.ic(), "Scatter", "tradable").dframe()["IC"]).all()


def test_the_correlation_map_holds_every_pair_of_the_feature_s_kind(shown, job):
    assert len(shown.correlations()) == len(job.history.names) ** 2
    shown.feature = "d_gap_1"
    drawn = shown.correlations().dframe()
    assert len(drawn) == len(job.history.daily_names) ** 2
    one = drawn[(drawn["feature"] == "d_ret_1") & (drawn["other"] == "d_ret_1")]["correlation"]
    np.testing.assert_allclose(one, 1.0)
    assert "d_" in shown.alike()


@pytest.mark.parametrize("horizon", ["5m", "30m", "120m"])
def test_the_path_says_what_training_was_told_for_every_bar_of_a_session(shown, job, horizon):
    shown.horizon, shown.path_symbol = horizon, job.history.symbols[4]
    made, seen = job.labels[horizon], set()
    for bar in range(1, 79):
        shown.bar = bar
        path, row = shown.path(), shown.decision_row()
        if path is None:
            assert np.isnan(made.peak[row, 4])
            continue
        np.testing.assert_array_equal([path.peak, path.valley], [made.peak[row, 4], made.valley[row, 4]])
        seen.add(path.outcome)
    assert {"upper", "lower"} <= seen


def test_the_figure_marks_the_decision_and_shades_only_what_came_after(shown, job):
    shown.bar, shown.horizon = 30, "60m"
    row = shown.decision_row()
    decided = pd.Timestamp(job.bars.ts[row], tz="UTC").tz_convert("America/New_York").tz_localize(None)
    figure = shown.barriers()
    assert part(figure, "VLine").data == decided
    begins, ends = part(figure, "VSpan").data
    assert (begins, ends - begins) == (decided, pd.Timedelta(hours=1))
    lines = [e for e in figure.traverse(lambda e: e) if type(e).__name__ == "Segments" and "price to" in str(e.kdims)]
    barriers = lines[0].dframe()
    assert (barriers["time"] == decided).all()
    sigma = job.history.sigma_h(INTRADAY_HORIZONS[4])[row, 0]
    entry = job.bars.mid[row, 0]
    np.testing.assert_allclose(sorted(barriers["price"]), entry * np.exp(np.array([-1, 0, 1]) * sigma))
    touch = part(figure, "Points").dframe()
    assert (touch[touch["what"] == "first touch"]["time"] > decided).all()


def test_k_moves_the_barriers_and_says_that_it_is_not_what_was_trained(shown):
    shown.bar, shown.horizon, shown.k = 30, "60m", 1.0
    wide = shown.path()
    shown.k = 0.5
    narrow = shown.path()
    np.testing.assert_allclose(np.log(narrow.upper / narrow.entry), np.log(wide.upper / wide.entry) / 2)
    shown.k = 3.0
    assert shown.path().outcome == "neither"
    assert "this is what 3 would give" in shown.outcome()


def test_a_horizon_that_passes_the_close_has_no_label(shown):
    shown.horizon, shown.bar = "120m", 70
    assert shown.path() is None
    assert "no label: the horizon would pass the close" in shown.outcome()
    assert len(part(shown.barriers(), "Points")) == 0


def test_without_labels_or_bars_the_view_says_what_to_pass(job):
    bare = FeaturesView(job.history)
    panes = bare.body().select(lambda p: isinstance(getattr(p, "object", None), str))
    shown = "".join(p.object for p in panes)
    assert "pass labels=job.labels" in shown
    assert "pass bars=job.bars" in shown
    only_path = FeaturesView(job.history, bars=job.bars)
    only_path.bar = 20
    assert "touched first" in only_path.outcome()


def test_bars_and_labels_of_something_else_are_refused(job):
    with pytest.raises(DataError, match="do not belong to a history"):
        FeaturesView(job.history, bars=job.bars.rows(0, 100))
    with pytest.raises(DataError, match="the 5m labels have"):
        FeaturesView(job.history.rows(0, 100), labels={"5m": job.labels["5m"]})


def test_ipywidgets_turn_the_view(shown):
    turned = dict(zip(shown.turns, shown.widget().children[2].children, strict=True))
    turned["feature"].value = "gap"
    turned["bar"].value = 12
    turned["k"].value = 2.0
    assert (shown.feature, shown.bar, shown.k, shown.axis) == ("gap", 12, 2.0, "5-minute")
    shown.feature = "d_beta"
    assert (turned["feature"].value, shown.axis) == ("d_beta", "daily")


def test_cards_count_what_there_is(job):
    made = job.labels["30m"]
    told = labels_card(made)
    assert f"{int(np.isfinite(made.value).sum()):,}" in told
    assert f"{100 * np.nanmean(made.peak):.1f} %" in told
    assert f"{len(job.history.names)}" in history_card(job.history)
    snapshot = job.history.snapshot(len(job.history) - 1)
    unknown = replace(snapshot.features, latest=np.full_like(snapshot.features.latest, np.nan))
    assert f"{len(job.history.names)} features of 6 symbols" in features_card(snapshot.features)
    assert "0 of 6" in features_card(unknown)
    assert "<td>0</td>" not in features_card(unknown)
