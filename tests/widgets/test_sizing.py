"""SizingView: the shown steps are those of the decision, and sliders size the bar again."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np
import pytest

from workbench.config import SizingSettings, ValidationSettings
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator
from workbench.widgets import view
from workbench.widgets.sizing import KNOBS, SizingView, sizer_card, validator_card


@pytest.fixture(scope="module")
def sizer(traded) -> PositionSizer:
    return traded.recall.stages(int(traded.recall.rows[-1])).sizer


@pytest.fixture
def shown(traded, sizer) -> SizingView:
    return view(sizer, recall=traded.recall, bar=20)


def final(shown: SizingView) -> np.ndarray:
    marks = {e.label: e for e in shown.weights() if getattr(e, "label", "")}
    return marks["final"].dframe()["weight"].to_numpy()


def test_at_first_a_bar_is_as_it_was_decided(shown, traded) -> None:
    decision = traded.recall.decision(shown.row_of_bar)
    np.testing.assert_allclose(final(shown), 100 * decision.target.weights)
    assert shown.sized.target.weights.tobytes() == decision.target.weights.tobytes()


def test_bars_and_sessions_are_those_of_the_backtest(shown, traded) -> None:
    days = list(shown.param.session.objects)
    assert days == sorted(set(traded.recall.result.session.tolist()))
    shown.param.update(session=days[0], bar=3)
    assert shown.row_of_bar == int(traded.recall.rows[3])
    assert str(traded.recall.result.symbols[0]) in shown.steps()


def test_a_smaller_cap_binds(shown) -> None:
    shown.param.update(max_weight=0.004, no_trade_band=0.0)
    assert np.abs(final(shown)).max() <= 0.4 + 1e-9
    assert "binds" in shown.bounds()


def test_a_band_wider_than_every_step_trades_nothing_new(shown) -> None:
    shown.no_trade_band = 0.03
    t = shown.sized.trace
    assert not ((t.sizing.weights != t.now) & (np.abs(t.edge - t.now) < 0.03) & (t.now == 0)).any()


def test_settings_that_do_not_go_together_are_told_and_not_raised(shown) -> None:
    table = shown.shown()[0]
    shown.target_gross = 0.02
    assert "max_weight 0.05 must not exceed target_gross 0.02" in table.object
    shown.param.trigger("reset")
    assert shown.target_gross == 0.5
    assert "what decided" in table.object


def test_risk_shares_sum_to_one(shown) -> None:
    bars = next(e for e in shown.risk() if e.label == "of variance")
    assert bars.dframe()["part"].sum() == pytest.approx(100.0)


def test_the_sweep_uses_the_settings_of_now(shown) -> None:
    before = shown.swept
    curve = next(iter(shown.turnover())).dframe()
    np.testing.assert_allclose(curve["turnover"], 100 * before.turnover)
    shown.param.update(target_gross=0.06, max_weight=0.02)
    shown.param.trigger("sweep")
    assert shown.swept.turnover[0] < before.turnover[0]


def test_scores_are_clipped_at_z_max(shown) -> None:
    shown.z_max = 0.1
    bars = next(iter(shown.scores())).dframe()
    assert np.abs(bars["u"]).max() == pytest.approx(0.1)


def test_the_widget_is_made_of_ipywidgets_and_linked(shown) -> None:
    found = {w.description: w for w in shown.widget().children[2].children}
    assert isinstance(found["max_weight"], ipywidgets.FloatSlider)
    found["max_weight"].value = 0.02
    assert shown.max_weight == 0.02
    assert np.abs(final(shown)).max() <= 2.0 + 1e-9
    found["Reset"].click()
    assert {name: getattr(shown, name) for name in KNOBS if name != "no_trade_band"} == {
        name: getattr(shown.settings, name) for name in KNOBS if name != "no_trade_band"
    }


def test_a_validator_brings_its_own_bounds(traded) -> None:
    strict = PositionValidator(ValidationSettings(max_quote_age_s=1e-9, max_participation=1e-6))
    shown = view(strict, recall=traded.recall, bar=1)
    assert shown.validation is strict.settings
    found = {b.rule for b in shown.sized.breaches}
    assert found & {"max_participation", "max_quote_age_s"}
    assert "max_participation" in shown.bounds()


def test_without_a_recall_the_view_says_what_it_needs() -> None:
    shown = SizingView(PositionSizer(SizingSettings()))
    assert "recall_backtest" in shown.shown().object


def test_cards() -> None:
    told = sizer_card(PositionSizer(SizingSettings(no_trade_band=0.004, allow_short=False)))
    assert "0.40 %" in told
    assert "not allowed" in told
    assert "0.1" in told
    rules = validator_card(PositionValidator(ValidationSettings(on_drawdown="flatten", max_drawdown=0.15)))
    assert "15.0 %" in rules
    assert "flatten" in rules
    assert "max_turnover_daily" in rules


def test_trades_of_unknown_cost_are_not_hidden(shown, monkeypatch) -> None:
    assert "unknown cost" not in shown._swept_days
    monkeypatch.setattr(shown, "swept", replace(shown.swept, unpriced=2))
    assert "2 trades of unknown cost as free" in shown._swept_days
